"""Judge audits whose dissections have ended, each by the policy as it was when the audit began."""

from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import version
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from service.analysis.network_facts import drift_facts, network_facts
from service.analysis.verdict import judge
from service.db import audits as queries
from service.db.session import Sessions, transaction
from service.domain.audit_facts import AuditFacts, Drift, Judgement, NetworkFacts, StratumFacts
from service.domain.audits import Audit, AuditStatus
from service.domain.digests import digest_of
from service.domain.jobs import Job, JobStatus
from service.domain.json_values import StoredJson
from service.domain.manifests import JobManifest
from service.domain.trail import SCHEDULER
from service.errors import Conflict, DissectError, ProblemFields
from service.usecases.audit_alerts import tell_of_audit
from service.usecases.audit_dependence import begin_ablation, dependence_facts
from service.usecases.audits import find_audit
from service.usecases.comparisons import compare_jobs
from service.usecases.deployments import find_deployment
from service.usecases.evidence import concept_set_of_job, evidence_of
from service.usecases.jobs import find_job
from service.usecases.neurons import read_layers
from service.usecases.trail import record

_UNFORESEEN = "Judging the audit failed with an unexpected error; the scheduler's log has the details."

log = structlog.get_logger()


def judge_ended_audits(sessions: Sessions) -> list[UUID]:
    """Judge every audit whose dissections have ended, each in its own transaction; several may do so at once."""
    judged: list[UUID] = []
    while True:
        with transaction(sessions) as session:
            audit_id = queries.take_ended_audit(session)
            if audit_id is None:
                return judged
            try:
                with session.begin_nested():
                    has_ended = _end(session, find_audit(session, audit_id))
            except (DissectError, ArithmeticError, LookupError, TypeError, ValueError) as error:
                _give_up(session, audit_id, error)
                has_ended = True
            if has_ended:
                _tell(session, find_audit(session, audit_id))
                judged.append(audit_id)


def recompute(audit: Audit) -> Judgement:
    """The judgement that the audit's facts and policy give now. Raises Conflict where it has not been judged."""
    if audit.facts is None:
        raise Conflict(
            f"Audit {audit.id} has no facts: it is {audit.status}.",
            field="audit",
            value=audit.id,
            remedy="Wait for it.",
        )
    return judge(audit.policy, audit.facts)


def _end(session: Session, audit: Audit) -> bool:
    """False where it has to wait for an ablation that a rule asks for, which begins once the dissection has ended."""
    job = find_job(session, _known(audit.job))
    stratum_jobs = [find_job(session, stratum.job) for stratum in audit.strata if stratum.job is not None]
    for dissection in (job, *stratum_jobs):
        if dissection.status is not JobStatus.SUCCEEDED:
            queries.end_audit(session, audit.id, AuditStatus.ERROR, problem=_failed(dissection))
            return True
    if begin_ablation(session, audit.policy, job.id):
        return False

    facts = _facts(session, audit, job)
    judgement = judge(audit.policy, facts)
    queries.end_audit(session, audit.id, AuditStatus.JUDGED, facts=facts, judgement=judgement)
    log.info("audit judged", audit=str(audit.id), deployment=audit.deployment, verdict=judgement.verdict)
    return True


def _tell(session: Session, audit: Audit) -> None:
    verdict = digest_of({"status": audit.status, "verdict": audit.verdict})
    record(session, actor=SCHEDULER, action="judge audit", subject=f"/audits/{audit.id}", after=verdict)
    tell_of_audit(session, find_deployment(session, audit.deployment), audit)


def _give_up(session: Session, audit_id: UUID, error: Exception) -> None:
    """An audit that cannot be judged ends as an error, so that it does not stand in the way of the others."""
    log.error("audit cannot be judged", audit=str(audit_id), exc_info=error)
    problem = error if isinstance(error, DissectError) else DissectError(_UNFORESEEN)
    queries.end_audit(session, audit_id, AuditStatus.ERROR, problem=problem.as_problem())


def _facts(session: Session, audit: Audit, job: Job) -> AuditFacts:
    """Raises Conflict where the dissection cannot be compared with the baseline."""
    manifest = job.manifest or {}
    replay = manifest.get("replay")
    original = None if replay is None else find_job(session, _known(audit.baseline)).manifest

    return AuditFacts(
        network=_network(session, job.id),
        same_network=replay is not None,
        identical=None if replay is None else bool(replay["identical"]),
        made_otherwise=() if original is None else _environment_differences(original, manifest),
        baseline=None if audit.baseline is None else _network(session, audit.baseline),
        drift=None if audit.baseline is None else _drift(session, audit.baseline, job.id),
        strata=_stratum_facts(session, audit),
        dependence=dependence_facts(session, audit.policy, job.id),
        release=version("mammo-clip-dissect-service"),
    )


def _environment_differences(original: JobManifest, replay: JobManifest) -> tuple[str, ...]:
    """Device, processor and versions that differ between manifests: then equal work may round differently."""
    before = _environment(original)
    after = _environment(replay)
    return tuple(
        f"{name} {before.get(name)}, now {after.get(name)}"
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    )


def _environment(manifest: JobManifest) -> StoredJson:
    return {"device": manifest.get("device"), **manifest.get("processor", {}), **manifest.get("versions", {})}


def _network(session: Session, job_id: UUID) -> NetworkFacts:
    layers = list(read_layers(session, job_id))
    return network_facts(layers, concept_set_of_job(session, job_id), evidence_of(find_job(session, job_id)))


def _drift(session: Session, baseline: UUID, job_id: UUID) -> Drift:
    comparison, _ = compare_jobs(session, [baseline, job_id])
    assert comparison.result is not None  # noqa: S101 - it is no brief one
    return drift_facts(comparison.id, comparison.result)


def _stratum_facts(session: Session, audit: Audit) -> Mapping[str, tuple[StratumFacts, ...]]:
    facts: dict[str, list[StratumFacts]] = defaultdict(list)
    for stratum in audit.strata:
        if stratum.job is None:
            network = None
            exams = stratum.exams
        else:
            network = _network(session, stratum.job)
            exams = _exams_drawn(session, stratum.job, stratum.exams)
        facts[stratum.stratum].append(StratumFacts(stratum.value, exams, network, stratum.reason))

    return {name: tuple(values) for name, values in facts.items()}


def _exams_drawn(session: Session, job_id: UUID, by_manifest: int) -> int:
    """How many exams a dissection drew from, which knows of copies and of unreadable images what no manifest says."""
    evidence = evidence_of(find_job(session, job_id))
    return by_manifest if evidence is None else evidence.units


def _failed(job: Job) -> ProblemFields:
    reason = f": {job.problem['detail']}" if job.problem else "."
    return {
        "code": "dissection-failed",
        "title": "Dissection failed",
        "detail": f"The dissection {job.id} ended {job.status}{reason}",
        "remedy": f"See GET /jobs/{job.id} for the reason, then audit again.",
    }


def _known(job_id: UUID | None) -> UUID:
    assert job_id is not None  # noqa: S101 - an audit without one has ended
    return job_id
