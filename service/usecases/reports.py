"""Reports on dissections and comparisons, and the export of results to files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session

from service.analysis.coverage import cover
from service.analysis.export import ExportFormat, write_export
from service.analysis.watch_list import watch
from service.concepts.must_have import match_concepts, read_must_have
from service.db.pictures import find_pictures
from service.db.reviews import has_reviews, reviewed_neurons
from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.jobs import Job
from service.domain.neurons import Dissection, LayerDissection
from service.domain.resources import ResourceKind
from service.domain.review_lists import DEFAULT_SEED
from service.domain.specs import probe_set_spec
from service.errors import Conflict
from service.files import DataRoots
from service.reports.comparison import ComparisonReport, report_comparison
from service.reports.dissection import DissectionReport, dissection_html, report_dissection
from service.reports.probe_set import ProbeSetReport, report_probe_set
from service.reports.provenance import Provenance
from service.reports.readers import ReadersSection, readers_section
from service.usecases.comparisons import find_comparison
from service.usecases.evidence import concept_set_of_job, evidence_of
from service.usecases.findings import findings_of
from service.usecases.jobs import find_job
from service.usecases.neurons import read_layers
from service.usecases.probe_sets import find_check
from service.usecases.resources import find_resource
from service.usecases.review_lists import sum_up_reviews

_NOT_SHOWN = "There are no pictures: they are switched off, or not for this key."
_NO_PICTURES = "There are no pictures: an earlier release of the service stored this result."


def read_report(
    session: Session, job_id: UUID, *, must_have: Path | None, caller: str | None = None
) -> DissectionReport:
    """The report on a succeeded job, with what readers say as far as the caller may see it; without for nobody.

    must_have: a list of essential concepts, None for the one that comes along. Raises NotFound, Conflict for a job
    without a result, and InvalidConceptSet for a list that cannot be read.
    """
    layers = list(read_layers(session, job_id))
    job = find_job(session, job_id)
    concept_set = concept_set_of_job(session, job_id)

    report = sum_up(provenance_of(job), layers, concept_set, evidence_of(job), must_have=must_have)
    return report if caller is None else replace(report, readers=_readers(session, job_id, caller))


def _readers(session: Session, job_id: UUID, caller: str) -> ReadersSection | None:
    if not has_reviews(session, job_id):
        return None
    summary = sum_up_reviews(session, job_id, caller=caller, seed=DEFAULT_SEED)
    return readers_section(caller, summary, reviewed_neurons(session, job_id, caller=caller))


def read_comparison_report(session: Session, comparison_id: UUID) -> ComparisonReport:
    """The report on a comparison. Raises NotFound."""
    stored = find_comparison(session, comparison_id)
    assert stored.result is not None  # noqa: S101 - only lists are brief
    networks = [provenance_of(find_job(session, job_id)) for job_id in stored.jobs]
    return report_comparison(str(stored.id), networks, stored.result)


def read_probe_set_report(
    session: Session, reference: str, roots: DataRoots, *, concept_set: str | None = None
) -> ProbeSetReport:
    """The report on what the check of a probe set has found.

    concept_set: as in `findings_of`. Raises NotFound, Conflict while no check has ended, and what `findings_of` raises.
    """
    probe_set = find_resource(session, ResourceKind.PROBE_SET, reference, field="name")
    standing = find_check(session, probe_set)
    if standing.result is None:
        raise Conflict(
            f"No check of probe set {probe_set.reference} has ended yet: "
            f"{standing.done:,} of {standing.total:,} images are done.",
            field="name",
            value=probe_set.reference,
            remedy=f"Wait until GET /probe-sets/{probe_set.reference} shows another state than checking.",
        )
    return report_probe_set(
        probe_set.reference,
        standing.result,
        on_unreadable=probe_set_spec(probe_set)["on_unreadable"],
        checked_at=standing.checked_at,
        meanings=findings_of(session, probe_set, roots, concept_set=concept_set),
    )


def sum_up(
    provenance: Provenance,
    layers: Sequence[LayerDissection],
    concept_set: ConceptSet,
    evidence: JobEvidence | None,
    *,
    must_have: Path | None = None,
) -> DissectionReport:
    """The report on a dissection with its coverage and watch-list; must_have as in `read_report`."""
    essential = match_concepts(concept_set, read_must_have(must_have))
    coverage = cover(layers, concept_set, evidence, essential)
    watch_list = watch(layers, concept_set, evidence)
    return report_dissection(provenance, layers, concept_set, evidence, coverage, watch_list)


def provenance_of(job: Job) -> Provenance:
    """What the report says of how a succeeded job's result was made."""
    request = job.request
    return Provenance(
        job=str(job.id),
        target=named_target(request.target, request.options.shuffled),
        probe_set=request.probe_set,
        concept_set=request.concept_set,
        dissector=request.dissector,
        method=request.options.method,
        manifest={name: value for name, value in (job.manifest or {}).items() if name != "evidence"},
        finished_at=job.finished_at,
    )


def named_target(name: str, shuffled: int | None) -> str:
    """The target's name; of one whose weights were shuffled nobody should think it is the network itself."""
    return name if shuffled is None else f"{name} with its weights shuffled (seed {shuffled})"


def write_html(session: Session, report: DissectionReport, job_id: UUID, *, with_pictures: bool = True) -> str:
    """The report on a job as HTML, with the pictures that were stored with the job's result, or without."""
    if not with_pictures:
        return dissection_html(report, lambda _: None, no_pictures=_NOT_SHOWN)

    pictures = find_pictures(session, job_id)
    notice = f"{_NO_PICTURES} POST /jobs/{job_id}/replay computes the result again, and the report on that has them."
    return dissection_html(report, pictures.get, no_pictures=None if pictures else notice)


def export_job(
    session: Session,
    job_id: UUID,
    format: ExportFormat,  # noqa: A002 - as in write_export
    path: Path,
    *,
    caller: str,
) -> None:
    """Write a succeeded job's result to a file, with the reviews that the caller may see.

    Raises NotFound, Conflict, and InvalidInput as `write_export` does.
    """
    layers = tuple(read_layers(session, job_id))
    job = find_job(session, job_id)
    manifest = job.manifest or {}
    dissection = Dissection(
        layers=layers,
        images_used=manifest.get("images_used", 0),
        images_skipped=tuple(manifest.get("rows_skipped", ())),
        evidence=evidence_of(job),
    )

    reviewed = {(neuron.layer, neuron.unit): neuron for neuron in reviewed_neurons(session, job_id, caller=caller)}
    write_export(dissection, concept_set_of_job(session, job_id), path, format, reviewed)
