"""Messages sent from a thread of their own, so that no request waits for the broker."""

import threading
import time
from contextlib import suppress
from queue import Empty, Full, Queue
from uuid import UUID

import structlog

from service.errors import Unavailable
from service.ports import WORK_TASK, JobQueue

_MOST_WAITING = 1000
_GATHER_S = 0.02

Message = tuple[str, UUID]

log = structlog.get_logger()


class BackgroundQueue(JobQueue):
    """Hands messages to another queue one after another. What is lost on the way, the scheduler sends again.

    Of messages that wake workers and come within a few hundredths of a second, one is sent: a worker that finds work
    does all that is ready, and wakes the next.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._messages: Queue[Message | None] = Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._send_all, name="messages", daemon=True)
        self._thread.start()

    def publish(self, task: str, identifier: UUID) -> None:
        """See `JobQueue.publish`; returns at once. Raises Unavailable where too many messages wait already."""
        try:
            self._messages.put_nowait((task, identifier))
        except Full as error:  # the broker is away, and every attempt to reach it takes seconds
            raise Unavailable("Too many messages are waiting for the broker.") from error

    def waiting(self) -> int:
        """See `JobQueue.waiting`."""
        return self._queue.waiting()

    def close(self, within_s: float = 5.0) -> None:
        """Send what is left to send, for so long at most."""
        with suppress(Full):  # the broker is away; what waits is the scheduler's
            self._messages.put_nowait(None)
            self._thread.join(within_s)

    def _send_all(self) -> None:
        ended = False
        while not ended:
            gathered = self._gather()
            ended = None in gathered

            messages = [message for message in gathered if message is not None]
            wakes = [message for message in messages if message[0] == WORK_TASK]
            other_messages = [message for message in messages if message[0] != WORK_TASK]
            for task, identifier in dict.fromkeys(wakes[:1] + other_messages):
                self._send(task, identifier)

    def _gather(self) -> list[Message | None]:
        gathered = [self._messages.get()]
        time.sleep(_GATHER_S)
        try:
            while True:
                gathered.append(self._messages.get_nowait())
        except Empty:
            return gathered

    def _send(self, task: str, identifier: UUID) -> None:
        try:
            self._queue.publish(task, identifier)
        except Unavailable as error:
            log.warning(
                "message not sent, the scheduler will send it", reason=error.detail, task=task, id=str(identifier)
            )
        except Exception:  # whatever it is, the thread must live on for the messages that come
            log.exception("message not sent, the scheduler will send it", task=task, id=str(identifier))
