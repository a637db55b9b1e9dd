"""Targets in request bodies: the name of a registered model, or a checkpoint that is registered on the way."""

from sqlalchemy.orm import Session

from api.schemas.models import CheckpointIn
from service.domain.resources import Resource, ResourceKind
from service.files import DataRoots
from service.ports import JobQueue
from service.usecases.models import check_content_known, register_model
from service.usecases.readings import AT_ONCE, Readings
from service.usecases.resources import find_resource


def target_of(
    session: Session,
    queue: JobQueue,
    roots: DataRoots,
    target: str | CheckpointIn,
    *,
    name: str | None = None,
    readings: Readings = AT_ONCE,
) -> Resource:
    """The model that is meant. name: what a checkpoint is registered as; None names it after its digest.

    Raises NotFound, InvalidInput, DigestMismatch, FileOutOfReach, NotRead.
    """
    if isinstance(target, str):
        return find_resource(session, ResourceKind.MODEL, target, field="target")

    checkpoint = target.named()
    check_content_known(checkpoint)
    model, _ = register_model(
        session,
        queue,
        checkpoint,
        name=name,
        roots=roots,
        readings=readings,
        terms=target.terms(),
    )
    return model
