"""Audit a deployed model: begin it, find it, cancel it, acknowledge its verdict."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from service.db import audits as queries
from service.db.ablations import open_watched_ablations
from service.db.deployments import parts_of_deployment
from service.db.jobs import JobParts, parts_of
from service.domain.audits import Audit, AuditFiles, AuditStatus, Deployment, FilesRead, Occasion, StratumJob
from service.domain.digests import digest_of, digest_of_file
from service.domain.groups import exams_by_stratum
from service.domain.jobs import Job, JobRequest
from service.domain.methods import PRIOR_METHODS
from service.domain.pages import Page, Position
from service.domain.policies import Policy
from service.domain.probes import ProbeSet
from service.domain.resources import Resource
from service.domain.specs import model_spec
from service.errors import Conflict, DigestMismatch, DissectError, NotFetched, NotFound, NotMeasured, Unavailable
from service.files import DataRoots, is_lasting, out_of_reach, remedy_for
from service.ports import FilesNeeded, JobQueue
from service.sources.uris import is_remote
from service.usecases.ablations import cancel_ablation
from service.usecases.audit_alerts import tell_of_audit
from service.usecases.files import digest_key
from service.usecases.jobs import cancel_job, check_askable, submit_parts
from service.usecases.policies import policy_of
from service.usecases.policy_binding import bind_policy
from service.usecases.preparations import check_fetched, image_count
from service.usecases.probe_sets import listed_probe_set, register_part, stored_listing, with_patches
from service.usecases.purposes import judge_purpose
from service.usecases.readings import AT_ONCE, Readings
from service.usecases.resources import concept_set_of
from service.usecases.states import check_not_refused
from service.usecases.trail import annotate

log = structlog.get_logger()


def start_audit(
    session: Session,
    queue: JobQueue,
    deployment: Deployment,
    occasion: Occasion,
    roots: DataRoots,
    readings: Readings,
) -> Audit:
    """Begin an audit in the caller's transaction with its files read. See `begin_audit`. Raises NotRead, too."""
    files = files_of_audit(session, deployment, occasion.target)
    return begin_audit(session, queue, deployment, occasion, read_files(files, roots, readings))


def files_of_audit(session: Session, deployment: Deployment, candidate: Resource | None = None) -> AuditFiles:
    """The registered things whose files an audit of the deployment, or of a candidate for it, reads."""
    probe_set = parts_of_deployment(session, deployment.id).probe_set
    return AuditFiles(candidate or deployment.target, probe_set, stored_listing(session, probe_set))


def read_files(files: AuditFiles, roots: DataRoots, readings: Readings = AT_ONCE) -> FilesRead:
    """Read a checkpoint and a manifest, which may be long and needs no session; a problem is part of what it gives.

    Raises NotRead.
    """
    try:
        _check_file(files.target, roots, readings)
        return FilesRead(files, listed=listed_probe_set(files.probe_set, roots, readings, listing=files.listing))
    except DissectError as error:
        return FilesRead(files, problem=error)


def begin_audit(
    session: Session, queue: JobQueue, deployment: Deployment, occasion: Occasion, read: FilesRead
) -> Audit:
    """Begin an audit with the dissections that its policy needs.

    The network of the baseline is dissected from scratch, so that a result that cannot be reproduced comes to light.
    Where a file behind the deployment is not what was registered, or the policy cannot be applied any more, the audit
    ends at once with that problem: it was asked for, so it is on record.
    Raises FilesNeeded where other files were read than those that the audit rests on by now. Raises NotMeasured where
    the probe set's patches are not known yet, NotFetched where the target's source was not fetched yet, and Unavailable
    where a file could not be read for now: then the audit can only begin later.
    """
    if read.files != files_of_audit(session, deployment, occasion.target):
        raise FilesNeeded
    try:
        plan = _plan(session, deployment, occasion, read)
    except (NotMeasured, NotFetched, Unavailable):
        raise
    except DissectError as error:
        return refuse_audit(session, deployment, occasion, error)

    audit_id = queries.add_audit(session, deployment, occasion, plan.policy)
    job = _submit(session, queue, audit_id, plan.parts, plan.request, replay_of=plan.replay_of)
    strata = [_dissect_stratum(session, queue, audit_id, plan, stratum) for stratum in _strata(plan)]
    queries.set_jobs(session, audit_id, job.id, strata)
    return find_audit(session, audit_id)


