"""Deploy a model, give it another version, policy or baseline, silence its alerts."""

from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import deployments as queries
from service.db.columns import ColumnValues
from service.db.jobs import JobParts, parts_of, request_as_json
from service.domain.audits import Deployment, Snooze
from service.domain.digests import digest_of
from service.domain.groups import exams_by_stratum
from service.domain.jobs import Job, JobRequest
from service.domain.json_values import StoredJson
from service.domain.pages import Page, Position
from service.domain.purposes import JobPurpose, Purpose
from service.domain.resources import Resource, ResourceKind, check_name
from service.errors import Conflict, InvalidInput, NotFound
from service.files import DataRoots
from service.usecases.jobs import JobSubmission, check_layers, choose_job, find_job, resolve
from service.usecases.policies import policy_of
from service.usecases.policy_binding import bind_policy
from service.usecases.preparations import check_fetched
from service.usecases.probe_sets import probe_set_of
from service.usecases.purposes import judge_purpose
from service.usecases.readings import Readings
from service.usecases.resources import concept_set_of, find_resource
from service.usecases.trail import annotate

_SAME = ("dissector", "probe_set", "concept_set", "options", "batch_size", "shard_size")
"""What a baseline's request must have in common with the deployment's, for every audit's with it."""


@dataclass(frozen=True, slots=True)
class DeploymentSubmission:
    """What somebody deploys under a name, and how it is to be audited."""

    name: str
    policy: str
    """A policy's name, or `name@version`."""
    dissection: JobSubmission | None = None
    """The target, and how it is dissected; None where all that is as in the baseline."""
    baseline: UUID | None = None
    """A job that has succeeded; None where the first baseline is pinned later."""
    registered_model: str | None = None
    alert_budget: int | None = None


def create_deployment(
    session: Session, submission: DeploymentSubmission, roots: DataRoots, readings: Readings
) -> Deployment:
    """Deploy a model: as a dissection says, or just as the job did that becomes the baseline.

    Raises InvalidInput unless exactly one is given and for a job with shuffled weights, NotFound, UnknownLayer,
    InvalidPolicy where the policy could not be applied, Conflict for a name that is taken or a job without a result,
    PurposeNotAllowed, FileOutOfReach where the manifest cannot be read now, and NotRead.
    """
    name = submission.name
    baseline = submission.baseline
    check_name(name)
    if (submission.dissection is None) == (baseline is None):
        raise InvalidInput(
            "Say how to dissect the model.",
            field="baseline",
            value=baseline,
            remedy="Give either the job that becomes the baseline, or a dissection.",
        )

    if submission.dissection is not None:
        parts, request = resolve(session, submission.dissection)
    else:
        job = _baseline(session, baseline)
        parts = parts_of(session, job.id)
        request = replace(job.request, purpose=judge_purpose(parts, None, earlier=job.request.purpose))
    policy = find_resource(session, ResourceKind.POLICY, submission.policy, field="policy")
    _check_policy(session, policy, parts, roots, readings)

    new_deployment = queries.NewDeployment(
        name=name,
        parts=parts,
        request=request,
        policy=policy,
        baseline=baseline,
        registered_model=submission.registered_model,
        alert_budget=submission.alert_budget,
    )
    deployment = queries.add_deployment(session, new_deployment)
    if deployment is None:
        raise Conflict(
            f"A deployment named '{name}' already exists.",
            field="name",
            value=name,
            remedy=f"Choose another name, or POST /deployments/{name}/versions.",
        )

    annotate(session, after=digest_of_deployment(deployment))
    return deployment


def find_deployment(session: Session, name: str) -> Deployment:
    """The deployment with that name. Raises NotFound with near matches."""
    deployment = queries.find_deployment(session, name)
    if deployment is None:
        near = get_close_matches(name, queries.deployment_names(session), n=3, cutoff=0.4)
        raise NotFound(
            f"There is no deployment '{name[:80]}'.",
            field="deployment",
            value=name,
            remedy=f"Near matches: {', '.join(near)}." if near else "Create one with POST /deployments.",
        )
    return deployment


def list_deployments(session: Session, *, limit: int, after: Position | None) -> Page[Deployment]:
    """Deployments, newest first."""
    return queries.list_deployments(session, limit=limit, after=after)


def deploy_version(session: Session, name: str, target: Resource, *, override_reason: str | None = None) -> Deployment:
    """Take that target into use.

    override_reason: why parts are used that do not allow the deployment's purpose. Raises NotFound, UnknownLayer where
    it is known to lack a dissected layer, PurposeNotAllowed, NotFetched, and Conflict where
    it cannot be fetched.
    """
    deployment = find_deployment(session, name)
    check_fetched(session, target)
    check_layers(session, target, deployment.request.options.layers or ())

    values: ColumnValues = {"target_id": target.id}
    parts = replace(queries.parts_of_deployment(session, deployment.id), target=target)
    purpose = judge_purpose(
        parts, None, reason=override_reason, earlier=deployment.request.purpose, where="the deployment"
    )
    if override_reason is not None:
        values["options"] = _with_purpose(deployment, purpose)
    return _changed(session, deployment, values)


