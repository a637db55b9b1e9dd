"""Following a job: its events over as many streams as that takes, until it has ended."""

import time
from collections.abc import Iterator

from client.connection import Connection, path_of
from client.errors import Away, ClientError, Unreachable
from client.events import Event
from client.retries import Waits

ENDED = {"succeeded", "failed", "cancelled", "dead"}


def follow_job(connection: Connection, job_id: str, *, last_event_id: int = 0) -> Iterator[Event]:
    """A job's events behind that one, until the job has ended.

    A stream that breaks is taken up behind the last event that was seen. Raises what `Connection.get` raises, for a
    service that is away once that lasts longer than the connection's patience.
    """
    path = path_of("jobs", job_id, "events")
    status = None
    waits = Waits(connection.patience_s)
    while True:
        broken: ClientError | None = None
        try:
            for event in connection.events(path, last_event_id=last_event_id):
                waits = Waits(connection.patience_s)
                last_event_id = last_event_id if event.id is None else event.id
                status = event.data.get("status", status)
                yield event
        except (Away, Unreachable) as error:
            if not connection.may_repeat(error):
                raise
            broken = error

        if broken is None and _has_ended(connection, job_id, status):
            return
        _pause(waits, broken)


def _has_ended(connection: Connection, job_id: str, status: object) -> bool:
    """Whether the stream ended because the job has: the service also ends one when it loses its database."""
    job = connection.get(path_of("jobs", job_id))
    return job["status"] in ENDED and job["status"] == status


def _pause(waits: Waits, broken: ClientError | None) -> None:
    if broken is None:
        time.sleep(0.5)
        return

    wait_s = waits.before_next(broken)
    if wait_s is None:
        raise broken
    time.sleep(wait_s)
