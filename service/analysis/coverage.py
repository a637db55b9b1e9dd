"""Which concepts a network represents, against what chance alone would give, and which essential ones it does not."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import JobEvidence, Verdict
from service.domain.neurons import LayerDissection

NOT_ASKED = "No evidence was asked for when the job was posted."

Reason = Literal["absent from the probe set", "untestable", "not represented", "not known", "not in the concept set"]
"""Why an essential concept has no neuron.

absent from the probe set: its findings name the concept on too few images, or not at all. untestable: the dissector
cannot tell images with the concept from images without it. not known: the probe set has no findings, so nobody can say
whether the dissector sees the concept. not represented: dissector and probe set can show it, and no neuron does.
"""

_REASONS: dict[Verdict, Reason] = {
    "absent": "absent from the probe set",
    "untestable": "untestable",
    "qualified": "not represented",
}


@dataclass(frozen=True, slots=True)
class LayerCount:
    """Neurons of one layer with a significant label of that kind, and how many of them chance alone would give."""

    layer: str
    neurons: int
    expected: float


@dataclass(frozen=True, slots=True)
class ConceptCoverage:
    """A concept's significant neurons in the whole network and in each layer that has or would have any."""

    concept: int
    text: str
    category: str | None
    broad_category: str | None
    neurons: int
    expected: float
    layers: tuple[LayerCount, ...]


@dataclass(frozen=True, slots=True)
class CategoryCoverage:
    """A category: concepts in the set, how many of them a significant neuron represents, and their neurons.

    share: represented concepts by concepts, the coverage of the category.
    """

    name: str
    concepts: int
    represented: int
    share: float
    neurons: int
    expected: float
    layers: tuple[LayerCount, ...]


@dataclass(frozen=True, slots=True)
class MissingConcept:
    """An essential concept that no significant neuron represents.

    concept: its index, None where the set has no such concept. category_neurons: significant neurons in its category,
    which may stand for something close to it.
    """

    text: str
    concept: int | None
    reason: Reason
    category: str | None
    category_neurons: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the significant neurons of a dissection stand for.

    refused: why nothing was inferred; then nothing is counted and nothing is called missing. tested: live units that
    have a p-value. uncategorised: concepts without a category. must_have: essential concepts looked for.
    """

    refused: str | None
    units: int
    tested: int
    significant: int
    concepts: tuple[ConceptCoverage, ...] = ()
    categories: tuple[CategoryCoverage, ...] = ()
    broad_categories: tuple[CategoryCoverage, ...] = ()
    uncategorised: int = 0
    must_have: int = 0
    missing: tuple[MissingConcept, ...] = ()


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer by concept index: neurons with a significant label, and the number expected by chance."""

    name: str
    units: int
    tested: int
    neurons: Mapping[int, int]
    expected: Mapping[int, float]


def cover(
    layers: Iterable[LayerDissection],
    concept_set: ConceptSet,
    evidence: JobEvidence | None,
    must_have: Sequence[tuple[str, int | None]],
) -> Coverage:
    """Coverage of the concept set by a dissection.

    must_have: essential concepts by text, each with its index in the concept set or None. Expected by chance is, for
    each layer, tested units x largest significant p x share of the concept among the labels of the null's image sets:
    what units without any concept would contribute below the same threshold.
    """
    largest_p = 0.0 if evidence is None or evidence.largest_p is None else evidence.largest_p
    counted = [_count(layer, largest_p) for layer in layers]
    refused = NOT_ASKED if evidence is None else evidence.refused
    totals = Coverage(
        refused=refused,
        units=sum(layer.units for layer in counted),
        tested=sum(layer.tested for layer in counted),
        significant=sum(sum(layer.neurons.values()) for layer in counted),
    )
    if evidence is None or refused is not None:
        return totals
    concepts = tuple(_concept(counted, index, concept) for index, concept in enumerate(concept_set.concepts))
    return Coverage(
        refused=None,
        units=totals.units,
        tested=totals.tested,
        significant=totals.significant,
        concepts=concepts,
        categories=_categories(counted, concepts, lambda concept: concept.category),
        broad_categories=_categories(counted, concepts, lambda concept: concept.broad_category),
        uncategorised=sum(concept.category is None for concept in concepts),
        must_have=len(must_have),
        missing=_missing(must_have, concepts, evidence),
    )


def _count(layer: LayerDissection, largest_p: float) -> _Layer:
    tested = sum(neuron.significant is not None for neuron in layer.neurons)
    labels = layer.null.labels if layer.null is not None else ()
    return _Layer(
        name=layer.layer,
        units=len(layer.neurons),
        tested=tested,
        neurons=Counter(
            neuron.label.concept for neuron in layer.neurons if neuron.significant and neuron.label is not None
        ),
        expected={concept: tested * largest_p * share for concept, share in labels},
    )


def _concept(layers: Sequence[_Layer], index: int, concept: Concept) -> ConceptCoverage:
    counts = _layer_counts(layers, (index,))
    return ConceptCoverage(
        concept=index,
        text=concept.text,
        category=concept.category,
        broad_category=concept.broad_category,
        neurons=sum(count.neurons for count in counts),
        expected=sum(count.expected for count in counts),
        layers=counts,
    )


def _categories(
    layers: Sequence[_Layer],
    concepts: Sequence[ConceptCoverage],
    category_of: Callable[[ConceptCoverage], str | None],
) -> tuple[CategoryCoverage, ...]:
    members: dict[str, list[ConceptCoverage]] = defaultdict(list)
    for concept in concepts:
        name = category_of(concept)
        if name is not None:
            members[name].append(concept)
    categories = []
    for name, its in members.items():
        represented = sum(concept.neurons > 0 for concept in its)
        counts = _layer_counts(layers, [concept.concept for concept in its])
        categories.append(
            CategoryCoverage(
                name=name,
                concepts=len(its),
                represented=represented,
                share=represented / len(its),
                neurons=sum(count.neurons for count in counts),
                expected=sum(count.expected for count in counts),
                layers=counts,
            )
        )
    return tuple(categories)


def _layer_counts(layers: Sequence[_Layer], indices: Sequence[int]) -> tuple[LayerCount, ...]:
    counts = (
        LayerCount(
            layer.name,
            sum(layer.neurons.get(index, 0) for index in indices),
            sum(layer.expected.get(index, 0.0) for index in indices),
        )
        for layer in layers
    )
    return tuple(count for count in counts if count.neurons or count.expected)


def _missing(
    must_have: Sequence[tuple[str, int | None]], concepts: Sequence[ConceptCoverage], evidence: JobEvidence
) -> tuple[MissingConcept, ...]:
    verdicts = {known.concept: known.verdict for known in evidence.qualifications}
    in_category: Counter[str | None] = Counter()
    for concept in concepts:
        in_category[concept.category] += concept.neurons
    missing = []
    for text, index in must_have:
        if index is None:
            missing.append(MissingConcept(text, None, "not in the concept set", None, 0))
        elif concepts[index].neurons == 0:
            category = concepts[index].category
            near = 0 if category is None else in_category[category]
            reason = "not known" if evidence.findings is None else _REASONS[verdicts.get(index, "absent")]
            missing.append(MissingConcept(text, index, reason, category, near))
    return tuple(missing)
