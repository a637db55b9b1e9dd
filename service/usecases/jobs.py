"""Submit, find, choose, cancel, retry and replay jobs."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import jobs as queries
from service.db.events import add_event, events_after, events_of_many
from service.db.resources import find_inspection, find_reading
from service.db.session import on_commit
from service.db.work import add_items, next_turn, restore_items, stage_progress, withdraw_items
from service.domain.digests import digest_of
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import (
    BATCH_SIZE,
    SHARD_SIZE,
    DissectionOptions,
    Job,
    JobPart,
    JobRequest,
    JobStatus,
    Stage,
    StageProgress,
    check_move,
    digest_of_status,
)
from service.domain.layers import expand_layers
from service.domain.localisation import LocalisationOptions
from service.domain.methods import PRIOR_METHODS, Method
from service.domain.purposes import JobPurpose, Purpose
from service.domain.resources import Resource, ResourceKind, parse_reference
from service.domain.specs import model_spec, probe_set_spec
from service.domain.table_targets import check_not_shuffled, is_table, without_patches
from service.domain.work import JobEvent, JobNews, NewItem
from service.errors import Conflict, InvalidInput, NotFound, TooFewImages
from service.ports import JobQueue
from service.usecases.checks import wait_for_check, what_job_waits_for
from service.usecases.preparations import check_fetched, image_count
from service.usecases.prompts import with_prompts
from service.usecases.purposes import judge_purpose
from service.usecases.resources import find_parts, find_resource
from service.usecases.states import check_not_refused
from service.usecases.trail import annotate
from service.usecases.wake import wake_worker


@dataclass(frozen=True, slots=True)
class JobSubmission:
    """A job as posted: references, layers, and how it is cut, queued and ranked.

    fit_top_k: nobody chose the method's top-k, so it follows the probe set's size.
    """

    target: str
    dissector: str
    probe_set: str
    concept_set: str
    layers: tuple[str, ...] | None
    """See `asked_layers`."""
    method: Method
    concepts_per_neuron: int
    images_per_neuron: int
    fit_top_k: bool = False
    evidence: EvidenceOptions = field(default_factory=EvidenceOptions)
    shuffled: int | None = None

    localisation: LocalisationOptions | None = None
    """See `DissectionOptions`."""

    batch_size: int = BATCH_SIZE
    shard_size: int = SHARD_SIZE
    queue: str = "default"
    priority: int = 0

    purpose: Purpose | None = None
    """None where nobody says it: then it is the default."""

    override_reason: str | None = None
    """Why parts are used that do not allow the purpose."""

    part: JobPart | None = None
    """The part of a probe set that `probe_set` is, where one was asked for."""


ChoosePart = Callable[[JobSubmission], JobSubmission]


def whole_probe_set(submission: JobSubmission) -> JobSubmission:
    """The submission as it is."""
    return submission


def submit_job(
    session: Session,
    queue: JobQueue,
    submission: JobSubmission,
    *,
    request: object,
    idempotency_key: str | None = None,
    choose_part: ChoosePart = whole_probe_set,
) -> Job:
    """Insert a queued job with its probe shards, and wake workers once it is committed.

    request: the request as the caller sent it, by whose digest a repeated idempotency key is recognised.
    choose_part: makes it a submission on a part of its probe set, see `service.usecases.strata`; it may raise.
    Raises NotFound, PartRefused, UnknownLayer, TooFewImages, NotMeasured, NotFetched, Conflict for a probe set that
    cannot be measured, InvalidConceptSet where two concepts have a text in common by the prompts, PurposeNotAllowed,
    and InvalidInput where the key came with another request before.
    """
    digest = digest_of(request)
    annotate(session, after=digest)
    if idempotency_key is not None and (earlier := queries.find_job_by_key(session, idempotency_key)):
        return _same_request(earlier, digest, idempotency_key)

    parts, resolved = resolve(session, choose_part(submission))
    annotate(session, after=_digest_for_trail(digest, resolved.purpose))
    job = queries.add_job(session, parts, resolved, request_digest=digest, idempotency_key=idempotency_key)
    if job is None:  # somebody posted the same key between our look and our insert
        earlier = queries.find_job_by_key(session, str(idempotency_key))
        assert earlier is not None  # noqa: S101 - only old jobs that have ended are deleted
        return _same_request(earlier, digest, str(idempotency_key))
    return enqueue(session, queue, job, parts.probe_set)


def resolve(session: Session, submission: JobSubmission) -> tuple[queries.JobParts, JobRequest]:
    """Registered parts and request that a submission amounts to.

    Raises NotFound, PartRefused, UnknownLayer, TooFewImages, NotMeasured, NotFetched, PurposeNotAllowed, Conflict
    for a probe set that cannot be measured, InvalidInput for what cannot be asked of a table, and InvalidConceptSet
    where two concepts have a text in common by the prompts.
    """
    resources = find_parts(
        session,
        {
            ResourceKind.MODEL: ("target", submission.target),
            ResourceKind.DISSECTOR: ("dissector", submission.dissector),
            ResourceKind.PROBE_SET: ("probe_set", submission.probe_set),
            ResourceKind.CONCEPT_SET: ("concept_set", submission.concept_set),
        },
    )
    parts = queries.JobParts(
        target=resources[ResourceKind.MODEL],
        dissector=resources[ResourceKind.DISSECTOR],
        probe_set=resources[ResourceKind.PROBE_SET],
        concept_set=resources[ResourceKind.CONCEPT_SET],
    )

    check_not_refused(session, parts)
    check_fetched(session, parts.target)
    submission = replace(submission, method=with_prompts(session, parts, submission.method))

    images = image_count(session, parts.probe_set)
    if submission.fit_top_k:
        submission = replace(submission, method=submission.method.fitted_to(images))
    _check_images(parts.probe_set, images, submission.method)

    check_askable(parts.target, parts.probe_set, shuffled=submission.shuffled)

    layers = None
    if submission.layers is not None:
        layers = check_layers(session, parts.target, submission.layers)

    purpose = judge_purpose(parts, submission.purpose, reason=submission.override_reason)
    return parts, replace(_request(parts, submission, layers), purpose=purpose)


def check_askable(target: Resource, probe_set: Resource, *, shuffled: int | None) -> None:
    """Raise InvalidInput for what cannot be asked of a table."""
    if not is_table(model_spec(target)["architecture"]):
        return
    check_not_shuffled(shuffled)
    if probe_set_spec(probe_set)["patches"] is not None:
        raise without_patches("probe_set", probe_set.reference)


def check_layers(session: Session, target: Resource, layers: Sequence[str]) -> tuple[str, ...]:
    """The layers that names and patterns stand for, if a worker has listed the target's; else as they are, for the job.

    Raises UnknownLayer for the first that no layer of the target fits.
    """
    inspection = find_inspection(session, target.id)
    if inspection is None or inspection[0] is None:
        return tuple(layers)

    reading = find_reading(session, target.id)
    left_out = () if reading is None else reading["left_out"]["names"]
    return expand_layers(layers, {listing["name"]: listing.get("ends_stage") for listing in inspection[0]}, left_out)


def submit_parts(
    session: Session,
    queue: JobQueue,
    parts: queries.JobParts,
    request: JobRequest,
    *,
    request_digest: str,
    replay_of: UUID | None = None,
) -> Job:
    """Insert a queued job whose parts are known. replay_of: compute that job's result again from scratch."""
    job = queries.add_job(
        session, parts, request, request_digest=request_digest, idempotency_key=None, replay_of=replay_of
    )
    assert job is not None  # noqa: S101 - only a key can keep it out
    return enqueue(session, queue, job, parts.probe_set)


