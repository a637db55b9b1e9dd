"""The tables of Mammo-CLIP Dissect (arXiv 2509.21102), as its published notebooks compute them from result files.

Of each unit its best concept and that one's score count. The local threshold of a layer in a network is the mean of
these scores over the layer's units; its global threshold is the greatest of the networks' local ones.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from service.analysis.thresholds import commonest_first, count_concepts, mean_of_scores
from service.domain.concepts import Concept, ConceptSet
from service.domain.layers import published_layer
from service.domain.neurons import LayerDissection

_TOP_CATEGORIES = 3


@dataclass(frozen=True, slots=True)
class BestConcept:
    """What a unit was named after."""

    layer: str
    """As torch names it."""

    unit: int
    concept: str
    score: float


@dataclass(frozen=True, slots=True)
class NamedUnits:
    """A network's units with their best concepts; units without one are left out."""

    network: str
    units: tuple[BestConcept, ...]


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """Units by the category of their best concept."""

    category: str
    units: int


@dataclass(frozen=True, slots=True)
class PaperUnit:
    """A row of the published table of units."""

    layer: str
    """In the published spelling, `blocks[2]`."""

    unit: int
    concept: str
    score: float

    category: str | None
    broad_category: str | None
    """None where the concept set names none, or does not have the concept."""

    meets_local: bool
    meets_global: bool


@dataclass(frozen=True, slots=True)
class PaperLayer:
    """A layer of one network. Counts are of units that meet the global threshold."""

    layer: str
    """In the published spelling, `blocks[2]`."""

    units: int
    """How many have a concept."""

    local_threshold: float
    global_threshold: float
    meeting_local: int
    meeting_global: int

    mammographic: int
    """Units of any concept but one of the control group: of an unknown one, too, as published."""

    other: int
    """Units of a concept of the control group."""

    categories: tuple[CategoryCount, ...]
    """All of them, the commonest first; equal counts by name."""

    top_broad_categories: tuple[CategoryCount, ...]
    """The three commonest; concepts without one are left out."""


@dataclass(frozen=True, slots=True)
class PaperNetwork:
    """A network's tables, sorted as published: layers by name as text, units by their score, greatest first."""

    network: str
    layers: tuple[PaperLayer, ...]
    units: tuple[PaperUnit, ...]


@dataclass(frozen=True, slots=True)
class SameConcepts:
    """How alike another network names the units of a layer."""

    network: str
    layer: str

    units: int
    """Units that have a concept in both networks."""

    same: int
    """Of these, how many have the same best concept."""


@dataclass(frozen=True, slots=True)
class PaperTables:
    """The tables of one network or of several, the first of which the others are held against."""

    networks: tuple[PaperNetwork, ...]
    same_concepts: tuple[SameConcepts, ...]
    notes: tuple[str, ...]


def named_units(network: str, layers: Iterable[LayerDissection]) -> NamedUnits:
    """The units of a dissection. Significance does not count: the paper has none."""
    units = (
        BestConcept(layer.layer, neuron.unit, neuron.concepts[0].text, neuron.concepts[0].score)
        for layer in layers
        for neuron in layer.neurons
        if neuron.concepts
    )
    return NamedUnits(network, tuple(units))


def distinct_names(networks: Sequence[str]) -> tuple[str, ...]:
    """Names that are all different: those that occur several times get their place as a number."""
    occurrences = Counter(networks)
    return tuple(
        network if occurrences[network] == 1 else f"{network} (no. {number})"
        for number, network in enumerate(networks, start=1)
    )


def paper_tables(networks: Sequence[NamedUnits], concept_set: ConceptSet, notes: Iterable[str] = ()) -> PaperTables:
    """The tables of networks that were named with this concept set. notes: come before those that are made here."""
    names_of_networks = distinct_names([network.network for network in networks])
    named = [NamedUnits(name, network.units) for name, network in zip(names_of_networks, networks, strict=True)]

    concepts = {concept.text: concept for concept in concept_set.concepts}
    layers_of_networks = [_by_layer(network.units) for network in named]

    local = [
        {name: mean_of_scores([unit.score for unit in units]) for name, units in layers.items()}
        for layers in layers_of_networks
    ]
    names = dict.fromkeys(name for thresholds in local for name in thresholds)
    greatest = {name: max(thresholds[name] for thresholds in local if name in thresholds) for name in names}

    tables = [
        _tables_of_network(network.network, layers, thresholds, greatest, concepts)
        for network, layers, thresholds in zip(named, layers_of_networks, local, strict=True)
    ]
    return PaperTables(
        networks=tuple(tables),
        same_concepts=tuple(_same_concepts(named)),
        notes=(*notes, *_notes(named, layers_of_networks, concepts)),
    )


