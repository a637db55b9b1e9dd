"""Which concepts a network represents, against what chance alone would give, and which essential ones it does not."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

from service.analysis.coverage_intervals import ResampledCounts
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import JobEvidence, QualificationStatus
from service.domain.neurons import LayerDissection, Neuron
from service.domain.related_words import RelatedConcepts
from service.domain.verdicts import JobVerdicts, Verdict

Counted = Literal["named", "significant"]
"""Which neurons represent a concept: the named ones where the job has verdicts, else those with a significant label."""

NOT_ASKED = "No evidence was asked for when the job was posted."

Reason = Literal[
    "absent from the probe set",
    "unmatched findings may mean it",
    "untestable",
    "not represented",
    "not known",
    "not in the concept set",
]
"""Why an essential concept has no neuron.

* absent from the probe set: its findings name the concept on too few images, or not at all.
* unmatched findings may mean it: that would be said, but for findings that name no concept as far as anybody knows.
* untestable: the dissector cannot tell images with the concept from images without it.
* not represented: dissector and probe set can show it, and no neuron does.
* not known: the probe set has no findings, so nobody can say whether the dissector sees the concept.
* not in the concept set: no neuron could have been named after it.
"""

_FINDINGS_NAMED = 5
_FINDINGS_READ = 5_000
"""Of more unmatched findings than this, the others may mean any concept."""

_REASONS: dict[QualificationStatus, Reason] = {
    "absent": "absent from the probe set",
    "untestable": "untestable",
    "qualified": "not represented",
}


@dataclass(frozen=True, slots=True)
class LayerCount:
    """One layer's neurons with a label of some kind that counts (see `Counted`)."""

    layer: str
    neurons: int
    expected: float
    """How many of them chance alone would give; of named ones, how many are wrong as estimated."""


@dataclass(frozen=True, slots=True)
class ConceptCoverage:
    """A concept's neurons in the whole network, of those that count (see `Counted`)."""

    concept: int
    """Its index in the concept set."""
    text: str
    category: str | None
    broad_category: str | None
    neurons: int
    expected: float
    """How many chance alone would give."""
    layers: tuple[LayerCount, ...]
    """The layers that have any, or would have by chance."""
    low: float | None = None
    """Lower end of the interval of 95 % of `neurons` over resampled exams; None where nothing was resampled."""
    high: float | None = None
    """Upper end of the same interval."""


@dataclass(frozen=True, slots=True)
class CategoryCoverage:
    """How much of a category the neurons represent that count (see `Counted`).

    Neurons that are named after the category alone are its own, and none of its concepts'.
    """

    name: str
    concepts: int
    """In the concept set."""
    represented: int
    """Of the concepts: how many have a neuron that counts."""
    share: float
    """Represented concepts by concepts: the coverage of the category."""
    neurons: int
    expected: float
    """How many neurons chance alone would give."""
    layers: tuple[LayerCount, ...]
    """The layers that have any neurons, or would have by chance."""
    low: float | None = None
    """Lower end of the interval of 95 % of `neurons` over resampled exams; None where nothing was resampled."""
    high: float | None = None
    """Upper end of the same interval."""


