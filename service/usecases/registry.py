"""A model registry's webhooks: MLflow tells of new model versions and of aliases that move.

A deployment follows a registered model (`screening`) or one of its aliases (`screening@champion`). A new version of the
model is audited as a candidate; a version that gets the alias is taken into use and audited.

MLflow sends events from several threads and some of them again, so they come in any order. It does not send again what
was refused: what can be understood but not acted on yet is kept.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from service.db.deployments import deployments_of_registered_model
from service.db.registry import (
    aliases_of_registry_version,
    lock_registered_model,
    move_registry_alias,
    note_registry_version,
    source_of_registry_version,
)
from service.domain.audits import Audit, Deployment
from service.domain.json_text import parse_json
from service.domain.resources import Resource
from service.domain.wrong_values import expected_of
from service.errors import InvalidInput, Unauthorized
from service.ports import JobQueue
from service.usecases.audits import Occasion, start_audit
from service.usecases.deployments import deploy_version
from service.usecases.files import locate
from service.usecases.resources import register_model

log = structlog.get_logger()

_TOLERANCE_S = 300
_WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".tar", ".bin")


@dataclass(frozen=True, slots=True)
class Signed:
    """A request of MLflow as it came: its three headers and its bytes."""

    signature: str
    delivery_id: str
    timestamp: str
    body: bytes


class _Envelope(BaseModel):
    entity: str
    action: str
    timestamp: datetime | None = None
    data: dict[str, Any]


class _Version(BaseModel):
    name: str
    version: str
    source: str


class _Alias(BaseModel):
    name: str
    alias: str


class _AliasOfVersion(_Alias):
    version: str


def check_signature(request: Signed, secret: str, now: datetime) -> None:
    """Raises Unauthorized unless the bytes were signed with the secret within the last five minutes.

    MLflow's scheme: base64 of HMAC-SHA256 over `{delivery id}.{timestamp}.{body}`, after `v1,`.
    """
    signed = f"{request.delivery_id}.{request.timestamp}.".encode() + request.body
    expected = "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    if not hmac.compare_digest(request.signature.encode(), expected.encode()):
        raise Unauthorized(
            "The webhook's signature is not that of its bytes.",
            field="X-MLflow-Signature",
            remedy="Give MLflow's webhook the secret that MLFLOW_WEBHOOK_SECRET has.",
        )
    age = abs(now.timestamp() - float(request.timestamp)) if request.timestamp.isdecimal() else None
    if age is None or age > _TOLERANCE_S:
        raise Unauthorized(
            "The webhook is not of now.",
            field="X-MLflow-Timestamp",
            value=request.timestamp,
            remedy="Set the clocks of both machines.",
        )


def hear_registry(
    session: Session, queue: JobQueue, body: bytes, *, roots: Sequence[Path], now: datetime
) -> list[Audit]:
    """Audit what a webhook tells of: the audits that were begun, none where nobody follows the model or it is no news.

    now: the time of an event that has none. Raises InvalidInput for a body that is no event, and for a version whose
    weights cannot be read here.
    """
    event = _parsed(TypeAdapter(_Envelope), body)
    match event.entity, event.action:
        case "model_version", "created":
            return _hear_version(session, queue, _parsed(TypeAdapter(_Version), event.data), roots)
        case "model_version_alias", "created":
            alias = _parsed(TypeAdapter(_AliasOfVersion), event.data)
            return _hear_alias(session, queue, alias, alias.version, _moment(event, now), roots)
        case "model_version_alias", "deleted":
            alias = _parsed(TypeAdapter(_Alias), event.data)
            return _hear_alias(session, queue, alias, None, _moment(event, now), roots)
    return []


def _moment(event: _Envelope, now: datetime) -> datetime:
    at = event.timestamp or now
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _hear_version(session: Session, queue: JobQueue, version: _Version, roots: Sequence[Path]) -> list[Audit]:
    lock_registered_model(session, version.name)
    known = source_of_registry_version(session, version.name, version.version)
    if known == version.source:
        return []
    note_registry_version(session, version.name, version.version, version.source)
    followers = deployments_of_registered_model(session, version.name)
    audits = [_audit(session, queue, one, version.source, roots) for one in followers]
    if known is None:  # else its aliases were acted on when they came
        for alias in aliases_of_registry_version(session, version.name, version.version):
            audits += _deploy_to_followers(session, queue, f"{version.name}@{alias}", version.source, roots)
    return audits


def _hear_alias(
    session: Session, queue: JobQueue, alias: _Alias, version: str | None, at: datetime, roots: Sequence[Path]
) -> list[Audit]:
    lock_registered_model(session, alias.name)
    if not move_registry_alias(session, alias.name, alias.alias, version, at) or version is None:
        return []
    source = source_of_registry_version(session, alias.name, version)
    if source is None:
        log.warning("alias of a version that is not known yet", model=alias.name, alias=alias.alias, version=version)
        return []
    return _deploy_to_followers(session, queue, f"{alias.name}@{alias.alias}", source, roots)


def _audit(session: Session, queue: JobQueue, deployment: Deployment, source: str, roots: Sequence[Path]) -> Audit:
    target = _register(session, queue, deployment, source, roots)
    return start_audit(session, queue, deployment, Occasion("registry", target))


def _deploy_to_followers(
    session: Session, queue: JobQueue, followed: str, source: str, roots: Sequence[Path]
) -> list[Audit]:
    followers = deployments_of_registered_model(session, followed)
    return [audit for one in followers if (audit := _deploy(session, queue, one, source, roots))]


def _deploy(
    session: Session, queue: JobQueue, deployment: Deployment, source: str, roots: Sequence[Path]
) -> Audit | None:
    target = _register(session, queue, deployment, source, roots)
    if target.id == deployment.target.id:
        return None
    return start_audit(session, queue, deploy_version(session, deployment.name, target), Occasion("registry"))


def _register(
    session: Session, queue: JobQueue, deployment: Deployment, source: str, roots: Sequence[Path]
) -> Resource:
    """The version as a model of the deployment's name, in the architecture that is in use."""
    architecture = deployment.target.spec["architecture"]
    return register_model(
        session,
        queue,
        name=deployment.name,
        checkpoint=_weights(source, roots),
        architecture=architecture,
        sha256=None,
        roots=roots,
    )[0]


def _weights(source: str, roots: Sequence[Path]) -> str:
    """The file of weights that a source (a path or file:// URI of a file, or of a folder with one) stands for."""
    path = locate(source, roots, field="data.source")
    if not path.is_dir():
        return str(path)
    files = [file for file in sorted(path.rglob("*")) if file.suffix in _WEIGHTS and file.is_file()]
    if len(files) != 1:
        raise _unusable(source, f"the folder holds {len(files)} files of weights")
    return str(files[0])


def _unusable(source: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The version's weights cannot be found: {why}.",
        field="data.source",
        value=source,
        remedy="Register versions whose source is a folder with one file of weights that this machine can read, "
        "or POST /deployments/{name}/versions.",
    )


def _parsed(shape: TypeAdapter[Any], value: bytes | dict[str, Any]) -> Any:
    document = parse_json(value) if isinstance(value, bytes) else value
    try:
        return shape.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        wrong = (
            "is missing"
            if first["type"] == "missing"
            else f"must be {expected_of(first['type'], first.get('ctx', {}))}"
        )
        raise InvalidInput(
            f"That is no event of a model registry: {field} {wrong}.",
            field=field,
            remedy="Send MLflow's model_version.created and model_version_alias.created here.",
        ) from None
