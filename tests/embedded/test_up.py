"""`mammodissect up`, with small programs in place of API and worker, and once with the real ones."""

import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import httpx
import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from cli.embedded import PostgresServer, ValkeyServer
from cli.embedded.binaries import postgres_binary, valkey_binary
from cli.embedded.processes import command_as
from cli.up import running_stack
from service.errors import Conflict
from tests.embedded.processes import end, first_line, python, running, wait_until, wait_until_gone
from tests.embedded.stand_in import program

Up = Callable[..., Popen[str]]
SERVERS = (str(postgres_binary("postgres")), str(valkey_binary()))


@pytest.fixture
def directory(tmp_path: Path, seed: Path) -> Path:
    """A stack's folder with a cluster that is made already, to save time."""
    stack = tmp_path / "stack"
    shutil.copytree(seed / "cluster", stack / "postgres" / "cluster")
    return stack


@pytest.fixture
def up(directory: Path) -> Iterator[Up]:
    """Run `up` in another process with the given stand-ins."""
    processes: list[Popen[str]] = []

    def run(api: str = "serve", worker: str = "wait", *, port: int = 0, folder: Path = directory) -> Popen[str]:
        processes.append(python("-m", "tests.embedded.stand_in", "up", str(folder), str(port), api, worker))
        return processes[-1]

    yield run
    for process in processes:
        end(process)


def ready_url(process: Popen[str]) -> str:
    lines = [first_line(process)]
    while not lines[-1].startswith("ready "):
        lines.append(first_line(process))
    return lines[-1].removeprefix("ready ").strip()


