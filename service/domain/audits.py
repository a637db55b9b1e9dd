"""Deployments, the models that hospitals use, and the audits of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from service.domain.audit_facts import AuditFacts, Judgement
from service.domain.jobs import JobRequest
from service.domain.policies import Policy, Verdict
from service.domain.resources import Resource

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
    """No alerts until then: who asked for it and why. Audits go on and are recorded."""

    until: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed model and how it is audited.

    target: the version in use. request: everything else of its dissections. policy: the one that the next audit takes.
    baseline: the job that audits are compared with; None until one is pinned. registered_model: its name in a model
    registry, whose webhooks tell of new versions. alert_budget: the most alerts in 24 hours, None for any number.
    """

    id: UUID
    name: str
    target: Resource
    request: JobRequest
    policy: Resource
    baseline: UUID | None
    registered_model: str | None
    alert_budget: int | None
    snooze: Snooze | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody has seen the verdict and says what is done about it."""

    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StratumJob:
    """The dissection of the exams with one value of a stratum; without a job, the reason why there is none."""

    stratum: str
    value: str
    exams: int
    job: UUID | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit. policy: as it was bound when the audit began, by which it is judged. policy_digest: of its document.

    candidate: the target was not the deployed version when the audit began. facts, judgement: once judged.
    problem: why there is no verdict.
    """

    id: UUID
    deployment: str
    trigger: Trigger
    schedule: UUID | None
    fire_time: datetime | None
    target: Resource
    candidate: bool
    policy: Policy
    policy_reference: str
    policy_digest: str
    baseline: UUID | None
    job: UUID | None
    strata: tuple[StratumJob, ...]
    status: AuditStatus
    facts: AuditFacts | None
    judgement: Judgement | None
    problem: Mapping[str, Any] | None
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
