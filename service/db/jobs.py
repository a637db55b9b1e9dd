"""Queries on jobs. A status changes only by an UPDATE that names the statuses it may come from."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, TypedDict, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Table, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, defer

from service.db.columns import ColumnValues
from service.db.events import add_event
from service.db.paging import cut_page, newest_first
from service.db.resources import get_resource
from service.db.tables import JobRow, ResourceRow
from service.db.work import stage_progress
from service.domain.evidence import EvidenceFields, EvidenceOptions
from service.domain.jobs import (
    ENDED,
    LEGAL_MOVES,
    DissectionOptions,
    Job,
    JobFilter,
    JobPart,
    JobRequest,
    JobStatus,
    PartEntries,
    StageProgress,
)
from service.domain.localisation import LocalisationFields, LocalisationOptions
from service.domain.manifests import CutText
from service.domain.methods import Method, MethodFields
from service.domain.pages import Page, Position
from service.domain.prompts import texts_digest
from service.domain.purposes import JobPurpose, PurposeEntries
from service.domain.resources import Resource, ResourceKind, parse_reference

_JOBS = cast("Table", JobRow.__table__)

_LOOKED_AT = 20
"""So many of the newest jobs are searched for one that read the same texts."""


@dataclass(frozen=True, slots=True)
class JobParts:
    """The resources that a job is made of, each in one version."""

    target: Resource
    dissector: Resource
    probe_set: Resource
    concept_set: Resource


def add_job(
    session: Session,
    parts: JobParts,
    request: JobRequest,
    *,
    request_digest: str,
    idempotency_key: str | None,
    replay_of: UUID | None = None,
) -> Job | None:
    """Insert a queued job, or return None where the idempotency key is taken."""
    statement = (
        insert(_JOBS)
        .values(
            target_id=parts.target.id,
            dissector_id=parts.dissector.id,
            probe_set_id=parts.probe_set.id,
            concept_set_id=parts.concept_set.id,
            options=request_as_json(request),
            request_digest=request_digest,
            idempotency_key=idempotency_key,
            replay_of=replay_of,
        )
        .on_conflict_do_nothing(index_elements=[_JOBS.c.idempotency_key])
        .returning(_JOBS)
    )
    row = session.execute(statement).first()
    return None if row is None else _job(row)


def find_job_by_key(session: Session, idempotency_key: str) -> tuple[Job, str] | None:
    """The job posted with that key, and the digest of the request that made it."""
    row = session.scalar(select(JobRow).where(JobRow.idempotency_key == idempotency_key))
    if row is None:
        return None

    progress = stage_progress(session, [row.id]).get(row.id, ())
    return _job(row, progress), row.request_digest


def get_job(session: Session, job_id: UUID) -> Job | None:
    """The job as it stands now."""
    row = session.get(JobRow, job_id, populate_existing=True)
    if row is None:
        return None

    return _job(row, stage_progress(session, [job_id]).get(job_id, ()))


def lock_job(session: Session, job_id: UUID) -> Job | None:
    """The job, which nobody else may change until this transaction ends; without its progress."""
    row = session.get(JobRow, job_id, populate_existing=True, with_for_update={"key_share": True})
    return None if row is None else _job(row)


def job_status(session: Session, job_id: UUID) -> JobStatus:
    """Where the job stands. Raises NoResultFound: ids come from work items, not from callers."""
    return JobStatus(session.execute(select(JobRow.status).where(JobRow.id == job_id)).scalar_one())


def texts_cut_by(session: Session, dissector_id: UUID, concept_set_id: UUID, texts: str) -> list[CutText] | None:
    """The texts that the dissector cut in the newest job with that concept set; None where it was in none.

    texts: see `texts_digest`. Of jobs with other prompts nothing is taken.
    """
    query = (
        select(JobRow.manifest)
        .where(
            JobRow.dissector_id == dissector_id,
            JobRow.concept_set_id == concept_set_id,
            JobRow.status == JobStatus.SUCCEEDED,
        )
        .order_by(JobRow.id.desc())
        .limit(_LOOKED_AT)
    )
    for manifest in session.scalars(query):
        if manifest is None or "concept_set" not in manifest:
            continue
        method = manifest.get("method")
        prompts = None if method is None else method.get("prompts")
        if texts_digest(manifest["concept_set"], prompts) == texts:
            return manifest.get("texts_cut", [])
    return None


def find_job_status(session: Session, job_id: UUID) -> JobStatus | None:
    """Where the job stands; None where there is none."""
    status = session.scalar(select(JobRow.status).where(JobRow.id == job_id))
    return None if status is None else JobStatus(status)


def find_end(session: Session, job_id: UUID) -> tuple[JobStatus, datetime] | None:
    """How and when a job has ended; None where it has not, and where there is none."""
    row = session.execute(select(JobRow.status, JobRow.finished_at).where(JobRow.id == job_id)).first()
    return None if row is None or row.finished_at is None else (JobStatus(row.status), row.finished_at)


def job_statuses(session: Session, job_ids: Collection[UUID]) -> dict[UUID, JobStatus]:
    """Where each of the jobs stands; no entry for a job that there is not."""
    rows = session.execute(select(JobRow.id, JobRow.status).where(JobRow.id.in_(job_ids)))
    return {job_id: JobStatus(status) for job_id, status in rows}


def targets_of(session: Session, job_ids: Collection[UUID]) -> dict[UUID, str]:
    """The target of each of the jobs, `name@version`."""
    target = JobRow.options["target"].as_string()
    rows = session.execute(select(JobRow.id, target.label("target")).where(JobRow.id.in_(job_ids)))
    return {row.id: row.target for row in rows}


def newest_results_of_dissector(session: Session, dissector_id: UUID, *, limit: int) -> list[Job]:
    """The newest succeeded jobs of a dissector, without their progress."""
    query = select(JobRow).where(JobRow.dissector_id == dissector_id, JobRow.status == JobStatus.SUCCEEDED)
    return [_job(row) for row in session.scalars(query.order_by(JobRow.id.desc()).limit(limit))]


def parts_of(session: Session, job_id: UUID) -> JobParts:
    """The resources of a job."""
    row = session.get_one(JobRow, job_id)
    identifiers = (row.target_id, row.dissector_id, row.probe_set_id, row.concept_set_id)
    return JobParts(*(get_resource(session, identifier) for identifier in identifiers))


def list_jobs(session: Session, where: JobFilter, *, whole: bool, limit: int, after: Position | None) -> Page[Job]:
    """Jobs, newest first. whole: with their manifests."""
    query = select(JobRow) if whole else select(JobRow).options(defer(JobRow.manifest, raiseload=True))
    query = newest_first(query, JobRow.id, limit=limit, after=after).where(*_conditions(where))

    rows, next_position = cut_page(session.scalars(query).all(), limit, lambda row: row.id)
    progress = stage_progress(session, [row.id for row in rows])
    return Page(tuple(_job(row, progress.get(row.id, ()), brief=not whole) for row in rows), next_position)


def _conditions(where: JobFilter) -> Iterator[ColumnElement[bool]]:
    if where.model is not None:
        yield JobRow.target_id.in_(_versions_of(ResourceKind.MODEL, where.model, field="model"))
    if where.probe_set is not None:
        yield JobRow.probe_set_id.in_(_versions_of(ResourceKind.PROBE_SET, where.probe_set, field="probe_set"))
    if where.statuses is not None:
        yield JobRow.status.in_(where.statuses)
    if where.created_after is not None:
        yield JobRow.created_at > where.created_after
    if where.created_before is not None:
        yield JobRow.created_at < where.created_before


def _versions_of(kind: ResourceKind, reference: str, *, field: str) -> Select[UUID]:
    """The version that a reference names, or all versions of a name."""
    name, version = parse_reference(reference, field=field)
    versions = select(ResourceRow.id).where(ResourceRow.kind == kind, ResourceRow.name == name)
    return versions if version is None else versions.where(ResourceRow.version == version)


def jobs_of_strata(session: Session, strata: UUID) -> list[Job]:
    """The jobs of that request for several parts of a probe set, in its order, without their manifests."""
    of_request = JobRow.options["part"]["strata"].as_string() == str(strata)
    query = select(JobRow).options(defer(JobRow.manifest, raiseload=True)).where(of_request, JobRow.replay_of.is_(None))
    rows = session.scalars(query.order_by(JobRow.options["part"]["number"].as_integer())).all()
    progress = stage_progress(session, [row.id for row in rows])
    return [_job(row, progress.get(row.id, ()), brief=True) for row in rows]


def latest_job_of_model(session: Session, name: str, version: int | None) -> UUID | None:
    """The newest succeeded job whose target is that model as it is, not shuffled."""
    query = (
        select(JobRow.id)
        .join(ResourceRow, ResourceRow.id == JobRow.target_id)
        .where(
            ResourceRow.name == name,
            JobRow.status == JobStatus.SUCCEEDED,
            JobRow.options["shuffled"].as_integer().is_(None),
        )
    )
    if version is not None:
        query = query.where(ResourceRow.version == version)
    return session.scalar(query.order_by(JobRow.id.desc()).limit(1))


def move_job(session: Session, job_id: UUID, status: JobStatus, **values: object) -> bool:
    """Give a job a new status if its present one allows it; False where it does not (or there is no such job)."""
    sources = [source for source, targets in LEGAL_MOVES.items() if status in targets]
    now = func.clock_timestamp()

    stamps: ColumnValues = {}
    if status is JobStatus.RUNNING:
        stamps["started_at"] = func.coalesce(JobRow.started_at, now)
    if status is JobStatus.QUEUED:
        stamps["finished_at"] = None
    elif status in ENDED:
        stamps["finished_at"] = now

    statement = update(JobRow).where(JobRow.id == job_id, JobRow.status.in_(sources))
    moved = session.scalar(statement.values(status=status, **stamps, **values).returning(JobRow.id)) is not None
    if moved:
        add_event(session, job_id, "status", {"status": status})
    return moved


class StoredRequest(TypedDict):
    """A job's request as its row holds it."""

    target: str
    dissector: str
    probe_set: str
    concept_set: str
    layers: list[str] | None

    layers_asked: NotRequired[list[str]]
    """See `DissectionOptions`."""

    method: MethodFields

    concepts_per_neuron: int
    images_per_neuron: int

    evidence: EvidenceFields

    shuffled: int | None
    batch_size: int
    shard_size: int
    queue: str
    priority: int

    localisation: NotRequired[LocalisationFields]
    """Where it was asked for."""

    purpose: NotRequired[PurposeEntries]
    """Earlier releases wrote none."""

    part: NotRequired[PartEntries]
    """Where a part of a probe set was asked for."""