def descendants(process: Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def child_with(process: Popen[str], words: str) -> int:
    """The id of its only direct child with these words in its command line; waits for it."""
    found: list[int] = []

    def look() -> bool:
        lines = {child.pid: command_line(child) for child in psutil.Process(process.pid).children()}
        found[:] = [pid for pid, line in lines.items() if f" {words} " in line and "child.py" not in line]
        return len(found) == 1

    wait_until(look)
    return found[0]


def command_line(process: psutil.Process) -> str:
    try:
        return f" {' '.join(process.cmdline())} "
    except psutil.NoSuchProcess:  # a zombie is one too
        return ""


def computing_child(process: Popen[str], url: str, key: str, directory: Path) -> int:
    """The id of the worker's child, which the first registered model makes it start."""
    weights = directory / "weights.pt"
    weights.write_bytes(b"none")
    body = {"name": "m", "checkpoint": str(weights), "architecture": "efficientnet-lite0"}
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.post(f"{url}/models", json=body, headers=headers, timeout=60).status_code == httpx.codes.CREATED
    found: list[int] = []

    def look() -> bool:
        found[:] = [one.pid for one in descendants(process) if " -m service.pipelines.child " in command_line(one)]
        return len(found) == 1

    wait_until(look)
    return found[0]


def environment_of(url: str) -> dict[str, str]:
    answer: dict[str, str] = httpx.get(f"{url}/environment", timeout=60).json()
    return answer


def test_a_stack_serves_keeps_its_state_and_ends_cleanly(up: Up, directory: Path) -> None:
    keys, signing_keys = [], []
    for number in (signal.SIGTERM, signal.SIGINT):
        process = up()
        url = ready_url(process)
        given = environment_of(url)
        keys.append(given["API_KEY"])
        assert given["DATA_ROOTS"] == "/"
        signing_keys.append(Path(given["SIGNING_KEY"]).read_bytes())
        with psycopg.connect(given["DATABASE_URL"].replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
            assert connection.execute("SELECT session_user").fetchone() == ("mammodissect_service",)
        assert (directory / "database-url").read_text() == given["DATABASE_URL"] + "\n"
        started = [child.pid for child in descendants(process)]
        process.send_signal(number)
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
        assert not any(running(pid) for pid in started)
    assert len(keys[0]) > 40
    assert keys == keys[:1] * 2
    assert (directory / "api-key").read_text() == keys[0] + "\n"
    assert signing_keys == signing_keys[:1] * 2
    for name in ("api-key", "signing-key.pem", "database-url", "postgres/owner-password", "postgres/service-password"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert "not properly shut down" not in (directory / "logs" / "postgres.log").read_text()


def test_what_dies_is_started_again(up: Up) -> None:
    process = up()
    url = ready_url(process)
    port = url.rpartition(":")[2]
    before = environment_of(url)
    for words in ("tests.embedded.stand_in wait 0", f"tests.embedded.stand_in serve {port}", *SERVERS):
        killed = child_with(process, words)
        os.kill(killed, signal.SIGKILL)
        while child_with(process, words) == killed:
            time.sleep(0.05)

    def serves() -> bool:
        try:
            return environment_of(url) == before
        except httpx.TransportError:
            return False

    wait_until(serves)
    assert process.poll() is None


def test_nothing_outlives_a_killed_stack(up: Up) -> None:
    process = up()
    ready_url(process)
    started = [child.pid for child in descendants(process)]
    assert len(started) > 7
    process.kill()
    wait_until_gone(started)


def test_a_folder_and_a_port_belong_to_one_stack(up: Up, directory: Path, tmp_path: Path) -> None:
    first = up()
    url = ready_url(first)
    second = up()
    _, errors = second.communicate()
    assert second.returncode != 0
    assert f"in use by process {first.pid}" in errors
    third = up(port=int(url.rpartition(":")[2]), folder=tmp_path / "other")
    _, errors = third.communicate()
    assert third.returncode != 0
    assert "is in use" in errors
    assert not (tmp_path / "other").exists()
    assert environment_of(url)["API_KEY"]


def test_a_signal_ends_a_stack_that_is_still_starting(up: Up, directory: Path) -> None:
    process = up(api="wait")
    child_with(process, "tests.embedded.stand_in wait 0")
    started = [child.pid for child in descendants(process)]
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 0
    assert "ready" not in output
    wait_until_gone(started)


def test_an_api_that_cannot_start_is_an_error(up: Up, directory: Path) -> None:
    process = up(api="die")
    _, errors = process.communicate()
    assert process.returncode != 0
    assert f"The API does not start. Its log is {directory / 'logs' / 'api.log'}." in errors


def test_one_setting_each_replaces_the_embedded_servers(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    postgres_server: PostgresServer,
    valkey_server: ValkeyServer,
) -> None:
    given = {
        "DATABASE_URL": postgres_server.url,
        "BROKER_URL": valkey_server.url,
        "API_KEY": "open sesame",
        "SIGNING_KEY": "/elsewhere/key.pem",
        "DATA_ROOTS": "/images:/models",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = {child.pid for child in psutil.Process().children()}
    with running_stack(tmp_path / "stack", 0, programs=lambda port: [program("api", "serve", port)]) as info:
        assert environment_of(info.url) == given
        assert info.api_key_file is None
        assert len({child.pid for child in psutil.Process().children()} - before) == 1
    said = capsys.readouterr().err
    assert "use the login of DATABASE_URL. If that owns the database, set SERVICE_DATABASE_URL" in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "stack").iterdir()) == ["artifacts", "lock", "logs"]
    assert {child.pid for child in psutil.Process().children()} == before


def test_the_programs_use_a_login_of_their_own_on_another_database(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    empty_database_url: str,
    valkey_server: ValkeyServer,
) -> None:
    login = make_url(empty_database_url).set(username="ward", password="open-sesame")  # noqa: S106
    service_url = login.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setenv("SERVICE_DATABASE_URL", service_url)
    monkeypatch.setenv("BROKER_URL", valkey_server.url)
    with running_stack(tmp_path / "stack", 0, programs=lambda port: [program("api", "serve", port)]) as info:
        given = environment_of(info.url)
    assert capsys.readouterr().err == ""
    assert given["DATABASE_URL"] == service_url
    with psycopg.connect(service_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


def test_a_stack_for_the_time_of_a_block(directory: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with running_stack(directory, 0, programs=lambda port: [program("api", "serve", port)]) as info:
        assert environment_of(info.url)["API_KEY"] == info.api_key
        with pytest.raises(Conflict), running_stack(directory, 0):
            pass
    assert {child.pid for child in psutil.Process().children()} == before
    with socket.socket() as listener, pytest.raises(Conflict, match="Port"):  # noqa: PT012
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with running_stack(directory, listener.getsockname()[1]):
            pass


def test_the_real_programs_serve(directory: Path) -> None:
    process = python("-m", "cli.main", "up", "--data-dir", str(directory), "--port", "0")
    try:
        url = ready_url(process)
        key = (directory / "api-key").read_text().strip()
        answer = httpx.get(f"{url}/jobs", headers={"Authorization": f"Bearer {key}"}, timeout=60)
        assert answer.json()["items"] == []
        assert httpx.get(f"{url}/jobs", timeout=60).status_code == httpx.codes.UNAUTHORIZED
        programs = [child_with(process, f"-m {module}") for module in ("api", "workers", "workers.scheduler")]
        computing = computing_child(process, url, key, directory)

        owner_password = (directory / "postgres" / "owner-password").read_text().strip()
        assert owner_password
        readable = [computing]
        if os.geteuid() == 0:
            readable += programs
        else:
            for pid in programs:
                with pytest.raises(PermissionError):
                    Path(f"/proc/{pid}/environ").read_bytes()

        for pid in readable:
            environment = Path(f"/proc/{pid}/environ").read_bytes().decode()
            assert "PATH=" in environment
            assert owner_password not in environment
            assert "mammodissect:" not in environment, "the owner's URL"
            assert ("mammodissect_service:" in environment) is (pid != computing)
        started = [child.pid for child in descendants(process)]
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == 0
        assert not any(running(pid) for pid in started)
    finally:
        end(process)


def test_a_child_whose_parent_is_gone_already_does_not_start(tmp_path: Path) -> None:
    stranger = str(os.getppid())
    process = Popen(command_as(["touch", tmp_path / "started"], f"--parent={stranger}"))
    assert process.wait() != 0
    assert not (tmp_path / "started").exists()
