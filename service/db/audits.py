"""Queries on audits."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session, defer

from service.db.ablations import has_open_watched_ablation
from service.db.audit_tables import AuditRow, AuditStratumRow, DeploymentRow
from service.db.paging import cut_page, newest_first
from service.db.resources import get_resource
from service.db.tables import JobRow
from service.domain.audit_facts import AuditFacts, Judgement, RuleOutcome
from service.domain.audits import Acknowledgement, Audit, AuditStatus, Deployment, Occasion, StratumJob
from service.domain.jobs import ENDED
from service.domain.pages import Page, Position
from service.domain.policies import Policy
from service.errors import ProblemFields

_POLICY = TypeAdapter(Policy)
_FACTS = TypeAdapter(AuditFacts)
_OUTCOMES = TypeAdapter(tuple[RuleOutcome, ...])
_ACKNOWLEDGEMENT = TypeAdapter(Acknowledgement)


def add_audit(session: Session, deployment: Deployment, occasion: Occasion, policy: Policy) -> UUID:
    """Insert a running audit. policy: the deployment's, bound."""
    target = occasion.target or deployment.target
    values = {
        "deployment_id": deployment.id,
        "trigger": occasion.trigger,
        "schedule_id": occasion.schedule,
        "fire_time": occasion.fire_time,
        "target_id": target.id,
        "candidate": target.id != deployment.target.id,
        "policy_id": deployment.policy.id,
        "policy": _POLICY.dump_python(policy, mode="json", exclude_none=True),
        "baseline_id": deployment.baseline,
    }
    return session.execute(insert(AuditRow).values(**values).returning(AuditRow.id)).scalar_one()


def set_jobs(session: Session, audit_id: UUID, job: UUID, strata: Sequence[StratumJob]) -> None:
    """Note the dissections that an audit waits for."""
    session.execute(update(AuditRow).where(AuditRow.id == audit_id).values(job_id=job))

    rows = [
        {
            "audit_id": audit_id,
            "stratum": stratum.stratum,
            "value": stratum.value,
            "exams": stratum.exams,
            "job_id": stratum.job,
            "reason": stratum.reason,
        }
        for stratum in strata
    ]
    if rows:
        session.execute(insert(AuditStratumRow), rows)


def end_audit(
    session: Session,
    audit_id: UUID,
    status: AuditStatus,
    *,
    facts: AuditFacts | None = None,
    judgement: Judgement | None = None,
    problem: ProblemFields | None = None,
) -> bool:
    """End a running audit; False where it has ended before."""
    statement = (
        update(AuditRow)
        .where(AuditRow.id == audit_id, AuditRow.status == AuditStatus.RUNNING)
        .values(
            status=status,
            verdict=None if judgement is None else judgement.verdict,
            facts=None if facts is None else _FACTS.dump_python(facts, mode="json"),
            outcomes=None if judgement is None else _OUTCOMES.dump_python(judgement.outcomes, mode="json"),
            problem=None if problem is None else dict(problem),
            finished_at=func.clock_timestamp(),
        )
    )
    return session.scalar(statement.returning(AuditRow.id)) is not None


def acknowledge_audit(session: Session, audit_id: UUID, by: str, reason: str) -> bool:
    """Note who has seen the verdict, once; False where somebody has before."""
    now = session.execute(select(func.now())).scalar_one()
    acknowledgement = {**asdict(Acknowledgement(by, reason, now)), "at": now.isoformat()}

    statement = update(AuditRow).where(AuditRow.id == audit_id, AuditRow.acknowledgement.is_(None))
    return session.scalar(statement.values(acknowledgement=acknowledgement).returning(AuditRow.id)) is not None


def take_ended_audit(session: Session) -> UUID | None:
    """A running audit whose dissections have all ended, and its ablation if there is one.

    Nobody else may take it until this transaction ends.
    """
    ended = [str(status) for status in ENDED]
    waiting = (
        select(AuditStratumRow.audit_id)
        .join(JobRow, JobRow.id == AuditStratumRow.job_id)
        .where(AuditStratumRow.audit_id == AuditRow.id, JobRow.status.not_in(ended))
    )

    query = (
        select(AuditRow.id)
        .join(JobRow, JobRow.id == AuditRow.job_id)
        .where(
            AuditRow.status == AuditStatus.RUNNING,
            JobRow.status.in_(ended),
            ~waiting.exists(),
            ~has_open_watched_ablation(AuditRow.job_id),
        )
        .order_by(AuditRow.id)
        .limit(1)
        .with_for_update(of=AuditRow, skip_locked=True)
    )
    return session.scalar(query)


