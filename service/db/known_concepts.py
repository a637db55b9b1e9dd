"""Queries for concepts whose embeddings by a dissector are kept: a search by one of them needs no worker."""

from collections.abc import Sequence
from typing import NamedTuple, cast
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from service.db.direction_tables import LayerDirectionsRow
from service.db.tables import JobRow, LayerRow, ResourceRow
from service.db.text_tables import TextEmbeddingsRow, TextReadingRow
from service.domain.prompts import PromptFields, texts_digest

_FLOAT = np.dtype("<f4")


class ReadConcepts(NamedTuple):
    """A concept set that a dissector has read."""

    concept_set_id: UUID

    texts: str
    """What its embeddings are kept under: see `texts_digest`."""


class KnownConcept(NamedTuple):
    """A concept of such a set."""

    read: ReadConcepts
    position: int
    """Among the concepts of the set."""

    text: str


def read_concept_sets(
    session: Session, dissector: str, dissector_id: UUID, prompts: PromptFields | None
) -> list[ReadConcepts]:
    """The concept sets that a dissector has read, in jobs (the newest first) or without.

    dissector: its digest. prompts: that it was registered with.
    """
    method_prompts = JobRow.options["method"]["prompts"]
    in_jobs = (
        select(ResourceRow.id, ResourceRow.digest, method_prompts.label("prompts"))
        .join(JobRow, JobRow.concept_set_id == ResourceRow.id)
        .join(LayerRow, LayerRow.job_id == JobRow.id)
        .join(LayerDirectionsRow, LayerDirectionsRow.layer_id == LayerRow.id)
        .where(LayerDirectionsRow.dissector == dissector)
        .group_by(ResourceRow.id, ResourceRow.digest, method_prompts)
        .order_by(func.max(JobRow.created_at).desc())
    )
    without_job = (
        select(ResourceRow.id, ResourceRow.digest)
        .join(TextReadingRow, TextReadingRow.concept_set_id == ResourceRow.id)
        .where(TextReadingRow.dissector_id == dissector_id, TextReadingRow.cut.is_not(None))
    )
    read = [ReadConcepts(row.id, texts_digest(row.digest, row.prompts)) for row in session.execute(in_jobs)]
    read += [ReadConcepts(row.id, texts_digest(row.digest, prompts)) for row in session.execute(without_job)]

    kept = select(TextEmbeddingsRow.concept_set).where(TextEmbeddingsRow.dissector == dissector)
    kept_texts = set(session.scalars(kept))
    return list(dict.fromkeys(concepts for concepts in read if concepts.texts in kept_texts))


_FIND = text(
    """
    SELECT id, CAST(number AS int) - 1 AS position, concept->>'text' AS text
    FROM resources, jsonb_array_elements(spec->'concepts') WITH ORDINALITY AS entry (concept, number)
    WHERE id = ANY(CAST(:ids AS uuid[])) AND lower(concept->>'text') = lower(:concept)
    """
)


def find_known_concept(session: Session, read: Sequence[ReadConcepts], concept: str) -> KnownConcept | None:
    """The concept of the first of these sets that has it, in whatever letters; better in the same."""
    order = [of.concept_set_id for of in read]
    rows = session.execute(_FIND, {"ids": order, "concept": concept}).all()
    if not rows:
        return None
    best = min(rows, key=lambda row: (row.text != concept, order.index(row.id)))
    return KnownConcept(read[order.index(best.id)], best.position, best.text)


def embedding_of(session: Session, dissector: str, known: KnownConcept) -> NDArray[np.float32]:
    """Where a known concept lies: float32 [D], the row of the kept embeddings. Raises NoResultFound."""
    row_bytes = TextEmbeddingsRow.width * _FLOAT.itemsize
    row = func.substring(TextEmbeddingsRow.data, known.position * row_bytes + 1, row_bytes)
    query = select(row).where(
        TextEmbeddingsRow.dissector == dissector, TextEmbeddingsRow.concept_set == known.read.texts
    )
    data = session.scalars(query.order_by(TextEmbeddingsRow.device).limit(1)).one()
    return np.frombuffer(cast("bytes", data), _FLOAT).astype(np.float32, copy=False)


_TEXTS = text(
    """
    SELECT DISTINCT concept->>'text'
    FROM resources, jsonb_array_elements(spec->'concepts') AS concept
    WHERE id = ANY(CAST(:ids AS uuid[]))
    LIMIT 20000
    """
)


def known_texts(session: Session, read: Sequence[ReadConcepts]) -> list[str]:
    """The texts of the concepts, for near matches in errors."""
    return list(session.scalars(_TEXTS, {"ids": [of.concept_set_id for of in read]}))
