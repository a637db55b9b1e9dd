"""Messages sent in the background: in order, without waiting, and without an error for the request."""

import threading
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from broker.background import BackgroundQueue
from broker.queue import CeleryJobQueue, open_broker
from service.errors import Unavailable
from service.ports import WORK_TASK
from tests.usecases.factories import RecordingQueue

OTHER_TASK = "mammodissect.other"


class SlowQueue(RecordingQueue):
    """A broker that answers when it is let, and fails for the first message."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error or Unavailable("The broker cannot be reached.")
        self.let = threading.Event()
        self.asked = 0

    def publish(self, task: str, identifier: UUID) -> None:
        self.let.wait(30)
        self.asked += 1
        if self.asked == 1:
            raise self.error
        super().publish(task, identifier)


@pytest.mark.parametrize("error", [Unavailable("The broker cannot be reached."), ValueError("of some library")])
def test_nobody_waits_and_the_order_is_kept(error: Exception) -> None:
    slow, ids = SlowQueue(error), [uuid4() for _ in range(5)]
    queue = BackgroundQueue(slow)
    for one in ids:
        queue.publish(OTHER_TASK, one)
    assert slow.published == []
    slow.let.set()
    queue.close()
    assert slow.published == [(OTHER_TASK, one) for one in ids[1:]], "one was lost, and the rest went on"


def test_a_burst_of_wakes_is_one_message() -> None:
    behind = RecordingQueue()
    queue = BackgroundQueue(behind)
    ids = [uuid4() for _ in range(4)]
    for one in ids:
        queue.publish(WORK_TASK, one)
    queue.publish(OTHER_TASK, ids[0])
    queue.close()
    assert behind.published == [(WORK_TASK, ids[0]), (OTHER_TASK, ids[0])]


def test_messages_do_not_pile_up_without_end() -> None:
    queue = BackgroundQueue(SlowQueue())

    def flood() -> None:
        for _ in range(2000):
            queue.publish(WORK_TASK, uuid4())

    with pytest.raises(Unavailable, match="Too many"):
        flood()
    queue.close()  # returns at once, although nothing can be sent


def test_a_real_broker_counts_what_waits(broker_url: str) -> None:
    real = CeleryJobQueue(open_broker(SecretStr(broker_url)))
    queue = BackgroundQueue(real)
    assert queue.waiting() == 0
    for _ in range(3):
        queue.publish(OTHER_TASK, uuid4())
    queue.close()
    assert real.waiting() == 3


def test_a_broker_that_is_away() -> None:
    away = CeleryJobQueue(open_broker(SecretStr("redis://127.0.0.1:9")))
    with pytest.raises(Unavailable):
        away.waiting()
    with pytest.raises(Unavailable):
        away.publish(WORK_TASK, uuid4())
