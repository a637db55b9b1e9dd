"""Messages sent from a thread of their own, so that no request waits for the broker."""

import threading
from queue import Full, Queue
from uuid import UUID

import structlog

from service.errors import Unavailable
from service.ports import JobQueue

_MOST_WAITING = 1000

log = structlog.get_logger()


class BackgroundQueue(JobQueue):
    """Hands messages to another queue one after another. What is lost on the way, the scheduler sends again."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._messages: Queue[tuple[str, UUID] | None] = Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._send_all, name="messages", daemon=True)
        self._thread.start()

    def publish(self, task: str, identifier: UUID) -> None:
        """See `JobQueue.publish`; returns at once. Raises Unavailable where too many messages wait already."""
        try:
            self._messages.put_nowait((task, identifier))
        except Full as error:  # the broker is away, and every attempt to reach it takes seconds
            raise Unavailable("Too many messages wait for the broker.") from error

    def waiting(self) -> int:
        """See `JobQueue.waiting`."""
        return self._queue.waiting()

    def close(self) -> None:
        """Send what is left to send, for a few seconds at most."""
        self._messages.put(None)
        self._thread.join(timeout=5.0)

    def _send_all(self) -> None:
        while (message := self._messages.get()) is not None:
            task, identifier = message
            try:
                self._queue.publish(task, identifier)
            except Unavailable as error:
                log.warning("message not sent, the scheduler will", reason=error.detail, task=task, id=str(identifier))