def change_deployment(
    session: Session,
    name: str,
    *,
    policy: str | None,
    alert_budget: int | None,
    registered_model: str | None,
    purpose: Purpose | None = None,
    override_reason: str | None = None,
    roots: DataRoots,
    readings: Readings,
) -> Deployment:
    """Give it another policy, alert budget, registry name or purpose; None leaves a thing as it is.

    override_reason: why parts are used that do not allow its purpose. Raises NotFound, InvalidPolicy where the policy
    could not be applied, PurposeNotAllowed, FileOutOfReach where the manifest cannot be read now, and NotRead.
    """
    deployment = find_deployment(session, name)
    values: ColumnValues = {}

    if policy is not None:
        new_policy = find_resource(session, ResourceKind.POLICY, policy, field="policy")
        parts = queries.parts_of_deployment(session, deployment.id)
        _check_policy(session, new_policy, parts, roots, readings)
        values["policy_id"] = new_policy.id
    if alert_budget is not None:
        values["alert_budget"] = alert_budget
    if registered_model is not None:
        values["registered_model"] = registered_model
    if purpose is not None or override_reason is not None:
        parts = queries.parts_of_deployment(session, deployment.id)
        new_purpose = judge_purpose(
            parts, purpose, reason=override_reason, earlier=deployment.request.purpose, where="the deployment"
        )
        values["options"] = _with_purpose(deployment, new_purpose)

    return _changed(session, deployment, values)


def pin_baseline(session: Session, name: str, job_id: UUID) -> Deployment:
    """Compare audits with that job from now on.

    Raises NotFound, InvalidInput for a job with shuffled weights, and Conflict for a job without a result or one that
    audits could not be compared with.
    """
    deployment = find_deployment(session, name)
    job = _baseline(session, job_id)

    differing = [part for part in _SAME if _part(job.request, part) != _part(deployment.request, part)]
    if differing:
        differences = [
            f"{part} ({_part(job.request, part)} against {_part(deployment.request, part)})" for part in differing
        ]
        raise Conflict(
            f"Audits of {name} cannot be compared with job {job_id}: they differ in {', '.join(differences)}.",
            field=differing[0],
            value=job_id,
            remedy="Pin the dissection of one of the deployment's audits.",
        )

    return _changed(session, deployment, {"baseline_id": job_id})


def snooze_deployment(session: Session, name: str, snooze: Snooze | None, now: datetime) -> Deployment:
    """Silence its alerts for a time, or, with None, let them sound again. Raises NotFound, InvalidInput."""
    deployment = find_deployment(session, name)
    if snooze is not None and snooze.until <= now:
        raise InvalidInput(
            "That time is in the past.",
            field="until",
            value=snooze.until.isoformat(),
            remedy="Give a time in the future.",
        )
    return _changed(session, deployment, {"snooze": queries.snooze_as_json(snooze)})


def digest_of_deployment(deployment: Deployment) -> str:
    """What the trail keeps of a deployment: the digest of everything about it that can change."""
    purpose = deployment.request.purpose
    entries: StoredJson = {} if purpose is None else {"purpose": purpose.as_dict()}
    return digest_of(
        {
            **entries,
            "target": deployment.target.digest,
            "policy": deployment.policy.digest,
            "baseline": str(deployment.baseline),
            "registered_model": deployment.registered_model,
            "alert_budget": deployment.alert_budget,
            "snooze": queries.snooze_as_json(deployment.snooze),
        }
    )


def _with_purpose(deployment: Deployment, purpose: JobPurpose) -> StoredJson:
    return {**request_as_json(replace(deployment.request, purpose=purpose))}


def _changed(session: Session, deployment: Deployment, values: ColumnValues) -> Deployment:
    if values:
        queries.change_deployment(session, deployment.id, values)

    changed = find_deployment(session, deployment.name)
    annotate(session, before=digest_of_deployment(deployment), after=digest_of_deployment(changed))
    return changed


def _baseline(session: Session, job_id: UUID | None) -> Job:
    job = find_job(session, choose_job(session, job_id=job_id, model=None))
    if job.request.options.shuffled is not None:
        raise InvalidInput(
            f"Job {job.id} dissected the network with its weights shuffled, which is not a network in use.",
            field="baseline",
            value=job.id,
            remedy="Name a dissection of the network itself.",
        )
    return job


def _part(request: JobRequest, part: str) -> object:
    if part == "options":
        return replace(request.options, shuffled=None)
    return getattr(request, part)


def _check_policy(session: Session, policy: Resource, parts: JobParts, roots: DataRoots, readings: Readings) -> None:
    concept_set = find_resource(session, ResourceKind.CONCEPT_SET, parts.concept_set.reference, field="concept_set")
    probe_set = probe_set_of(session, parts.probe_set, roots, readings)
    exams = exams_by_stratum(probe_set.items, probe_set.independent)
    bind_policy(policy_of(policy), concept_set_of(concept_set), exams)
