"""Queries for what has some words in its name."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

_MODELS = text(
    """
    SELECT DISTINCT ON (strpos(name, :words) > 1, name) name, version, spec->>'architecture' AS architecture
    FROM resources
    WHERE kind = 'model' AND strpos(name, :words) > 0
    ORDER BY strpos(name, :words) > 1, name, version DESC
    LIMIT :limit
    """
)

_JOBS = text(
    """
    SELECT jobs.id, jobs.status, target.name, target.version
    FROM jobs JOIN resources AS target ON target.id = jobs.target_id
    WHERE CAST(jobs.id AS text) LIKE :id_start OR strpos(target.name, :words) > 0
    ORDER BY CAST(jobs.id AS text) NOT LIKE :id_start, jobs.id DESC
    LIMIT :limit
    """
)

# Of the newest version of each set, and each spelling once, with the first set that has it.
_CONCEPTS = text(
    """
    WITH newest AS (
      SELECT DISTINCT ON (name) name, version, spec FROM resources WHERE kind = 'concept_set'
      ORDER BY name, version DESC
    ), concepts AS (
      SELECT name, version, concept->>CAST(:entry AS text) AS entry
      FROM newest, jsonb_array_elements(spec->'concepts') AS concept
      WHERE strpos(lower(concept->>CAST(:entry AS text)), :words) > 0
    ), once AS (
      SELECT DISTINCT ON (lower(entry)) entry, name, version FROM concepts ORDER BY lower(entry), name
    )
    SELECT entry, name, version FROM once ORDER BY strpos(lower(entry), :words) > 1, length(entry), entry LIMIT :limit
    """
)


class NamedJob(NamedTuple):
    """A job by its target."""

    id: UUID
    status: str
    target: str


def find_models(session: Session, words: str, limit: int) -> list[tuple[str, str]]:
    """References of newest versions, with their architectures. words: in small letters."""
    rows = session.execute(_MODELS, {"words": words, "limit": limit})
    return [(_reference(row), row.architecture or "") for row in rows]


def find_jobs(session: Session, words: str, limit: int) -> list[NamedJob]:
    """Jobs by the start of their id or their target's name, the newest first."""
    id_start = f"{words}%" if set(words) <= set("0123456789abcdef-") else ""
    rows = session.execute(_JOBS, {"words": words, "id_start": id_start, "limit": limit})
    return [NamedJob(row.id, row.status, _reference(row)) for row in rows]


def find_concepts(session: Session, words: str, limit: int) -> list[tuple[str, str]]:
    """Concepts, each with the first concept set that has it."""
    return _of_concepts(session, "text", words, limit)


def find_categories(session: Session, words: str, limit: int) -> list[tuple[str, str]]:
    """Categories, each with the first concept set that has it."""
    return _of_concepts(session, "category", words, limit)


def _of_concepts(session: Session, entry: str, words: str, limit: int) -> list[tuple[str, str]]:
    rows = session.execute(_CONCEPTS, {"entry": entry, "words": words, "limit": limit})
    return [(row.entry, _reference(row)) for row in rows]


def _reference(row: Row[Any]) -> str:
    return f"{row.name}@{row.version}"
