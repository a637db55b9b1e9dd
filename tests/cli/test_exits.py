"""How commands and services end when something goes wrong: one line, and never with a status that is an answer."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli.main
from cli.client import ServiceClient
from service.errors import InvalidInput
from service.exits import ExitStatus, run_program

AUDIT = ("audit", "--deployment", "east", "--url", "http://127.0.0.1:9", "--api-key-file", "key")
ROOT = Path(cli.main.__file__).parents[1]
Ended = tuple[int, str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "key").write_text("open-sesame\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def process(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of ours as people start it, without settings but those given."""
    settings = ("DATABASE_URL", "BROKER_URL", "API_KEY", "ARTIFACTS_URL", "SIGNING_KEY", "LOG_LEVEL", "DATA_ROOTS")
    kept = {name: value for name, value in os.environ.items() if name not in settings}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def mammodissect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The command in this process: its exit status and what it wrote to standard error."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["mammodissect", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().err

    return run


def raising(error: BaseException) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (KeyError("id"), 1),
        (RuntimeError("first line\nsecond line"), 1),
        (UnicodeEncodeError("ascii", "ä", 0, 1, "no"), 1),
        (MemoryError(), 1),
        (SystemExit(1), 0),  # whoever ends a process so has said why
        (SystemExit("a library ends the process"), 1),
        (BrokenPipeError(errno.EPIPE, "gone"), 1),  # not our output's
    ],
    ids=repr,
)
def test_no_accident_of_the_gate_is_a_verdict(
    monkeypatch: pytest.MonkeyPatch, mammodissect: Callable[..., Ended], error: BaseException, lines: int
) -> None:
    monkeypatch.setattr(ServiceClient, "post", raising(error))
    status, printed = mammodissect(*AUDIT)
    assert status == ExitStatus.ERROR
    assert printed.count("\n") == lines, printed
    assert "Traceback" not in printed


def test_an_unexpected_error_is_named_and_its_traceback_is_there_for_the_asking(
    monkeypatch: pytest.MonkeyPatch, mammodissect: Callable[..., Ended]
) -> None:
    monkeypatch.setattr(ServiceClient, "post", raising(KeyError("id")))
    said = "mammodissect: Unexpected KeyError: 'id'. `mammodissect --debug COMMAND ...` shows where.\n"
    assert mammodissect(*AUDIT) == (2, said)
    status, printed = mammodissect("--debug", *AUDIT)
    assert status == 2
    assert "Traceback" in printed
    assert printed.endswith(said)


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, mammodissect: Callable[..., Ended]) -> None:
    monkeypatch.setattr(ServiceClient, "post", raising(KeyboardInterrupt()))
    assert mammodissect(*AUDIT) == (ExitStatus.INTERRUPTED, "")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("no-such-command",),
        ("audit",),
        ("--no-such-option", "audit"),
        ("audit", "--deployment", "east", "--timeout", "soon"),
        ("up", "--port", "70000"),
        ("report", "--out", "report.pdf", "--job", "1"),
        ("verify", "none.json", "--public-key", "key"),
        ("admin", "verify-trail", "--head", "none"),
    ],
)
def test_wrong_usage_is_2(mammodissect: Callable[..., Ended], arguments: tuple[str, ...]) -> None:
    status, printed = mammodissect(*arguments)
    assert (status, printed.count("\n")) == (2, 1 if arguments else 0), printed


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("audit",), "Missing option '--deployment'. See `mammodissect audit --help`."),
        (("admin", "no-such"), "No such command 'no-such'. See `mammodissect admin --help`."),
        (("--no-such",), "No such option: --no-such. See `mammodissect --help`."),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_help_is(
    mammodissect: Callable[..., Ended], arguments: tuple[str, ...], line: str
) -> None:
    assert mammodissect(*arguments) == (2, f"mammodissect: {line}\n")


def test_wrong_usage_of_the_api_is_one_line_too() -> None:
    done = process("api", "--port", "70000")
    line = "api: Argument --port: 70000 is not from 0 to 65535. See `python -m api --help`.\n"
    assert (done.returncode, done.stderr) == (2, line)


PROGRAMS = ("cli.main", "api.__main__", "workers.__main__", "workers.scheduler")


