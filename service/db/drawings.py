"""Queries on pictures that are drawn when somebody asks for them, and on their work items."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, cast, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, insert
from sqlalchemy.orm import Session

from service.db.picture_tables import PictureRow
from service.db.tables import LayerRow, NeuronRow, WorkItemRow
from service.domain.digests import digest_of
from service.domain.pictures import MEDIA_TYPE, Picture, PictureRequest, PictureStage, PictureState
from service.domain.probes import ImagePlace
from service.domain.work import ItemStatus
from service.errors import ProblemFields

_REQUEST = TypeAdapter(PictureRequest)
_NOW = func.clock_timestamp()
_WITHOUT_FRAME = cast("$[*] ? (@.row == $row && !exists(@.frame))", JSONPATH)


def find_state(session: Session, job_id: UUID, request: PictureRequest) -> PictureState | None:
    """Where a picture of a job stands; None where nobody has asked for it."""
    since = func.coalesce(PictureRow.ended_at, WorkItemRow.ready_at)
    age = func.extract("epoch", _NOW - since).label("age_s")
    query = (
        select(PictureRow.sha256, PictureRow.problem, WorkItemRow.status, age)
        .join(WorkItemRow, WorkItemRow.picture_id == PictureRow.id)
        .where(PictureRow.job_id == job_id, PictureRow.request_digest == _digest(request))
    )
    row = session.execute(query).first()
    if row is None:
        return None
    return PictureState(row.sha256, row.problem, is_taken=row.status == ItemStatus.LEASED, age_s=float(row.age_s))


def read_picture(session: Session, job_id: UUID, request: PictureRequest) -> Picture | None:
    """A picture of a job; None where it is not drawn."""
    query = select(PictureRow.data, PictureRow.sha256)
    row = session.execute(
        query.where(PictureRow.job_id == job_id, PictureRow.request_digest == _digest(request))
    ).first()
    return None if row is None or row.data is None else Picture(row.data, row.sha256, MEDIA_TYPE)


def count_waiting(session: Session, job_id: UUID) -> int:
    """How many pictures of a job wait for a worker, or are being drawn."""
    query = select(func.count()).where(PictureRow.job_id == job_id, PictureRow.ended_at.is_(None))
    return session.execute(query).scalar_one()


def add_picture(
    session: Session, job_id: UUID, request: PictureRequest, *, queue: str, priority: int, turn: int
) -> UUID | None:
    """Have a worker draw a picture of a job; None where somebody else has just asked for it."""
    stored = _stored(request)
    values = {"job_id": job_id, "request": stored, "request_digest": digest_of(stored)}
    new_picture = insert(PictureRow).values(values).on_conflict_do_nothing()
    picture_id: UUID | None = session.scalar(new_picture.returning(PictureRow.id))
    if picture_id is None:
        return None

    place_in_line = {"queue": queue, "priority": priority, "turn": turn}
    item = {"picture_id": picture_id, "stage": PictureStage.DRAW, "position": 0, "total": 1}
    session.execute(insert(WorkItemRow).values({**item, **place_in_line}))
    return picture_id


def forget_picture(session: Session, job_id: UUID, request: PictureRequest) -> None:
    """Forget a picture that could not be drawn, so that it may be asked for again; its work item goes with it."""
    statement = delete(PictureRow).where(
        PictureRow.job_id == job_id, PictureRow.request_digest == _digest(request), PictureRow.problem.is_not(None)
    )
    session.execute(statement)


def lock_picture(session: Session, picture_id: UUID) -> UUID | None:
    """The job of a picture, which stays until this transaction ends; None where it is gone."""
    query = select(PictureRow.job_id).where(PictureRow.id == picture_id)
    return session.scalar(query.with_for_update(key_share=True))


def asked_picture(session: Session, picture_id: UUID) -> tuple[UUID, PictureRequest] | None:
    """The job of a picture, and what it is to show; None where the job was deleted meanwhile."""
    query = select(PictureRow.job_id, PictureRow.request).where(PictureRow.id == picture_id)
    row = session.execute(query).first()
    return None if row is None else (row.job_id, _REQUEST.validate_python(row.request))


def job_of_picture(session: Session, picture_id: UUID) -> UUID | None:
    """The job of a picture; None where it was deleted meanwhile."""
    return session.scalar(select(PictureRow.job_id).where(PictureRow.id == picture_id))


def keep_drawing(session: Session, picture_id: UUID, data: bytes, sha256: str) -> None:
    """Store the bytes of a picture that the caller has locked."""
    _end(session, picture_id, {"data": data, "sha256": sha256, "size": len(data)})


def keep_problem(session: Session, picture_id: UUID, problem: ProblemFields) -> None:
    """Store why a picture that the caller has locked could not be drawn."""
    _end(session, picture_id, {"problem": dict(problem)})


_TRIM = text(
    """
    DELETE FROM pictures WHERE id IN (
      SELECT id FROM (
        SELECT id, sum(size) OVER (ORDER BY ended_at DESC, id DESC) AS together
        FROM pictures WHERE job_id = :job_id AND size IS NOT NULL
      ) AS newest_first
      WHERE together > :most AND id <> :but
    )
    """
)


def trim_pictures(session: Session, job_id: UUID, *, most: int, but: UUID) -> None:
    """Delete a job's oldest pictures where all together have more bytes than that. but: one that stays."""
    session.execute(_TRIM, {"job_id": job_id, "most": most, "but": but})


def is_top_image(session: Session, job_id: UUID, place: ImagePlace) -> bool:
    """Is it, and not only another part of its image, among the top images of a neuron of the job?"""
    box = place.box
    fields: dict[str, Any] = {"row": place.row, "box": None}
    if box is not None:
        fields["box"] = {"left": box.left, "top": box.top, "width": box.width, "height": box.height}
    if place.frame is not None:
        fields["frame"] = place.frame

    layer_ids = select(LayerRow.id).where(LayerRow.job_id == job_id)
    # An array contains another where each element of that is contained in one of its own.
    conditions: list[ColumnElement[bool]] = [
        NeuronRow.layer_id.in_(layer_ids),
        NeuronRow.images.contains([fields]),
    ]
    if place.frame is None:
        conditions.append(func.jsonb_path_exists(NeuronRow.images, _WITHOUT_FRAME, cast({"row": place.row}, JSONB)))
    return bool(session.scalar(select(exists().where(*conditions))))


def _end(session: Session, picture_id: UUID, values: Mapping[str, Any]) -> None:
    session.execute(update(PictureRow).where(PictureRow.id == picture_id).values(**values, ended_at=_NOW))


def _stored(request: PictureRequest) -> dict[str, object]:
    stored: dict[str, object] = _REQUEST.dump_python(request, mode="json")
    return stored


def _digest(request: PictureRequest) -> str:
    return digest_of(_stored(request))
