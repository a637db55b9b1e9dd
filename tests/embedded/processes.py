"""Other Python processes, and waiting for processes to be gone."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from cli.embedded.processes import command_as

REPOSITORY = Path(__file__).parents[2]
NOBODY = 65534


def python(*arguments: str, options: Sequence[str] = ()) -> subprocess.Popen[str]:
    """`python ARGUMENTS` from the repository, as whom the shim's `options` say."""
    return subprocess.Popen(
        command_as([sys.executable, *arguments], *options),
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def first_line(process: subprocess.Popen[str]) -> str:
    """Its first line; fails with its errors when it ends without one."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    return line


def report_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    report = json.loads(first_line(process))
    assert isinstance(report, dict)
    return report


def end(process: subprocess.Popen[str]) -> int:
    """Kill it if it still runs; its exit status. Its pipes are closed."""
    process.kill()
    process.communicate()
    return process.returncode


def wait_until(condition: Callable[[], object]) -> None:
    """Wait as long as it takes; pytest's own time limit is the only one."""
    while not condition():
        time.sleep(0.05)


def wait_until_gone(pids: Iterable[int]) -> None:
    wait_until(lambda: not any(running(pid) for pid in pids))


def running(pid: int) -> bool:
    """Whether it runs; a dead process whose new parent has not looked yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def owners() -> list[int]:
    """To whom the data can belong: as root to us, seen through a user namespace, or to an unprivileged user."""
    return [0, NOBODY] if os.geteuid() == 0 else [os.geteuid()]
