"""The report on one dissection: its content, as HTML and as JSON."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from service.analysis.coverage import Coverage
from service.analysis.watch_list import WatchList
from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.manifests import images_shown, input_warnings, probe_set_lines
from service.domain.neurons import LayerDissection, total_verdicts
from service.domain.probes import ImagePlace
from service.domain.verdicts import VerdictCounts
from service.reports.cards import NeuronCard, choose_cards
from service.reports.coverage_map import category_rows, column_groups, concept_rows
from service.reports.finding_lines import finding_sentences
from service.reports.html import picture, render
from service.reports.layers import LayerLine, layer_line, total_composition
from service.reports.pictures import images_of
from service.reports.provenance import Provenance
from service.reports.readers import ReadersSection
from service.reports.verdicts import UnnamedNeuron, unnamed_neurons, unnamed_sentence, verdict_sentences
from service.reports.watching import WatchSummary, sum_up_watch_list
from service.reports.where import WhereSummary, sum_up_where, where_sentences
from service.reports.wording import (
    dissector_sentences,
    limits,
    missing_by_reason,
    missing_sentences,
    neuron_sentences,
    reading_sentences,
    untestable_sentence,
    watch_sentences,
)

Thumbnail = Callable[[ImagePlace], bytes | None]
"""A small JPEG of an image; None where it cannot be had."""


@dataclass(frozen=True, slots=True)
class DissectionReport:
    """Everything that a report on a dissection says: the JSON holds exactly this, and the HTML adds the pictures."""

    facts: Provenance
    summary: tuple[str, ...]
    tested: bool
    """Whether labels were tested."""
    layers: tuple[LayerLine, ...]
    composition: tuple[tuple[str, int], ...]
    """Broad categories and their neurons: significant ones, or those at the paper's threshold where none was tested."""
    coverage: Coverage
    """Without the concepts that no neuron represents."""
    watched: WatchSummary
    cards: tuple[NeuronCard, ...]
    verdicts: VerdictCounts | None
    """Of all layers; None where the job has none."""
    unnamed: tuple[UnnamedNeuron, ...]
    """The neurons that a person should look at, those with the best fit first."""
    evidence: JobEvidence | None
    limits: tuple[str, ...]
    where: WhereSummary | None = None
    """Where neurons look; None where the job did not ask for it."""
    readers: ReadersSection | None = None
    """What readers say of labels; left out of the JSON where nobody has reviewed one."""


_REPORT = TypeAdapter(DissectionReport)


def report_dissection(
    provenance: Provenance,
    layers: Sequence[LayerDissection],
    concept_set: ConceptSet,
    evidence: JobEvidence | None,
    coverage: Coverage,
    watch_list: WatchList,
) -> DissectionReport:
    """Sum up a dissection. The neurons' concept indices point into the concept set."""
    lines = tuple(layer_line(number, layer, concept_set) for number, layer in enumerate(layers, start=1))
    verdicts = total_verdicts(line.summary for line in lines)
    watched = sum_up_watch_list(watch_list, layers, concept_set)
    where = sum_up_where(provenance.manifest, layers)
    represented = tuple(concept for concept in coverage.concepts if concept.neurons)

    summary = (
        *neuron_sentences(lines, coverage.refused),
        *verdict_sentences(verdicts, evidence),
        *missing_sentences(coverage),
        *watch_sentences(watched),
        *where_sentences(where),
        *finding_sentences(provenance.manifest, evidence),
        untestable_sentence(evidence),
        *dissector_sentences(provenance.manifest),
        *reading_sentences(provenance.manifest),
        *input_warnings(provenance.manifest),
        *probe_set_lines(provenance.manifest),
    )

    return DissectionReport(
        facts=provenance,
        summary=summary,
        tested=any(line.summary.significant is not None for line in lines),
        layers=lines,
        composition=total_composition(lines),
        coverage=replace(coverage, concepts=represented),
        watched=watched,
        cards=choose_cards(layers, concept_set, evidence),
        verdicts=verdicts,
        unnamed=unnamed_neurons(layers),
        evidence=evidence,
        limits=limits(evidence, images_shown(provenance.manifest)),
        where=where,
    )


def dissection_json(report: DissectionReport) -> bytes:
    """The report as UTF-8 JSON."""
    return _REPORT.dump_json(report, indent=1, exclude={"readers"} if report.readers is None else None)


def dissection_html(report: DissectionReport, thumbnail: Thumbnail, *, no_pictures: str | None = None) -> str:
    """The report as one HTML file, with a picture of each image for which `thumbnail` has one.

    no_pictures: why there are none at all, where that is so.
    """
    layers = [line.summary.layer for line in report.layers]
    pictures = _pictures(images_of(report.cards, report.watched.neurons, report.unnamed), thumbnail)

    return render(
        "dissection.html",
        report=report,
        pictures=pictures,
        no_pictures=no_pictures,
        missing=missing_by_reason(report.coverage),
        categories=category_rows(report.coverage, layers),
        concepts=concept_rows(report.coverage, layers),
        groups=column_groups(len(layers)),
        unnamed_sentence=None if report.verdicts is None else unnamed_sentence(report.verdicts),
    )


def _pictures(places: Iterable[ImagePlace], thumbnail: Thumbnail) -> dict[ImagePlace, str]:
    drawn = {place: thumbnail(place) for place in places}
    return {place: picture(jpeg) for place, jpeg in drawn.items() if jpeg is not None}
