"""The JSON of deployments, and how it maps to the domain."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from api.schemas.audits import AuditBriefOut
from api.schemas.base import Body, GivenReason, Name, OverrideIn, Person, Reference
from api.schemas.jobs import JobIn, PurposeOut
from api.schemas.models import CheckpointIn
from service.domain.audits import Audit, AuditStatus, Deployment, Snooze, Trigger
from service.domain.json_values import StoredJson
from service.domain.layers import words_of_layers
from service.domain.policies import Verdict
from service.domain.purposes import Purpose


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
    purpose: Purpose | None = Field(default=None, description="What its audits are for; every part has to allow it.")
    override_purpose: OverrideIn | None = Field(
        default=None, description="Why parts are used that do not allow the purpose."
    )


class VersionIn(Body):
    """A new version of the model to use from now on. `audit`: audit it at once."""

    target: Reference | CheckpointIn
    audit: bool = True
    override_purpose: OverrideIn | None = Field(
        default=None, description="Why parts are used that do not allow the deployment's purpose."
    )


class BaselineIn(Body):
    """The job to compare audits with from now on. `audit`: take the job that this audit proposes."""

    job: UUID | None = None
    audit: UUID | None = None


class SnoozeIn(Body):
    """Until when the service sends no alerts."""

    until: AwareDatetime
    by: Person
    reason: GivenReason


class SnoozeOut(BaseModel):
    """Until when alerts are silenced, and by whom."""

    until: datetime
    by: str
    reason: str

    @classmethod
    def of(cls, snooze: Snooze) -> Self:
        """The snooze on the wire."""
        return cls.model_validate(snooze, from_attributes=True)


class DeploymentBriefOut(PurposeOut):
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
            **cls.purpose_fields_of(request.purpose),
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
        return cls(**cls.fields_of(deployment), layers=None if layers is None else words_of_layers(layers))


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
        labels = None if drift is None else drift.labels

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
            labels_changed=None if labels is None else labels.value,
        )
