"""Deployed models: their versions, baselines, silences and history."""

from datetime import UTC, datetime
from functools import partial

from fastapi import APIRouter, Request, Response, status

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep, SettingsDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.audits import AuditBriefOut
from api.schemas.deployments import (
    BaselineIn,
    DeployedOut,
    DeploymentBriefOut,
    DeploymentChangeIn,
    DeploymentIn,
    DeploymentOut,
    HistoryPointOut,
    SnoozeIn,
    VersionIn,
)
from api.schemas.jobs import JobIn
from api.targets import target_of
from service.config import Settings
from service.domain.audits import Audit, Deployment, Occasion, Snooze
from service.errors import Conflict, InvalidInput
from service.usecases import audits, deployments
from service.usecases.jobs import JobSubmission

router = APIRouter(prefix="/deployments", tags=["deployments"], route_class=OneThreadRoute)


@router.post("", status_code=status.HTTP_201_CREATED)
def create_deployment(
    body: DeploymentIn,
    session: SessionDep,
    queue: QueueDep,
    settings: SettingsDep,
    roots: RootsDep,
    readings: ReadingsDep,
    response: Response,
) -> DeploymentOut:
    """Deploy a model. 422 if the policy cannot be applied to it; the error names the rule."""

    def create() -> Deployment:
        dissection = None
        if body.dissection is not None:
            target = target_of(session, queue, roots, body.dissection.target, name=body.name, readings=readings)
            dissection = _submission(body.dissection, target.reference, settings)

        submission = deployments.DeploymentSubmission(
            name=body.name,
            policy=body.policy,
            dissection=dissection,
            baseline=body.baseline,
            registered_model=body.registered_model,
            alert_budget=body.alert_budget,
        )
        return deployments.create_deployment(session, submission, roots, readings)

    deployment = readings.complete(session, create)
    response.headers["Location"] = f"/deployments/{deployment.name}"
    return DeploymentOut.of(deployment)


@router.get("")
def list_deployments(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[DeploymentBriefOut]:
    """All deployments in brief, newest first. GET /deployments/{name} has their layers."""
    page = deployments.list_deployments(session, limit=limit, after=decode_cursor(cursor))
    items = list(map(DeploymentBriefOut.of, page.items))
    return PageOut[DeploymentBriefOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{name}")
def read_deployment(name: str, session: SessionDep) -> DeploymentOut:
    """One deployment."""
    return DeploymentOut.of(deployments.find_deployment(session, name))


@router.patch("/{name}")
def change_deployment(
    name: str, body: DeploymentChangeIn, session: SessionDep, roots: RootsDep, readings: ReadingsDep
) -> DeploymentOut:
    """Change the policy, alert budget, registry name or purpose. Running audits keep what they began with."""
    change = partial(
        deployments.change_deployment,
        session,
        name,
        policy=body.policy,
        alert_budget=body.alert_budget,
        registered_model=body.registered_model,
        purpose=body.purpose,
        override_reason=None if body.override_purpose is None else body.override_purpose.reason,
        roots=roots,
        readings=readings,
    )
    return DeploymentOut.of(readings.complete(session, change))


@router.post("/{name}/versions", status_code=status.HTTP_202_ACCEPTED)
def deploy_version(
    name: str, body: VersionIn, session: SessionDep, queue: QueueDep, roots: RootsDep, readings: ReadingsDep
) -> DeployedOut:
    """Use a new version from now on. A checkpoint is registered under the deployment's name."""

    def deploy() -> tuple[Deployment, Audit | None]:
        deployments.find_deployment(session, name)
        target = target_of(session, queue, roots, body.target, name=name, readings=readings)
        override = body.override_purpose
        deployment = deployments.deploy_version(
            session, name, target, override_reason=None if override is None else override.reason
        )
        if not body.audit:
            return deployment, None

        occasion = Occasion("version")
        return deployment, audits.start_audit(session, queue, deployment, occasion, roots, readings)

    deployment, audit = readings.complete(session, deploy)
    return DeployedOut(
        deployment=DeploymentOut.of(deployment), audit=None if audit is None else AuditBriefOut.of(audit)
    )


@router.post("/{name}/baseline")
def pin_baseline(name: str, body: BaselineIn, session: SessionDep) -> DeploymentOut:
    """Pin the job to compare audits with. 409 if they cannot be compared; the error names what differs."""
    if (body.job is None) == (body.audit is None):
        raise InvalidInput("Say which dissection you mean.", field="job", remedy="Give either a job or an audit.")

    job = body.job
    if body.audit is not None:
        job = audits.find_audit(session, body.audit).job
    if job is None:
        raise Conflict(f"Audit {body.audit} has no dissection.", field="audit", value=body.audit)

    return DeploymentOut.of(deployments.pin_baseline(session, name, job))


@router.post("/{name}/snooze")
def snooze_deployment(name: str, body: SnoozeIn, session: SessionDep) -> DeploymentOut:
    """Silence the alerts for a time. Audits go on and are recorded."""
    snooze = Snooze(body.until, body.by, body.reason)
    return DeploymentOut.of(deployments.snooze_deployment(session, name, snooze, datetime.now(UTC)))


@router.delete("/{name}/snooze")
def end_snooze(name: str, session: SessionDep) -> DeploymentOut:
    """End the silence of the alerts."""
    return DeploymentOut.of(deployments.snooze_deployment(session, name, None, datetime.now(UTC)))


@router.get("/{name}/history")
def read_history(
    name: str, session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[HistoryPointOut]:
    """The deployment's audits as a time series, newest first."""
    deployment = deployments.find_deployment(session, name)
    after = decode_cursor(cursor)
    page = audits.list_audits(session, deployment=deployment, verdict=None, limit=limit, after=after, with_facts=True)
    items = list(map(HistoryPointOut.of, page.items))
    return PageOut[HistoryPointOut](items=items, next=next_cursor(request, response, page.next_position))


def _submission(dissection: JobIn, target: str, settings: Settings) -> JobSubmission:
    if dissection.shuffled is not None:
        raise InvalidInput(
            "A deployed model is not shuffled.",
            field="dissection.shuffled",
            value=dissection.shuffled,
            remedy="Leave it out.",
        )

    if dissection.where is not None:
        raise InvalidInput(
            "A deployed model is audited on a whole probe set.",
            field="dissection.where",
            value=", ".join(dissection.where),
            remedy="Leave it out, and name the columns in the policy's strata.",
        )

    return dissection.submission(target, settings)
