"""The registered thing that a work item opens."""

from sqlalchemy.orm import Session

from service.db.ablations import job_of_ablation
from service.db.jobs import parts_of
from service.db.resources import get_resource
from service.domain.resources import Resource
from service.domain.work import AblationLease, AnyLease, PreparationLease


def resource_of(session: Session, lease: AnyLease) -> Resource:
    """What a preparation prepares; of a job and of its ablations the target."""
    if isinstance(lease, PreparationLease):
        return get_resource(session, lease.resource_id)
    job_id = job_of_ablation(session, lease.ablation_id) if isinstance(lease, AblationLease) else lease.job_id
    return parts_of(session, job_id).target
