"""Neurons that respond to what should not drive a diagnosis: markers, clips, implants, artefacts, views."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace

from service.analysis.coverage import NOT_ASKED
from service.domain.concepts import ConceptSet
from service.domain.evidence import LEVEL, NO_CONCEPT, JobEvidence, Watched
from service.domain.neurons import LayerDissection, Neuron, TopImage

LEAST_PARTIAL = 0.1
"""A response counts from this correlation beyond the label on: with many exams smaller ones are significant, too."""

_LEADING = 0.2
"""A concept leads where it is the best one in this share of the resamples."""


@dataclass(frozen=True, slots=True)
class WatchfulNeuron:
    """A neuron that responds to watched concepts."""

    layer: str
    unit: int
    label: str
    """What it is named after, which need not be a concept that it responds to."""
    responses: tuple[Watched, ...]
    """Strongest first."""
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
    """A watched concept that any neuron responds to."""

    concept: int
    """Its index in the concept set."""
    text: str
    category: str | None
    share: float
    """Of the live neurons, those that respond to it."""
    neurons: tuple[Response, ...]
    """Strongest first."""


@dataclass(frozen=True, slots=True)
class WatchList:
    """Which neurons respond to which watched concepts."""

    refused: str | None
    """Why nothing was inferred."""
    watched: int
    """Concepts looked for: those that the probe set can show and the dissector sees, where that is known."""
    live: int
    """Neurons that are not dead."""
    share: float | None
    """Of the live neurons, those that respond; None where none is live or nothing was inferred."""
    neurons: tuple[WatchfulNeuron, ...] = ()
    """By the z of their strongest response."""
    concepts: tuple[WatchedConcept, ...] = ()
    """Those with any neuron, by the z of the strongest."""
    unknown: tuple[str, ...] = ()
    """Watched concepts of which neither findings nor columns say which images show them: nobody looked for these."""
    rare: tuple[str, ...] = ()
    """Those that too few images show, or too few do not."""
    unseen: tuple[str, ...] = ()
    """Those that the dissector cannot tell, though images show them."""


def watch(layers: Iterable[LayerDissection], concept_set: ConceptSet, evidence: JobEvidence | None) -> WatchList:
    """Neurons that respond to a watched concept, ranked by z, equal z in the dissection's order.

    Only concepts that the probe set can show and the dissector sees are looked for, where the evidence knows which.
    Responses have q <= LEVEL, and say something beyond the neuron's label: a partial correlation of LEAST_PARTIAL,
    given the label's concept. Where activations were not kept, the concept is one that the neuron could well be named
    after: its best concept, or the best in a fifth of the resamples. Significance alone would list nearly every neuron,
    because whatever a neuron stands for correlates a little with very many of the concepts.
    """
    counting = _counting(concept_set, evidence)
    live = 0
    responding: list[WatchfulNeuron] = []
    for layer in layers:
        live += sum(not neuron.dead for neuron in layer.neurons)
        watchful = (_watchful(layer.layer, neuron, counting) for neuron in layer.neurons)
        responding += (neuron for neuron in watchful if neuron.responses)

    watch_list = _not_counting(concept_set, evidence, WatchList(None, len(counting), live, None))
    not_tested_reason = NOT_ASKED if evidence is None else evidence.refused
    if not_tested_reason is not None:
        return replace(watch_list, refused=not_tested_reason)

    return replace(
        watch_list,
        share=len(responding) / live if live else None,
        neurons=tuple(sorted(responding, key=lambda neuron: -neuron.responses[0].z)),
        concepts=_by_concept(responding, concept_set, live),
    )


def _counting(concept_set: ConceptSet, evidence: JobEvidence | None) -> frozenset[int]:
    """The watched concepts to look for: all of them in results of releases that did not know which can be shown."""
    watched = frozenset(concept_set.watched)
    counting = None if evidence is None else evidence.watched_that_count
    return watched if counting is None else watched & counting


def _not_counting(concept_set: ConceptSet, evidence: JobEvidence | None, watch_list: WatchList) -> WatchList:
    """The watch-list with the watched concepts that nobody looked for, by the reason."""
    if evidence is None or evidence.watched is None:
        return watch_list

    verdicts = {known.concept: known.verdict for known in evidence.watched}
    texts_by_verdict: dict[str | None, list[str]] = defaultdict(list)
    for concept in concept_set.watched:
        texts_by_verdict[verdicts.get(concept)].append(concept_set.concepts[concept].text)
    return replace(
        watch_list,
        unknown=tuple(texts_by_verdict[None]),
        rare=tuple(texts_by_verdict["absent"]),
        unseen=tuple(texts_by_verdict["untestable"]),
    )


def _watchful(layer: str, neuron: Neuron, counting: Set[int]) -> WatchfulNeuron:
    """A neuron with its responses, of which it may have none."""
    watched = () if neuron.evidence is None else neuron.evidence.watched
    significant = [
        response
        for response in watched
        if response.concept in counting and response.q is not None and response.q <= LEVEL
    ]

    leading = _leading_concepts(neuron)
    responses = [response for response in significant if _says_something(response, leading)]

    return WatchfulNeuron(
        layer=layer,
        unit=neuron.unit,
        label=NO_CONCEPT if neuron.label is None else neuron.label.text,
        responses=tuple(sorted(responses, key=lambda response: -response.z)),
        images=neuron.images,
    )


def _says_something(response: Watched, leading: Set[int]) -> bool:
    """Does a significant response say something that the neuron's label does not imply?"""
    if response.partial is None:
        return response.concept in leading
    return response.partial >= LEAST_PARTIAL


def _leading_concepts(neuron: Neuron) -> set[int]:
    """The best concept, and those that are best in a fifth of the resamples or more."""
    best = {ranked.concept for ranked in neuron.concepts[:1]}

    resampled = () if neuron.evidence is None else neuron.evidence.resampled
    least = _LEADING * len(resampled)
    often = {concept for concept, count in Counter(resampled).items() if count >= least}
    return best | often


def _by_concept(neurons: Iterable[WatchfulNeuron], concept_set: ConceptSet, live: int) -> tuple[WatchedConcept, ...]:
    responses_to: dict[int, list[Response]] = defaultdict(list)
    for neuron in neurons:
        for watched in neuron.responses:
            assert watched.q is not None  # noqa: S101 - others were left out
            response = Response(neuron.layer, neuron.unit, watched.p, watched.z, watched.q)
            responses_to[watched.concept].append(response)

    concepts = []
    for index, responses in sorted(responses_to.items()):
        concept = concept_set.concepts[index]
        concepts.append(
            WatchedConcept(
                concept=index,
                text=concept.text,
                category=concept.category,
                share=len(responses) / live,
                neurons=tuple(sorted(responses, key=lambda response: -response.z)),
            )
        )
    return tuple(sorted(concepts, key=lambda concept: -concept.neurons[0].z))
