"""The service as a whole, for whoever opens its home page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.audits import Deployment
from service.domain.jobs import Job, JobStatus
from service.domain.resources import ResourceKind


@dataclass(frozen=True, slots=True)
class LastVerdict:
    """The verdict of the audit of a deployment that began last of those that were judged."""

    audit: UUID
    verdict: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is, and what is going on."""

    names: Mapping[ResourceKind, int]
    """How many names are registered of each kind."""

    jobs: Mapping[JobStatus, int]
    """How many jobs have which status."""

    open_jobs: tuple[Job, ...]
    """The newest that run or wait."""

    failed_jobs: tuple[Job, ...]
    """The newest that failed or were given up."""

    finished_jobs: tuple[Job, ...]
    """The newest that succeeded."""

    deployment_count: int
    deployments: tuple[tuple[Deployment, LastVerdict | None], ...]
    """The newest deployments, each with its last verdict."""

    @property
    def is_empty(self) -> bool:
        """Whether nobody has asked for anything yet."""
        return not any(self.jobs.values())
