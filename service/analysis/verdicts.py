"""Verdicts of all neurons of a job, with an estimate of how many names are wrong.

A name is wrong in two ways. The unit follows something that no concept says: decoys, which no unit follows, tell how
many such units look like named ones (Elias and Gygi, Nature Methods 2007; `service.engine.evidence.decoys`). Or it
follows a neighbour of the concept: how near the nearest one is tells how likely that is. Both are added up over the
names given, and names are given as far as the sum allows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.analysis.discoveries import q_values
from service.domain.concepts import ConceptSet
from service.domain.evidence import LEVEL, Evidence, JobEvidence
from service.domain.neurons import LayerDissection, Neuron
from service.domain.verdicts import (
    DECOY_SETS,
    DECOYS_AHEAD,
    DirectionFigures,
    JobVerdicts,
    LayerErrors,
    NameLevel,
    UnitVerdict,
    Verdict,
)

LEAST_EXPLAINED: Final = 0.5
"""The share that a name must explain at least; chosen on series of phantoms that docs/label-accuracy.md leaves out."""

_STEPS: Final = 0.05
_LEAST_UNNAMED: Final = 20
"""With fewer units that lose to the decoys nothing is said of how well decoys match."""

_UNNAMED_WEIGHT: Final = DECOYS_AHEAD / sum(min(rank, DECOYS_AHEAD) for rank in range(DECOY_SETS + 1))
"""Wrong names for each decoy ahead of a label: concepts and sets of decoys being exchangeable, see `_unnamed_ahead`."""


@dataclass(frozen=True, slots=True)
class _Name:
    """What a unit would be called."""

    text: str
    level: NameLevel
    concepts: tuple[int, ...]
    """Those that the name covers as far as the evidence goes: the label and its rivals."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """A live unit with figures, and what it would be called."""

    layer: int
    neuron: int
    figures: DirectionFigures
    signal: bool
    """Does it follow anything that the dissector sees, its label or another direction?"""
    name: _Name | None
    """None where it is not a candidate."""
    qualified: bool


def give_verdicts(
    layers: Sequence[LayerDissection], evidence: JobEvidence, concept_set: ConceptSet, error_level: float
) -> tuple[tuple[LayerDissection, ...], JobVerdicts]:
    """The layers with verdicts, and how they were reached.

    layers: with q-values, where labels can be tested. error_level: the share of wrong names that may be given.
    A neuron without figures of its direction gets no verdict; where none has any, the answer says so in `refused`.
    """
    units = _units(layers, evidence, concept_set)
    if not units:
        refused = "No neuron has a direction: activations were not kept, or the probe set has too few exams."
        return tuple(layers), JobVerdicts(error_level, None, LEAST_EXPLAINED, 0, 0.0, refused=refused)

    least, names = _choose(units, error_level)
    errors = _errors_of(names, units, least)
    by_place = {(unit.layer, unit.neuron): unit for unit in units}

    judged = []
    for number, layer in enumerate(layers):
        neurons = tuple(
            _with_verdict(neuron, by_place.get((number, place)), errors.get((number, place)))
            for place, neuron in enumerate(layer.neurons)
        )
        judged.append(replace(layer, neurons=neurons))

    verdicts = JobVerdicts(
        error_level=error_level,
        error=_error(names, units, least),
        least_explained=least,
        decoys=DECOY_SETS * sum(concept.mammographic is not False for concept in concept_set.concepts),
        decoy_match=_decoy_match(units),
        layers=tuple(_layer_errors(number, layer, names, units, least) for number, layer in enumerate(layers)),
    )
    return tuple(judged), verdicts


def _units(layers: Sequence[LayerDissection], evidence: JobEvidence, concept_set: ConceptSet) -> list[_Unit]:
    judged = [
        (number, place, neuron, neuron.evidence, neuron.evidence.direction)
        for number, layer in enumerate(layers)
        for place, neuron in enumerate(layer.neurons)
        if neuron.evidence is not None and neuron.evidence.direction is not None and neuron.concepts
    ]
    follows = _follows([figures for *_, figures in judged])
    qualified = {entry.concept for entry in evidence.qualifications if entry.verdict == "qualified"}

    units = []
    for (number, place, neuron, of_unit, figures), follows_something in zip(judged, follows, strict=True):
        significant = _significant(of_unit, follows_something)
        name = _name_of(neuron.concepts[0].concept, figures, concept_set) if significant else None
        is_qualified = name is not None and any(concept in qualified for concept in name.concepts)
        units.append(_Unit(number, place, figures, significant or follows_something, name, is_qualified))
    return units


def _follows(figures: Sequence[DirectionFigures]) -> list[bool]:
    """Which fits are beyond chance, under false-discovery control over the job."""
    if not figures:
        return []
    q = q_values(np.array([of_unit.fit_p for of_unit in figures]), len(figures))
    follows: list[bool] = (q <= LEVEL).tolist()
    return follows


def _significant(evidence: Evidence, follows_something: bool) -> bool:
    """Is the label beyond chance? Where it cannot be tested, the unit must follow something that the dissector sees."""
    if evidence.significance is None or evidence.significance.q is None:
        return follows_something
    return evidence.significance.q <= LEVEL


def _name_of(label: int, figures: DirectionFigures, concept_set: ConceptSet) -> _Name | None:
    """The name at the level of detail that the evidence carries; None where there is none.

    No name is a concept that no image can show, nor a label with as many sets of decoys ahead as decides.
    """
    concept = concept_set.concepts[label]
    if concept.mammographic is False or not _beats_decoys(figures):
        return None

    if figures.parts:
        concepts = tuple(part.concept for part in figures.parts)
        return _Name(" + ".join(part.text for part in figures.parts), "combination", concepts)

    covered = (label, *figures.rivals)
    if not figures.rivals:
        return _Name(concept.text, "concept", covered)

    categories = {concept_set.concepts[place].category for place in covered}
    if len(categories) == 1 and concept.category is not None:
        return _Name(concept.category, "category", covered)

    broad = {concept_set.concepts[place].broad_category for place in covered}
    if len(broad) == 1 and concept.broad_category is not None:
        return _Name(concept.broad_category, "category", covered)

    return None


def _explained(figures: DirectionFigures) -> float:
    """What the name says: the parts of a combination together, or the label alone."""
    return min(sum(part.share for part in figures.parts), 1.0) if figures.parts else figures.explained


def _beats_decoys(figures: DirectionFigures) -> bool:
    rank = round(figures.decoy_p * (DECOY_SETS + 1))
    return rank <= DECOYS_AHEAD


def _choose(units: Sequence[_Unit], error_level: float) -> tuple[float, list[_Unit]]:
    """The least share that is asked for, and the units that get a name: as many as the error level allows.

    Of the units that explain enough, those go first whose nearest neighbour is most likely the better one.
    """
    best: tuple[float, list[_Unit]] = (LEAST_EXPLAINED, [])
    for least in np.arange(LEAST_EXPLAINED, 1 + _STEPS / 2, _STEPS).round(3).tolist():
        candidates = [unit for unit in units if unit.name is not None and _explained(unit.figures) >= least]
        candidates.sort(key=lambda unit: unit.figures.rival_p)

        unnamed = _unnamed_ahead(units, least)
        neighbours = np.cumsum([unit.figures.rival_p for unit in candidates])
        counts = np.arange(1, len(candidates) + 1)
        allowed = counts[(unnamed + neighbours) / counts <= error_level]
        most = int(allowed[-1]) if len(allowed) else 0
        if most > len(best[1]):
            best = (least, candidates[:most])
    return best


def _unnamed_ahead(units: Sequence[_Unit], least: float) -> float:
    """How many units that no concept says are expected to be named at this share.

    Where concepts and sets of decoys are exchangeable, the label is among the best DECOYS_AHEAD of DECOY_SETS + 1 as
    often as each set. Sets are counted where they are ahead of the label: a label that is right keeps decoys behind.
    One is added over all sets, as competition asks (Levitsky et al., J. Proteome Res. 2017).
    """
    ahead = sum(share >= least for unit in units if unit.signal for share in unit.figures.decoys_ahead)
    return (1 + ahead) * _UNNAMED_WEIGHT


def _error(names: Sequence[_Unit], units: Sequence[_Unit], least: float) -> float | None:
    """The estimated share of wrong names; None where there are none."""
    if not names:
        return None
    wrong = _unnamed_ahead(units, least) + sum(unit.figures.rival_p for unit in names)
    return float(min(wrong / len(names), 1.0))


def _errors_of(names: Sequence[_Unit], units: Sequence[_Unit], least: float) -> dict[tuple[int, int], float]:
    """For each named unit the estimated share of wrong names among those that explain as much or more."""
    surest_first = sorted(names, key=lambda unit: -_explained(unit.figures))
    decoys = np.sort([share for unit in units if unit.signal for share in unit.figures.decoys_ahead if share >= least])
    shares = np.array([_explained(unit.figures) for unit in surest_first])

    ahead = 1 + len(decoys) - np.searchsorted(decoys, shares, side="left")
    wrong = ahead * _UNNAMED_WEIGHT + np.cumsum([unit.figures.rival_p for unit in surest_first])
    error = np.minimum(wrong / np.arange(1, len(shares) + 1), 1.0)
    # Whoever accepts a unit accepts all surer ones: no error is larger than that of a less sure unit.
    monotone: NDArray[np.float64] = np.minimum.accumulate(error[::-1])[::-1] if len(error) else error
    return {(unit.layer, unit.neuron): float(value) for unit, value in zip(surest_first, monotone, strict=True)}


def _layer_errors(
    number: int, layer: LayerDissection, names: Sequence[_Unit], units: Sequence[_Unit], least: float
) -> LayerErrors:
    own_names = [unit for unit in names if unit.layer == number]
    own_units = [unit for unit in units if unit.layer == number]
    return LayerErrors(layer.layer, len(own_names), _error(own_names, own_units, least))


def _decoy_match(units: Sequence[_Unit]) -> float:
    """How well decoys match concepts, 0 to 1: 1 less the distance of Kolmogorov and Smirnov.

    Of the labels that more than half of the sets beat, hardly any is right; where decoys match, their ranks are
    uniform. 0 with fewer than 20 such units: then nothing is known.
    """
    ranks = Counter(round(unit.figures.decoy_p * (DECOY_SETS + 1)) for unit in units)
    first = DECOY_SETS // 2 + 1
    counts = np.array([ranks[rank] for rank in range(first + 1, DECOY_SETS + 2)], dtype=np.float64)
    if counts.sum() < _LEAST_UNNAMED:
        return 0.0

    cumulative = np.cumsum(counts) / counts.sum()
    uniform = np.arange(1, len(counts) + 1) / len(counts)
    return float(1 - np.abs(cumulative - uniform).max())


def _with_verdict(neuron: Neuron, unit: _Unit | None, error: float | None) -> Neuron:
    if unit is None or neuron.evidence is None:
        return neuron
    return replace(neuron, evidence=replace(neuron.evidence, verdict=_verdict(unit, error)))


def _verdict(unit: _Unit, error: float | None) -> UnitVerdict:
    if unit.name is not None and error is not None:
        verdict = Verdict.NAMED if unit.qualified else Verdict.UNVERIFIED
        return UnitVerdict(verdict, unit.name.text, unit.name.level, error)
    return UnitVerdict(Verdict.UNNAMED if unit.signal else Verdict.NO_SIGNAL)
