"""Is the process alive; can it serve."""

import asyncio
from collections.abc import Collection
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.orm import Session

from api.shared_looks import SharedLook
from service.errors import Unavailable

DatabaseLook = SharedLook[None, None]

_PATIENCE_S = 5.0

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The answer of a probe."""

    status: Literal["ok"] = "ok"


@router.get("/health/live")
async def live() -> Health:
    """The process answers."""
    return Health()


@router.get("/health/ready")
async def ready(request: Request) -> Health:
    """The database answers too; a broker that is away only delays jobs, so it does not count."""
    look: DatabaseLook = request.app.state.database_look
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await look.ask(None)
    except TimeoutError:
        raise Unavailable("The database does not answer.", remedy="Try again in a moment.") from None

    return Health()


def look_at_database(session: Session, _: Collection[None]) -> dict[None, None]:
    """Find that the database answers. Raises Unavailable."""
    session.execute(text("SELECT 1"))
    return {}
