"""Tell of jobs that have ended, whoever asked to hear of them."""

from sqlalchemy.orm import Session

from service.db.alert_endpoints import has_listener
from service.domain.alerts import JOB_FAILED, JOB_SUCCEEDED, JSON
from service.domain.jobs import Job, JobStatus
from service.errors import ProblemFields
from service.usecases.alerts import publish_alert

_KINDS = {JobStatus.SUCCEEDED: JOB_SUCCEEDED, JobStatus.FAILED: JOB_FAILED, JobStatus.DEAD: JOB_FAILED}


def tell_of_job(session: Session, job: Job, status: JobStatus, problem: ProblemFields | None = None) -> None:
    """Publish an alert of a job that ends with that status; none where no endpoint asks for any.

    Of its problem the alert has the code alone: the detail may name images.
    """
    kind = _KINDS[status]
    if not has_listener(session, kind):
        return

    request = job.request
    data: dict[str, JSON] = {
        "job": str(job.id),
        "status": status,
        "target": request.target,
        "dissector": request.dissector,
        "probe_set": request.probe_set,
        "concept_set": request.concept_set,
        "replay_of": None if job.replay_of is None else str(job.replay_of),
        "problem": None if problem is None else problem["code"],
    }
    publish_alert(session, kind, data, subject=f"{request.target}: job {status.upper()}")
