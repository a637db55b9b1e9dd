"""Queries on ablations and their work items."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, ScalarSelect, exists, func, null, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.db.ablation_tables import AblationRow
from service.db.paging import cut_page, newest_first
from service.db.tables import LayerRow, NeuronRow, WorkItemRow
from service.domain.ablations import Ablation, AblationRequest, AblationResult, AblationStage, AblationStatus
from service.domain.digests import digest_of
from service.domain.json_values import StoredJson
from service.domain.pages import Page, Position
from service.domain.verdicts import Verdict
from service.domain.work import AblationLease, FinishedItem, ItemStatus, OutputsResult, StoredArtifact
from service.errors import ProblemFields

_REQUEST = TypeAdapter(AblationRequest)
_RESULT = TypeAdapter(AblationResult)
_OPEN = (ItemStatus.READY, ItemStatus.LEASED)
_OF_WATCHED = AblationRow.request["choice"]["watched"].as_boolean()
OPEN = (AblationStatus.QUEUED, AblationStatus.RUNNING)
"""Where work is still to be done."""


def add_ablation(session: Session, job_id: UUID, request: AblationRequest) -> UUID | None:
    """Insert a queued ablation; None where the job has one that asks for the same."""
    stored = _REQUEST.dump_python(request, mode="json", exclude_none=True)
    values = {"job_id": job_id, "request": stored, "request_digest": digest_of(stored)}
    statement = insert(AblationRow).values(**values).on_conflict_do_nothing().returning(AblationRow.id)
    return session.scalar(statement)


def find_ablation_of(session: Session, job_id: UUID, request: AblationRequest) -> UUID | None:
    """The job's ablation that asks for that."""
    digest = digest_of(_REQUEST.dump_python(request, mode="json", exclude_none=True))
    query = select(AblationRow.id).where(AblationRow.job_id == job_id, AblationRow.request_digest == digest)
    return session.scalar(query)


def get_ablation(session: Session, ablation_id: UUID) -> Ablation | None:
    """The ablation as it stands now, with its result."""
    row = session.execute(_query(with_result=True).where(AblationRow.id == ablation_id)).first()
    return None if row is None else _ablation(row)


def list_ablations(session: Session, job_id: UUID, *, limit: int, after: Position | None) -> Page[Ablation]:
    """A job's ablations, newest first, without their results."""
    query = _query(with_result=False).where(AblationRow.job_id == job_id)
    query = newest_first(query, AblationRow.id, limit=limit, after=after)
    rows, next_position = cut_page(session.execute(query).all(), limit, lambda row: row.id)
    return Page(tuple(map(_ablation, rows)), next_position)


def results_of(session: Session, job_id: UUID) -> list[Ablation]:
    """A job's succeeded ablations that took units by themselves, newest first, with their results."""
    query = _query(with_result=True).where(
        AblationRow.job_id == job_id,
        AblationRow.status == AblationStatus.SUCCEEDED,
        AblationRow.request["each"].as_boolean(),
    )
    return [_ablation(row) for row in session.execute(query.order_by(AblationRow.id.desc()))]


def newest_result(session: Session, job_id: UUID) -> datetime | None:
    """When the last of a job's ablations has succeeded; None where none has."""
    has_succeeded = (AblationRow.job_id == job_id, AblationRow.status == AblationStatus.SUCCEEDED)
    return session.scalar(select(func.max(AblationRow.finished_at)).where(*has_succeeded))


def lock_ablation(session: Session, ablation_id: UUID) -> tuple[UUID, AblationStatus]:
    """An ablation's job and status, which nobody else may change until this transaction ends."""
    query = select(AblationRow.job_id, AblationRow.status).where(AblationRow.id == ablation_id)
    row = session.execute(query.with_for_update(key_share=True)).one()
    return row.job_id, AblationStatus(row.status)


def job_of_ablation(session: Session, ablation_id: UUID) -> UUID:
    """The job whose units an ablation holds."""
    return session.execute(select(AblationRow.job_id).where(AblationRow.id == ablation_id)).scalar_one()