def hold_running_audit(session: Session, audit_id: UUID) -> bool:
    """Keep a running audit from being ended by others until this transaction ends; False where one of them does so."""
    query = select(AuditRow.id).where(AuditRow.id == audit_id, AuditRow.status == AuditStatus.RUNNING)
    return session.scalar(query.with_for_update(skip_locked=True)) is not None


def open_audits_of_schedule(session: Session, schedule_id: UUID) -> list[UUID]:
    """The running audits that a schedule has started, oldest first."""
    query = select(AuditRow.id).where(AuditRow.schedule_id == schedule_id, AuditRow.status == AuditStatus.RUNNING)
    return list(session.scalars(query.order_by(AuditRow.id)))


def get_audit(session: Session, audit_id: UUID) -> Audit | None:
    """The audit with that id."""
    row = session.execute(_SELECT.where(AuditRow.id == audit_id)).first()
    return None if row is None else _audit(session, *row)


def list_audits(
    session: Session,
    *,
    deployment_id: UUID | None,
    verdict: str | None,
    with_facts: bool,
    limit: int,
    after: Position | None,
) -> Page[Audit]:
    """Audits, newest first: of one deployment or all, with one verdict or any. Without their strata."""
    query = newest_first(_SELECT, AuditRow.id, limit=limit, after=after)
    if not with_facts:
        query = query.options(defer(AuditRow.facts, raiseload=True))
    if deployment_id is not None:
        query = query.where(AuditRow.deployment_id == deployment_id)
    if verdict is not None:
        query = query.where(AuditRow.verdict == verdict)

    rows, next_position = cut_page(session.execute(query).all(), limit, lambda row: row[0].id)
    audits = tuple(_audit(session, *row, with_facts=with_facts, with_strata=False) for row in rows)
    return Page(audits, next_position)


def last_judged(session: Session, deployment: str, before: datetime) -> Audit | None:
    """The audit of a deployment that was judged last before that moment."""
    query = _SELECT.where(
        DeploymentRow.name == deployment, AuditRow.status == AuditStatus.JUDGED, AuditRow.finished_at < before
    )
    row = session.execute(query.order_by(AuditRow.finished_at.desc(), AuditRow.id.desc()).limit(1)).first()
    return None if row is None else _audit(session, *row)


_SELECT = (
    select(AuditRow, DeploymentRow.name)
    .join(DeploymentRow, DeploymentRow.id == AuditRow.deployment_id)
    .execution_options(populate_existing=True)
)


def _audit(
    session: Session, row: AuditRow, deployment: str, *, with_facts: bool = True, with_strata: bool = True
) -> Audit:
    policy = get_resource(session, row.policy_id)
    outcomes = None if row.outcomes is None else _OUTCOMES.validate_python(row.outcomes)
    return Audit(
        id=row.id,
        deployment=deployment,
        trigger=row.trigger,  # type: ignore[arg-type]
        schedule=row.schedule_id,
        fire_time=row.fire_time,
        target=get_resource(session, row.target_id),
        candidate=row.candidate,
        policy=_POLICY.validate_python(row.policy),
        policy_reference=policy.reference,
        policy_digest=policy.digest,
        baseline=row.baseline_id,
        job=row.job_id,
        strata=_strata(session, row.id) if with_strata else (),
        status=AuditStatus(row.status),
        facts=_FACTS.validate_python(row.facts) if with_facts and row.facts is not None else None,
        judgement=None if outcomes is None else Judgement(row.verdict, outcomes),  # type: ignore[arg-type]
        problem=row.problem,
        acknowledgement=None if row.acknowledgement is None else _ACKNOWLEDGEMENT.validate_python(row.acknowledgement),
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _strata(session: Session, audit_id: UUID) -> tuple[StratumJob, ...]:
    query = select(AuditStratumRow).where(AuditStratumRow.audit_id == audit_id)
    rows = session.scalars(query.order_by(AuditStratumRow.stratum, AuditStratumRow.value))
    return tuple(StratumJob(row.stratum, row.value, row.exams, row.job_id, row.reason) for row in rows)
