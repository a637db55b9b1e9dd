"""What routes ask for: a session in one transaction, the queue, the settings, and an authorised caller."""

import secrets
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from service.config import Settings
from service.db.session import transaction
from service.errors import Unauthorized
from service.ports import JobQueue

_bearer = HTTPBearer(auto_error=False, description="The API key.")


# What only looks something up is a coroutine: FastAPI sends plain functions to a thread and waits for it.
async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _queue(request: Request) -> JobQueue:
    queue: JobQueue = request.app.state.queue
    return queue


def _session(request: Request) -> Iterator[Session]:
    with transaction(request.app.state.sessions) as session:
        yield session


async def authorise(
    settings: Annotated[Settings, Depends(_settings)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """Let the request pass if it carries the API key. Raises Unauthorized."""
    given = credentials.credentials if credentials else ""
    if not secrets.compare_digest(given.encode(), settings.api_key.get_secret_value().encode()):
        raise Unauthorized(
            "The request carries no valid API key.", remedy="Send it in the header `Authorization: Bearer <key>`."
        )


SettingsDep = Annotated[Settings, Depends(_settings)]
QueueDep = Annotated[JobQueue, Depends(_queue)]
# With the default scope the commit would follow the response, and a failed one would still have answered 2xx.
SessionDep = Annotated[Session, Depends(_session, scope="function")]