def request_of(session: Session, ablation_id: UUID) -> AblationRequest:
    """What an ablation asks for."""
    stored = session.execute(select(AblationRow.request).where(AblationRow.id == ablation_id)).scalar_one()
    return _REQUEST.validate_python(stored)


def move_ablation(
    session: Session,
    ablation_id: UUID,
    status: AblationStatus,
    *,
    result: StoredJson | None = None,
    problem: ProblemFields | None = None,
) -> None:
    """Change an ablation's status; the caller has locked it and knows that it may."""
    values: dict[str, Any] = {
        "status": status,
        "result": null() if result is None else result,
        "problem": null() if problem is None else dict(problem),
        "finished_at": None if status in OPEN else func.clock_timestamp(),
    }
    session.execute(update(AblationRow).where(AblationRow.id == ablation_id).values(values))


_ADD = text(
    """
    INSERT INTO work_items (ablation_id, stage, position, queue, priority, turn, total)
    SELECT :ablation_id, :stage, position, queue, priority, :turn + (row_number() OVER (ORDER BY position)) - 1, total
    FROM work_items WHERE job_id = :job_id AND stage = 'probe' ORDER BY position
    """
)


def add_shards(session: Session, ablation_id: UUID, job_id: UUID, stage: AblationStage, *, turn: int) -> None:
    """Add an item for each probe shard of the job, as urgent as the job was, each with a turn of its own."""
    session.execute(_ADD, {"ablation_id": ablation_id, "job_id": job_id, "stage": stage, "turn": turn})


def add_conclusion(session: Session, ablation_id: UUID, lease: AblationLease) -> None:
    """Add the last item, in the turn and of the queue of the one that opens it."""
    opener = select(WorkItemRow.queue, WorkItemRow.priority, WorkItemRow.turn).where(WorkItemRow.id == lease.item_id)
    queue, priority, turn = session.execute(opener).one()
    values = {"queue": queue, "priority": priority, "turn": turn, "total": 1, "position": 0}
    session.execute(insert(WorkItemRow).values(ablation_id=ablation_id, stage=AblationStage.CONCLUDE, **values))


def open_items_of(session: Session, ablation_id: UUID) -> int:
    """How many of an ablation's items are not done."""
    query = select(func.count()).where(WorkItemRow.ablation_id == ablation_id, WorkItemRow.status != ItemStatus.DONE)
    return session.execute(query).scalar_one()


def withdraw_ablation_items(session: Session, ablation_id: UUID) -> None:
    """Take an ablation's open items out of everybody's hands."""
    statement = update(WorkItemRow).where(WorkItemRow.ablation_id == ablation_id, WorkItemRow.status.in_(_OPEN))
    session.execute(statement.values(status=ItemStatus.WITHDRAWN, lease_expires_at=None))


def restore_ablation_items(session: Session, ablation_id: UUID, *, turn: int) -> None:
    """Make an ablation's withdrawn items ready again, with their attempts forgotten."""
    statement = update(WorkItemRow).where(
        WorkItemRow.ablation_id == ablation_id, WorkItemRow.status == ItemStatus.WITHDRAWN
    )
    ready = {"status": ItemStatus.READY, "attempt": 0, "done": 0, "turn": turn, "problem": None}
    session.execute(statement.values(ready_at=func.clock_timestamp(), **ready))


def finished_outputs(session: Session, ablation_id: UUID) -> list[FinishedItem[OutputsResult]]:
    """The shards that were shown to the network as it is, by position."""
    return [
        FinishedItem(position, None, cast("OutputsResult", result))
        for position, result in _results(session, ablation_id, AblationStage.OUTPUTS)
    ]


def finished_ablated(session: Session, ablation_id: UUID) -> list[FinishedItem[StoredArtifact]]:
    """The shards that were shown with units held, by position."""
    return [
        FinishedItem(position, None, cast("StoredArtifact", result))
        for position, result in _results(session, ablation_id, AblationStage.ABLATE)
    ]


