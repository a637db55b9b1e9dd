"""Submit, find, list and cancel jobs; look after those whose message or worker was lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import jobs as queries
from service.db.resources import find_inspection, uninspected_models
from service.db.session import on_commit
from service.domain.digests import digest_of
from service.domain.jobs import DissectionOptions, Job, JobStatus, check_move
from service.domain.layers import canonical_layer, unknown_layer
from service.domain.methods import Method
from service.domain.pages import Page, Position
from service.domain.resources import Resource, ResourceKind
from service.errors import InvalidInput, NotFound, TooFewImages
from service.ports import INSPECT_MODEL_TASK, RUN_JOB_TASK, JobQueue
from service.usecases.resources import find_resource
from service.usecases.wake import wake

RESEND_AFTER = timedelta(seconds=30)
ABANDONED_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class JobSubmission:
    """A job as posted: references, and layers by name (None: all)."""

    target: str
    dissector: str
    probe_set: str
    concept_set: str
    layers: tuple[str, ...] | None
    method: Method
    concepts_per_neuron: int
    images_per_neuron: int


def submit_job(
    session: Session, queue: JobQueue, submission: JobSubmission, *, request: Any, idempotency_key: str | None = None
) -> Job:
    """Insert a queued job and wake a worker once it is committed.

    request: the request as the caller sent it, by whose digest a repeated idempotency key is recognised.
    Raises NotFound, UnknownLayer, TooFewImages, and InvalidInput where the key came with another request before.
    """
    digest = digest_of(request)
    if idempotency_key is not None and (earlier := queries.find_job_by_key(session, idempotency_key)):
        return _same_request(earlier, digest, idempotency_key)
    target = find_resource(session, ResourceKind.MODEL, submission.target, field="target")
    probe_set = find_resource(session, ResourceKind.PROBE_SET, submission.probe_set, field="probe_set")
    _check_images(probe_set, submission.method)
    job = queries.add_job(
        session,
        target=target,
        dissector=find_resource(session, ResourceKind.DISSECTOR, submission.dissector, field="dissector"),
        probe_set=probe_set,
        concept_set=find_resource(session, ResourceKind.CONCEPT_SET, submission.concept_set, field="concept_set"),
        options=DissectionOptions(
            layers=_known_layers(session, target, submission.layers),
            method=submission.method,
            concepts_per_neuron=submission.concepts_per_neuron,
            images_per_neuron=submission.images_per_neuron,
        ),
        request_digest=digest,
        idempotency_key=idempotency_key,
    )
    if job is None:  # somebody posted the same key between our look and our insert
        earlier = queries.find_job_by_key(session, str(idempotency_key))
        assert earlier is not None  # noqa: S101 - jobs are never deleted
        return _same_request(earlier, digest, str(idempotency_key))
    on_commit(session, lambda: wake(queue, RUN_JOB_TASK, job.id))
    return job


def find_job(session: Session, job_id: UUID) -> Job:
    """The job as it stands now. Raises NotFound."""
    job = queries.get_job(session, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.", field="job", value=job_id, remedy="List the jobs with GET /jobs.")
    return job


def list_jobs(session: Session, *, status: JobStatus | None, limit: int, after: Position | None) -> Page[Job]:
    """Jobs, newest first."""
    return queries.list_jobs(session, status=status, limit=limit, after=after)


def cancel_job(session: Session, job_id: UUID) -> Job:
    """A queued job is cancelled at once; a running one within a batch. Raises Conflict once it has ended otherwise."""
    job = find_job(session, job_id)
    if job.status is JobStatus.CANCELLED:
        return job
    queued_until_now = job.status is JobStatus.QUEUED and queries.move_job(session, job_id, JobStatus.CANCELLED)
    if not queued_until_now and not queries.request_cancel(session, job_id):
        check_move(find_job(session, job_id).status, JobStatus.CANCELLED)
    return find_job(session, job_id)


def reconcile(session: Session, queue: JobQueue) -> None:
    """Wake workers for jobs and models that still wait, and end the running jobs whose worker has fallen silent."""
    for job_id in queries.queued_jobs(session, older_than=RESEND_AFTER):
        wake(queue, RUN_JOB_TASK, job_id)
    for model_id in uninspected_models(session, older_than=RESEND_AFTER):
        wake(queue, INSPECT_MODEL_TASK, model_id)
    for job in queries.silent_jobs(session, longer_than=ABANDONED_AFTER):
        if job.cancel_requested:
            queries.move_job(session, job.id, JobStatus.CANCELLED)
        else:
            queries.move_job(session, job.id, JobStatus.FAILED, problem=_WORKER_LOST)


_WORKER_LOST = {
    "code": "worker-lost",
    "title": "Worker lost",
    "detail": f"Nothing was heard of the job's worker for {ABANDONED_AFTER.seconds // 60} minutes.",
    "remedy": "Post the job again.",
}


def _same_request(earlier: tuple[Job, str], digest: str, key: str) -> Job:
    job, its_digest = earlier
    if its_digest != digest:
        raise InvalidInput(
            f"That idempotency key belongs to job {job.id}, which asked for something else.",
            field="Idempotency-Key",
            value=key,
            remedy="Use a new key for a new request.",
        )
    return job


def _check_images(probe_set: Resource, method: Method) -> None:
    images = probe_set.spec["images"]
    if method.similarity in {"soft_wpmi", "wpmi"} and images < method.top_k:
        raise TooFewImages(
            f"Probe set {probe_set.reference} has {images} images, fewer than top-k.",
            field="method.top_k",
            value=method.top_k,
            remedy=f"Choose a top_k of at most {images}, or a larger probe set.",
        )


def _known_layers(session: Session, target: Resource, layers: Sequence[str] | None) -> tuple[str, ...] | None:
    """Canonical names; checked here if a worker has listed the target's layers, else when the job runs."""
    if layers is None:
        return None
    names = tuple(dict.fromkeys(map(canonical_layer, layers)))
    inspection = find_inspection(session, target.id)
    if inspection is not None and inspection[0] is not None:
        known = [layer["name"] for layer in inspection[0]]
        for name in names:
            if name not in known:
                raise unknown_layer(name, known)
    return names
