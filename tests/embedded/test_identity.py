"""Postgres refuses to be root; everybody else may be whoever they are."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cli.embedded import PostgresServer
from cli.embedded.identity import choose_identity
from cli.embedded.processes import command_as
from service.errors import InvalidInput
from tests.embedded.processes import NOBODY, end, owners, python, report_of, running
from tests.embedded.test_postgres import ask


def ordinary_user(folder: Path) -> list[str]:
    """The shim's options that make an ordinary user who can run this Python: none where we are one already."""
    if os.geteuid() != 0:
        return []
    for option in (f"--user={NOBODY}:{NOBODY}", "--mapped=1000:1000"):
        command = command_as([sys.executable, "-c", "import cli"], option, f"--enter={folder}")
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return [option]
    raise AssertionError("this machine's Python can be run by root only")


def test_an_ordinary_user(open_folder: Path) -> None:
    process = python("-m", "tests.embedded.hold", str(open_folder), options=ordinary_user(open_folder))
    try:
        report = report_of(process)
        assert report["user"] != 0
        process.communicate()
        assert process.returncode == 0
        assert not any(running(pid) for pid in report["pids"])
    finally:
        end(process)


@pytest.mark.parametrize("owner", owners())
def test_data_keeps_its_owner(owner: int, open_folder: Path, seed: Path) -> None:
    directory = open_folder / "data"
    directory.mkdir()
    os.chown(directory, owner, -1)
    server = PostgresServer(directory, settings={"fsync": "off"})
    for _ in range(2):
        with server:
            assert ask(server, "SELECT 1") == 1
            assert psutil.Process(server.pid).uids().real == owner
            assert (server.cluster / "PG_VERSION").stat().st_uid == owner


def test_postgres_is_never_root_to_itself(seeded: Callable[..., PostgresServer]) -> None:
    with seeded() as server:
        mapped = (Path("/proc") / str(server.pid) / "status").read_text()
        capabilities = next(line for line in mapped.splitlines() if line.startswith("CapEff"))
        assert int(capabilities.split()[1], 16) == 0


def unreachable(folder: Path) -> Path:
    """A program that the owner of `folder` cannot run."""
    program = folder / "program"
    program.touch(mode=0o600)
    return program


def test_files_out_of_reach_are_named_with_a_remedy(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    if os.geteuid() != 0:
        assert choose_identity(directory, unreachable(tmp_path)).options == ()
        return
    os.chown(directory, NOBODY, -1)
    tmp_path.chmod(0o700)
    with pytest.raises(InvalidInput, match="Permission denied") as caught:
        PostgresServer(directory).start()
    assert caught.value.field == "data_dir"
    assert "--data-dir" in str(caught.value)
