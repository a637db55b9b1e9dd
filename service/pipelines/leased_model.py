"""The registered thing that a work item opens."""

from uuid import UUID

from sqlalchemy.orm import Session

from service.db.ablations import job_of_ablation
from service.db.drawings import job_of_picture
from service.db.jobs import parts_of
from service.db.resources import get_resource
from service.domain.resources import Resource
from service.domain.work import AblationLease, AnyLease, Lease, PictureLease, PreparationLease
from service.errors import LeaseLost


def resource_of(session: Session, lease: AnyLease) -> Resource:
    """What a preparation prepares; of a job, of its ablations and of its pictures the target.

    Raises LeaseLost for a picture whose job was deleted.
    """
    if isinstance(lease, PreparationLease):
        return get_resource(session, lease.resource_id)
    return parts_of(session, _job_of(session, lease)).target


def _job_of(session: Session, lease: Lease | AblationLease | PictureLease) -> UUID:
    if isinstance(lease, AblationLease):
        return job_of_ablation(session, lease.ablation_id)
    if isinstance(lease, Lease):
        return lease.job_id

    job_id = job_of_picture(session, lease.picture_id)
    if job_id is None:
        raise LeaseLost("The job of the picture was deleted.")
    return job_id