def _by_layer(units: Iterable[BestConcept]) -> dict[str, list[BestConcept]]:
    """Layers by their published names as text, each with its units by score, the greatest first."""
    in_order = sorted(units, key=lambda unit: (published_layer(unit.layer), -unit.score, unit.unit))
    return {name: list(of_layer) for name, of_layer in groupby(in_order, key=lambda unit: unit.layer)}


def _tables_of_network(
    name: str,
    layers: Mapping[str, Sequence[BestConcept]],
    local: Mapping[str, float],
    greatest: Mapping[str, float],
    concepts: Mapping[str, Concept],
) -> PaperNetwork:
    tables = []
    rows: list[PaperUnit] = []

    for layer, units in layers.items():
        rows_of_layer = [_row(unit, local[layer], greatest[layer], concepts) for unit in units]
        meeting = [concepts.get(unit.concept) for unit in units if unit.score >= greatest[layer]]
        tables.append(_layer(layer, rows_of_layer, meeting, local[layer], greatest[layer]))
        rows += rows_of_layer

    return PaperNetwork(name, tuple(tables), tuple(rows))


def _row(unit: BestConcept, local: float, greatest: float, concepts: Mapping[str, Concept]) -> PaperUnit:
    concept = concepts.get(unit.concept)
    return PaperUnit(
        layer=published_layer(unit.layer),
        unit=unit.unit,
        concept=unit.concept,
        score=unit.score,
        category=None if concept is None else concept.category,
        broad_category=None if concept is None else concept.broad_category,
        meets_local=unit.score >= local,
        meets_global=unit.score >= greatest,
    )


def _layer(
    layer: str, rows: Sequence[PaperUnit], meeting: Sequence[Concept | None], local: float, greatest: float
) -> PaperLayer:
    """meeting: the concepts of the units that meet the global threshold; None for one that the set does not have."""
    known = [concept for concept in meeting if concept is not None]
    counts = count_concepts(meeting)
    return PaperLayer(
        layer=published_layer(layer),
        units=len(rows),
        local_threshold=local,
        global_threshold=greatest,
        meeting_local=sum(row.meets_local for row in rows),
        meeting_global=len(meeting),
        mammographic=counts.mammographic,
        other=counts.other,
        categories=_counts(concept.category for concept in known),
        top_broad_categories=_counts(concept.broad_category for concept in known)[:_TOP_CATEGORIES],
    )


def _counts(categories: Iterable[str | None]) -> tuple[CategoryCount, ...]:
    counts = Counter(category for category in categories if category is not None)
    return tuple(CategoryCount(category, units) for category, units in commonest_first(counts))


def _same_concepts(networks: Sequence[NamedUnits]) -> Iterable[SameConcepts]:
    first, *others = networks
    concept_of_unit = {(unit.layer, unit.unit): unit.concept for unit in first.units}

    for network in others:
        in_both: Counter[str] = Counter()
        same: Counter[str] = Counter()
        for unit in network.units:
            concept = concept_of_unit.get((unit.layer, unit.unit))
            if concept is not None:
                in_both[unit.layer] += 1
                same[unit.layer] += concept == unit.concept

        for layer in sorted(in_both, key=published_layer):
            yield SameConcepts(network.network, published_layer(layer), in_both[layer], same[layer])


def _notes(
    networks: Sequence[NamedUnits],
    layers_of_networks: Sequence[Mapping[str, object]],
    concepts: Mapping[str, Concept],
) -> list[str]:
    notes = []
    if len(networks) == 1:
        notes.append("With one network the global threshold of a layer is its local one.")

    names = dict.fromkeys(name for layers in layers_of_networks for name in layers)
    unshared = [name for name in names if not all(name in layers for layers in layers_of_networks)]
    if unshared:
        shown = ", ".join(map(published_layer, unshared[:5]))
        more = "" if len(unshared) <= 5 else " and others"
        notes.append(
            f"Not all networks have the layers {shown}{more}; the global threshold of such a layer is the greatest of "
            "the networks that have it."
        )

    named_after = {unit.concept for network in networks for unit in network.units}
    known = [concept for text, concept in concepts.items() if text in named_after]
    unsaid = len(named_after) - sum(concept.mammographic is not None for concept in known)
    if unsaid:
        notes.append(
            f"{unsaid} of {len(named_after)} concepts are not in the concept set, or it does not say whether they are "
            "mammographic: they count as mammographic, as published."
        )

    if not any(concept.mammographic is False for concept in concepts.values()):
        notes.append("The concept set marks no concept as not mammographic, so all of them count as mammographic.")
    return notes
