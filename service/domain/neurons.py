"""The result of a dissection: layers, their neurons, and what each neuron was named after."""

from dataclasses import dataclass

from service.domain.probes import Box


@dataclass(frozen=True, slots=True)
class RankedConcept:
    """A concept (index into the concept set) and its score for one neuron."""

    concept: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class TopImage:
    """A probe item that excites the neuron, with the pooled activation it caused."""

    image_id: str
    row: int
    activation: float
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class ActivationSummary:
    """Pooled activations of one neuron over the probe set: mean, standard deviation, least and greatest."""

    mean: float
    std: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Neuron:
    """One unit of a layer. A dead neuron (the same activation for every image) has no concepts and no images."""

    unit: int
    dead: bool
    activation: ActivationSummary
    concepts: tuple[RankedConcept, ...] = ()
    images: tuple[TopImage, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerDissection:
    """All neurons of one layer, in unit order."""

    layer: str
    neurons: tuple[Neuron, ...]


@dataclass(frozen=True, slots=True)
class Dissection:
    """The engine's result: layers in the order of the request, and the digests of what made it."""

    layers: tuple[LayerDissection, ...]
    images_used: int
    images_skipped: tuple[int, ...]
    """Manifest rows of the images that could not be decoded and were left out."""
