"""What routes ask for: a session in one transaction, the queue, audits, the settings, and an authorised caller."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from api import trail
from api.key_check import no_key
from api.one_thread import check_threads
from service.config import Settings
from service.db.session import transaction
from service.errors import InvalidInput
from service.files import DataRoots
from service.ports import Audits, JobQueue
from service.usecases.readings import Readings
from service.usecases.scheduled_audits import open_audits

_bearer = HTTPBearer(auto_error=False, description="The API key.")


# All are coroutines: FastAPI sends plain functions to another thread, which a request must never wait for.
async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _queue(request: Request) -> JobQueue:
    queue: JobQueue = request.app.state.queue
    return queue


async def _roots(request: Request) -> DataRoots:
    roots: DataRoots = request.app.state.roots
    return roots


async def _readings() -> Readings:
    return Readings()


async def _caller(request: Request) -> str:
    return trail.actor_of(request)


async def audits_of(
    queue: Annotated[JobQueue, Depends(_queue)],
    roots: Annotated[DataRoots, Depends(_roots)],
    readings: Annotated[Readings, Depends(_readings)],
) -> Audits:
    """What begins the audits of schedules, inside of `Readings.complete`."""
    return open_audits(queue, roots, readings)


# A coroutine that blocks: it runs on the request's own thread, and nobody but this request waits for that.
async def _session(
    request: Request, response: Response, digest: Annotated[str | None, Depends(trail.body_digest)]
) -> AsyncIterator[Session]:
    with transaction(request.app.state.sessions) as session:
        yield session
        trail.record_call(session, request, response, digest)


async def authorise(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
    """Say in the contract that a call needs an API key. Raises Unauthorized if `KeyCheck` has not checked it."""
    if not trail.has_actor(request):
        raise no_key()


async def storable(request: Request) -> None:
    """Raise InvalidInput for a path or query with the character NUL, which the database takes in no text."""
    query = request.query_params
    texts_by_field = {"path": [request.scope["path"]], "query": [*query, *query.values()]}
    for field, field_texts in texts_by_field.items():
        if any("\0" in text for text in field_texts):
            raise InvalidInput(f"The {field} holds the character NUL.", field=field, remedy="Leave it out.")


CallerDep = Annotated[str, Depends(_caller)]
"""The name of the key that calls."""
SettingsDep = Annotated[Settings, Depends(_settings)]
RootsDep = Annotated[DataRoots, Depends(_roots)]
QueueDep = Annotated[JobQueue, Depends(_queue)]
ReadingsDep = Annotated[Readings, Depends(_readings)]
AuditsDep = Annotated[Audits, Depends(audits_of)]
# With the default scope the commit would follow the response, and a failed one would still have answered 2xx.
SessionDep = Annotated[Session, Depends(_session, scope="function")]


async def recorded(_: SessionDep) -> None:
    """Give every route of a router a session, whose commit writes the call's entry of the trail."""


def check_recorded(app: FastAPI) -> None:
    """Raise TypeError if a route that may change something would leave no entry in the trail."""
    trail.check_recorded(app, _session)


def check_one_thread(app: FastAPI) -> None:
    """Raise TypeError if a route with a session could wait for a second thread, or block the server."""
    check_threads(app, _session)
