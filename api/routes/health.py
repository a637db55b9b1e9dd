"""Is the process alive; can it serve."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from api.dependencies import SessionDep

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The answer of a probe."""

    status: Literal["ok"] = "ok"


@router.get("/health/live")
def live() -> Health:
    """The process answers."""
    return Health()


@router.get("/health/ready")
def ready(session: SessionDep) -> Health:
    """The database answers too; a broker that is away only delays jobs, so it does not count."""
    session.execute(text("SELECT 1"))
    return Health()
