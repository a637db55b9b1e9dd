"""Policies, deployments and their audits."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from api.audit_schemas import (
    AcknowledgementIn,
    AuditBriefOut,
    AuditIn,
    AuditOut,
    BaselineIn,
    DeployedOut,
    DeploymentChangeIn,
    DeploymentIn,
    DeploymentOut,
    HistoryPointOut,
    PolicyIn,
    PolicyOut,
    RecomputedOut,
    SnoozeIn,
    VersionIn,
)
from api.dependencies import QueueDep, SessionDep, SettingsDep
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.routes.resources import Ref
from api.schemas import JobIn
from api.targets import target_of
from service.analysis.policy_codec import parse_policy, policy_from, policy_schema
from service.config import Settings
from service.domain.audits import Snooze
from service.domain.policies import Verdict
from service.domain.resources import ResourceKind
from service.errors import Conflict, InvalidInput
from service.usecases import audit_verdicts, audits, deployments, resources
from service.usecases.jobs import JobSubmission

policies = APIRouter(prefix="/policies", tags=["policies"])
deployed = APIRouter(prefix="/deployments", tags=["deployments"])
router = APIRouter(prefix="/audits", tags=["audits"])


@policies.post("", status_code=status.HTTP_201_CREATED)
def register_policy(body: PolicyIn, session: SessionDep, response: Response) -> PolicyOut:
    """Register a policy. The same rules again answer 200 with what is there."""
    policy = parse_policy(body.policy) if isinstance(body.policy, str) else policy_from(body.policy)
    resource, new = deployments.register_policy(session, body.name, policy)
    response.headers["Location"] = f"/policies/{resource.reference}"
    if not new:
        response.status_code = status.HTTP_200_OK
    return PolicyOut.of(resource)


@policies.get("")
def list_policies(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[PolicyOut]:
    """All policies, newest first."""
    page = resources.list_resources(session, ResourceKind.POLICY, limit=limit, after=decode_cursor(cursor, length=1))
    items = [PolicyOut.of(policy) for policy in page.items]
    return PageOut[PolicyOut](items=items, next=next_cursor(request, response, page.next_position))


@policies.get("/schema")
def read_policy_schema() -> dict[str, Any]:
    """The JSON Schema of a policy: every rule with its fields."""
    return policy_schema()


@policies.get("/{name}")
def read_policy(name: Ref, session: SessionDep) -> PolicyOut:
    """One policy."""
    return PolicyOut.of(resources.find_resource(session, ResourceKind.POLICY, name, field="name"))


@deployed.post("", status_code=status.HTTP_201_CREATED)
def create_deployment(
    body: DeploymentIn, session: SessionDep, queue: QueueDep, settings: SettingsDep, response: Response
) -> DeploymentOut:
    """Deploy a model. 422 where the policy could not be applied to it, naming the rule."""
    submission = None
    if body.dissection is not None:
        target = target_of(session, queue, settings, body.dissection.target, name=body.name)
        submission = _submission(body.dissection, target.reference, settings)
    deployment = deployments.create_deployment(
        session,
        body.name,
        policy=body.policy,
        submission=submission,
        baseline=body.baseline,
        registered_model=body.registered_model,
        alert_budget=body.alert_budget,
    )
    response.headers["Location"] = f"/deployments/{deployment.name}"
    return DeploymentOut.of(deployment)


@deployed.get("")
def list_deployments(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[DeploymentOut]:
    """All deployments, newest first."""
    page = deployments.list_deployments(session, limit=limit, after=decode_cursor(cursor, length=1))
    items = list(map(DeploymentOut.of, page.items))
    return PageOut[DeploymentOut](items=items, next=next_cursor(request, response, page.next_position))


@deployed.get("/{name}")
def read_deployment(name: str, session: SessionDep) -> DeploymentOut:
    """One deployment."""
    return DeploymentOut.of(deployments.find_deployment(session, name))


@deployed.patch("/{name}")
def change_deployment(name: str, body: DeploymentChangeIn, session: SessionDep) -> DeploymentOut:
    """Give it another policy, alert budget or registry name. Audits under way keep the policy they began with."""
    changed = deployments.change_deployment(
        session,
        name,
        policy=body.policy,
        alert_budget=body.alert_budget,
        registered_model=body.registered_model,
    )
    return DeploymentOut.of(changed)


@deployed.post("/{name}/versions", status_code=status.HTTP_202_ACCEPTED)
def deploy_version(
    name: str, body: VersionIn, session: SessionDep, queue: QueueDep, settings: SettingsDep
) -> DeployedOut:
    """Take another version into use; a checkpoint is registered under the deployment's name."""
    deployments.find_deployment(session, name)
    target = target_of(session, queue, settings, body.target, name=name)
    deployment = deployments.deploy_version(session, name, target)
    audit = audits.start_audit(session, queue, deployment, audits.Occasion("version")) if body.audit else None
    return DeployedOut(
        deployment=DeploymentOut.of(deployment), audit=None if audit is None else AuditBriefOut.of(audit)
    )


