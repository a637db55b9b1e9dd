"""The JSON of audits, and how it maps to the domain."""

from collections import Counter
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from api.schemas.base import Body, GivenReason, Name, OverrideIn, Person, Reference
from api.schemas.models import CheckpointIn
from service.analysis.policy_codec import policy_as_json
from service.domain.audit_facts import AuditFacts, Judgement, RuleOutcome
from service.domain.audits import Acknowledgement, Audit, AuditStatus, StratumJob, Trigger
from service.domain.json_values import StoredJson
from service.domain.policies import Outcome, Verdict


class AuditIn(Body):
    """An audit to start, of the version in use or of a candidate. It does not deploy the candidate."""

    deployment: Name
    target: Reference | CheckpointIn | None = None
    override_purpose: OverrideIn | None = None


class AcknowledgementIn(Body):
    """Who has seen the verdict, and what they do about it."""

    by: Person
    reason: GivenReason


class StratumOut(BaseModel):
    """The dissection of the exams with one value of a stratum, or why there is none."""

    stratum: str
    value: str
    exams: int
    job: UUID | None
    reason: str | None

    @classmethod
    def of(cls, stratum: StratumJob) -> Self:
        """The stratum on the wire."""
        return cls.model_validate(stratum, from_attributes=True)


class OutcomeOut(BaseModel):
    """The outcome of one rule, or of one rule in one value of a stratum."""

    rule: str
    kind: str
    stratum: str | None
    outcome: Outcome
    reason: str
    figures: StoredJson

    @classmethod
    def of(cls, outcome: RuleOutcome) -> Self:
        """The outcome on the wire."""
        return cls.model_validate(outcome, from_attributes=True)


class AcknowledgementOut(BaseModel):
    """Who has seen the verdict."""

    by: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, acknowledgement: Acknowledgement) -> Self:
        """The acknowledgement on the wire."""
        return cls.model_validate(acknowledgement, from_attributes=True)


class _AuditHeadOut(BaseModel):
    """What every answer says of an audit. `proposal`: there was no baseline, so you can pin the audit's job as one."""

    id: UUID
    deployment: str
    trigger: Trigger
    schedule: UUID | None
    fire_time: datetime | None
    target: str
    candidate: bool
    policy: str
    baseline: UUID | None
    proposal: bool
    job: UUID | None
    status: AuditStatus
    verdict: Verdict | None
    problem: StoredJson | None
    acknowledgement: AcknowledgementOut | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def head_of(cls, audit: Audit) -> StoredJson:
        """The values of these fields."""
        acknowledgement = audit.acknowledgement
        return {
            "id": audit.id,
            "deployment": audit.deployment,
            "trigger": audit.trigger,
            "schedule": audit.schedule,
            "fire_time": audit.fire_time,
            "target": audit.target.reference,
            "candidate": audit.candidate,
            "policy": audit.policy_reference,
            "baseline": audit.baseline,
            "proposal": audit.proposal,
            "job": audit.job,
            "status": audit.status,
            "verdict": audit.verdict,
            "problem": audit.problem,
            "acknowledgement": None if acknowledgement is None else AcknowledgementOut.of(acknowledgement),
            "created_at": audit.created_at,
            "finished_at": audit.finished_at,
        }


class AuditListedOut(_AuditHeadOut):
    """An audit in a list. `proposal`: there was no baseline, so you can pin the audit's job as one.

    `outcomes`: how many rules had each outcome, over all strata. GET /audits/{id} gives each outcome with its reason.
    """

    outcomes: dict[Outcome, int] | None

    @classmethod
    def of(cls, audit: Audit) -> Self:
        """The audit on the wire, in a list."""
        judgement = audit.judgement
        outcomes = None if judgement is None else Counter(outcome.outcome for outcome in judgement.outcomes)
        return cls(**cls.head_of(audit), outcomes=outcomes)


class AuditBriefOut(_AuditHeadOut):
    """An audit without its evidence. `proposal`: there was no baseline, so you can pin the audit's job as one."""

    outcomes: list[OutcomeOut] | None

    @classmethod
    def fields_of(cls, audit: Audit) -> StoredJson:
        """The values of the fields that every single audit has on the wire."""
        judgement = audit.judgement
        outcomes = None if judgement is None else [OutcomeOut.of(outcome) for outcome in judgement.outcomes]
        return {**cls.head_of(audit), "outcomes": outcomes}

    @classmethod
    def of(cls, audit: Audit) -> Self:
        """The audit on the wire."""
        return cls(**cls.fields_of(audit))


class AuditOut(AuditBriefOut):
    """An audit with everything that its verdict rests on. `rules`: the policy as it was applied."""

    target_digest: str
    policy_digest: str
    rules: StoredJson
    strata: list[StratumOut]
    facts: AuditFacts | None

    @classmethod
    def of(cls, audit: Audit) -> Self:
        """The audit on the wire."""
        return cls(
            **cls.fields_of(audit),
            target_digest=audit.target.digest,
            policy_digest=audit.policy_digest,
            rules=policy_as_json(audit.policy),
            strata=list(map(StratumOut.of, audit.strata)),
            facts=audit.facts,
        )


class RecomputedOut(BaseModel):
    """The verdict computed again from the stored facts. `same`: it, all outcomes and their figures match the record."""

    verdict: Verdict
    outcomes: list[OutcomeOut]
    same: bool

    @classmethod
    def of(cls, judgement: Judgement, *, same: bool) -> Self:
        """The judgement on the wire."""
        return cls(verdict=judgement.verdict, outcomes=list(map(OutcomeOut.of, judgement.outcomes)), same=same)
