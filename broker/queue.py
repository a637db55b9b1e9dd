"""Celery as what it is good at: waking workers on many machines. Messages carry an id and may be lost or repeated."""

import re
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from pydantic import SecretStr
from redis.exceptions import RedisError

from service.errors import InvalidInput, Unavailable
from service.ports import JobQueue

_MESSAGE_LIFETIME_S = 600
"""The scheduler sends a message again as long as its job waits, so old ones may go unread."""

_SCHEMES = ("redis://", "rediss://", "redis+socket://")
_DATABASE = re.compile("/?[0-9]*")

_ANSWER_S = 5
"""A broker that falls silent must not hold those who send. Only a worker waits for it without end: for messages."""


def open_broker(broker_url: SecretStr, *, consuming: bool = False) -> Celery:
    """A Celery application without tasks. Nothing connects yet.

    consuming: for a worker's messages, for which it waits as long as there are none. Raises InvalidInput where the
    setting is missing or no such URL.
    """
    if not broker_url.get_secret_value():
        raise InvalidInput("BROKER_URL is not set.", field="broker_url", remedy="Set it in the environment.")

    url = _checked(broker_url.get_secret_value())
    app = Celery("mammodissect", broker=url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=2,
        broker_transport_options={
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "socket_timeout": None if consuming else _ANSWER_S,
        },
        task_ignore_result=True,
        task_serializer="json",
        timezone="UTC",
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
    )
    return app


def _checked(url: str) -> str:
    try:
        usable = all(_is_usable(part) for part in url.split(";"))  # the others take over where the first is away
    except (ValueError, KeyError, TypeError):  # their text may hold the URL, and the URL a password
        usable = False

    if not usable:
        raise InvalidInput(
            "BROKER_URL is not a Redis or Valkey URL.",
            field="broker_url",
            remedy="Write it like redis://:password@host:6379/0, rediss://... or redis+socket:///path, with the "
            "database's number at its end, if any.",
        )

    return url


def _is_usable(url: str) -> bool:
    connection = Connection(url)  # type: ignore[no-untyped-call]
    connection.get_transport_cls()  # type: ignore[no-untyped-call]
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    database = query.get("virtual_host", [connection.virtual_host or ""])[-1]
    return url.startswith(_SCHEMES) and _DATABASE.fullmatch(database) is not None


class CeleryJobQueue(JobQueue):
    """Sends wake-up messages by task name; gives up at once where the broker cannot be reached."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, task: str, identifier: UUID) -> None:
        """See `JobQueue.publish`."""
        try:
            self._app.send_task(task, args=[str(identifier)], retry=False, expires=_MESSAGE_LIFETIME_S)
        except (OperationalError, OSError, RedisError) as error:
            raise _away() from error

    def waiting(self) -> int:
        """See `JobQueue.waiting`."""
        try:
            with self._app.connection_for_read() as connection:
                return int(connection.default_channel.client.llen(self._app.conf.task_default_queue))
        except (OperationalError, OSError, RedisError) as error:
            raise _away() from error


def _away() -> Unavailable:
    return Unavailable("The broker cannot be reached.", remedy="Try again in a moment.")