@deployed.post("/{name}/baseline")
def pin_baseline(name: str, body: BaselineIn, session: SessionDep) -> DeploymentOut:
    """Pin the job that audits are compared with. 409 where they could not be, naming what differs."""
    if (body.job is None) == (body.audit is None):
        raise InvalidInput("Say which dissection is meant.", field="job", remedy="Give either a job or an audit.")
    job = body.job
    if body.audit is not None:
        job = audits.find_audit(session, body.audit).job
    if job is None:
        raise Conflict(f"Audit {body.audit} has no dissection.", field="audit", value=body.audit)
    return DeploymentOut.of(deployments.pin_baseline(session, name, job))


@deployed.post("/{name}/snooze")
def snooze_deployment(name: str, body: SnoozeIn, session: SessionDep) -> DeploymentOut:
    """Silence the alerts for a time. Audits go on and are recorded."""
    snooze = Snooze(body.until, body.by, body.reason)
    return DeploymentOut.of(deployments.snooze_deployment(session, name, snooze, datetime.now(UTC)))


@deployed.delete("/{name}/snooze")
def end_snooze(name: str, session: SessionDep) -> DeploymentOut:
    """Let the alerts sound again."""
    return DeploymentOut.of(deployments.snooze_deployment(session, name, None, datetime.now(UTC)))


@deployed.get("/{name}/history")
def read_history(
    name: str, session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[HistoryPointOut]:
    """The deployment's audits as a time series, newest first."""
    deployment = deployments.find_deployment(session, name)
    after = decode_cursor(cursor, length=1)
    page = audits.list_audits(session, deployment=deployment, verdict=None, limit=limit, after=after)
    items = list(map(HistoryPointOut.of, page.items))
    return PageOut[HistoryPointOut](items=items, next=next_cursor(request, response, page.next_position))


@router.post("", status_code=status.HTTP_202_ACCEPTED)
def post_audit(
    body: AuditIn, session: SessionDep, queue: QueueDep, settings: SettingsDep, response: Response
) -> AuditOut:
    """Audit a deployment now: the version in use, or a candidate."""
    deployment = deployments.find_deployment(session, body.deployment)
    target = None if body.target is None else target_of(session, queue, settings, body.target)
    audit = audits.start_audit(session, queue, deployment, audits.Occasion("request", target))
    response.headers["Location"] = f"/audits/{audit.id}"
    return AuditOut.of(audit)


@router.get("")
def list_audits(
    session: SessionDep,
    request: Request,
    response: Response,
    deployment: Annotated[str | None, Query(description="Only audits of this deployment.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only audits with this verdict.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOut[AuditBriefOut]:
    """Audits, newest first."""
    found = None if deployment is None else deployments.find_deployment(session, deployment)
    after = decode_cursor(cursor, length=1)
    page = audits.list_audits(session, deployment=found, verdict=verdict, limit=limit, after=after)
    items = list(map(AuditBriefOut.of, page.items))
    return PageOut[AuditBriefOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{audit_id}")
def read_audit(audit_id: UUID, session: SessionDep) -> AuditOut:
    """One audit: its verdict, the outcome of every rule, and the facts that they rest on."""
    return AuditOut.of(audits.find_audit(session, audit_id))


@router.post("/{audit_id}/cancel")
def cancel_audit(audit_id: UUID, session: SessionDep) -> AuditBriefOut:
    """End a running audit without a verdict."""
    return AuditBriefOut.of(audits.cancel_audit(session, audit_id))


@router.post("/{audit_id}/acknowledge")
def acknowledge_audit(audit_id: UUID, body: AcknowledgementIn, session: SessionDep) -> AuditBriefOut:
    """Note that somebody has seen the verdict and what is done about it."""
    return AuditBriefOut.of(audits.acknowledge_audit(session, audit_id, by=body.by, reason=body.reason))


@router.get("/{audit_id}/recomputed")
def recompute_verdict(audit_id: UUID, session: SessionDep) -> RecomputedOut:
    """The verdict computed once more from the facts on record."""
    audit = audits.find_audit(session, audit_id)
    judgement = audit_verdicts.recompute(audit)
    return RecomputedOut.of(judgement, same=judgement == audit.judgement)


def _submission(dissection: JobIn, target: str, settings: Settings) -> JobSubmission:
    if dissection.shuffled is not None:
        raise InvalidInput(
            "A deployed model is not shuffled.",
            field="dissection.shuffled",
            value=dissection.shuffled,
            remedy="Leave it out.",
        )
    return dissection.submission(target, settings)
