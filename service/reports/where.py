"""What a report says of where neurons look: their maps against the places of findings."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from service.domain.evidence import LEVEL
from service.domain.json_values import JsonObject
from service.domain.localisation import WHY_NOT, AgainstExchanged, Localisation, LocalisationEntry, PlacesOfFinding
from service.domain.manifests import entries_of
from service.domain.neurons import LayerDissection
from service.reports.wording import counted


@dataclass(frozen=True, slots=True)
class WhereOfFinding:
    """What was measured of a finding."""

    finding: str
    images: int
    """With places of it, as the manifest says."""
    used: int
    exams: int
    neurons: int
    """With figures."""
    above: int
    """That point at it more often than at places of other exams."""
    clearly_above: int
    """Of those, with a p of at most LEVEL."""


@dataclass(frozen=True, slots=True)
class WhereSummary:
    """Where the labelled neurons of a dissection look."""

    measured: int
    above: int
    without: tuple[tuple[str, int], ...]
    """Why other neurons have no figures, and how many."""
    findings: tuple[WhereOfFinding, ...]
    problems: tuple[tuple[int, str], ...]
    """Rows of images whose places cannot be used, and why; the first of them."""
    images_with_problems: int


def sum_up_where(manifest: JsonObject | None, layers: Sequence[LayerDissection]) -> WhereSummary | None:
    """What was measured of a dissection; None where nobody asked for it."""
    written = entries_of(manifest, "localisation")
    if not written:
        return None
    entry = cast("LocalisationEntry", written)

    of_finding: dict[str, list[Localisation]] = defaultdict(list)
    measured = above = 0
    for localisations in _localisations(layers):
        with_figures = [localisation for localisation in localisations if localisation.why_not is None]
        for localisation in with_figures:
            of_finding[localisation.finding].append(localisation)
        measured += bool(with_figures)
        above += any(localisation.above_exchanged for localisation in with_figures)

    return WhereSummary(
        measured=measured,
        above=above,
        without=tuple((_why_not(why), count) for why, count in entry["units"].items() if why != "measured"),
        findings=tuple(
            _line(finding, counts, of_finding.get(finding, ())) for finding, counts in entry["findings"].items()
        ),
        problems=tuple((problem["row"], problem["why"]) for problem in entry["problems"]),
        images_with_problems=entry["images_with_problems"],
    )


def where_sentences(summary: WhereSummary | None) -> list[str]:
    """What is to be known of where neurons look; none where nobody asked for it."""
    if summary is None:
        return []
    if not summary.measured:
        return ["Where neurons look could not be measured for any of them."]
    point = "points" if summary.above == 1 else "point"
    return [
        f"Of {counted(summary.measured, 'neuron')} whose maps were held against places of findings, "
        f"{summary.above:,} {point} at them more often than at places in images of other exams."
    ]


def localisation_words(localisation: Localisation) -> str:
    """What was measured of a neuron and a finding, in a line."""
    if localisation.why_not is not None:
        return f"not known for '{localisation.finding}': {WHY_NOT[localisation.why_not]}"

    figures = {
        "points at it in": localisation.pointing,
        "IoU": localisation.iou,
        "AUROC inside against outside": localisation.auroc,
    }
    words = [_figure(name, figure) for name, figure in figures.items() if figure is not None]
    given = "" if localisation.from_label else ", which the job gave"
    images = f"{counted(localisation.images, 'image')} of {counted(localisation.exams, 'exam')}"
    return f"'{localisation.finding}'{given}, {images}: {'; '.join(words)}"


def _figure(name: str, figure: AgainstExchanged) -> str:
    return f"{name} {figure.value:.2f} (places of other exams {figure.exchanged:.2f}, p {figure.p:.2g})"


def _localisations(layers: Iterable[LayerDissection]) -> Iterable[tuple[Localisation, ...]]:
    return (
        neuron.evidence.localisations
        for layer in layers
        for neuron in layer.neurons
        if neuron.evidence is not None and neuron.evidence.localisations
    )


def _why_not(reason: str) -> str:
    if reason == "no-finding":
        return "the label means no finding of the probe set, and none was given"
    return next((words for known, words in WHY_NOT.items() if known == reason), reason)


def _line(finding: str, counts: PlacesOfFinding, localisations: Sequence[Localisation]) -> WhereOfFinding:
    above = [localisation for localisation in localisations if localisation.above_exchanged]
    clearly = [found for found in above if found.pointing is not None and found.pointing.p <= LEVEL]
    return WhereOfFinding(
        finding=finding,
        images=counts["images"],
        used=counts["used"],
        exams=counts["exams"],
        neurons=len(localisations),
        above=len(above),
        clearly_above=len(clearly),
    )
