"""The thresholds, flags and counts of Mammo-CLIP Dissect (arXiv 2509.21102), for one network or two."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

from service.domain.concepts import ConceptSet
from service.domain.neurons import LayerDissection, Neuron
from service.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class ConceptCounts:
    """How many neurons were named after a mammographic concept, and how many after one of the control group.

    A concept of which nothing is known counts as mammographic, as in the paper.
    """

    mammographic: int
    other: int


@dataclass(frozen=True, slots=True)
class ThresholdedNeuron:
    """One line of the paper's result table: a neuron's top concept, and which thresholds its score reaches."""

    layer: str
    unit: int
    concept: str
    score: float
    local_met: bool
    global_met: bool
    category: str | None
    broad_category: str | None


def local_threshold(layer: LayerDissection) -> float | None:
    """Mean of the top score over the units that have one, exactly rounded so that no order of units changes it.

    None where no unit has a score.
    """
    scores = [neuron.concepts[0].score for neuron in layer.neurons if neuron.concepts]
    return fsum(scores) / len(scores) if scores else None


def global_threshold(first: LayerDissection, second: LayerDissection) -> float | None:
    """The larger of two networks' local thresholds of a layer; None where neither has one."""
    thresholds = [local_threshold(layer) for layer in (first, second)]
    known = [threshold for threshold in thresholds if threshold is not None]
    return max(known, default=None)


def neurons_meeting(layer: LayerDissection, threshold: float | None) -> tuple[Neuron, ...]:
    """The neurons whose top score is at least the threshold, in unit order; none where there is no threshold."""
    if threshold is None:
        return ()
    return tuple(neuron for neuron in layer.neurons if neuron.concepts and neuron.concepts[0].score >= threshold)


def count_mammographic(neurons: Iterable[Neuron], concept_set: ConceptSet) -> ConceptCounts:
    """Count neurons by the `mammographic` flag of their top concept; neurons without a concept are left out."""
    flags = [concept_set.concepts[neuron.concepts[0].concept].mammographic for neuron in neurons if neuron.concepts]
    other = sum(flag is False for flag in flags)
    return ConceptCounts(mammographic=len(flags) - other, other=other)


def top_categories(neurons: Iterable[Neuron], concept_set: ConceptSet, limit: int = 3) -> tuple[tuple[str, int], ...]:
    """The commonest broad categories of the neurons' top concepts with their counts; equal counts go by name.

    The category stands in where a concept has no broad one; concepts with neither are left out.
    """
    tops = [concept_set.concepts[neuron.concepts[0].concept] for neuron in neurons if neuron.concepts]
    categories = [top.broad_category or top.category for top in tops]

    counts = Counter(category for category in categories if category is not None)
    commonest_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(commonest_first[:limit])


def threshold_table(
    layers: Sequence[LayerDissection], others: Sequence[LayerDissection], concept_set: ConceptSet
) -> list[ThresholdedNeuron]:
    """The paper's table for `layers`, with the global thresholds that they share with the same layers of `others`.

    Rows go by layer name as text, then by falling score, then by unit; dead neurons have none.
    Raises InvalidInput unless both networks have the same layers.
    """
    partners = {layer.layer: layer for layer in others}
    if {layer.layer for layer in layers} != partners.keys():
        raise InvalidInput(
            "The two dissections do not hold the same layers.",
            field="layers",
            remedy="Dissect the same layers of both networks.",
        )

    rows = [row for layer in layers for row in _rows(layer, partners[layer.layer], concept_set)]
    return sorted(rows, key=lambda row: (row.layer, -row.score, row.unit))


def _rows(layer: LayerDissection, partner: LayerDissection, concept_set: ConceptSet) -> Iterable[ThresholdedNeuron]:
    local = {neuron.unit for neuron in neurons_meeting(layer, local_threshold(layer))}
    shared = {neuron.unit for neuron in neurons_meeting(layer, global_threshold(layer, partner))}

    for neuron in layer.neurons:
        if neuron.concepts:
            top = neuron.concepts[0]
            concept = concept_set.concepts[top.concept]
            yield ThresholdedNeuron(
                layer=layer.layer,
                unit=neuron.unit,
                concept=top.text,
                score=top.score,
                local_met=neuron.unit in local,
                global_met=neuron.unit in shared,
                category=concept.category,
                broad_category=concept.broad_category,
            )
