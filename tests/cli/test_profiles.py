"""`mammodissect login` and `logout`, and which address and key commands come to."""

import io
import stat
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import typer

from cli.commands import app
from cli.connection import connect
from cli.profiles import Profile, read_profiles, write_profiles
from service.errors import InvalidInput, NotFound
from tests.cli.conftest import Run

KEY = "open sesame"


class Heard(list[str]):
    """The Authorization headers of the calls that reached a server."""

    url = ""


@pytest.fixture
def services() -> Iterator[tuple[Heard, Heard]]:
    """Two servers that take one key each."""
    servers, heard_by = [], []
    for key in (KEY, "other"):
        heard = Heard()

        class Handler(BaseHTTPRequestHandler):
            calls, expected = heard, f"Bearer {key}"

            def do_GET(self) -> None:
                self.calls.append(self.headers["Authorization"])
                known = self.headers["Authorization"] == self.expected
                self.send_response(200 if known else 401)
                self.end_headers()
                self.wfile.write(b'{"items": [], "next": null}' if known else b'{"detail": "The API key is wrong."}')

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        heard.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        heard_by.append(heard)
    yield heard_by[0], heard_by[1]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a text on standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_login_is_what_commands_use_until_the_logout(
    run: Run, services: tuple[Heard, Heard], typed: Callable[[str], None], config_folder: Path
) -> None:
    service, _ = services
    typed(f"{KEY}\n")
    done = run("login", "--url", f"{service.url}/")
    assert done.status == 0, done.stderr
    key_file = config_folder / "keys" / "default"
    assert key_file.read_text() == f"{KEY}\n"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert KEY not in (config_folder / "config.toml").read_text()
    assert KEY not in done.stdout + done.stderr

    assert run("jobs", "list", "--json").status == 0
    assert service == [f"Bearer {KEY}"] * 2
    assert run("logout").status == 0
    assert not key_file.exists()
    assert read_profiles().by_name == {}
    assert run("logout").status == 2


