"""What is going on, in a few queries whose cost does not grow with results."""

from sqlalchemy.orm import Session

from service.db import overview as queries
from service.db.deployments import list_deployments
from service.domain.jobs import Job, JobFilter, JobStatus
from service.domain.overview import Overview
from service.usecases.job_lists import list_jobs

_MOST_OPEN = 10
_MOST_ENDED = 5
_MOST_DEPLOYMENTS = 20


def read_overview(session: Session) -> Overview:
    """The service as it stands now."""
    deployments = list_deployments(session, limit=_MOST_DEPLOYMENTS, after=None).items
    verdicts = queries.last_verdicts(session, [deployment.id for deployment in deployments])
    return Overview(
        names=queries.count_names(session),
        jobs=queries.count_jobs(session),
        open_jobs=_newest(session, (JobStatus.RUNNING, JobStatus.QUEUED), _MOST_OPEN),
        failed_jobs=_newest(session, (JobStatus.FAILED, JobStatus.DEAD), _MOST_ENDED),
        finished_jobs=_newest(session, (JobStatus.SUCCEEDED,), _MOST_ENDED),
        deployment_count=queries.count_deployments(session),
        deployments=tuple((deployment, verdicts.get(deployment.id)) for deployment in deployments),
    )


def _newest(session: Session, statuses: tuple[JobStatus, ...], most: int) -> tuple[Job, ...]:
    """The newest jobs of each status in turn, so many altogether."""
    listed: list[Job] = []
    for status in statuses:
        listed += list_jobs(session, JobFilter(statuses=(status,)), limit=most, after=None).items
    return tuple(listed[:most])
