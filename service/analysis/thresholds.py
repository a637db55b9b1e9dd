"""The threshold and the counts of a layer in Mammo-CLIP Dissect (arXiv 2509.21102)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from service.domain.concepts import Concept, ConceptSet
from service.domain.neurons import LayerDissection, Neuron


@dataclass(frozen=True, slots=True)
class ConceptCounts:
    """How many neurons were named after a mammographic concept, and how many after one of the control group.

    A concept of which nothing is known counts as mammographic, as in the paper.
    """

    mammographic: int
    other: int


def local_threshold(layer: LayerDissection) -> float | None:
    """Mean of the top score over the units that have one; None where no unit has."""
    scores = [neuron.concepts[0].score for neuron in layer.neurons if neuron.concepts]
    return mean_of_scores(scores) if scores else None


def mean_of_scores(scores: Sequence[float]) -> float:
    """The mean, exactly rounded so that no order of the scores changes it."""
    return fsum(scores) / len(scores)


def neurons_meeting(layer: LayerDissection, threshold: float | None) -> tuple[Neuron, ...]:
    """The neurons whose top score is at least the threshold, in unit order; none where there is no threshold."""
    if threshold is None:
        return ()
    return tuple(neuron for neuron in layer.neurons if neuron.concepts and neuron.concepts[0].score >= threshold)


def count_mammographic(neurons: Iterable[Neuron], concept_set: ConceptSet) -> ConceptCounts:
    """Count neurons by the `mammographic` flag of their top concept; neurons without a concept are left out."""
    return count_concepts(_top_concepts(neurons, concept_set))


def count_concepts(concepts: Iterable[Concept | None]) -> ConceptCounts:
    """Count concepts by their `mammographic` flag. None is one of which nothing is known."""
    other = [concept is not None and concept.mammographic is False for concept in concepts]
    return ConceptCounts(mammographic=len(other) - sum(other), other=sum(other))


def top_categories(neurons: Iterable[Neuron], concept_set: ConceptSet, limit: int = 3) -> tuple[tuple[str, int], ...]:
    """The commonest broad categories of the neurons' top concepts with their counts; equal counts go by name.

    The category stands in where a concept has no broad one; concepts with neither are left out.
    """
    categories = [top.broad_category or top.category for top in _top_concepts(neurons, concept_set)]
    counts = Counter(category for category in categories if category is not None)
    return commonest_first(counts)[:limit]


def commonest_first(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Names with their counts, the commonest first; equal counts go by name."""
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _top_concepts(neurons: Iterable[Neuron], concept_set: ConceptSet) -> list[Concept]:
    return [concept_set.concepts[neuron.concepts[0].concept] for neuron in neurons if neuron.concepts]
