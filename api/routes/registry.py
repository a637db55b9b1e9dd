"""Webhooks of a model registry. They carry no API key: a signature over their bytes proves where they come from."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, status
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import Headers
from starlette.types import Scope

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep
from api.one_thread import OneThreadRoute
from api.trail import name_actor
from service.config import Settings
from service.domain.trail import REGISTRY
from service.errors import Conflict
from service.usecases.registry import hear_registry
from service.usecases.registry_events import Signed, check_signature, check_timestamp


class HeardOut(BaseModel):
    """The audits that the event has begun, which have ended in an error where it cannot be followed; none where no
    deployment follows the model, it is no news, an alias went to a version of which nothing is known yet, or a worker
    has to fetch the version's source first."""

    audits: list[UUID]


class SignatureHeaders(BaseModel):
    """What MLflow sends beside the body."""

    signature: str = Field(alias="x-mlflow-signature", max_length=200)
    delivery_id: str = Field(alias="x-mlflow-delivery-id", max_length=200)
    timestamp: str = Field(alias="x-mlflow-timestamp", max_length=20)


class WebhookRoute(OneThreadRoute):
    """A route for signed webhooks. Its callers have no key, so whatever is none is refused before it takes a place."""

    def check_head(self, scope: Scope) -> None:
        """Raise Conflict without a secret, RequestValidationError without headers, and Unauthorized for old ones."""
        _secret(scope)
        headers = _signature_headers(scope)
        check_timestamp(headers.timestamp, datetime.now(UTC))
        scope.setdefault("state", {})["signature_headers"] = headers

    def check_body(self, scope: Scope, body: bytes) -> None:
        """Raise Unauthorized unless the body is signed, by the headers that `check_head` has kept."""
        headers: SignatureHeaders = scope["state"]["signature_headers"]
        signed = Signed(headers.signature, headers.delivery_id, headers.timestamp, body)
        check_signature(signed, _secret(scope))


router = APIRouter(tags=["registry"], route_class=WebhookRoute)


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/registry-events", status_code=status.HTTP_202_ACCEPTED)
def hear_event(
    request: Request,
    _: Annotated[SignatureHeaders, Header()],  # for the contract; the route's class has checked them
    body: Annotated[bytes, Depends(_body)],
    session: SessionDep,
    queue: QueueDep,
    roots: RootsDep,
    readings: ReadingsDep,
) -> HeardOut:
    """MLflow's webhook: a new version of a followed model is audited, one that gets a followed alias also deployed."""
    name_actor(request, REGISTRY)
    now = datetime.now(UTC)
    hear = partial(hear_registry, session, queue, body, roots=roots, now=now, readings=readings)
    audits = readings.complete(session, hear)
    return HeardOut(audits=[audit.id for audit in audits])


def _secret(scope: Scope) -> str:
    settings: Settings = scope["app"].state.settings
    secret = settings.mlflow_webhook_secret.get_secret_value()
    if not secret:
        raise Conflict(
            "This service does not accept registry webhooks.",
            field="mlflow_webhook_secret",
            remedy="Set MLFLOW_WEBHOOK_SECRET.",
        )

    return secret


def _signature_headers(scope: Scope) -> SignatureHeaders:
    try:
        return SignatureHeaders.model_validate(dict(Headers(scope=scope)))
    except ValidationError as error:
        header_errors = [{**fault, "loc": ("header", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(header_errors) from None
