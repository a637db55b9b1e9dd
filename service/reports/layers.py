"""The layers of a dissection as a report shows them: a line for each, and its scores beside those of random sets."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from service.analysis.layers import summarise_layer
from service.analysis.thresholds import (
    ConceptCounts,
    commonest_first,
    count_mammographic,
    local_threshold,
    neurons_meeting,
)
from service.domain.concepts import ConceptSet
from service.domain.neurons import LayerDissection, LayerSummary, Neuron
from service.domain.verdicts import Verdict

UNCATEGORISED = "without a category"
_BINS = 32
_CALLED = (Verdict.NAMED, Verdict.UNVERIFIED)


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """The best scores of a layer's units, beside those of random image sets."""

    edges: tuple[float, ...]
    """Between which scores are counted: one more than there are counts."""
    significant: tuple[int, ...]
    """Units with a significant label whose score is between two edges."""
    others: tuple[int, ...]
    """Other living units whose score is between two edges."""
    random: tuple[float, ...]
    """The share of the random image sets whose score is between two edges."""


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One layer."""

    number: int
    """Its place in the dissection, from 1, by which figures name it."""
    summary: LayerSummary
    living: int
    significant_share: float | None
    """Of the living units; None where nothing was inferred or none is alive."""
    composition: tuple[tuple[str, int], ...]
    """Its named neurons by the broad category of their label."""
    counts: ConceptCounts
    """How many of its named neurons are named after a mammographic concept."""
    scores: ScoreHistogram | None
    """None where there is no null."""


def layer_line(number: int, layer: LayerDissection, concept_set: ConceptSet) -> LayerLine:
    """Everything that a report says of a layer, except its neuron cards."""
    named = named_neurons(layer)
    summary = summarise_layer(layer, concept_set)
    living = summary.units - summary.dead_units

    significant_share = None
    if summary.significant is not None and living:
        significant_share = summary.significant / living

    return LayerLine(
        number=number,
        summary=summary,
        living=living,
        significant_share=significant_share,
        composition=composition(named, concept_set),
        counts=count_mammographic(named, concept_set),
        scores=_score_histogram(layer),
    )


def named_neurons(layer: LayerDissection) -> tuple[Neuron, ...]:
    """The neurons whose label counts.

    Where the job has verdicts those that are named or unverified, else the significant ones, or those at the paper's
    threshold where none was tested.
    """
    if any(neuron.verdict is not None for neuron in layer.neurons):
        return tuple(
            neuron for neuron in layer.neurons if neuron.verdict is not None and neuron.verdict.verdict in _CALLED
        )
    if any(neuron.significant is not None for neuron in layer.neurons):
        return tuple(neuron for neuron in layer.neurons if neuron.significant)
    return neurons_meeting(layer, local_threshold(layer))


def composition(neurons: Iterable[Neuron], concept_set: ConceptSet) -> tuple[tuple[str, int], ...]:
    """Neurons by the broad category of their best concept, commonest first, equal counts by name."""
    tops = [concept_set.concepts[neuron.concepts[0].concept] for neuron in neurons]
    counts = Counter(top.broad_category or top.category or UNCATEGORISED for top in tops)
    return commonest_first(counts)


def total_composition(lines: Sequence[LayerLine]) -> tuple[tuple[str, int], ...]:
    """The composition of all layers together, in the same order."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(dict(line.composition))
    return commonest_first(counts)


def random_shares(quantiles: Sequence[float], edges: Sequence[float]) -> tuple[float, ...]:
    """The share of the random sets between each two edges, by linear interpolation between the null's percentiles."""
    below = np.interp(edges, quantiles, np.linspace(0.0, 1.0, len(quantiles)), left=0.0, right=1.0)
    return tuple(float(share) for share in np.diff(below))


def _score_histogram(layer: LayerDissection) -> ScoreHistogram | None:
    living = [neuron for neuron in layer.neurons if neuron.concepts]
    if layer.null is None or not living:
        return None

    scores = np.array([neuron.concepts[0].score for neuron in living])
    significant = np.array([neuron.significant is True for neuron in living])
    quantiles = layer.null.quantiles

    low = min(scores.min(), quantiles[0])
    high = max(scores.max(), quantiles[-1])
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)

    return ScoreHistogram(
        edges=tuple(edges.tolist()),
        significant=tuple(np.histogram(scores[significant], edges)[0].tolist()),
        others=tuple(np.histogram(scores[~significant], edges)[0].tolist()),
        random=random_shares(quantiles, edges.tolist()),
    )