def has_open_watched_ablation(job_id: InstrumentedAttribute[UUID | None]) -> ColumnElement[bool]:
    """The condition that units of a job which respond to watched concepts are being held."""
    return exists().where(AblationRow.job_id == job_id, AblationRow.status.in_(list(OPEN)), _OF_WATCHED)


def open_watched_ablations(session: Session, job_id: UUID) -> list[UUID]:
    """These ablations of a job."""
    query = select(AblationRow.id).where(AblationRow.job_id == job_id, AblationRow.status.in_(list(OPEN)), _OF_WATCHED)
    return list(session.scalars(query))


def units_labelled(session: Session, job_id: UUID, concept: str, layer: str | None) -> list[tuple[str, int, bool]]:
    """Layer, index, and whether it is dead, of each unit with that label, in the order of the dissection."""
    return _units(session, job_id, layer, NeuronRow.concept == concept)


def units_with_verdict(session: Session, job_id: UUID, verdict: Verdict, layer: str) -> list[tuple[str, int, bool]]:
    """The same of each unit of a layer with that verdict."""
    return _units(session, job_id, layer, NeuronRow.verdict == verdict)


def has_verdicts(session: Session, job_id: UUID, layer: str) -> bool:
    """Has any unit of the layer a verdict?"""
    return bool(_units(session, job_id, layer, NeuronRow.verdict.is_not(None), limit=1))


def dead_units(session: Session, job_id: UUID, layer: str) -> list[int]:
    """The dead units of a layer."""
    return [unit for _, unit, _ in _units(session, job_id, layer, NeuronRow.dead.is_(True))]


def _units(
    session: Session, job_id: UUID, layer: str | None, condition: ColumnElement[bool], *, limit: int | None = None
) -> list[tuple[str, int, bool]]:
    query = (
        select(LayerRow.name, NeuronRow.unit, NeuronRow.dead)
        .join(LayerRow, LayerRow.id == NeuronRow.layer_id)
        .where(LayerRow.job_id == job_id, condition)
        .order_by(LayerRow.position, NeuronRow.unit)
        .limit(limit)
    )
    if layer is not None:
        query = query.where(LayerRow.name == layer)
    return [(name, unit, dead) for name, unit, dead in session.execute(query)]


def _results(session: Session, ablation_id: UUID, stage: AblationStage) -> Sequence[tuple[int, Any]]:
    query = select(WorkItemRow.position, WorkItemRow.result).where(
        WorkItemRow.ablation_id == ablation_id, WorkItemRow.stage == stage, WorkItemRow.status == ItemStatus.DONE
    )
    return [(row.position, row.result) for row in session.execute(query.order_by(WorkItemRow.position))]


def _query(*, with_result: bool) -> Any:
    columns = [
        AblationRow.id,
        AblationRow.job_id,
        AblationRow.request,
        AblationRow.status,
        AblationRow.problem,
        AblationRow.created_at,
        AblationRow.finished_at,
        _images(WorkItemRow.done).label("done"),
        _images(WorkItemRow.total).label("total"),
    ]
    return select(*columns, AblationRow.result) if with_result else select(*columns)


def _images(column: InstrumentedAttribute[int]) -> ScalarSelect[int]:
    """That of all items of an ablation that show images."""
    query = select(func.coalesce(func.sum(column), 0))
    return query.where(
        WorkItemRow.ablation_id == AblationRow.id, WorkItemRow.stage != AblationStage.CONCLUDE
    ).scalar_subquery()


def _ablation(row: Any) -> Ablation:
    result = getattr(row, "result", None)
    return Ablation(
        id=row.id,
        job=row.job_id,
        request=_REQUEST.validate_python(row.request),
        status=AblationStatus(row.status),
        done=int(row.done),
        total=int(row.total),
        result=None if result is None else _RESULT.validate_python(result),
        problem=row.problem,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
