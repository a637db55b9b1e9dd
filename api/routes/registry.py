"""Webhooks of a model registry. They carry no API key: a signature over their bytes proves where they come from."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, status
from pydantic import BaseModel

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep, SettingsDep
from api.one_thread import OneThreadRoute
from api.trail import name_actor
from service.domain.trail import REGISTRY
from service.errors import Conflict
from service.usecases.registry import hear_registry
from service.usecases.registry_events import Signed, check_signature

router = APIRouter(tags=["registry"], route_class=OneThreadRoute)


class HeardOut(BaseModel):
    """The audits that the event has begun, which have ended in an error where it cannot be followed; none where no
    deployment follows the model, it is no news, or an alias went to a version of which nothing is known yet."""

    audits: list[UUID]


async def _signed(
    request: Request,
    x_mlflow_signature: Annotated[str, Header(max_length=200)],
    x_mlflow_delivery_id: Annotated[str, Header(max_length=200)],
    x_mlflow_timestamp: Annotated[str, Header(max_length=20)],
) -> Signed:
    return Signed(x_mlflow_signature, x_mlflow_delivery_id, x_mlflow_timestamp, await request.body())


@router.post("/registry-events", status_code=status.HTTP_202_ACCEPTED)
def hear_event(
    request: Request,
    signed: Annotated[Signed, Depends(_signed)],
    session: SessionDep,
    queue: QueueDep,
    settings: SettingsDep,
    roots: RootsDep,
    readings: ReadingsDep,
) -> HeardOut:
    """MLflow's webhook: a new version of a followed model is audited, one that gets a followed alias also deployed."""
    secret = settings.mlflow_webhook_secret.get_secret_value()
    if not secret:
        raise Conflict(
            "This service does not accept registry webhooks.",
            field="mlflow_webhook_secret",
            remedy="Set MLFLOW_WEBHOOK_SECRET.",
        )
    now = datetime.now(UTC)
    check_signature(signed, secret, now)
    name_actor(request, REGISTRY)
    hear = partial(hear_registry, session, queue, signed.body, roots=roots, now=now, readings=readings)
    audits = readings.complete(session, hear)
    return HeardOut(audits=[audit.id for audit in audits])
