"""Jobs on parts of a registered probe set: one, or several in one request, compared when all have succeeded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from service.db.comparisons import find_comparison_of
from service.db.jobs import find_job_by_key, jobs_of_strata
from service.domain.digests import digest_of
from service.domain.jobs import Job, JobPart, JobStatus
from service.domain.probes import ProbeSet, where_in_words
from service.domain.resources import Resource, ResourceKind
from service.errors import InvalidInput, NotFound
from service.files import DataRoots
from service.ports import JobQueue
from service.usecases.comparisons import compare_jobs
from service.usecases.jobs import JobSubmission, find_job, submit_job
from service.usecases.parts import part_of
from service.usecases.probe_sets import probe_set_of, register_part
from service.usecases.readings import AT_ONCE, Readings
from service.usecases.resources import find_resource
from service.usecases.trail import annotate

LEAST, MOST = 2, 8
"""Parts in one request: as many as a comparison has dissections."""

GivenWhere = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class StrataJobs:
    """The jobs of one request for several parts of a probe set."""

    id: UUID

    jobs: tuple[Job, ...]
    """In the order of the request."""

    comparison: UUID | None
    """Their comparison, once all have succeeded."""


def on_part(
    session: Session,
    submission: JobSubmission,
    where: GivenWhere,
    roots: DataRoots,
    readings: Readings = AT_ONCE,
) -> JobSubmission:
    """The submission on the part of its probe set that has these values.

    Raises NotFound, what `probe_set_of` and `part_of` raise, and NotRead.
    """
    whole, probe_set = _whole(session, submission, roots, readings)
    return _on_part(session, submission, whole, probe_set, part_of(probe_set, where))


def submit_strata(
    session: Session,
    queue: JobQueue,
    submission: JobSubmission,
    strata: Sequence[GivenWhere],
    *,
    request: object,
    roots: DataRoots,
    readings: Readings = AT_ONCE,
    idempotency_key: str | None = None,
) -> StrataJobs:
    """Insert a queued job for each of these parts of the submission's probe set.

    They have one method: where nobody chose a top-k, it follows the smallest part, so that they can be compared.
    Raises what `on_part` and `submit_job` raise, and InvalidInput for another number of parts than 2 to 8, for equal
    parts, and where the key came with another request before.
    """
    if not LEAST <= len(strata) <= MOST:
        raise InvalidInput(
            f"{len(strata)} strata were given.", field="strata", value=len(strata), remedy=f"Give {LEAST} to {MOST}."
        )

    digest = digest_of(request)
    annotate(session, after=digest)

    # The first job bears the key for all of them: the others are inserted with it or not at all.
    key = None if idempotency_key is None else f"{idempotency_key}/0"
    earlier = None if key is None else find_job_by_key(session, key)
    strata_of_earlier = None if earlier is None else _strata_of(earlier[0])
    if earlier is not None and strata_of_earlier is not None:
        _check_same_request(earlier[1], request, str(idempotency_key))
        return find_strata(session, strata_of_earlier)

    whole, probe_set = _whole(session, submission, roots, readings)
    parts = [part_of(probe_set, where, field=f"strata.{number}") for number, where in enumerate(strata)]
    _check_different(parts)

    if submission.fit_top_k:
        fewest = min(len(part.items) for part in parts)
        submission = replace(submission, method=submission.method.fitted_to(fewest), fit_top_k=False)

    identifier = uuid4()
    jobs: list[Job] = []
    for number, part in enumerate(parts):
        on_this_part = _on_part(session, submission, whole, probe_set, part, strata=identifier, number=number)
        job = submit_job(
            session,
            queue,
            on_this_part,
            request=_numbered(request, number),
            idempotency_key=key if number == 0 else None,
        )

        strata_of_job = _strata_of(job)
        if strata_of_job is not None and strata_of_job != identifier:  # the same key came between our look and now
            annotate(session, after=digest)
            return find_strata(session, strata_of_job)
        jobs.append(job)

    annotate(session, after=digest)
    return StrataJobs(identifier, tuple(jobs), None)


def find_strata(session: Session, identifier: UUID) -> StrataJobs:
    """The jobs of a request for several parts as they stand now, and their comparison where there is one.

    Raises NotFound.
    """
    jobs = jobs_of_strata(session, identifier)
    if not jobs:
        raise NotFound(
            f"There is no request {identifier} for several strata, or its jobs were deleted.",
            field="strata",
            value=identifier,
            remedy="List the jobs with GET /jobs.",
        )

    comparison = find_comparison_of(session, [job.id for job in jobs])
    return StrataJobs(identifier, tuple(jobs), None if comparison is None else comparison.id)


def compare_strata(session: Session, job_id: UUID) -> None:
    """Compare the jobs of the request for several parts that a job was in, if it was in one and all have succeeded.

    Raises NotFound, and what `compare_jobs` raises.
    """
    strata = _strata_of(find_job(session, job_id))
    if strata is None:
        return

    jobs = jobs_of_strata(session, strata)
    if len(jobs) >= LEAST and all(job.status is JobStatus.SUCCEEDED for job in jobs):
        compare_jobs(session, [job.id for job in jobs])


def _whole(
    session: Session, submission: JobSubmission, roots: DataRoots, readings: Readings
) -> tuple[Resource, ProbeSet]:
    whole = find_resource(session, ResourceKind.PROBE_SET, submission.probe_set, field="probe_set")
    return whole, probe_set_of(session, whole, roots, readings)


def _on_part(
    session: Session,
    submission: JobSubmission,
    whole: Resource,
    probe_set: ProbeSet,
    part: ProbeSet,
    *,
    strata: UUID | None = None,
    number: int | None = None,
) -> JobSubmission:
    registered = register_part(session, whole, probe_set, part.where)
    job_part = JobPart(whole.reference, part.where, strata, number)
    return replace(submission, probe_set=registered.reference, part=job_part)


def _strata_of(job: Job) -> UUID | None:
    """The request for several parts that a job was in; None for any other job."""
    return None if job.request.part is None else job.request.part.strata


def _check_different(parts: Sequence[ProbeSet]) -> None:
    first_places: dict[str, int] = {}
    for place, part in enumerate(parts):
        first = first_places.setdefault(part.digest, place)
        if first != place:
            raise InvalidInput(
                f"Strata {first} and {place} are the same images: {where_in_words(part.where)}.",
                field=f"strata.{place}",
                value=where_in_words(part.where),
                remedy="Give each stratum once.",
            )


def _numbered(request: object, number: int) -> object:
    return {"strata": request, "number": number}


def _check_same_request(earlier_digest: str, request: object, key: str) -> None:
    if digest_of(_numbered(request, 0)) != earlier_digest:
        raise InvalidInput(
            "That idempotency key belongs to other jobs, whose request was different.",
            field="Idempotency-Key",
            value=key,
            remedy="Use a new key for a new request.",
        )
