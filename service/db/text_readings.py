"""Queries on how dissectors read the texts of concept sets that no job has shown them."""

from collections.abc import Sequence
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import ColumnElement, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.text_tables import TextReadingRow
from service.domain.manifests import CutText
from service.errors import ProblemFields


class TextReading(NamedTuple):
    """Where the reading of a concept set by a dissector stands; both are None until a worker has read it."""

    cut: Sequence[CutText] | None
    """The texts that are cut."""

    problem: ProblemFields | None

    @property
    def is_open(self) -> bool:
        """Is a worker still to read it?"""
        return self.cut is None and self.problem is None


def find_reading(session: Session, concept_set_id: UUID, dissector_id: UUID) -> TextReading | None:
    """None where nobody has asked for it."""
    query = select(TextReadingRow.cut, TextReadingRow.problem).where(*_of(concept_set_id, dissector_id))
    row = session.execute(query).first()
    return None if row is None else TextReading(cast("Sequence[CutText] | None", row.cut), row.problem)


def add_reading(session: Session, concept_set_id: UUID, dissector_id: UUID) -> None:
    """Ask for one, or ask again for one that failed."""
    values = {"concept_set_id": concept_set_id, "dissector_id": dissector_id}
    statement = insert(TextReadingRow).values(values)
    key = [TextReadingRow.concept_set_id, TextReadingRow.dissector_id]
    session.execute(statement.on_conflict_do_update(index_elements=key, set_={"cut": null(), "problem": null()}))


def open_readings(session: Session, concept_set_id: UUID) -> list[UUID]:
    """The dissectors that are still to read a concept set."""
    query = select(TextReadingRow.dissector_id).where(TextReadingRow.concept_set_id == concept_set_id, *_OPEN)
    return list(session.scalars(query.order_by(TextReadingRow.dissector_id)))


def save_reading(session: Session, concept_set_id: UUID, dissector_id: UUID, reading: TextReading) -> None:
    """Note what a dissector has read."""
    values = {
        "cut": null() if reading.cut is None else list(reading.cut),
        "problem": null() if reading.problem is None else dict(reading.problem),
    }
    session.execute(update(TextReadingRow).where(*_of(concept_set_id, dissector_id)).values(values))


def fail_open_readings(session: Session, concept_set_id: UUID, problem: ProblemFields) -> None:
    """Note why nobody has read a concept set."""
    of_set = TextReadingRow.concept_set_id == concept_set_id
    session.execute(update(TextReadingRow).where(of_set, *_OPEN).values(problem=dict(problem)))


_OPEN = (TextReadingRow.cut.is_(None), TextReadingRow.problem.is_(None))


def _of(concept_set_id: UUID, dissector_id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return TextReadingRow.concept_set_id == concept_set_id, TextReadingRow.dissector_id == dissector_id
