"""The paper's tables of dissections, of comparisons, and of result files that the published scripts wrote."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from service.analysis.comparability import check_comparable
from service.analysis.paper import NamedUnits, PaperTables, named_units, paper_tables
from service.analysis.published import read_result_files
from service.domain.concepts import ConceptSet
from service.domain.jobs import Job
from service.domain.manifests import name_on_part
from service.domain.resources import ResourceKind
from service.errors import Conflict, InvalidInput
from service.files import DataRoots
from service.usecases.comparisons import MOST, find_comparison
from service.usecases.evidence import concept_set_of_job
from service.usecases.files import locate
from service.usecases.jobs import find_job
from service.usecases.neurons import read_layers
from service.usecases.reports import named_target
from service.usecases.resources import concept_set_of, find_resource

Tables = tuple[PaperTables, ConceptSet]
"""The tables, and the concept set whose categories they use."""


def read_job_paper(session: Session, job_id: UUID) -> Tables:
    """The tables of a succeeded job. Raises NotFound, and Conflict for a job without a result."""
    return _side_by_side(session, [job_id])


def read_comparison_paper(session: Session, comparison_id: UUID) -> Tables:
    """The tables of all networks of a comparison. Raises NotFound."""
    return _side_by_side(session, find_comparison(session, comparison_id).jobs)


def read_paper(
    session: Session, jobs: Sequence[UUID], tables: Sequence[str], concept_set: str | None, roots: DataRoots
) -> Tables:
    """The tables of succeeded jobs and of result files, side by side: jobs first, then files.

    concept_set: a reference; None for that of the first job.
    Raises InvalidInput unless there are 1 to 8 of them, for files that cannot be read, and where nothing says which
    concept set; NotFound; Conflict for a job without a result; FileOutOfReach.
    """
    if not 1 <= len(jobs) + len(tables) <= MOST:
        raise InvalidInput(
            f"{len(jobs) + len(tables)} jobs and tables cannot be set side by side.",
            field="job",
            value=len(jobs) + len(tables),
            remedy=f"Name 1 to {MOST} of them with job= and table=.",
        )

    # Files are read before anything is asked of the database, so that no connection waits for a drive.
    paths = [locate(table, roots, field="table") for table in tables]
    of_files, notes = read_result_files(paths, roots, field="table")
    return _side_by_side(session, jobs, of_files, concept_set, notes)


def _side_by_side(
    session: Session,
    job_ids: Sequence[UUID],
    of_files: Sequence[NamedUnits] = (),
    concept_set: str | None = None,
    notes: Sequence[str] = (),
) -> Tables:
    jobs = [find_job(session, job_id) for job_id in job_ids]
    networks = [*(_network_of_job(session, job) for job in jobs), *of_files]
    concepts = _concept_set(session, job_ids, concept_set)
    return paper_tables(networks, concepts, [*notes, *_differences(jobs)]), concepts


def _network_of_job(session: Session, job: Job) -> NamedUnits:
    target = named_target(job.request.target, job.request.options.shuffled)
    return named_units(name_on_part(target, job.manifest), read_layers(session, job.id))


def _differences(jobs: Sequence[Job]) -> list[str]:
    """What keeps the jobs from being compared: no reason to refuse their tables, but something to say beside them."""
    if len(jobs) < 2:
        return []

    try:
        check_comparable(jobs)
    except Conflict as difference:
        return [f"{difference.detail} Their scores and thresholds may not mean the same."]
    return []


def _concept_set(session: Session, jobs: Sequence[UUID], reference: str | None) -> ConceptSet:
    if reference is not None:
        return concept_set_of(find_resource(session, ResourceKind.CONCEPT_SET, reference, field="concept_set"))
    if jobs:
        return concept_set_of_job(session, jobs[0])
    raise InvalidInput(
        "Nothing says which categories the concepts have.",
        field="concept_set",
        remedy="Name a registered concept set with concept_set=.",
    )
