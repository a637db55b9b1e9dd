"""The layers of a dissection as a report shows them: one line each, and how their scores lie beside random sets'."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from service.analysis.layers import summarise_layer
from service.analysis.thresholds import ConceptCounts, count_mammographic, local_threshold, neurons_meeting
from service.domain.concepts import ConceptSet
from service.domain.neurons import LayerDissection, LayerSummary, Neuron

UNCATEGORISED = "without a category"
_BINS = 32


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """How many units have their best score between two edges, and the share of random image sets that have.

    edges has one value more than the others.
    """

    edges: tuple[float, ...]
    significant: tuple[int, ...]
    others: tuple[int, ...]
    random: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One layer. number: its place in the dissection, from 1, by which figures name it.

    significant_share: of the living units; None where nothing was inferred or none lives. composition: its named
    neurons by the broad category of their label. counts: how many of them are named after a mammographic concept.
    scores: None where there is no null.
    """

    number: int
    summary: LayerSummary
    living: int
    significant_share: float | None
    composition: tuple[tuple[str, int], ...]
    counts: ConceptCounts
    scores: ScoreHistogram | None


def layer_line(number: int, layer: LayerDissection, concept_set: ConceptSet) -> LayerLine:
    """Everything a report says of a layer, its neuron cards apart."""
    named = named_neurons(layer)
    summary = summarise_layer(layer, concept_set)
    living = summary.units - summary.dead_units
    return LayerLine(
        number=number,
        summary=summary,
        living=living,
        significant_share=None if summary.significant is None or not living else summary.significant / living,
        composition=composition(named, concept_set),
        counts=count_mammographic(named, concept_set),
        scores=_score_histogram(layer),
    )


def named_neurons(layer: LayerDissection) -> tuple[Neuron, ...]:
    """The neurons whose label counts: the significant ones, or those at the paper's threshold where none was tested."""
    if any(neuron.significant is not None for neuron in layer.neurons):
        return tuple(neuron for neuron in layer.neurons if neuron.significant)
    return neurons_meeting(layer, local_threshold(layer))


def composition(neurons: Iterable[Neuron], concept_set: ConceptSet) -> tuple[tuple[str, int], ...]:
    """Neurons by the broad category of their best concept, commonest first, equal counts by name."""
    tops = [concept_set.concepts[neuron.concepts[0].concept] for neuron in neurons]
    counts = Counter(top.broad_category or top.category or UNCATEGORISED for top in tops)
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def total_composition(lines: Sequence[LayerLine]) -> tuple[tuple[str, int], ...]:
    """The composition of all layers together, in the same order."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(dict(line.composition))
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def random_shares(quantiles: Sequence[float], edges: Sequence[float]) -> tuple[float, ...]:
    """Share of the random sets between each two edges, from the null's percentiles, straight lines between them."""
    below = np.interp(edges, quantiles, np.linspace(0.0, 1.0, len(quantiles)), left=0.0, right=1.0)
    return tuple(float(share) for share in np.diff(below))


def _score_histogram(layer: LayerDissection) -> ScoreHistogram | None:
    living = [neuron for neuron in layer.neurons if neuron.concepts]
    if layer.null is None or not living:
        return None
    scores = np.array([neuron.concepts[0].score for neuron in living])
    significant = np.array([neuron.significant is True for neuron in living])
    quantiles = layer.null.quantiles
    low, high = min(scores.min(), quantiles[0]), max(scores.max(), quantiles[-1])
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    return ScoreHistogram(
        edges=tuple(edges.tolist()),
        significant=tuple(np.histogram(scores[significant], edges)[0].tolist()),
        others=tuple(np.histogram(scores[~significant], edges)[0].tolist()),
        random=random_shares(quantiles, edges.tolist()),
    )
