"""Neurons that respond to what should not drive a diagnosis: markers, clips, implants, artefacts, everyday things."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from service.analysis.coverage import NOT_ASKED
from service.domain.concepts import ConceptSet
from service.domain.evidence import LEVEL, NO_CONCEPT, JobEvidence, Watched
from service.domain.neurons import LayerDissection, Neuron, TopImage

_LEADING = 0.2


@dataclass(frozen=True, slots=True)
class WatchfulNeuron:
    """A neuron that responds to watched concepts, strongest first. label: what it is named after, which may differ."""

    layer: str
    unit: int
    label: str
    responses: tuple[Watched, ...]
    images: tuple[TopImage, ...]


@dataclass(frozen=True, slots=True)
class Response:
    """One neuron's response to a watched concept."""

    layer: str
    unit: int
    p: float
    z: float
    q: float


@dataclass(frozen=True, slots=True)
class WatchedConcept:
    """A watched concept and the neurons that respond to it, strongest first. share: of the live neurons."""

    concept: int
    text: str
    category: str | None
    share: float
    neurons: tuple[Response, ...]


@dataclass(frozen=True, slots=True)
class WatchList:
    """refused: why nothing was inferred. watched: concepts looked for. live: neurons that are not dead.

    share: of the live neurons, those that respond; None where none is live or nothing was inferred. neurons: by the
    z of their strongest response. concepts: those with any neuron, by the z of the strongest.
    """

    refused: str | None
    watched: int
    live: int
    share: float | None
    neurons: tuple[WatchfulNeuron, ...] = ()
    concepts: tuple[WatchedConcept, ...] = ()


def watch(layers: Iterable[LayerDissection], concept_set: ConceptSet, evidence: JobEvidence | None) -> WatchList:
    """Neurons that respond to a watched concept, ranked by z, equal z in the dissection's order.

    Responses have q <= LEVEL, and the concept is one that the neuron could well be named after: its best concept, or
    the best in a fifth of the resamples. Significance alone would list nearly every neuron, for whatever a neuron
    stands for goes along a little with very many of the concepts.
    """
    live = 0
    found: list[WatchfulNeuron] = []
    for layer in layers:
        live += sum(not neuron.dead for neuron in layer.neurons)
        found += (one for neuron in layer.neurons if (one := _watchful(layer.layer, neuron)).responses)
    watched = len(concept_set.watched)
    refused = NOT_ASKED if evidence is None else evidence.refused
    if refused is not None:
        return WatchList(refused, watched, live, None)
    return WatchList(
        refused=None,
        watched=watched,
        live=live,
        share=len(found) / live if live else None,
        neurons=tuple(sorted(found, key=lambda neuron: -neuron.responses[0].z)),
        concepts=_by_concept(found, concept_set, live),
    )


def _watchful(layer: str, neuron: Neuron) -> WatchfulNeuron:
    watched = () if neuron.evidence is None else neuron.evidence.watched
    leading = _leading(neuron)
    responses = (one for one in watched if one.q is not None and one.q <= LEVEL and one.concept in leading)
    return WatchfulNeuron(
        layer=layer,
        unit=neuron.unit,
        label=NO_CONCEPT if neuron.label is None else neuron.label.text,
        responses=tuple(sorted(responses, key=lambda one: -one.z)),
        images=neuron.images,
    )


def _leading(neuron: Neuron) -> set[int]:
    """The best concept, and those that are best in a fifth of the resamples or more."""
    resampled = () if neuron.evidence is None else neuron.evidence.resampled
    often = {concept for concept, count in Counter(resampled).items() if count >= _LEADING * len(resampled)}
    return often | {one.concept for one in neuron.concepts[:1]}


def _by_concept(neurons: Iterable[WatchfulNeuron], concept_set: ConceptSet, live: int) -> tuple[WatchedConcept, ...]:
    responses: dict[int, list[Response]] = defaultdict(list)
    for neuron in neurons:
        for one in neuron.responses:
            assert one.q is not None  # noqa: S101 - others were left out
            responses[one.concept].append(Response(neuron.layer, neuron.unit, one.p, one.z, one.q))
    concepts = (
        WatchedConcept(
            concept=index,
            text=concept_set.concepts[index].text,
            category=concept_set.concepts[index].category,
            share=len(its) / live,
            neurons=tuple(sorted(its, key=lambda one: -one.z)),
        )
        for index, its in sorted(responses.items())
    )
    return tuple(sorted(concepts, key=lambda concept: -concept.neurons[0].z))
