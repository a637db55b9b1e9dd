"""A broker that takes the connection and then says nothing."""

import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest
from pydantic import SecretStr

from broker.queue import CeleryJobQueue, open_broker
from service.errors import Unavailable
from service.ports import WORK_TASK


@pytest.fixture
def silent() -> Iterator[SecretStr]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield SecretStr(f"redis://127.0.0.1:{listening.getsockname()[1]}")


@pytest.mark.timeout(60)
def test_nobody_who_sends_waits_for_it(silent: SecretStr) -> None:
    with pytest.raises(Unavailable):
        CeleryJobQueue(open_broker(silent)).publish(WORK_TASK, uuid4())


@pytest.mark.timeout(60)
def test_nobody_who_asks_waits_for_it(silent: SecretStr) -> None:
    with pytest.raises(Unavailable):
        CeleryJobQueue(open_broker(silent)).waiting()
