"""Targets in request bodies: the name of a registered model, or a checkpoint that is registered on the way."""

from sqlalchemy.orm import Session

from api.schemas import CheckpointIn
from service.db.session import expect_pause
from service.domain.resources import Resource, ResourceKind
from service.files import DataRoots
from service.ports import JobQueue
from service.usecases.resources import find_resource, register_model


def target_of(
    session: Session, queue: JobQueue, roots: DataRoots, target: str | CheckpointIn, *, name: str | None = None
) -> Resource:
    """The model that is meant. name: what a checkpoint is registered as; None names it after its digest.

    Raises NotFound, InvalidInput, DigestMismatch.
    """
    if isinstance(target, str):
        return find_resource(session, ResourceKind.MODEL, target, field="target")
    expect_pause(session)  # a big checkpoint is read whole
    model, _ = register_model(
        session,
        queue,
        name=name,
        checkpoint=target.checkpoint,
        architecture=target.architecture,
        sha256=target.sha256,
        roots=roots,
    )
    return model