@pytest.mark.parametrize("module", PROGRAMS)
def test_a_program_listens_for_errors_before_it_imports_what_may_fail(module: str) -> None:
    script = (
        f"import sys; before = set(sys.modules); import {module}; "
        "print(*{name for name in set(sys.modules) - before if name.partition('.')[0] not in sys.stdlib_module_names})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    package = module.partition(".")[0]
    ours = {"service", "service.errors", "service.exits", "service.process_memory"}
    assert set(done.stdout.split()) == {package, module, *ours}


@pytest.mark.parametrize("module", PROGRAMS)
def test_an_error_while_importing_is_one_line_and_2(folder: Path, module: str) -> None:
    for name in ("pydantic", "rich"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ValueError('broken')")
    done = process(module, PYTHONPATH=f"{folder}:{ROOT}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "Unexpected ValueError: broken" in done.stderr


def test_a_variable_that_a_library_cannot_use_is_one_line_and_2() -> None:
    done = process("cli.main", "--help", TERMINAL_WIDTH="wide")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "Unexpected ValueError: invalid literal" in done.stderr
    debugged = process("cli.main", "--debug", "--help", TERMINAL_WIDTH="wide")
    assert "Traceback" in debugged.stderr


@pytest.mark.parametrize("module", ["api", "workers", "workers.scheduler"])
@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({}, "is not set"),
        ({"DATA_ROOTS": ""}, "DATA_ROOTS is not set"),
        ({"DATA_ROOTS": "images"}, "'images', which is not an absolute path"),
        ({"LEASE_S": "soon"}, "LEASE_S is 'soon'"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud'"),
        ({"DATABASE_URL": "postgres://u:secret-word@[h/d"}, "DATABASE_URL is not a Postgres URL"),
        ({"BROKER_URL": "http://u:secret-word@h"}, "BROKER_URL is not a Redis or Valkey URL"),
    ],
)
def test_services_say_in_one_line_which_setting_keeps_them_from_starting(
    module: str, settings: dict[str, str], hint: str
) -> None:
    good = {
        "DATABASE_URL": "postgresql+psycopg://localhost/none",
        "BROKER_URL": "redis://localhost:1",
        "ARTIFACTS_URL": "/tmp/artifacts",  # noqa: S108 - nothing is written there
        "API_KEY": "open-sesame",
        "DATA_ROOTS": "/",
    }
    done = process(module, **({**good, **settings} if settings else {}))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert hint in done.stderr
    assert "secret-word" not in done.stderr


def test_commands_say_which_setting_is_wrong() -> None:
    done = process("cli.main", "migrate", DATABASE_URL="mysql://u:secret-word@h/d")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "DATABASE_URL is not a Postgres URL" in done.stderr
    assert "secret-word" not in done.stderr
    done = process("cli.main", "migrate", DATABASE_URL="postgresql+psycopg://u@/d?host=/nonexistent")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


@pytest.mark.parametrize("query", ["foo=1", "secret-word=1", "connect_timeout=soon"])
@pytest.mark.parametrize("program", [("cli.main", "migrate"), ("api",)])
def test_an_unknown_parameter_of_the_database_is_a_setting_that_cannot_be_used(
    program: tuple[str, ...], query: str
) -> None:
    url = f"postgresql+psycopg://u:secret-word@127.0.0.1:1/d?{query}"
    needed = {"BROKER_URL": "redis://127.0.0.1:1", "API_KEY": "open-sesame", "DATA_ROOTS": "/", "ARTIFACTS_URL": "a"}
    done = process(*program, DATABASE_URL=url, **needed)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "DATABASE_URL has a parameter after ? that Postgres does not know" in done.stderr
    assert "secret-word" not in done.stderr


def test_a_reader_that_has_gone_and_a_full_disk_are_2_as_well(folder: Path) -> None:
    """Both as shells make them: the one is silent, for nobody reads, the other is said."""
    command = f"{sys.executable} -m cli.main --help"
    shell = {**os.environ, "PYTHONPATH": str(ROOT)}
    gone = f"{command} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", gone], env=shell, capture_output=True, text=True, check=True)
    assert done.stdout in {"0\n", "2\n"}, "0 where it was written before the reader went"
    assert done.stderr == ""

    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command.split(), env=shell, check=False, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, "")

    full = subprocess.run(
        ["bash", "-c", f"{command} > /dev/full"], env=shell, check=False, capture_output=True, text=True
    )
    assert full.returncode == 2
    assert full.stderr.startswith("mammodissect: ")
    assert full.stderr.count("\n") == 1


def test_ctrl_c_ends_a_waiting_command_with_130(folder: Path) -> None:
    """The key comes from a pipe that nobody writes to, so the command waits."""
    os.mkfifo(folder / "pipe")
    command = [sys.executable, "-m", "cli.main", *AUDIT[:-1], "pipe"]
    shell = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        subprocess.Popen(
            command,
            env=shell,
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background job, as a pipeline may be, begins with SIGINT ignored, and so would the command.
            preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 - it calls nothing that takes a lock
        ) as waiting,
        (folder / "pipe").open("wb"),  # returns once the command has opened it to read, and so waits
    ):
        waiting.send_signal(signal.SIGINT)
        _, printed = waiting.communicate(timeout=30)
    assert (waiting.returncode, printed) == (130, "")


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("program", "status"),
    [
        (lambda: None, ExitStatus.OK),
        (lambda: 1, ExitStatus.NO),
        (raising(InvalidInput("No.")), ExitStatus.ERROR),
        (raising(SystemExit(0)), ExitStatus.OK),
        (raising(SystemExit(None)), ExitStatus.OK),
        (raising(SystemExit(3)), ExitStatus.ERROR),
    ],
)
def test_only_a_program_itself_answers_with_1(program: Callable[[], int | None], status: ExitStatus) -> None:
    assert run_program("tester", program, hint="", debug=lambda: False) == status


def test_what_is_said_is_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    error = InvalidInput("One\nline \x1b[31mred.", remedy="Mend\r\nit.")
    run_program("tester", raising(error), hint="", debug=lambda: False)
    assert capsys.readouterr().err == "tester: One line \N{REPLACEMENT CHARACTER}[31mred. Mend it.\n"
