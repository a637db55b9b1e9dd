"""What neurons may be called, in a report: sentences with figures, and the neurons that no concept says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.domain.evidence import JobEvidence
from service.domain.neurons import LayerDissection, Neuron
from service.domain.verdicts import JobVerdicts, Verdict, VerdictCounts
from service.reports.cards import CardImage, card_images
from service.reports.figures import percent
from service.reports.wording import counted

UNNAMED = 12
"""So many unnamed neurons are shown; all are counted."""

LEAST_MATCH = 0.8
"""Below this decoys match concepts poorly, and the estimated error is less sure than it looks."""


@dataclass(frozen=True, slots=True)
class UnnamedNeuron:
    """A neuron that follows something that the dissector sees and no concept says."""

    layer: str
    layer_number: int
    """The layer's place in the dissection, from 1."""
    unit: int
    fit: float
    """See `DirectionFigures`."""
    nearest: str
    """The concept that says most of it."""
    explained: float
    """The share that this concept says."""
    images: tuple[CardImage, ...]


def unnamed_neurons(layers: Sequence[LayerDissection]) -> tuple[UnnamedNeuron, ...]:
    """The UNNAMED neurons that follow most clearly what no concept says, by their fit."""
    unnamed = []
    for number, layer in enumerate(layers, start=1):
        for neuron in layer.neurons:
            shown = _unnamed(number, layer.layer, neuron)
            if shown is not None:
                unnamed.append(shown)

    # Sorting is stable: equal fits stay in the order of layers and units.
    return tuple(sorted(unnamed, key=lambda neuron: -neuron.fit)[:UNNAMED])


def _unnamed(number: int, layer: str, neuron: Neuron) -> UnnamedNeuron | None:
    verdict, evidence = neuron.verdict, neuron.evidence
    if verdict is None or verdict.verdict is not Verdict.UNNAMED or evidence is None or evidence.direction is None:
        return None

    return UnnamedNeuron(
        layer=layer,
        layer_number=number,
        unit=neuron.unit,
        fit=evidence.direction.fit,
        nearest=neuron.concepts[0].text,
        explained=evidence.direction.explained,
        images=card_images(neuron.images),
    )


def verdict_sentences(counts: VerdictCounts | None, evidence: JobEvidence | None) -> Iterator[str]:
    """A sentence with figures for each verdict; why there are none, where that is known.

    counts: of all layers.
    """
    verdicts = None if evidence is None else evidence.verdicts
    if verdicts is None:
        return
    if verdicts.refused is not None:
        yield f"No neuron has a verdict, so nothing is known of how many labels are wrong: {verdicts.refused}"
        return

    counts = counts or VerdictCounts()
    yield _named(counts, verdicts)
    yield (
        f"{_neurons(counts.unverified, 'follows', 'follow')} a concept, but nobody knows whether the dissector sees "
        "it: unverified."
    )
    yield unnamed_sentence(counts)
    yield (
        f"{_neurons(counts.no_signal, 'is', 'are')} without a signal: nothing that the dissector sees tells what such "
        "a neuron follows. It need not be useless to the network."
    )
    if counts.named + counts.unverified and verdicts.decoy_match < LEAST_MATCH:
        yield (
            f"The decoys that the error is estimated by match the concepts poorly ({verdicts.decoy_match:.2f} of 1), "
            "or too few neurons tell: the estimated error is less sure than it looks."
        )


def unnamed_sentence(counts: VerdictCounts) -> str:
    """How many neurons no concept says, and what to do about them."""
    return (
        f"{_neurons(counts.unnamed, 'follows', 'follow')} something that the dissector sees and no concept says. "
        "These are the neurons that a person should look at."
    )


def _named(counts: VerdictCounts, verdicts: JobVerdicts) -> str:
    share = counts.named / counts.units if counts.units else 0.0
    sentence = f"{_neurons(counts.named, 'is', 'are')} named ({percent(share)} of those with a verdict)"
    if verdicts.error is None:
        return f"{sentence}; at most {percent(verdicts.error_level)} of the names were allowed to be wrong."
    return (
        f"{sentence}. Of the names given, {percent(verdicts.error)} are wrong as estimated; at most "
        f"{percent(verdicts.error_level)} were allowed. A named concept or category says at least "
        f"{percent(verdicts.least_explained)} of what the dissector can say of the neuron."
    )


def _neurons(count: int, singular: str, plural: str) -> str:
    return f"{counted(count, 'neuron')} {singular if count == 1 else plural}"
