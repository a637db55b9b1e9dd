"""Where the labelled units of a job look: which of them, at which images of which findings, and what comes of it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest

import numpy as np

from service.domain.findings import FindingMatches, parted
from service.domain.groups import group_images
from service.domain.localisation import (
    EXCHANGES,
    MOST_CELLS,
    MOST_IMAGES,
    MOST_UNITS,
    QUANTILES,
    JobLocalisations,
    Localisation,
    LocalisationEntry,
    LocalisationOptions,
    PlaceProblems,
)
from service.domain.neurons import LayerDissection, Neuron
from service.domain.probes import Box, ProbeItem, ProbeSet
from service.domain.spelling import folded
from service.engine.evidence.placed_units import Answers, FindingImages, Question, locate_units
from service.engine.probing.probe import ProbingPass
from service.probes.placed_images import PlacedImagesOnDisk
from service.reports.cards import strength

_SEED = 20_241


@dataclass(frozen=True, slots=True)
class _Asked:
    """A labelled unit, and the findings that its map is held against."""

    layer: str
    unit: int
    strength: float
    findings: tuple[str, ...]
    from_label: bool


def localise_units(
    layers: Sequence[LayerDissection],
    findings: FindingMatches | None,
    probing_pass: ProbingPass,
    shown: ProbeSet,
    options: LocalisationOptions,
    *,
    check_cancelled: Callable[[], None] = lambda: None,
) -> JobLocalisations:
    """Hold the maps of labelled units against the places of findings.

    layers: after false-discovery control. findings: what those of the probe set mean among the concepts. shown: the
    probe set with the images that were used. Raises UnknownLayer, FileOutOfReach, and what `check_cancelled` raises.
    """
    with_places = {region.finding for item in shown.items for region in item.regions}
    options = replace(options, findings=_as_written(options.findings, with_places))
    of_concept = {} if findings is None else findings.of_concept
    asked, without_finding = _asked(layers, of_concept, with_places, options)

    # Sorting is stable: equally strong units stay in the order of layers and units.
    strongest = sorted(asked, key=lambda unit: -unit.strength)
    measured = _within_bounds(strongest, with_places)

    images = _images(measured, shown, with_places)
    problems = PlaceProblems()
    answers = locate_units(
        probing_pass.target,
        PlacedImagesOnDisk(shown),
        images,
        _questions(measured, with_places),
        problems=problems,
        device=probing_pass.device,
        check_cancelled=check_cancelled,
    )

    localisations = _all_localisations(asked, set(measured), answers, with_places)
    entry: LocalisationEntry = {
        "findings_given": list(options.findings),
        "quantiles": list(QUANTILES),
        "exchanges": EXCHANGES,
        "most_units": MOST_UNITS,
        "most_images": MOST_IMAGES,
        "most_cells": MOST_CELLS,
        "units": _count_units(localisations, without_finding),
        "findings": {
            finding: {
                "images": sum(_has_place(item, of_finding.names) for item in shown.items),
                "used": answers.used[finding][0],
                "exams": answers.used[finding][1],
            }
            for finding, of_finding in images.items()
        },
        "images_with_problems": problems.count,
        "problems": problems.named,
    }
    return JobLocalisations(localisations, entry)


def _as_written(given: Sequence[str], with_places: set[str]) -> tuple[str, ...]:
    """The findings that were given, as the manifest spells those that it has."""
    spelling = {folded(finding): finding for finding in with_places}
    return tuple(dict.fromkeys(spelling.get(folded(finding), finding) for finding in given))


def _asked(
    layers: Sequence[LayerDissection],
    of_concept: Mapping[int, str],
    with_places: set[str],
    options: LocalisationOptions,
) -> tuple[list[_Asked], int]:
    """The labelled units that are to be measured, and how many have nothing that they could be held against."""
    asked = []
    without_finding = 0
    for layer in layers:
        for neuron in layer.neurons:
            if neuron.label is None:
                continue

            findings, from_label = _findings_of(neuron, of_concept, with_places, options)
            if findings:
                asked.append(_Asked(layer.layer, neuron.unit, strength(neuron), findings, from_label))
            else:
                without_finding += 1
    return asked, without_finding


def _findings_of(
    neuron: Neuron, of_concept: Mapping[int, str], with_places: set[str], options: LocalisationOptions
) -> tuple[tuple[str, ...], bool]:
    """The finding of the label where it has places or none is given, else those that are given."""
    label = neuron.label
    of_label = None if label is None else of_concept.get(label.concept)
    if of_label is not None and (_places_of((of_label,), with_places) or not options.findings):
        return (of_label,), True
    return options.findings, False


def _places_of(findings: Sequence[str], with_places: set[str]) -> tuple[str, ...]:
    """Those of the findings that have places."""
    return tuple(finding for finding in findings if not with_places.isdisjoint(parted(finding)))


def _within_bounds(strongest: Sequence[_Asked], with_places: set[str]) -> list[_Asked]:
    """The strongest units that can be measured, as long as they are MOST_UNITS, counted once for each finding."""
    measured = []
    room = MOST_UNITS
    for unit in strongest:
        needed = len(_places_of(unit.findings, with_places))
        if needed and needed <= room:
            measured.append(unit)
            room -= needed
    return measured


def _questions(measured: Sequence[_Asked], with_places: set[str]) -> list[Question]:
    units: dict[tuple[str, str], set[int]] = defaultdict(set)
    for unit in measured:
        for finding in _places_of(unit.findings, with_places):
            units[unit.layer, finding].add(unit.unit)
    return [Question(layer, finding, tuple(sorted(of_question))) for (layer, finding), of_question in units.items()]


def _images(measured: Sequence[_Asked], shown: ProbeSet, with_places: set[str]) -> dict[str, FindingImages]:
    """For each finding that is asked for, the images to be looked at: whole exams, drawn until there are enough.

    Where not even two fit, the first images of each exam.
    """
    findings = dict.fromkeys(finding for unit in measured for finding in _places_of(unit.findings, with_places))
    exam_of = group_images(shown.items, shown.independent).of_item
    return {finding: _images_of(finding, shown.items, exam_of) for finding in findings}


def _images_of(finding: str, items: Sequence[ProbeItem], exam_of: Sequence[int]) -> FindingImages:
    names = parted(finding)
    of_exam: dict[int, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        if _has_place(item, names):
            of_exam[exam_of[index]].append(index)

    exams = sorted(of_exam)
    drawn = [of_exam[exams[place]] for place in np.random.default_rng(_SEED).permutation(len(exams))]
    chosen: list[int] = []
    whole = 0
    for indices in drawn:
        if len(chosen) + len(indices) <= MOST_IMAGES:
            chosen += indices
            whole += 1
    if whole < min(2, len(drawn)):  # exams are too large to be exchanged whole, as where patches are many
        in_turn = (index for of_turn in zip_longest(*drawn) for index in of_turn if index is not None)
        chosen = list(islice(in_turn, MOST_IMAGES))

    def alike_in_all_exams(index: int) -> tuple[int, str, str, int]:
        item = items[index]
        return exam_of[index], item.view or "", item.laterality or "", index

    ordered = tuple(sorted(chosen, key=alike_in_all_exams))
    return FindingImages(names, ordered, tuple(exam_of[index] for index in ordered))


def _has_place(item: ProbeItem, names: Sequence[str]) -> bool:
    """Is one of the findings in what is shown, as far as the manifest tells? A mask of a patch may lie elsewhere."""
    return any(region.finding in names and _may_be_shown(item, region.box) for region in item.regions)


def _may_be_shown(item: ProbeItem, box: Box | None) -> bool:
    patch = item.box
    if patch is None or box is None:
        return True
    beside = box.left >= patch.left + patch.width or patch.left >= box.left + box.width
    above = box.top >= patch.top + patch.height or patch.top >= box.top + box.height
    return not beside and not above


def _all_localisations(
    asked: Sequence[_Asked], measured: set[_Asked], answers: Answers, with_places: set[str]
) -> dict[str, dict[str, list[Localisation]]]:
    """Those of every unit that was asked for, with figures or a reason."""
    localisations: dict[str, dict[str, list[Localisation]]] = defaultdict(dict)
    for unit in asked:
        localisations[unit.layer][str(unit.unit)] = [
            _localisation(unit, finding, answers, with_places, left_out=unit not in measured)
            for finding in unit.findings
        ]
    return dict(localisations)


def _localisation(
    unit: _Asked, finding: str, answers: Answers, with_places: set[str], *, left_out: bool
) -> Localisation:
    if not _places_of((finding,), with_places):
        return Localisation(finding, unit.from_label, why_not="no-places")
    if left_out:
        return Localisation(finding, unit.from_label, why_not="left-out")
    return replace(answers.localisations[unit.layer, unit.unit, finding], from_label=unit.from_label)


def _count_units(
    localisations: Mapping[str, Mapping[str, Sequence[Localisation]]], without_finding: int
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for units in localisations.values():
        for of_unit in units.values():
            is_measured = any(localisation.why_not is None for localisation in of_unit)
            counts["measured" if is_measured else str(of_unit[0].why_not)] += 1
    if without_finding:
        counts["no-finding"] = without_finding
    return dict(sorted(counts.items()))
