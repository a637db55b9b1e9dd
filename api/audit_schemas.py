"""The JSON of policies, deployments and audits, and how it maps to the domain."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, JsonValue

from api.schemas import Body, CheckpointIn, JobIn, Name, Reference, ResourceOut
from service.analysis.policy_codec import policy_as_json
from service.domain.audit_facts import AuditFacts, Judgement, RuleOutcome
from service.domain.audits import Acknowledgement, Audit, AuditStatus, Deployment, Snooze, StratumJob, Trigger
from service.domain.json_values import StoredJson
from service.domain.policies import Outcome, Verdict

Person = Annotated[str, Field(min_length=1, max_length=120, description="Name of the person.")]
Reason = Annotated[str, Field(min_length=1, max_length=2_000)]


class PolicyIn(Body):
    """A policy to register: as JSON, or as a string of YAML."""

    name: Name = Field(examples=["screening"])
    policy: dict[str, JsonValue] | Annotated[str, Field(max_length=200_000)] = Field(
        examples=[
            {
                "rules": [
                    {"rule": "significant-share", "at_least": 0.3},
                    {"rule": "required-concepts", "concepts": ["spiculated mass", "clustered calcification"]},
                    {"rule": "category-loss", "at_most": 0.25},
                    {"rule": "watched-share", "at_most": 0.05, "above_baseline": True},
                ]
            }
        ]
    )


class DeploymentIn(Body):
    """A model to deploy. `baseline`: the job that its audits are compared with and whose settings they have.

    Without one, `dissection` says how it is dissected, and the first audit proposes a baseline.
    """

    name: Name = Field(examples=["screening-east"])
    policy: Reference
    baseline: UUID | None = None
    dissection: JobIn | None = None
    registered_model: str | None = Field(
        default=None, min_length=1, max_length=250, description="Its name in a model registry that sends webhooks."
    )
    alert_budget: int | None = Field(default=None, ge=1, le=1_000, description="The most alerts in 24 hours.")


class DeploymentChangeIn(Body):
    """The changes. Fields that you leave out stay as they are."""

    policy: Reference | None = None
    registered_model: str | None = Field(default=None, min_length=1, max_length=250)
    alert_budget: int | None = Field(default=None, ge=1, le=1_000)


class VersionIn(Body):
    """A new version of the model to use from now on. `audit`: audit it at once."""

    target: Reference | CheckpointIn
    audit: bool = True


class BaselineIn(Body):
    """The job to compare audits with from now on. `audit`: take the job that this audit proposes."""

    job: UUID | None = None
    audit: UUID | None = None


class SnoozeIn(Body):
    """Until when the service sends no alerts."""

    until: AwareDatetime
    by: Person
    reason: Reason


class AuditIn(Body):
    """An audit to start, of the version in use or of a candidate. It does not deploy the candidate."""

    deployment: Name
    target: Reference | CheckpointIn | None = None


class AcknowledgementIn(Body):
    """Who has seen the verdict, and what they do about it."""

    by: Person
    reason: Reason


class SnoozeOut(BaseModel):
    """Until when alerts are silenced, and by whom."""

    until: datetime
    by: str
    reason: str

    @classmethod
    def of(cls, snooze: Snooze) -> Self:
        """The snooze on the wire."""
        return cls.model_validate(snooze, from_attributes=True)


class DeploymentBriefOut(BaseModel):
    """A deployed model and how it is audited. Its layers are in GET /deployments/{name}."""

    id: UUID
    name: str
    target: str
    target_digest: str
    dissector: str
    probe_set: str
    concept_set: str
    method: StoredJson
    policy: str
    baseline: UUID | None
    registered_model: str | None
    alert_budget: int | None
    snooze: SnoozeOut | None
    created_at: datetime

    @classmethod
    def fields_of(cls, deployment: Deployment) -> StoredJson:
        """The values of the fields that every deployment has on the wire."""
        request = deployment.request
        return {
            "id": deployment.id,
            "name": deployment.name,
            "target": deployment.target.reference,
            "target_digest": deployment.target.digest,
            "dissector": request.dissector,
            "probe_set": request.probe_set,
            "concept_set": request.concept_set,
            "method": request.options.method.as_dict(),
            "policy": deployment.policy.reference,
            "baseline": deployment.baseline,
            "registered_model": deployment.registered_model,
            "alert_budget": deployment.alert_budget,
            "snooze": None if deployment.snooze is None else SnoozeOut.of(deployment.snooze),
            "created_at": deployment.created_at,
        }

    @classmethod
    def of(cls, deployment: Deployment) -> Self:
        """The deployment on the wire."""
        return cls(**cls.fields_of(deployment))


class DeploymentOut(DeploymentBriefOut):
    """A deployed model and how it is audited. `layers`: null for all."""

    layers: list[str] | None

    @classmethod
    def of(cls, deployment: Deployment) -> Self:
        """The deployment on the wire."""
        layers = deployment.request.options.layers
        return cls(**cls.fields_of(deployment), layers=None if layers is None else list(layers))


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


class DeployedOut(BaseModel):
    """The deployment with its new version, and the audit of that version if one was requested."""

    deployment: DeploymentOut
    audit: AuditBriefOut | None


class HistoryPointOut(BaseModel):
    """One audit of a deployment in figures, for a time series; null where it has no such figure."""

    audit: UUID
    at: datetime
    trigger: Trigger
    target: str
    candidate: bool
    status: AuditStatus
    verdict: Verdict | None
    significant_share: float | None
    watched_share: float | None
    stability: float | None
    divergence: float | None
    labels_changed: float | None

    @classmethod
    def of(cls, audit: Audit) -> Self:
        """The figures of an audit."""
        network = None if audit.facts is None else audit.facts.network
        drift = None if audit.facts is None else audit.facts.drift
        return cls(
            audit=audit.id,
            at=audit.created_at,
            trigger=audit.trigger,
            target=audit.target.reference,
            candidate=audit.candidate,
            status=audit.status,
            verdict=audit.verdict,
            significant_share=network.significant_share if network else None,
            watched_share=network.watched_share if network else None,
            stability=network.stability if network else None,
            divergence=None if drift is None else drift.divergence.value,
            labels_changed=None if drift is None or drift.labels is None else drift.labels.value,
        )


class PolicyOut(ResourceOut):
    """One version of a policy; `spec` is the policy. Lists count its rules."""
