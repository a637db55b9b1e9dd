"""Deployments, the models that hospitals use, and the audits of them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from service.domain.audit_facts import AuditFacts, Judgement
from service.domain.jobs import JobRequest
from service.domain.policies import Policy, Verdict
from service.domain.probes import ProbeSet
from service.domain.resources import Resource
from service.errors import DissectError, ProblemFields

Trigger = Literal["schedule", "request", "version", "registry"]
"""What asked for an audit: a schedule, somebody, a newly deployed version, or the model registry's webhook."""


class AuditStatus(StrEnum):
    """Where an audit stands. An error is no verdict: the model could not be audited, and the problem says why."""

    RUNNING = "running"
    JUDGED = "judged"
    ERROR = "error"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Snooze:
    """No alerts until then (stored). Audits go on and are recorded."""

    until: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed model and how it is audited."""

    id: UUID
    name: str
    target: Resource
    """The version in use."""
    request: JobRequest
    """Everything else of its dissections."""
    policy: Resource
    """The policy that the next audit takes."""
    baseline: UUID | None
    """The job that audits are compared with; None until one is pinned."""
    registered_model: str | None
    """The model's name in a model registry, whose webhooks announce new versions."""
    alert_budget: int | None
    """The most alerts in 24 hours; None for any number."""
    snooze: Snooze | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Occasion:
    """What asks for an audit."""

    trigger: Trigger
    target: Resource | None = None
    """A candidate for deployment; None for the version in use."""
    schedule: UUID | None = None
    fire_time: datetime | None = None
    override_reason: str | None = None
    """Why parts are used that do not allow the deployment's purpose."""


@dataclass(frozen=True, slots=True)
class AuditFiles:
    """The registered things whose files are read before an audit begins."""

    target: Resource
    probe_set: Resource

    listing: bytes | None = field(default=None, compare=False, repr=False)
    """What a worker has listed of the probe set; None where its manifest says all itself."""


@dataclass(frozen=True, slots=True)
class FilesRead:
    """What reading an audit's files gave, or the problem because of which the audit cannot begin."""

    files: AuditFiles
    listed: ProbeSet | None = None
    """The images of the whole manifest, not cut into patches."""
    problem: DissectError | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody has seen the verdict and says what is done about it (stored)."""

    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StratumJob:
    """The dissection of the exams with one value of a stratum."""

    stratum: str
    value: str
    exams: int
    job: UUID | None
    reason: str | None = None
    """Why there is no job."""


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit."""

    id: UUID
    deployment: str
    trigger: Trigger
    schedule: UUID | None
    fire_time: datetime | None
    target: Resource
    candidate: bool
    """Was the target not the deployed version when the audit began?"""
    policy: Policy
    """As it was bound when the audit began; the audit is judged by it."""
    policy_reference: str
    policy_digest: str
    """Of the policy's document."""
    baseline: UUID | None
    job: UUID | None
    strata: tuple[StratumJob, ...]
    status: AuditStatus
    facts: AuditFacts | None
    """None until the audit is judged."""
    judgement: Judgement | None
    """None until the audit is judged."""
    problem: ProblemFields | None
    """Why there is no verdict."""
    acknowledgement: Acknowledgement | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def verdict(self) -> Verdict | None:
        """None while there is none."""
        return None if self.judgement is None else self.judgement.verdict

    @property
    def proposal(self) -> bool:
        """Was there no baseline to compare with? The audit's own dissection can then be pinned."""
        return self.baseline is None