@dataclass(frozen=True, slots=True)
class MissingConcept:
    """An essential concept that no neuron represents."""

    text: str
    concept: int | None
    """Its index; None where the concept set has no such concept."""
    reason: Reason
    category: str | None
    category_neurons: int
    """Neurons in its category, which may stand for something close to it."""
    findings: tuple[str, ...] = ()
    """The first unmatched findings that may mean it, where that is the reason."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the neurons of a dissection stand for."""

    refused: str | None
    """Why nothing was inferred; then no concept is counted and none is called missing."""
    units: int
    tested: int
    """Live units that have a p-value."""
    significant: int
    concepts: tuple[ConceptCoverage, ...] = ()
    categories: tuple[CategoryCoverage, ...] = ()
    broad_categories: tuple[CategoryCoverage, ...] = ()
    uncategorised: int = 0
    """Concepts without a category."""
    must_have: int = 0
    """Essential concepts that were looked for."""
    missing: tuple[MissingConcept, ...] = ()
    counted: Counted = "significant"
    """Which neurons represent something."""
    named: int | None = None
    """Named units; None where the job has no verdicts."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """The labels of one layer, counted."""

    name: str
    units: int
    tested: int
    """Live units that have a p-value."""
    significant: int
    named: int
    neurons: Mapping[int, int]
    """Concept -> neurons with it as their label, of those that count."""
    expected: Mapping[int, float]
    """Concept -> how many of these chance alone would give, or are wrong as estimated."""
    of_categories: Mapping[str, int]
    """Category or broad category -> neurons that are named after it alone."""
    error: float = 0.0
    """Of the named neurons, the share that is wrong as estimated."""


def cover(
    layers: Iterable[LayerDissection],
    concept_set: ConceptSet,
    evidence: JobEvidence | None,
    must_have: Sequence[tuple[str, int | None]],
) -> Coverage:
    """Coverage of the concept set by a dissection.

    must_have: essential concepts by text, each with its index in the concept set or None.

    Expected by chance is, for each layer, tested units x largest significant p x share of the concept among the labels
    of the null's image sets: what units without any concept would contribute below the same threshold. Where the job
    has verdicts, named neurons alone represent anything, and expected is the share of them that is wrong as estimated.
    """
    verdicts = None if evidence is None else evidence.verdicts
    if verdicts is not None and verdicts.refused is not None:
        verdicts = None
    largest_p = 0.0 if evidence is None or evidence.largest_p is None else evidence.largest_p

    counted = []
    resampled = ResampledCounts(len(concept_set.concepts), named=verdicts is not None)
    for layer in layers:
        counted.append(_count_significant(layer, largest_p) if verdicts is None else _count_named(layer, verdicts))
        resampled.add(layer)

    totals = Coverage(
        refused=NOT_ASKED if evidence is None else evidence.refused,
        units=sum(layer.units for layer in counted),
        tested=sum(layer.tested for layer in counted),
        significant=sum(layer.significant for layer in counted),
        counted="significant" if verdicts is None else "named",
        named=None if verdicts is None else sum(layer.named for layer in counted),
    )
    if evidence is None or evidence.refused is not None:
        return totals

    concepts = tuple(_concept(counted, resampled, index, concept) for index, concept in enumerate(concept_set.concepts))
    categories = _categories(counted, resampled, concepts, lambda concept: concept.category, {})
    within = _within(concept_set)
    return replace(
        totals,
        concepts=concepts,
        categories=categories,
        broad_categories=_categories(counted, resampled, concepts, lambda concept: concept.broad_category, within),
        uncategorised=sum(concept.category is None for concept in concepts),
        must_have=len(must_have),
        missing=_missing(must_have, concept_set, concepts, categories, evidence),
    )


def _count_named(layer: LayerDissection, verdicts: JobVerdicts) -> _Layer:
    """Named neurons by their concept, combinations by their first part; by category where nothing finer is known."""
    error = verdicts.error_of(layer.layer) or 0.0
    concepts: Counter[int] = Counter()
    of_categories: Counter[str] = Counter()
    for neuron in layer.neurons:
        verdict, label = neuron.verdict, neuron.label
        if verdict is None or verdict.verdict is not Verdict.NAMED or label is None:
            continue
        if verdict.level == "category":
            of_categories[str(verdict.name)] += 1
        else:
            concepts[_first_concept(neuron, label.concept)] += 1

    return _Layer(
        name=layer.layer,
        units=len(layer.neurons),
        tested=sum(neuron.significant is not None for neuron in layer.neurons),
        significant=sum(neuron.significant is True for neuron in layer.neurons),
        named=concepts.total() + of_categories.total(),
        neurons=concepts,
        expected={concept: count * error for concept, count in concepts.items()},
        of_categories=of_categories,
        error=error,
    )


def _first_concept(neuron: Neuron, label: int) -> int:
    """The concept that a neuron counts for: of a combination its first part, else the label."""
    verdict, evidence = neuron.verdict, neuron.evidence
    if verdict is None or verdict.level != "combination" or evidence is None or evidence.direction is None:
        return label
    parts = evidence.direction.parts
    return parts[0].concept if parts else label


def _within(concept_set: ConceptSet) -> Mapping[str, str]:
    """Category -> the broad category that holds it."""
    return {
        concept.category: concept.broad_category
        for concept in concept_set.concepts
        if concept.category is not None and concept.broad_category is not None
    }


def _count_significant(layer: LayerDissection, largest_p: float) -> _Layer:
    tested = sum(neuron.significant is not None for neuron in layer.neurons)
    labels = [neuron.label for neuron in layer.neurons if neuron.significant]
    null_labels = () if layer.null is None else layer.null.labels

    return _Layer(
        name=layer.layer,
        units=len(layer.neurons),
        tested=tested,
        significant=len(labels),
        named=0,
        neurons=Counter(label.concept for label in labels if label is not None),
        expected={concept: tested * largest_p * share for concept, share in null_labels},
        of_categories={},
    )


def _concept(layers: Sequence[_Layer], resampled: ResampledCounts, index: int, concept: Concept) -> ConceptCoverage:
    counts = _layer_counts(layers, (index,))
    neurons = sum(count.neurons for count in counts)
    low, high = resampled.interval((index,), neurons)
    return ConceptCoverage(
        concept=index,
        text=concept.text,
        category=concept.category,
        broad_category=concept.broad_category,
        neurons=neurons,
        expected=sum(count.expected for count in counts),
        layers=counts,
        low=low,
        high=high,
    )


def _categories(
    layers: Sequence[_Layer],
    resampled: ResampledCounts,
    concepts: Sequence[ConceptCoverage],
    category_of: Callable[[ConceptCoverage], str | None],
    within: Mapping[str, str],
) -> tuple[CategoryCoverage, ...]:
    """within: narrower categories, and the one that holds each."""
    members: dict[str, list[ConceptCoverage]] = defaultdict(list)
    for concept in concepts:
        name = category_of(concept)
        if name is not None:
            members[name].append(concept)

    narrower: dict[str, set[str]] = defaultdict(set)
    for narrow, broad in within.items():
        narrower[broad].add(narrow)

    return tuple(
        _category(layers, resampled, name, concepts_within, {name, *narrower[name]})
        for name, concepts_within in members.items()
    )


def _category(
    layers: Sequence[_Layer],
    resampled: ResampledCounts,
    name: str,
    concepts: Sequence[ConceptCoverage],
    names: Set[str],
) -> CategoryCoverage:
    """names: the category's, and those of the categories that it holds."""
    represented = sum(concept.neurons > 0 for concept in concepts)
    indices = [concept.concept for concept in concepts]
    counts = _layer_counts(layers, indices, names)
    neurons = sum(count.neurons for count in counts)
    low, high = resampled.interval(indices, neurons)

    return CategoryCoverage(
        name=name,
        concepts=len(concepts),
        represented=represented,
        share=represented / len(concepts),
        neurons=neurons,
        expected=sum(count.expected for count in counts),
        layers=counts,
        low=low,
        high=high,
    )


