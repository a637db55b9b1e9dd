"""Compare dissections, find and list comparisons."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from service.analysis.comparability import check_comparable, on_different_parts, part_in_words
from service.analysis.compared_labels import read_labels
from service.analysis.comparison import compare
from service.analysis.coverage import NOT_ASKED
from service.db import comparisons as queries
from service.db.jobs import targets_of
from service.db.session import expect_pause
from service.db.text_embeddings import find_texts
from service.domain.comparisons import StoredComparison
from service.domain.digests import digest_of
from service.domain.jobs import Job
from service.domain.pages import Page, Position
from service.domain.prompts import texts_digest
from service.errors import InvalidInput, NotFound
from service.usecases.evidence import concept_set_of_job, evidence_of
from service.usecases.jobs import choose_job, find_job
from service.usecases.neurons import read_layers
from service.usecases.trail import annotate

MOST = 8
"""Dissections in one comparison."""


def compare_jobs(session: Session, job_ids: Sequence[UUID]) -> tuple[StoredComparison, bool]:
    """Compare succeeded jobs with the first of them, or find what was found before. Second value: is it new?

    Raises InvalidInput unless there are 2 to 8, NotFound, and Conflict for a job without a result and for jobs that
    differ in what must be the same.
    """
    if not 2 <= len(job_ids) <= MOST:
        raise InvalidInput(
            f"{len(job_ids)} jobs cannot be compared.", field="jobs", value=len(job_ids), remedy=f"Name 2 to {MOST}."
        )
    earlier = queries.find_comparison_of(session, job_ids)
    if earlier is not None:
        return earlier, False

    jobs = comparable_jobs(session, job_ids)
    labels = [read_labels(read_layers(session, job.id)) for job in jobs]
    concept_set = concept_set_of_job(session, jobs[0].id)
    concept_embeddings = _concept_embeddings(session, jobs)

    expect_pause(session)
    result = compare(
        labels,
        [_architecture(job) for job in jobs],
        concept_set,
        not_tested_reasons=[_not_tested_reason(job) for job in jobs],
        concept_embeddings=concept_embeddings,
        parts=list(map(part_in_words, jobs)) if on_different_parts(jobs) else None,
    )

    is_new = queries.add_comparison(session, job_ids, result)
    annotate(session, after=digest_of(asdict(result)))
    stored = queries.find_comparison_of(session, job_ids)
    assert stored is not None  # noqa: S101 - comparisons are never deleted
    return stored, is_new


def comparable_jobs(session: Session, job_ids: Sequence[UUID]) -> list[Job]:
    """The jobs, which can be compared. Raises NotFound, and Conflict as `compare_jobs` does."""
    jobs = [find_job(session, choose_job(session, job_id=job_id, model=None)) for job_id in job_ids]
    check_comparable(jobs)
    return jobs


def targets_of_comparisons(session: Session, comparisons: Sequence[StoredComparison]) -> dict[UUID, str]:
    """The target of each job in the comparisons, `name@version`."""
    return targets_of(session, {job_id for comparison in comparisons for job_id in comparison.jobs})


def find_comparison(session: Session, comparison_id: UUID) -> StoredComparison:
    """A comparison with its result. Raises NotFound."""
    comparison = queries.get_comparison(session, comparison_id)
    if comparison is None:
        raise NotFound(
            f"There is no comparison {comparison_id}.",
            field="comparison",
            value=comparison_id,
            remedy="List the comparisons with GET /comparisons.",
        )
    return comparison


def list_comparisons(session: Session, *, limit: int, after: Position | None) -> Page[StoredComparison]:
    """Comparisons, newest first, without their results."""
    return queries.list_comparisons(session, limit=limit, after=after)


def _architecture(job: Job) -> str | None:
    manifest = job.manifest or {}
    architecture: str | None = manifest.get("target", {}).get("architecture")
    return architecture


def _concept_embeddings(session: Session, jobs: Sequence[Job]) -> NDArray[np.float32] | None:
    """The dissector's embeddings of the concepts, which comparable jobs share; the first job's device comes first."""
    manifests = [job.manifest or {} for job in jobs]
    dissector = manifests[0]["dissector"]["digest"]
    texts = texts_digest(manifests[0]["concept_set"], jobs[0].request.options.method.as_dict().get("prompts"))
    devices = [str(manifest.get("device")) for manifest in manifests]
    return find_texts(session, dissector, texts, devices)


def _not_tested_reason(job: Job) -> str | None:
    evidence = evidence_of(job)
    return NOT_ASKED if evidence is None else evidence.refused
