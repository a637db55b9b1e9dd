"""What the labels of a dissection amount to: coverage of the concept set, and responses to watched concepts."""

from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session

from service.analysis.coverage import Coverage, cover
from service.analysis.evidence_codec import decode_evidence
from service.analysis.watch_list import WatchList, watch
from service.concepts.must_have import match_concepts, read_must_have
from service.db.jobs import parts_of
from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.jobs import Job
from service.usecases.jobs import find_job
from service.usecases.neurons import read_layers
from service.usecases.resources import concept_set_of


def evidence_of(job: Job) -> JobEvidence | None:
    """What was inferred in a succeeded job; None where no evidence was asked for."""
    return decode_evidence((job.manifest or {}).get("evidence"))


def concept_set_of_job(session: Session, job_id: UUID) -> ConceptSet:
    """The concepts that a job's neurons were named after."""
    return concept_set_of(parts_of(session, job_id).concept_set)


def read_coverage(session: Session, job_id: UUID, *, must_have: Path | None) -> Coverage:
    """Coverage of the job's concept set.

    must_have: a list of essential concepts, None for the one that comes along. Raises NotFound, Conflict for a job
    without a result, and InvalidConceptSet for a list that cannot be read.
    """
    layers = read_layers(session, job_id)
    concept_set = concept_set_of_job(session, job_id)
    essential = match_concepts(concept_set, read_must_have(must_have))
    return cover(layers, concept_set, evidence_of(find_job(session, job_id)), essential)


def read_watch_list(session: Session, job_id: UUID) -> WatchList:
    """Neurons that respond to watched concepts. Raises NotFound, and Conflict for a job without a result."""
    layers = read_layers(session, job_id)
    return watch(layers, concept_set_of_job(session, job_id), evidence_of(find_job(session, job_id)))
