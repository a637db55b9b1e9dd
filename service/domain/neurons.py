"""The result of a dissection: layers, their neurons, and what each neuron was named after."""

from dataclasses import dataclass

from service.domain.evidence import LEVEL, Evidence, JobEvidence, LayerNull
from service.domain.probes import Box

Region = tuple[float, float, float, float]
"""Left, top, width and height as fractions of what a network saw of an image."""


@dataclass(frozen=True, slots=True)
class RankedConcept:
    """A concept (index into the concept set) and its score for one neuron."""

    concept: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class TopImage:
    """A probe item that excites the neuron, with the pooled activation it caused.

    box: where the item lies in its image, if it is a patch. region: the part that drives the activation; None where it
    was not looked for.
    """

    image_id: str
    row: int
    activation: float
    box: Box | None = None
    region: Region | None = None


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
    evidence: Evidence | None = None

    @property
    def significant(self) -> bool | None:
        """Does the best concept's score stand out? None where nothing was inferred."""
        found = None if self.evidence is None else self.evidence.significance
        return None if found is None or found.q is None else found.q <= LEVEL

    @property
    def label(self) -> RankedConcept | None:
        """The best concept; None for a dead neuron and for one whose best concept is not significant."""
        return self.concepts[0] if self.concepts and self.significant is not False else None


@dataclass(frozen=True, slots=True)
class LayerDissection:
    """All neurons of one layer, in unit order; null: what random image sets score under the layer's prior."""

    layer: str
    neurons: tuple[Neuron, ...]
    null: LayerNull | None = None


@dataclass(frozen=True, slots=True)
class Dissection:
    """The engine's result: layers in the order of the request, and the digests of what made it."""

    layers: tuple[LayerDissection, ...]
    images_used: int
    images_skipped: tuple[int, ...]
    """Manifest rows of the images that could not be decoded and were left out."""
    evidence: JobEvidence | None = None


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """What one line says about a layer.

    mean_top_score: the paper's local threshold, the mean top score of the units that have one; None if none has.
    threshold_met: units whose top score reaches it.
    top_categories: the three commonest broad categories among those units, with their counts.
    significant: units whose label is significant; None where nothing was inferred.
    """

    layer: str
    units: int
    dead_units: int
    mean_top_score: float | None
    threshold_met: int
    top_categories: tuple[tuple[str, int], ...]
    significant: int | None = None
    null: LayerNull | None = None


@dataclass(frozen=True, slots=True)
class LabelledNeuron:
    """A stored neuron of a layer, with the place of its label in the clinical vocabulary."""

    layer: str
    neuron: Neuron
    category: str | None
    broad_category: str | None


@dataclass(frozen=True, slots=True)
class NeuronFilter:
    """Which neurons of a layer to list; a field that is None does not restrict."""

    concept: str | None = None
    category: str | None = None
    broad_category: str | None = None
    min_score: float | None = None
    dead: bool | None = None
    significant: bool | None = None