def replay_job(session: Session, queue: JobQueue, job_id: UUID) -> Job:
    """Queue a job that computes a succeeded one's result from scratch and compares.

    It is for what the other was for, under the terms that were stated then: whoever checks a result does not use it.
    Raises NotFound, Conflict, and PartRefused where a worker could not open its target or dissector.
    """
    original = find_job(session, job_id)
    if original.status is not JobStatus.SUCCEEDED:
        raise Conflict(
            f"Job {job_id} has no result to replay: it is {original.status}.",
            field="job",
            value=job_id,
            remedy="Replay a job that has succeeded.",
        )

    digest = digest_of({"replay_of": str(job_id)})
    annotate(session, after=digest)
    parts = queries.parts_of(session, job_id)
    check_not_refused(session, parts)
    return submit_parts(session, queue, parts, original.request, request_digest=digest, replay_of=job_id)


def enqueue(session: Session, queue: JobQueue, job: Job, probe_set: Resource) -> Job:
    """Give a new job its probe shards and its place, and wake workers once it is committed."""
    request = job.request
    images = image_count(session, probe_set)
    shards = [NewItem(min(request.shard_size, images - start)) for start in range(0, images, request.shard_size)]

    turn = next_turn(session, request.queue)
    add_items(session, job, Stage.PROBE, shards, turn=turn, consecutive=True)
    add_event(session, job.id, "status", {"status": JobStatus.QUEUED})
    if wait_for_check(session, job.id, probe_set, priority=request.priority):
        job = replace(job, waits_for=what_job_waits_for(session, job.id))
    on_commit(session, lambda: wake_worker(queue, job.id))

    progress = StageProgress(
        stage=Stage.PROBE, done=0, total=images, items=len(shards), items_done=0, started_at=None, updated_at=None
    )
    return replace(job, progress=(progress,))