def _layer_counts(
    layers: Sequence[_Layer], concepts: Sequence[int], categories: Set[str] = frozenset()
) -> tuple[LayerCount, ...]:
    """The counts of these concepts and categories together, in the layers that have any or would have by chance."""
    counts = []
    for layer in layers:
        in_categories = sum(layer.of_categories.get(name, 0) for name in categories)
        neurons = sum(layer.neurons.get(concept, 0) for concept in concepts) + in_categories
        expected = sum(layer.expected.get(concept, 0.0) for concept in concepts) + in_categories * layer.error
        if neurons or expected:
            counts.append(LayerCount(layer.name, neurons, expected))
    return tuple(counts)


def _missing(
    must_have: Sequence[tuple[str, int | None]],
    concept_set: ConceptSet,
    concepts: Sequence[ConceptCoverage],
    categories: Sequence[CategoryCoverage],
    evidence: JobEvidence,
) -> tuple[MissingConcept, ...]:
    verdicts = {qualification.concept: qualification.verdict for qualification in evidence.qualifications}

    neurons_in = {category.name: category.neurons for category in categories}

    possible = _possible_findings(concept_set, evidence, {index for _, index in must_have if index is not None})
    missing = []
    for text, index in must_have:
        if index is None:
            missing.append(MissingConcept(text, None, "not in the concept set", None, 0))
        elif concepts[index].neurons == 0:
            category = concepts[index].category
            reason = "not known" if evidence.findings is None else _REASONS[verdicts.get(index, "absent")]
            findings: tuple[str, ...] = ()
            if reason == "absent from the probe set" and index in possible:
                reason, findings = "unmatched findings may mean it", tuple(possible[index])
            category_neurons = 0 if category is None else neurons_in[category]
            missing.append(MissingConcept(text, index, reason, category, category_neurons, findings))
    return tuple(missing)


def _possible_findings(
    concept_set: ConceptSet, evidence: JobEvidence, essential: Set[int]
) -> Mapping[int, Sequence[str]]:
    """The first unmatched findings that may mean each essential concept; no entry for one that none may mean."""
    possible: dict[int, list[str]] = defaultdict(list)
    unmatched = evidence.unmatched
    if not unmatched:
        return possible

    related = RelatedConcepts(concept_set.concepts)
    if len(unmatched) > _FINDINGS_READ:
        possible |= {index: [] for index in essential}

    for finding in unmatched[:_FINDINGS_READ]:
        for index in essential & related.may_be_meant(finding):
            if len(possible[index]) < _FINDINGS_NAMED:
                possible[index].append(finding)
    return possible
