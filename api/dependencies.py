"""What routes ask for: a session in one transaction, the queue, audits, the settings, and an authorised caller."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from api import trail
from api.keys import name_of
from service.config import Settings
from service.db.session import transaction
from service.errors import InvalidInput, Unauthorized
from service.ports import Audits, JobQueue
from service.usecases.audit_port import open_audits

_bearer = HTTPBearer(auto_error=False, description="The API key.")


# What only looks something up is a coroutine: FastAPI sends plain functions to a thread and waits for it.
async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _queue(request: Request) -> JobQueue:
    queue: JobQueue = request.app.state.queue
    return queue


async def audits_of(queue: Annotated[JobQueue, Depends(_queue)]) -> Audits:
    """What begins the audits of schedules."""
    return open_audits(queue)


def _session(
    request: Request, response: Response, digest: Annotated[str | None, Depends(trail.body_digest)]
) -> Iterator[Session]:
    with transaction(request.app.state.sessions) as session:
        yield session
        trail.record_call(session, request, response, digest)


async def authorise(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Let the request pass if it carries an API key, and note whose. Raises Unauthorized."""
    name = name_of(request.app.state.keys, credentials.credentials if credentials else "")
    if name is None:
        raise Unauthorized(
            "The request carries no valid API key.", remedy="Send it in the header `Authorization: Bearer <key>`."
        )
    trail.name_actor(request, name)


async def storable(request: Request) -> None:
    """Raise InvalidInput for a path or query with the character NUL, which the database takes in no text."""
    texts = {"path": (request.scope["path"],), "query": (*request.query_params, *request.query_params.values())}
    for field, its in texts.items():
        if any("\0" in text for text in its):
            raise InvalidInput(f"The {field} holds the character NUL.", field=field, remedy="Leave it out.")


SettingsDep = Annotated[Settings, Depends(_settings)]
QueueDep = Annotated[JobQueue, Depends(_queue)]
AuditsDep = Annotated[Audits, Depends(audits_of)]
# With the default scope the commit would follow the response, and a failed one would still have answered 2xx.
SessionDep = Annotated[Session, Depends(_session, scope="function")]


async def recorded(_: SessionDep) -> None:
    """Give every route of a router a session, whose commit writes the call's entry of the trail."""


def check_recorded(app: FastAPI) -> None:
    """Raise TypeError if a route that may change something would leave no entry in the trail."""
    trail.check_recorded(app, _session)
