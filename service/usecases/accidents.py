"""What work items of every kind have in common when something happens to them."""

from datetime import timedelta

from service.errors import ProblemFields

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0

TIME_LIMIT, MEMORY_LIMIT = "time-limit", "memory-limit"
"""Codes of the problems that end a computation from outside."""

WORKER_LOST: ProblemFields = {
    "code": "worker-lost",
    "title": "Worker lost",
    "detail": "The worker that held the item sent no heartbeat before its lease expired.",
}


def wait_after(attempt: int) -> timedelta:
    """How long an item waits after its first, second ... attempt has failed."""
    return timedelta(seconds=min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** (attempt - 1)))
