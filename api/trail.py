"""One entry of the trail for every call that may change something, in the transaction that changes it.

The session's dependency writes it, so a route needs nothing but `SessionDep`, or `Depends(recorded)`, which brings one.
"""

import hashlib
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy.orm import Session

from service.domain.trail import UNAUTHENTICATED
from service.usecases import trail

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def name_actor(request: Request, name: str) -> None:
    """Say who calls, for the trail."""
    request.state.actor = name


def has_actor(request: Request) -> bool:
    """Whether it is known who calls."""
    return hasattr(request.state, "actor")


def actor_of(request: Request) -> str:
    """Who calls."""
    name: str = getattr(request.state, "actor", UNAUTHENTICATED)
    return name


async def body_digest(request: Request) -> str | None:
    """SHA-256 of the body as it was sent; None for calls that only read, where there is no body, and of a secret one.

    A route says so of its bodies by `secret_bodies`: who reads the trail could try keys until a digest is the same.
    """
    if request.method in READING or getattr(request.scope["route"], "secret_bodies", False):
        return None
    body = await request.body()
    return hashlib.sha256(body).hexdigest() if body else None


def record_call(session: Session, request: Request, response: Response, digest: str | None) -> None:
    """Have the call's entry written when the session is committed; none for a call that only reads."""
    if request.method in READING:
        return

    path: str = request.scope["route"].path_format
    trail.record_call(
        session,
        actor=actor_of(request),
        action=f"{request.method} {path}",
        subject=_subject(request, path, response.headers.get("location")),
        request=digest,
    )


def check_recorded(app: FastAPI, session: object) -> None:
    """Raise TypeError if a route that may change something would leave no entry: it does not depend on the session."""
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, APIRoute) or not (context.methods or set()) - READING:
            continue
        if not _depends_on(context.dependant, session):
            raise TypeError(f"{context.path} changes things without a trail: include its router with `recorded`.")


def _depends_on(dependant: Dependant, call: object) -> bool:
    return any(dependency.call is call or _depends_on(dependency, call) for dependency in dependant.dependencies)


def _subject(request: Request, path: str, location: str | None) -> str:
    """What the path names, down to its last parameter, and what has come of it: `/jobs/1 -> /jobs/2`."""
    template = path[: path.rfind("}") + 1]
    parameters = {name: quote(str(value), safe="") for name, value in request.path_params.items()}
    subject = template.format_map(parameters)

    if location is None or location == subject:
        return subject or path

    return f"{subject} -> {location}" if subject else location
