"""Reports on dissections and comparisons, and the export of results to files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from service.analysis.coverage import cover
from service.analysis.export import ExportFormat, write_export
from service.analysis.watch_list import watch
from service.concepts.must_have import match_concepts, read_must_have
from service.db.jobs import parts_of
from service.db.session import expect_pause
from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.jobs import Job
from service.domain.neurons import Dissection, LayerDissection
from service.domain.preprocessing import MAMMO_CLIP
from service.domain.probes import ProbeSet
from service.domain.resources import Resource
from service.errors import InvalidInput
from service.files import DataRoots
from service.reports.comparison import ComparisonReport, report_comparison
from service.reports.dissection import DissectionReport, Thumbnail, dissection_html, report_dissection
from service.reports.facts import Facts
from service.reports.thumbnails import Thumbnails
from service.usecases.comparisons import find_comparison
from service.usecases.evidence import concept_set_of_job, evidence_of
from service.usecases.jobs import find_job
from service.usecases.neurons import read_layers
from service.usecases.resources import probe_set_of


def read_report(session: Session, job_id: UUID, *, must_have: Path | None) -> DissectionReport:
    """The report on a succeeded job.

    must_have: a list of essential concepts, None for the one that comes along. Raises NotFound, Conflict for a job
    without a result, and InvalidConceptSet for a list that cannot be read.
    """
    layers = list(read_layers(session, job_id))
    job = find_job(session, job_id)
    return sum_up(facts_of(job), layers, concept_set_of_job(session, job_id), evidence_of(job), must_have=must_have)


def read_comparison_report(session: Session, comparison_id: UUID) -> ComparisonReport:
    """The report on a comparison. Raises NotFound."""
    stored = find_comparison(session, comparison_id)
    assert stored.result is not None  # noqa: S101 - only lists are brief
    facts = [facts_of(find_job(session, job_id)) for job_id in stored.jobs]
    return report_comparison(str(stored.id), facts, stored.result)


def sum_up(
    facts: Facts,
    layers: Sequence[LayerDissection],
    concept_set: ConceptSet,
    evidence: JobEvidence | None,
    *,
    must_have: Path | None = None,
) -> DissectionReport:
    """The report on a dissection with its coverage and watch-list; must_have as in `read_report`."""
    essential = match_concepts(concept_set, read_must_have(must_have))
    coverage = cover(layers, concept_set, evidence, essential)
    return report_dissection(facts, layers, concept_set, evidence, coverage, watch(layers, concept_set, evidence))


def write_report(
    facts: Facts, dissection: Dissection, concept_set: ConceptSet, probe_set: ProbeSet, path: Path
) -> None:
    """Write the report on a dissection that no server made, as one HTML file."""
    report = sum_up(facts, dissection.layers, concept_set, dissection.evidence)
    thumbnails = Thumbnails(probe_set, to_breast=sees_breast_only(facts.manifest))
    path.write_text(dissection_html(report, thumbnails), "utf-8")


def facts_of(job: Job) -> Facts:
    """What the report says of how a succeeded job's result was made."""
    request = job.request
    return Facts(
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


def thumbnails_of(session: Session, job_id: UUID, roots: DataRoots) -> Thumbnail:
    """Pictures of a job's probe images, by its registered manifest; none where that cannot be read here any more."""
    manifest, probe_set = find_job(session, job_id).manifest, parts_of(session, job_id).probe_set
    expect_pause(session)  # each picture is decoded when it is asked for
    return open_thumbnails(probe_set, manifest, roots)


def open_thumbnails(probe_set: Resource, manifest: Mapping[str, Any] | None, roots: DataRoots) -> Thumbnail:
    """Pictures of a registered probe set's images, cut as the target saw them, which the job's manifest knows."""
    try:
        items = probe_set_of(probe_set, roots)
    except InvalidInput:
        return lambda _: None
    return Thumbnails(items, to_breast=sees_breast_only(manifest))


def sees_breast_only(manifest: Mapping[str, Any] | None) -> bool:
    """Whether the target of a dissection is shown DICOM images cut to the breast."""
    contract = (manifest or {}).get("target", {}).get("preprocessing")
    return bool(contract == MAMMO_CLIP.digest())


def export_job(session: Session, job_id: UUID, format: ExportFormat, path: Path) -> None:  # noqa: A002 - as in write_export
    """Write a succeeded job's result to a file. Raises NotFound, Conflict, and InvalidInput as `write_export` does."""
    layers = tuple(read_layers(session, job_id))
    job = find_job(session, job_id)
    manifest = job.manifest or {}
    dissection = Dissection(
        layers=layers,
        images_used=manifest.get("images_used", 0),
        images_skipped=tuple(manifest.get("rows_skipped", ())),
        evidence=evidence_of(job),
    )
    write_export(dissection, concept_set_of_job(session, job_id), path, format)
