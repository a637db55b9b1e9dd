"""Queries on registered resources and model inspections."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, bindparam, delete, func, or_, select, text, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, array, insert
from sqlalchemy.orm import Session

from service.db.paging import cut_page, newest_first
from service.db.tables import InspectionRow, ResourceRow
from service.domain.digests import digest_of
from service.domain.json_values import JsonObject, StoredJson
from service.domain.pages import Page, Position
from service.domain.purposes import Terms, purposes_of
from service.domain.resources import Resource, ResourceKind
from service.domain.weights_reading import WeightsReading
from service.domain.work import InspectedInput, LayerListing, ModelNotes, Preparation
from service.errors import ProblemFields

_NOTHING_STATED = Terms()


def add_resource(
    session: Session,
    kind: ResourceKind,
    name: str,
    digest: str,
    spec: JsonObject,
    *,
    places: Sequence[str] = (),
    terms: Terms = _NOTHING_STATED,
) -> tuple[Resource, bool]:
    """Register content under a name: the version that already holds it, or a new one. Second value: is it new?

    places: the entries of the specification that say where the content lies, its main part first. They are no content:
    a version that already holds the content is from then on read where it was seen last. Only for content of which
    every byte was digested.
    terms: what is stated of it; what they say replaces what was stated of the version before, which is then its
    `replaced_terms`. A new version of which nothing is stated has the terms of the same content under another name.
    """
    _lock_name(session, kind, name)

    same_name = (ResourceRow.kind == kind, ResourceRow.name == name)
    same_content = select(ResourceRow).where(*same_name, ResourceRow.digest == digest)
    existing = session.scalar(same_content.execution_options(populate_existing=True))
    if existing is not None:
        moved = {place: spec[place] for place in places if place in spec and existing.spec[place] != spec[place]}
        if moved:
            left = _OF_PLACE if places[0] in moved else frozenset()
            kept = {name: value for name, value in existing.spec.items() if name not in left}
            existing.spec = {**kept, **moved}
            session.flush()
        return _restated(session, existing, terms), False

    newest = session.scalar(select(func.max(ResourceRow.version)).where(*same_name)) or 0
    row = ResourceRow(kind=kind, name=name, version=newest + 1, digest=digest, spec=spec)
    _state(row, terms if terms.stated else _terms_of_content(session, kind, digest))
    session.add(row)
    session.flush()
    return _resource(row), True


_OF_PLACE = frozenset({"fetched"})
"""What a specification says of the place where the main part of the content lies, and not of another."""


def _lock_name(session: Session, kind: ResourceKind, name: str) -> None:
    """Versions of one name are given out one after another, whoever registers at the same time."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"{kind}/{name}"})


def note_content(session: Session, identifier: UUID, digest: str, spec: JsonObject) -> Resource:
    """Note the content of a version that was registered before anybody knew it.

    Where another version of the name has that content, this one refers to it, and has a digest of its own.
    """
    row = session.get_one(ResourceRow, identifier)
    _lock_name(session, ResourceKind(row.kind), row.name)
    session.refresh(row, with_for_update=True)

    same_content = (ResourceRow.kind == row.kind, ResourceRow.name == row.name, ResourceRow.digest == digest)
    other = session.scalar(select(ResourceRow).where(*same_content, ResourceRow.id != identifier))
    if other is None:
        row.digest, row.spec = digest, dict(spec)
    else:
        reference = f"{other.name}@{other.version}"
        row.digest = digest_of({"same_as": reference, "version": row.version})
        row.spec = {**spec, "same_as": reference}
    session.flush()
    return _resource(row)


def _restated(session: Session, row: ResourceRow, statement: Terms) -> Resource:
    before = _terms(row.licence, row.allowed_purposes)
    after = before.changed_by(statement)
    if after == before:
        return _resource(row)

    _state(row, after)
    session.flush()
    return replace(_resource(row), replaced_terms=before)