def test_profiles_by_name(
    run: Run,
    services: tuple[Heard, Heard],
    typed: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    east, west = services
    (tmp_path / "west-key").write_text("other")
    typed(KEY)
    assert run("login", "--profile", "east", "--url", east.url).status == 0
    monkeypatch.chdir(tmp_path)
    assert run("login", "--profile", "west", "--url", west.url, "--api-key-file", "west-key").status == 0
    assert read_profiles().current == "west"
    assert read_profiles().by_name["west"].api_key_file == tmp_path / "west-key"

    east.clear()
    west.clear()
    run("jobs", "list")
    run("jobs", "list", "--profile", "east")
    monkeypatch.setenv("MAMMODISSECT_PROFILE", "east")
    run("jobs", "list")
    run("jobs", "list", "--profile", "west")
    assert (east, west) == ([f"Bearer {KEY}"] * 2, ["Bearer other"] * 2)

    monkeypatch.setenv("MAMMODISSECT_URL", west.url)
    monkeypatch.setenv("MAMMODISSECT_API_KEY", "other")
    run("jobs", "list")
    run("jobs", "list", "--profile", "east")
    assert (len(east), len(west)) == (3, 3), "a named profile goes before the environment, which goes before others"

    assert run("logout", "--profile", "west").status == 0
    assert (tmp_path / "west-key").exists(), "a key file of one's own stays"
    unknown = run("jobs", "list", "--profile", "west")
    assert (unknown.status, "There are: east" in unknown.stderr) == (2, True)


def test_the_key_of_a_profile_goes_nowhere_else(
    run: Run,
    services: tuple[Heard, Heard],
    typed: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, other = services
    typed(KEY)
    assert run("login", "--profile", "mine", "--url", mine.url).status == 0
    monkeypatch.chdir(tmp_path)
    for options in (["--url", other.url], ["--url", other.url, "--profile", "mine"]):
        refused = run("jobs", "list", *options)
        assert (refused.status, other) == (2, [])
        assert KEY not in refused.stderr
    assert run("jobs", "list", "--url", f"{mine.url}/").status == 0, "the same address, written otherwise"
    with pytest.raises(InvalidInput, match="not sent elsewhere"):
        connect(other.url, None, "mine")


@pytest.mark.parametrize(
    ("key", "url", "says"),
    [
        ("wrong", None, "The API key is wrong."),
        ("", None, "empty"),
        ("schlüssel", None, "ASCII"),
        ("a\nb", None, "one line"),
        (KEY, "127.0.0.1:8000", "http://"),
        (KEY, "http://127.0.0.1:9", "cannot be reached"),
    ],
)
def test_what_cannot_be_used_is_not_kept(
    run: Run,
    services: tuple[Heard, Heard],
    typed: Callable[[str], None],
    config_folder: Path,
    key: str,
    url: str | None,
    says: str,
) -> None:
    typed(key)
    done = run("login", "--url", url or services[0].url)
    assert (done.status, done.stderr.count("\n")) == (2, 1)
    assert says in done.stderr
    assert not config_folder.exists()


def test_a_login_without_asking_the_service(run: Run, typed: Callable[[str], None]) -> None:
    typed(KEY)
    assert run("login", "--url", "http://127.0.0.1:9", "--no-check").status == 0
    assert read_profiles().by_name["default"].url == "http://127.0.0.1:9"


@pytest.mark.parametrize("name", ["", "East", "a.b", "../x", "a" * 65, "x]\ny"])
def test_names_of_profiles(run: Run, typed: Callable[[str], None], name: str) -> None:
    typed(KEY)
    done = run("login", "--url", "http://127.0.0.1:9", "--no-check", "--profile", name)
    assert (done.status, "is no name of a profile" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "content",
    [
        "current = ",
        "current = 3",
        "profiles = 3",
        "[profiles.east]\nurl = 'http://a'",
        "[profiles.EAST]\nurl = 'http://a'\napi_key_file = 'b'",
        "[profiles.east]\nurl = 3\napi_key_file = 'b'",
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_of_profiles_is_named(run: Run, config_folder: Path, content: str | bytes) -> None:
    config_folder.mkdir(parents=True)
    (config_folder / "config.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run("jobs", "list")
    assert (done.status, done.stderr.count("\n")) == (2, 1)
    assert "config.toml" in done.stderr


def test_any_path_of_a_key_file_is_kept(tmp_path: Path, config_folder: Path) -> None:
    odd = tmp_path / 'a "quoted" \\ path\x7f of ümlauts\n'
    write_profiles(read_profiles().with_profile(Profile("east", "https://a.example", odd)))
    assert read_profiles().by_name["east"].api_key_file == odd
    with pytest.raises(NotFound, match="There are: east"):
        read_profiles().find("west")


@pytest.mark.parametrize("variable", ["MAMMODISSECT_API_KEY", "MAMMODISSECT_API_KEY_FILE"])
def test_a_key_of_the_environment_that_cannot_be_used(run: Run, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "/nowhere/schlüssel")
    done = run("jobs", "list")
    assert (done.status, done.stderr.count("\n")) == (2, 1)


def test_no_option_takes_a_key() -> None:
    """What is an argument can be read by others in the list of processes."""
    names = {name for command in _commands(typer.main.get_command(app)) for name in _options(command)}
    assert "--api-key-file" in names
    assert {name for name in names if "key" in name and not name.endswith(("-key-file", "--public-key"))} == {
        "--idempotency-key"
    }


def _commands(command: Any) -> Iterator[Any]:
    yield command
    for inner in getattr(command, "commands", {}).values():
        yield from _commands(inner)


def _options(command: Any) -> Iterator[str]:
    return (name for parameter in command.params for name in parameter.opts)


def test_version_and_completion(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--version").stdout.startswith("mammodissect ")
    monkeypatch.setenv("_MAMMODISSECT_COMPLETE", "source_bash")
    assert "complete -o default -F _mammodissect_completion mammodissect" in run().stdout
    monkeypatch.setenv("_MAMMODISSECT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "mammodissect jobs s")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert run().stdout.split() == ["show", "submit"]