def _request(parts: queries.JobParts, submission: JobSubmission, layers: tuple[str, ...] | None) -> JobRequest:
    return JobRequest(
        target=parts.target.reference,
        dissector=parts.dissector.reference,
        probe_set=parts.probe_set.reference,
        concept_set=parts.concept_set.reference,
        options=DissectionOptions(
            layers=layers,
            method=submission.method,
            concepts_per_neuron=submission.concepts_per_neuron,
            images_per_neuron=submission.images_per_neuron,
            evidence=submission.evidence,
            shuffled=submission.shuffled,
            localisation=submission.localisation,
            layers_asked=None if layers == submission.layers else submission.layers,
        ),
        batch_size=submission.batch_size,
        shard_size=submission.shard_size,
        queue=submission.queue,
        priority=submission.priority,
        part=submission.part,
    )


def _digest_for_trail(request_digest: str, purpose: JobPurpose | None) -> str:
    """What the trail keeps of a job: its request's digest, with the override that it was accepted under, if any."""
    if purpose is None or purpose.override is None:
        return request_digest
    return digest_of({"request": request_digest, "override_purpose": purpose.override.as_dict()})


def find_job(session: Session, job_id: UUID) -> Job:
    """The job as it stands now. Raises NotFound."""
    job = queries.get_job(session, job_id)
    if job is None:
        raise _no_job(job_id)
    if job.status is JobStatus.QUEUED:
        return replace(job, waits_for=what_job_waits_for(session, job_id))
    return job


def find_job_status(session: Session, job_id: UUID) -> JobStatus:
    """Where the job stands, for who needs nothing else of it. Raises NotFound."""
    status = queries.find_job_status(session, job_id)
    if status is None:
        raise _no_job(job_id)
    return status


def find_end(session: Session, job_id: UUID) -> tuple[JobStatus, datetime] | None:
    """How and when a job has ended, which changes only if it is tried again; None where it has not."""
    return queries.find_end(session, job_id)


def choose_job(session: Session, *, job_id: UUID | None, model: str | None) -> UUID:
    """The job that a query means: that one, or the model's newest succeeded one.

    Raises InvalidInput unless exactly one is given, NotFound, and Conflict for a job without a result.
    """
    if (job_id is None) == (model is None):
        raise InvalidInput("Say which dissection you mean.", field="job", remedy="Give either job= or model=.")
    if job_id is not None:
        status = find_job_status(session, job_id)
        if status is not JobStatus.SUCCEEDED:
            raise Conflict(
                f"Job {job_id} has no result: it is {status}.",
                field="job",
                value=job_id,
                remedy=f"Look at GET /jobs/{job_id}.",
            )
        return job_id

    find_resource(session, ResourceKind.MODEL, str(model), field="model")
    name, version = parse_reference(str(model), field="model")
    latest = queries.latest_job_of_model(session, name, version)
    if latest is None:
        raise NotFound(
            f"Model '{model}' has no succeeded job yet.", field="model", value=model, remedy="Post one to /jobs."
        )
    return latest