def _state(row: ResourceRow, terms: Terms) -> None:
    row.licence = terms.licence
    row.allowed_purposes = None if terms.allowed_purposes is None else list(map(str, terms.allowed_purposes))


def _terms_of_content(session: Session, kind: ResourceKind, digest: str) -> Terms:
    """What was stated last of that content, under whatever name."""
    stated = or_(ResourceRow.licence.is_not(None), ResourceRow.allowed_purposes.is_not(None))
    query = select(ResourceRow.licence, ResourceRow.allowed_purposes).where(
        ResourceRow.kind == kind, ResourceRow.digest == digest, stated
    )
    row = session.execute(query.order_by(ResourceRow.id.desc()).limit(1)).first()
    return _NOTHING_STATED if row is None else _terms(row.licence, row.allowed_purposes)


def find_resource(session: Session, kind: ResourceKind, name: str, version: int | None) -> Resource | None:
    """That version of a name, or its newest."""
    query = select(ResourceRow).where(ResourceRow.kind == kind, ResourceRow.name == name)
    if version is not None:
        query = query.where(ResourceRow.version == version)
    row = session.scalar(query.order_by(ResourceRow.version.desc()).limit(1))
    return None if row is None else _resource(row)


def list_versions(session: Session, kind: ResourceKind, name: str, limit: int) -> list[Resource]:
    """The newest versions of a name, newest first, in brief as in `list_resources`."""
    query = select(*_BESIDE_SPEC, _brief_spec(kind).label("spec"))
    query = query.where(ResourceRow.kind == kind, ResourceRow.name == name)
    rows = session.execute(query.order_by(ResourceRow.version.desc()).limit(limit))
    return [_resource(row) for row in rows]


_FIND = text(
    """
    SELECT DISTINCT ON (kind) id, kind, name, resources.version, digest,
      CASE kind WHEN 'concept_set' THEN '{}'::jsonb ELSE spec END AS spec, created_at, licence, allowed_purposes
    FROM resources
      JOIN unnest(CAST(:kinds AS text[]), CAST(:names AS text[]), CAST(:versions AS int[]))
        AS wanted (kind, name, version)
      USING (kind, name)
    WHERE wanted.version IS NULL OR wanted.version = resources.version
    ORDER BY kind, resources.version DESC
    """
)


def find_resources(
    session: Session, versions: Mapping[ResourceKind, tuple[str, int | None]]
) -> dict[ResourceKind, Resource]:
    """That version of a name or its newest, one of each kind, with one query; what there is not is left out.

    The specifications of concept sets are left out too: they are long, and who only refers to them needs none.
    """
    parameters = {
        "kinds": list(versions),
        "names": [name for name, _ in versions.values()],
        "versions": [version for _, version in versions.values()],
    }
    rows = session.execute(_FIND, parameters)
    return {ResourceKind(row.kind): _resource(row) for row in rows}


def get_resource(session: Session, identifier: UUID) -> Resource:
    """The resource with that id. Raises NoResultFound: ids come from foreign keys, not from callers."""
    return _resource(session.get_one(ResourceRow, identifier))


def resource_names(session: Session, kind: ResourceKind) -> list[str]:
    """Every registered name of a kind, for near matches in errors."""
    return list(session.scalars(select(ResourceRow.name).where(ResourceRow.kind == kind).distinct()))


def list_resources(session: Session, kind: ResourceKind, *, limit: int, after: Position | None) -> Page[Resource]:
    """All versions of a kind, newest first. In their specifications concepts, rules and findings are counted."""
    spec = _brief_spec(kind).label("spec")
    query = select(*_BESIDE_SPEC, spec).where(ResourceRow.kind == kind)
    query = newest_first(query, ResourceRow.id, limit=limit, after=after)
    rows, next_position = cut_page(session.execute(query).all(), limit, lambda row: row.id)
    return Page(tuple(map(_resource, rows)), next_position)