def request_as_json(request: JobRequest) -> StoredRequest:
    """JSON values that `request_from_json` turns into an equal request."""
    options = request.options
    stored: StoredRequest = {
        "target": request.target,
        "dissector": request.dissector,
        "probe_set": request.probe_set,
        "concept_set": request.concept_set,
        "layers": None if options.layers is None else list(options.layers),
        "method": options.method.as_dict(),
        "concepts_per_neuron": options.concepts_per_neuron,
        "images_per_neuron": options.images_per_neuron,
        "evidence": options.evidence.as_dict(),
        "shuffled": options.shuffled,
        "batch_size": request.batch_size,
        "shard_size": request.shard_size,
        "queue": request.queue,
        "priority": request.priority,
    }
    if request.purpose is not None:
        stored["purpose"] = request.purpose.as_dict()
    if request.part is not None:
        stored["part"] = request.part.as_dict()
    if options.localisation is not None:
        stored["localisation"] = options.localisation.as_dict()
    if options.layers_asked is not None:
        stored["layers_asked"] = list(options.layers_asked)
    return stored


def request_from_json(stored: StoredRequest) -> JobRequest:
    """The request that was stored."""
    layers = stored["layers"]
    purpose = stored.get("purpose")
    layers_asked = stored.get("layers_asked")
    part = stored.get("part")
    localisation = stored.get("localisation")
    options = DissectionOptions(
        layers=None if layers is None else tuple(layers),
        method=Method.from_dict(stored["method"]),
        concepts_per_neuron=stored["concepts_per_neuron"],
        images_per_neuron=stored["images_per_neuron"],
        evidence=EvidenceOptions(**stored["evidence"]),
        shuffled=stored["shuffled"],
        localisation=None if localisation is None else LocalisationOptions.from_dict(localisation),
        layers_asked=None if layers_asked is None else tuple(layers_asked),
    )
    return JobRequest(
        target=stored["target"],
        dissector=stored["dissector"],
        probe_set=stored["probe_set"],
        concept_set=stored["concept_set"],
        options=options,
        batch_size=stored["batch_size"],
        shard_size=stored["shard_size"],
        queue=stored["queue"],
        priority=stored["priority"],
        purpose=None if purpose is None else JobPurpose.from_dict(purpose),
        part=None if part is None else JobPart.from_dict(part),
    )


def _job(row: JobRow | Row[Any], progress: Sequence[StageProgress] = (), *, brief: bool = False) -> Job:
    return Job(
        id=row.id,
        request=request_from_json(cast("StoredRequest", row.options)),
        status=JobStatus(row.status),
        progress=tuple(progress),
        manifest=None if brief else row.manifest,
        problem=row.problem,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        replay_of=row.replay_of,
    )