def cancel_job(session: Session, job_id: UUID) -> Job:
    """End a job now: what waits never starts, what runs is stopped by its workers. Raises NotFound, Conflict."""
    job = _locked_job(session, job_id)
    if job.status is not JobStatus.CANCELLED:
        check_move(job.status, JobStatus.CANCELLED)
        withdraw_items(session, job_id)
        queries.move_job(session, job_id, JobStatus.CANCELLED)
        annotate(session, before=digest_of_status(job.status), after=digest_of_status(JobStatus.CANCELLED))
    return find_job(session, job_id)


def retry_job(session: Session, queue: JobQueue, job_id: UUID) -> Job:
    """Put a failed or dead job back into the queue; what it had finished stays finished. Raises NotFound, Conflict."""
    job = _locked_job(session, job_id)
    check_move(job.status, JobStatus.QUEUED)
    restore_items(session, job_id, turn=next_turn(session, job.request.queue))
    wait_for_check(session, job_id, queries.parts_of(session, job_id).probe_set, priority=job.request.priority)
    queries.move_job(session, job_id, JobStatus.QUEUED, problem=None)
    annotate(session, before=digest_of_status(job.status), after=digest_of_status(JobStatus.QUEUED))
    on_commit(session, lambda: wake_worker(queue, job_id))
    return find_job(session, job_id)


def job_events(session: Session, job_id: UUID, *, after: int) -> tuple[Job, list[JobEvent]]:
    """The job and its history behind an event. Raises NotFound."""
    job = find_job(session, job_id)  # first: a job that has ended has all its events
    return job, events_after(session, job_id, after)


def job_news(session: Session, last_seen: Collection[tuple[UUID, int]]) -> dict[tuple[UUID, int], JobNews]:
    """For each job and event of it that was seen, the news of that job; no entry where there is no such job."""
    job_ids = {job_id for job_id, _ in last_seen}
    statuses = queries.job_statuses(session, job_ids)  # first: a job that has ended has all its events
    progress = stage_progress(session, list(statuses))
    events = events_of_many(session, last_seen)

    news: dict[tuple[UUID, int], JobNews] = {}
    for job_id, last_id in last_seen:
        if job_id in statuses:
            stages = progress.get(job_id, ())
            new_events = events.get((job_id, last_id), ())
            news[job_id, last_id] = JobNews(statuses[job_id], tuple(stages), tuple(new_events))
    return news


def _locked_job(session: Session, job_id: UUID) -> Job:
    job = queries.lock_job(session, job_id)
    if job is None:
        raise _no_job(job_id)
    return job


def _no_job(job_id: UUID) -> NotFound:
    return NotFound(f"There is no job {job_id}.", field="job", value=job_id, remedy="List the jobs with GET /jobs.")


def _same_request(earlier: tuple[Job, str], digest: str, key: str) -> Job:
    job, earlier_digest = earlier
    if earlier_digest != digest:
        raise InvalidInput(
            f"That idempotency key belongs to job {job.id}, whose request was different.",
            field="Idempotency-Key",
            value=key,
            remedy="Use a new key for a new request.",
        )
    return job


def _check_images(probe_set: Resource, images: int, method: Method) -> None:
    if method.similarity in PRIOR_METHODS and images < method.top_k:
        raise TooFewImages(
            f"Probe set {probe_set.reference} has {images} images, fewer than top-k.",
            field="method.top_k",
            value=method.top_k,
            remedy=f"Choose a top_k of at most {images}, or a larger probe set.",
        )
