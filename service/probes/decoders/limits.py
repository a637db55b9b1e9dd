"""What a decoder process may use. The kernel enforces it, whatever a file makes a decoder do."""

import math
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one decoder process."""

    memory: int = 5 << 29
    """Bytes of address space; the largest images that are accepted take two thirds of the default."""

    computing_s: int = 60
    """Processor time for one image."""

    waiting_s: int = 600
    """Time for one image by the clock; this ends what waits for a disk that never answers."""


_OPEN_FILES = 64


def limit_process(limits: Limits) -> None:
    """Limit this process for good: memory, no core dump, no files written, few open ones, no new processes.

    The kernel lets root start processes all the same.
    """
    hard = {
        resource.RLIMIT_AS: limits.memory,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, most in hard.items():
        allowed = _not_above(most, resource.getrlimit(kind)[1])
        resource.setrlimit(kind, (allowed, allowed))

    # Ctrl-C and systemd send these to every process of a service; a decoder ends when its socket closes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def limited_time(limits: Limits) -> Iterator[None]:
    """Have the kernel end this process when what is inside takes too long."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    last_second = math.ceil(usage.ru_utime + usage.ru_stime) + limits.computing_s
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]

    resource.setrlimit(resource.RLIMIT_CPU, (_not_above(last_second, hard), hard))
    # The parent's clock is a little faster; this one counts where the parent has died.
    signal.alarm(limits.waiting_s + 1)
    yield
    signal.alarm(0)


def _not_above(wanted: int, hard: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