def refuse_audit(session: Session, deployment: Deployment, occasion: Occasion, problem: DissectError) -> Audit:
    """Record an audit that was asked for and cannot begin: it ends at once with that problem, and is told of."""
    audit_id = queries.add_audit(session, deployment, occasion, policy_of(deployment.policy))
    queries.end_audit(session, audit_id, AuditStatus.ERROR, problem=problem.as_problem())
    audit = find_audit(session, audit_id)

    log.warning("audit cannot begin", audit=str(audit_id), deployment=deployment.name, problem=problem.code)
    tell_of_audit(session, deployment, audit)
    return audit


def find_audit(session: Session, audit_id: UUID) -> Audit:
    """The audit as it stands now. Raises NotFound."""
    audit = queries.get_audit(session, audit_id)
    if audit is None:
        raise NotFound(
            f"There is no audit {audit_id}.", field="audit", value=audit_id, remedy="List them with GET /audits."
        )
    return audit


def list_audits(
    session: Session,
    *,
    deployment: Deployment | None,
    verdict: str | None,
    limit: int,
    after: Position | None,
    with_facts: bool = False,
) -> Page[Audit]:
    """Audits, newest first: of one deployment or all, with one verdict or any. Without their strata."""
    return queries.list_audits(
        session,
        deployment_id=None if deployment is None else deployment.id,
        verdict=verdict,
        with_facts=with_facts,
        limit=limit,
        after=after,
    )


def cancel_audit(session: Session, audit_id: UUID) -> Audit:
    """End a running audit and its dissections without a verdict.

    Raises NotFound, and Conflict once it has ended or is being judged, for which nobody waits here: it may be long.
    """
    is_held = queries.hold_running_audit(session, audit_id)
    audit = find_audit(session, audit_id)
    if not is_held:
        state = "is being judged" if audit.status is AuditStatus.RUNNING else f"has ended: {audit.status}"
        raise Conflict(f"Audit {audit_id} {state}.", field="audit", value=audit_id)

    queries.end_audit(session, audit_id, AuditStatus.CANCELLED)
    stratum_jobs = [stratum.job for stratum in audit.strata]
    for job_id in (audit.job, *stratum_jobs):
        if job_id is not None:
            with suppress(Conflict):  # it has ended
                cancel_job(session, job_id)
    if audit.job is not None:
        for ablation_id in open_watched_ablations(session, audit.job):
            cancel_ablation(session, audit.job, ablation_id)

    before = digest_of({"status": AuditStatus.RUNNING})
    after = digest_of({"status": AuditStatus.CANCELLED})
    annotate(session, before=before, after=after)
    return find_audit(session, audit_id)


