"""Nothing outlives the process that started it, however that ends."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from tests.embedded.processes import end, owners, python, report_of, running, wait_until_gone


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Popen[str]]:
    process = python("-m", "tests.embedded.hold", str(tmp_path))
    yield process
    end(process)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_parent_killed_by(number: signal.Signals, holder: Popen[str], tmp_path: Path) -> None:
    report = report_of(holder)
    # Two servers and Postgres' own processes, alive although the thread that started them has ended.
    assert len(report["pids"]) > 5
    assert all(running(pid) for pid in report["pids"])
    holder.send_signal(number)
    wait_until_gone(report["pids"])
    assert holder.wait() == -number


@pytest.mark.parametrize("owner", owners())
def test_servers_that_run_as_somebody_else_die_too(owner: int, open_folder: Path) -> None:
    (open_folder / "postgres").mkdir()
    os.chown(open_folder / "postgres", owner, -1)
    process = python("-m", "tests.embedded.hold", str(open_folder))
    report = report_of(process)
    end(process)
    wait_until_gone(report["pids"])


def test_the_next_start_after_a_kill_finds_all_that_was_committed(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 25)
    first = python("-m", "tests.embedded.hold", str(deep))
    sockets = Path(report_of(first)["sockets"])
    first.kill()
    second = python("-m", "tests.embedded.hold", str(deep))  # at once: the old servers may still be ending
    try:
        report = report_of(second)
        assert report["rows"] == [2]
        assert report["items"] == 2
        assert not sockets.exists()
        second.communicate()
        assert second.returncode == 0
        wait_until_gone(report["pids"])
        assert not Path(report["sockets"]).exists()
    finally:
        end(first)
        end(second)


def test_stacks_started_at_the_same_instant(tmp_path: Path) -> None:
    stacks = [python("-m", "tests.embedded.hold", str(tmp_path / str(number))) for number in range(3)]
    try:
        reports = [report_of(stack) for stack in stacks]
        pids = [pid for report in reports for pid in report["pids"]]
        assert len(set(pids)) == len(pids)
        assert [report["items"] for report in reports] == [1, 1, 1]
        for stack in stacks:
            stack.communicate()
        assert [stack.returncode for stack in stacks] == [0, 0, 0]
        assert not any(running(pid) for pid in pids)
    finally:
        for stack in stacks:
            end(stack)