_COUNTED = {ResourceKind.CONCEPT_SET: "concepts", ResourceKind.POLICY: "rules"}
"""What is long in a specification, and what nobody reads in a list."""

_BRIEF_PROBE_SET: ColumnElement[Any] = (
    type_coerce(ResourceRow.spec, JSONB)
    .delete_path(array(["findings", "images"]))
    .delete_path(array(["findings_map", "entries"]))
)
"""A probe set's specification without the names of findings."""

_BESIDE_SPEC = (
    ResourceRow.id,
    ResourceRow.kind,
    ResourceRow.name,
    ResourceRow.version,
    ResourceRow.digest,
    ResourceRow.created_at,
    ResourceRow.licence,
    ResourceRow.allowed_purposes,
)


def _brief_spec(kind: ResourceKind) -> ColumnElement[Any]:
    """The specification, counted by the database: it may hold 20,000 concepts."""
    counted = _COUNTED.get(kind)
    if kind is ResourceKind.PROBE_SET:
        return _BRIEF_PROBE_SET
    if counted is None:
        return type_coerce(ResourceRow.spec, JSONB)

    number = func.to_jsonb(func.jsonb_array_length(ResourceRow.spec[counted]))
    return func.jsonb_set(ResourceRow.spec, array([counted]), number, type_=JSONB)


_INSPECTION = select(InspectionRow.layers, InspectionRow.problem).where(InspectionRow.model_id == bindparam("model_id"))


def find_inspection(
    session: Session, model_id: UUID
) -> tuple[Sequence[LayerListing] | None, ProblemFields | None] | None:
    """(layers, problem) of a model's inspection, or None while no worker has looked yet."""
    row = session.execute(_INSPECTION, {"model_id": model_id}).first()
    return None if row is None else (row.layers, row.problem)


class Inspected(NamedTuple):
    """All that a worker noted of a model; each part is None where it noted none, as earlier releases did."""

    layers: Sequence[LayerListing] | None
    problem: ProblemFields | None
    input: InspectedInput | None
    reading: WeightsReading | None


def find_inspected(session: Session, model_id: UUID) -> Inspected:
    """The whole inspection of a model; nothing but None while no worker has looked yet."""
    columns = (InspectionRow.layers, InspectionRow.problem, InspectionRow.input, InspectionRow.reading)
    row = session.execute(select(*columns).where(InspectionRow.model_id == model_id)).first()
    return Inspected(None, None, None, None) if row is None else Inspected(*row)


def find_reading(session: Session, model_id: UUID) -> WeightsReading | None:
    """How a model's weights were read; None while no worker has looked since this is kept."""
    return session.scalar(select(InspectionRow.reading).where(InspectionRow.model_id == model_id))


def save_inspection(
    session: Session,
    model_id: UUID,
    *,
    layers: Sequence[LayerListing] | None = None,
    input: InspectedInput | None = None,  # noqa: A002 - as it is called everywhere
    reading: WeightsReading | None = None,
    problem: ProblemFields | None = None,
) -> None:
    """Record what a worker found; a later inspection replaces an earlier one."""
    values = {
        "layers": layers,
        "input": input,
        "reading": reading,
        "problem": problem,
        "inspected_at": func.now(),
    }
    statement = insert(InspectionRow).values(model_id=model_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[InspectionRow.model_id], set_=values))


def forget_inspection(session: Session, model_id: UUID) -> None:
    """As before a worker looked, or failed to."""
    session.execute(delete(InspectionRow).where(InspectionRow.model_id == model_id))


_UNPREPARED = text(
    """
    SELECT id, CASE kind WHEN 'model' THEN 'inspect' ELSE 'measure' END
    FROM resources
    WHERE NOT EXISTS (SELECT FROM work_items WHERE resource_id = resources.id)
      AND (
        kind = 'model' AND NOT EXISTS (SELECT FROM inspections WHERE model_id = resources.id)
        OR kind = 'probe_set' AND (spec->'patches' <> 'null' OR spec->>'frames' = 'all')
          AND NOT spec ?| array['part', 'where']
      )
    ORDER BY id
    """
)