def acknowledge_audit(session: Session, audit_id: UUID, *, by: str, reason: str) -> Audit:
    """Note that somebody has seen the verdict. Raises NotFound, and Conflict where there is none or it was noted."""
    audit = find_audit(session, audit_id)
    if audit.status is AuditStatus.RUNNING:
        raise Conflict(f"Audit {audit_id} has no verdict yet.", field="audit", value=audit_id, remedy="Wait for it.")

    if not queries.acknowledge_audit(session, audit_id, by, reason):
        raise Conflict(f"Audit {audit_id} has already been acknowledged.", field="audit", value=audit_id)
    annotate(session, after=digest_of({"by": by, "reason": reason}))
    return find_audit(session, audit_id)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an audit will examine."""

    parts: JobParts
    request: JobRequest
    policy: Policy
    probe_set: ProbeSet

    exams: Mapping[str, Mapping[str, int]]
    """How many exams there are, by stratum and value."""

    replay_of: UUID | None
    """The baseline where the target is its network."""


def _plan(session: Session, deployment: Deployment, occasion: Occasion, read: FilesRead) -> _Plan:
    """Raises the files' problem, PartRefused, InvalidPolicy, PurposeNotAllowed, NotMeasured, NotFetched, and
    InvalidInput for what cannot be asked of a table.
    """
    if read.problem is not None:
        raise read.problem
    assert read.listed is not None  # noqa: S101 - one or the other

    target = read.files.target
    parts = replace(parts_of_deployment(session, deployment.id), target=target)
    check_not_refused(session, parts)
    check_fetched(session, target)
    check_askable(target, parts.probe_set, shuffled=None)
    probe_set = with_patches(session, read.files.probe_set, read.listed)
    exams = exams_by_stratum(probe_set.items, probe_set.independent)
    policy = bind_policy(policy_of(deployment.policy), concept_set_of(parts.concept_set), exams)

    purpose = judge_purpose(
        parts,
        None,
        reason=occasion.override_reason,
        earlier=deployment.request.purpose,
        where="the deployment",
    )
    request = replace(deployment.request, purpose=purpose)
    baseline = deployment.baseline
    is_baseline_network = baseline is not None and parts_of(session, baseline).target.digest == target.digest
    return _Plan(parts, request, policy, probe_set, exams, baseline if is_baseline_network else None)


def _check_file(target: Resource, roots: DataRoots, readings: Readings) -> None:
    """A source is not fetched here: the worker does, and refuses content of another digest."""
    spec = model_spec(target)
    if is_remote(spec["checkpoint"]):
        return
    path = Path(spec["checkpoint"])
    try:
        actual = readings.of(digest_key(path), partial(digest_of_file, path, roots))
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach("checkpoint", error, field="target", value=target.reference) from None
        raise DigestMismatch(
            f"The checkpoint cannot be read: {error.strerror}.",
            field="target",
            value=target.reference,
            remedy=remedy_for(error, f"Put the file back, or register it as {target.name} again at its present path."),
        ) from None

    if actual != spec["sha256"]:
        raise DigestMismatch(
            f"The checkpoint's SHA-256 is {actual}, but {spec['sha256']} was registered.",
            field="target",
            value=target.reference,
            remedy="Find out who changed the file; if the change is intended, deploy it as a new version.",
        )


def _submit(
    session: Session,
    queue: JobQueue,
    audit_id: UUID,
    parts: JobParts,
    request: JobRequest,
    *,
    replay_of: UUID | None = None,
) -> Job:
    request = replace(
        request,
        target=parts.target.reference,
        probe_set=parts.probe_set.reference,
        options=replace(request.options, shuffled=None),
    )
    digest = digest_of({"audit": str(audit_id)})
    return submit_parts(session, queue, parts, request, request_digest=digest, replay_of=replay_of)


@dataclass(frozen=True, slots=True)
class _Stratum:
    name: str
    value: str
    exams: int


def _strata(plan: _Plan) -> Iterator[_Stratum]:
    for name in plan.policy.strata:
        for value, exams in plan.exams[name].items():
            yield _Stratum(name, value, exams)


def _dissect_stratum(session: Session, queue: JobQueue, audit_id: UUID, plan: _Plan, stratum: _Stratum) -> StratumJob:
    """Its top-k follows its size, as if nobody had chosen one for fewer images."""
    least = plan.policy.least_exams(stratum.name)
    if stratum.exams < least:
        reason = f"{stratum.exams} exams; at least {least} are needed."
        return StratumJob(stratum.name, stratum.value, stratum.exams, None, reason)

    part = register_part(session, plan.parts.probe_set, plan.probe_set, {stratum.name: (stratum.value,)})
    images = image_count(session, part)
    request = plan.request
    method = request.options.method
    if method.similarity in PRIOR_METHODS:
        method = replace(method, top_k=min(method.top_k, method.fitted_to(images).top_k, images))
    request = replace(request, options=replace(request.options, method=method))

    job = _submit(session, queue, audit_id, replace(plan.parts, probe_set=part), request)
    return StratumJob(stratum.name, stratum.value, stratum.exams, job.id)
