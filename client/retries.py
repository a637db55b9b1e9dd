"""Whether a request is sent again, and how long after."""

import random
import time

from client.errors import Away, ClientError, Unreachable

_FIRST_S = 0.5
_LONGEST_S = 10.0


class Waits:
    """How long to wait before each further try: twice as long each time, or as long as the service asks."""

    def __init__(self, patience_s: float) -> None:
        self._ends = time.monotonic() + patience_s
        self._next_s = _FIRST_S

    def before_next(self, error: ClientError) -> float | None:
        """Seconds to wait after an error; None where patience ends before."""
        # A random part, or clients that failed together would come back together.
        wait_s = self._next_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._next_s = min(2 * self._next_s, _LONGEST_S)

        asked_s = error.retry_after_s if isinstance(error, Away) else None
        if asked_s is not None:
            wait_s = max(wait_s, asked_s)
        return None if time.monotonic() + wait_s > self._ends else wait_s


def may_repeat(error: ClientError, *, repeatable: bool, was_there: bool) -> bool:
    """Whether the request that failed so may be sent again.

    repeatable: whether the same request twice does what it does once. was_there: whether the service has answered
    before; an address where nothing ever answered is wrong, more likely than busy.
    """
    if isinstance(error, Unreachable):
        return repeatable if error.sent else was_there
    if isinstance(error, Away):
        # The service says Retry-After where it did nothing; whoever else answers so may have passed the request on.
        did_nothing = error.status == 503 and error.retry_after_s is not None
        return repeatable or did_nothing
    return False
