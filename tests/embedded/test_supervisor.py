"""Programs are kept running and can always be ended."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from cli.embedded.state_dir import rotate
from cli.embedded.supervisor import Program, Supervisor
from cli.up import service_programs
from service.config import Settings
from tests.embedded.processes import running, wait_until, wait_until_gone
from tests.embedded.stand_in import program

Supervise = Callable[[Sequence[Program]], Supervisor]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervise(tmp_path: Path, said: list[str]) -> Iterator[Supervise]:
    supervisors: list[Supervisor] = []

    def make(programs: Sequence[Program]) -> Supervisor:
        supervisors.append(Supervisor(programs, [], environment={}, logs=tmp_path, say=said.append))
        return supervisors[-1]

    yield make
    for supervisor in supervisors:
        supervisor.stop(0.0)


def test_what_dies_starts_again_later_and_later(supervise: Supervise, said: list[str]) -> None:
    supervisor = supervise([program("mortal", "die"), program("steady", "wait")])

    def died_twice() -> bool:
        supervisor.check()
        return supervisor.deaths("mortal") == 2

    wait_until(died_twice)
    assert [" in 0.5 s" in said[0], " in 1 s" in said[1]] == [True, True]
    assert "mortal ended with status 3" in said[0]
    assert str(supervisor.log_of("mortal")) in said[0]
    assert supervisor.deaths("steady") == 0


def test_a_program_that_ignores_sigterm_ends_with_all_its_children(supervise: Supervise) -> None:
    supervisor = supervise([program("stubborn", "refuse")])
    supervisor.check()
    log = supervisor.log_of("stubborn")
    wait_until(lambda: log.read_text().endswith("\n"))
    child = int(log.read_text().split()[-1])
    assert running(child)
    supervisor.stop(0.3)
    wait_until_gone([child])


def test_logs_do_not_grow_without_end(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab") as writer:
        writer.write(b"old\n" * 10)
        writer.flush()
        rotate(log, limit=100)
        assert log.stat().st_size == 40
        rotate(log, limit=39)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "api.log.1").read_bytes() == b"old\n" * 10


def test_a_program_gets_no_setting_that_it_must_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supervise: Supervise
) -> None:
    monkeypatch.setenv("smtp_password", "secret")
    monkeypatch.setenv("API_KEY", "secret")
    script = (
        f"import os; open({str(tmp_path / 'given')!r}, 'w').write(' '.join(os.environ)); import time; time.sleep(60)"
    )
    command = (sys.executable, "-c", script)
    supervise([Program("worker", command, frozenset({"API_KEY", "SMTP_PASSWORD"}))]).check()
    wait_until(lambda: (tmp_path / "given").exists() and "PATH" in (tmp_path / "given").read_text())
    assert not {"API_KEY", "smtp_password"} & set((tmp_path / "given").read_text().split())


def test_the_worker_of_a_stack_gets_no_secret_that_it_does_not_need() -> None:
    withheld = {program.name: program.without for program in service_programs(8000)}
    secrets = {name.upper() for name, field in Settings.model_fields.items() if field.annotation is SecretStr}
    assert secrets - withheld["worker"] == {"DATABASE_URL", "BROKER_URL"}
    assert "SIGNING_KEY" in withheld["worker"]
    assert not withheld["api"] | withheld["scheduler"]
