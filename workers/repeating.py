"""Something that is done again and again from a thread of its own, so that nothing else waits for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from service.errors import DissectError

_PATIENCE_S = 10.0
_PAUSE_S = 5.0
"""After an unexpected error, which may well come again."""

log = structlog.get_logger()


@contextmanager
def repeating(what: str, do: Callable[[], object], *, every_s: float) -> Iterator[None]:
    """Do it every so many seconds for the time of a block. Whatever goes wrong is logged, and it is tried again.

    A turn that takes ten seconds longer than the block is left behind, so it must be one that may end anywhere.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_repeat, args=(what, do, every_s, ended), name=what, daemon=True)
    thread.start()

    try:
        yield
    finally:
        ended.set()
        thread.join(_PATIENCE_S)


def _repeat(what: str, do: Callable[[], object], every_s: float, ended: threading.Event) -> None:
    pause = every_s
    while not ended.wait(pause):
        pause = every_s
        try:
            do()
        except DissectError as error:
            log.warning(f"cannot {what} at the moment", reason=error.detail)
        except Exception as error:  # it must not stop for ever, whatever is wrong this time
            log.error(f"cannot {what}", exc_info=error)
            pause = _PAUSE_S