def unprepared_resources(session: Session) -> list[tuple[UUID, Preparation]]:
    """Models that nobody has inspected and probe sets that nobody has measured, and no worker is asked to.

    Releases that knew no preparations have left such ones.
    """
    return [(resource_id, Preparation(stage)) for resource_id, stage in session.execute(_UNPREPARED)]


def note_of_model(session: Session, model_id: UUID, notes: ModelNotes) -> None:
    """Put what a worker told of a model into its spec; what an earlier one told of the same entries goes."""
    row = session.get_one(ResourceRow, model_id, with_for_update={"key_share": True}, populate_existing=True)
    kept = {name: value for name, value in row.spec.items() if name not in ModelNotes.__annotations__}
    noted = {**kept, **notes}
    if noted != row.spec:
        row.spec = noted
        session.flush()


def set_image_count(
    session: Session, probe_set_id: UUID, *, images: int, unmeasured: int, unmeasured_rows: Sequence[int]
) -> None:
    """Note how many patches a probe set has, how many of its images could not be measured, and the first such rows."""
    row = session.get_one(ResourceRow, probe_set_id, with_for_update={"key_share": True}, populate_existing=True)
    measured = {"images": images, "unmeasured": unmeasured, "unmeasured_rows": list(unmeasured_rows)}
    row.spec = {**row.spec, **measured}
    session.flush()


def image_count_for_job(session: Session, probe_set_id: UUID) -> int | None:
    """How many images or patches a probe set has; nobody forgets them before this transaction ends."""
    query = select(ResourceRow.spec["images"]).where(ResourceRow.id == probe_set_id)
    images: int | None = session.scalar(query.with_for_update(read=True, key_share=True))
    return images


_SIZES_USED = text(
    """
    SELECT EXISTS (
      SELECT FROM jobs JOIN resources used ON used.id = jobs.probe_set_id
      WHERE used.digest = :digest
        OR used.spec ?| array['part', 'where']
          AND (
            used.spec->'manifest', used.spec->'patches', used.spec->'on_unreadable',
            coalesce(used.spec->'frames', 'null')
          ) IN (
            SELECT spec->'manifest', spec->'patches', spec->'on_unreadable', coalesce(spec->'frames', 'null')
            FROM resources WHERE digest = :digest
          )
    )
    """
)


def lock_unused_sets(session: Session, digest: str) -> list[UUID] | None:
    """The probe sets of that digest, on which no job can be submitted before this transaction ends.

    None where one of them, or a part of one, has a job.
    """
    query = select(ResourceRow.id).where(ResourceRow.kind == ResourceKind.PROBE_SET, ResourceRow.digest == digest)
    locked = list(session.scalars(query.order_by(ResourceRow.id).with_for_update()))
    return None if session.scalar(_SIZES_USED, {"digest": digest}) else locked


def forget_image_count(session: Session, probe_set_id: UUID) -> None:
    """As before the probe set was measured."""
    row = session.get_one(ResourceRow, probe_set_id, populate_existing=True)
    row.spec = {**without_unmeasured(row.spec), "images": None}
    session.flush()


def without_unmeasured(spec: JsonObject) -> StoredJson:
    """A specification of a probe set that says nothing of images that could not be measured."""
    return {name: value for name, value in spec.items() if name not in {"unmeasured", "unmeasured_rows"}}


def _resource(row: ResourceRow | Row[Any]) -> Resource:
    return Resource(
        id=row.id,
        kind=ResourceKind(row.kind),
        name=row.name,
        version=row.version,
        digest=row.digest,
        spec=row.spec,
        created_at=row.created_at,
        terms=_terms(row.licence, row.allowed_purposes),
    )


def _terms(licence: str | None, allowed_purposes: Sequence[str] | None) -> Terms:
    return Terms(licence, None if allowed_purposes is None else purposes_of(allowed_purposes))
