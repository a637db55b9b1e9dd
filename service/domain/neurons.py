"""The result of a dissection: layers, their neurons, and what each neuron was named after.

The field names of the stored types are columns of the database, bytes of artifacts, and the wire format at once:
`tests/domain/test_stored_names.py` says what a rename costs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.evidence import LEVEL, Agreement, Evidence, JobEvidence, LayerNull, Quality, Significance, Watched
from service.domain.probes import Box
from service.domain.verdicts import DirectionFigures, UnitVerdict, Verdict, VerdictCounts

Region = tuple[float, float, float, float]
"""Left, top, width and height as fractions of what a network saw of an image."""

WATCHED_IN_LISTS = 3
"""How many watched responses a neuron carries in a list: its strongest."""

RegionsOfLayers = Mapping[str, Mapping[str, Sequence[Sequence[float] | None]]]
"""Layer -> unit (as text, for JSON) -> the region in each of its first top images."""


PlacesOfLayers = Mapping[str, Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]]
"""Layer -> unit (as text, for JSON) -> the fields of each `Place` in each of its first top images."""


@dataclass(frozen=True, slots=True)
class RankedConcept:
    """A concept and its score for one neuron (stored)."""

    concept: int
    """Its index in the concept set."""
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a finding is in an image, as the manifest says (stored)."""

    finding: str
    region: Region
    """Around a box or mask."""


@dataclass(frozen=True, slots=True)
class TopImage:
    """A probe item that excites the neuron, with the pooled activation that it caused (stored)."""

    image_id: str
    row: int
    """The image's row in the manifest."""
    activation: float
    box: Box | None = None
    """Where the item lies in its image, if it is a patch."""
    region: Region | None = None
    """The part that drives the activation; None where nobody looked for it."""
    frame: int | None = None
    """Which of several frames the item is, from 1; left out of what is stored where each image is one item."""
    places: tuple[Place, ...] = ()
    """Where findings are, of images that reports show; left out of what is stored where there are none."""


def drop_absent_frames(images: Iterable[dict[str, Any]]) -> None:
    """Leave the frame out of the fields of images that have none: so they were stored before there were any."""
    for image in images:
        if image["frame"] is None:
            del image["frame"]


def drop_absent_places(images: Iterable[dict[str, Any]]) -> None:
    """Leave places out of the fields of images that have none: so they were stored before there were any."""
    for image in images:
        if not image["places"]:
            del image["places"]


@dataclass(frozen=True, slots=True)
class ActivationSummary:
    """Pooled activations of one neuron over the probe set: mean, standard deviation, least and greatest (stored)."""

    mean: float
    std: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Neuron:
    """One unit of a layer (stored).

    A dead neuron (the same activation for every image) has no concepts and no images.
    """

    unit: int
    dead: bool
    activation: ActivationSummary
    concepts: tuple[RankedConcept, ...] = ()
    images: tuple[TopImage, ...] = ()
    evidence: Evidence | None = None

    @property
    def significant(self) -> bool | None:
        """Does the best concept's score stand out? None where nothing was inferred."""
        if self.evidence is None or self.evidence.significance is None:
            return None

        q = self.evidence.significance.q
        return None if q is None else q <= LEVEL

    @property
    def verdict(self) -> UnitVerdict | None:
        """What it is called; None for a dead neuron, and in a job without verdicts."""
        return None if self.evidence is None else self.evidence.verdict

    @property
    def label(self) -> RankedConcept | None:
        """The best concept; None for a dead neuron and for one whose best concept is not significant."""
        return self.concepts[0] if self.concepts and self.significant is not False else None

    @property
    def measured_name(self) -> str | None:
        """What the dissection calls it: the name of its verdict, or its label where the job has no verdicts."""
        if self.verdict is not None:
            return self.verdict.name
        return None if self.label is None else self.label.text


@dataclass(frozen=True, slots=True)
class LayerDissection:
    """All neurons of one layer (stored)."""

    layer: str
    neurons: tuple[Neuron, ...]
    """In unit order."""
    null: LayerNull | None = None
    """What random image sets score under the layer's prior."""


@dataclass(frozen=True, slots=True)
class Dissection:
    """The engine's result."""

    layers: tuple[LayerDissection, ...]
    """In the order of the request."""
    images_used: int
    images_skipped: tuple[int, ...]
    """Manifest rows of the images that could not be decoded and were left out."""
    evidence: JobEvidence | None = None


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """What one line says about a layer."""

    layer: str
    units: int
    dead_units: int
    mean_top_score: float | None
    """The paper's local threshold: the mean top score of the units that have one; None if none has."""
    threshold_met: int
    """Units whose top score reaches the threshold."""
    top_categories: tuple[tuple[str, int], ...]
    """The three commonest broad categories among those units, with their counts."""
    significant: int | None = None
    """Units whose label is significant; None where nothing was inferred."""
    null: LayerNull | None = None
    verdicts: VerdictCounts | None = None
    """None where the job has no verdicts."""


def count_verdicts(layers: Iterable[LayerDissection]) -> VerdictCounts | None:
    """The verdicts of all neurons; None where none has one."""
    verdicts = [neuron.verdict.verdict for layer in layers for neuron in layer.neurons if neuron.verdict is not None]
    return VerdictCounts.of(verdicts) if verdicts else None


def total_verdicts(summaries: Iterable[LayerSummary]) -> VerdictCounts | None:
    """The verdicts of all these layers together; None where there are none."""
    counts = [summary.verdicts for summary in summaries if summary.verdicts is not None]
    return sum(counts, VerdictCounts()) if counts else None


@dataclass(frozen=True, slots=True)
class LabelledNeuron:
    """A stored neuron of a layer, with the place of its label in the clinical vocabulary."""

    layer: str
    neuron: Neuron
    category: str | None
    broad_category: str | None


@dataclass(frozen=True, slots=True)
class StabilityFigures:
    """`LabelStability` without its prediction set."""

    label: float
    category: float | None


@dataclass(frozen=True, slots=True)
class EvidenceFigures:
    """`Evidence` in figures alone: without what was drawn, and with the strongest watched responses only."""

    significance: Significance | None = None
    stability: StabilityFigures | None = None
    agreement: Agreement | None = None
    quality: Quality | None = None
    direction: DirectionFigures | None = None
    """Without rivals and parts."""
    verdict: UnitVerdict | None = None
    watched: tuple[Watched, ...] = ()
    """WATCHED_IN_LISTS at most, strongest first."""


@dataclass(frozen=True, slots=True)
class ListedNeuron:
    """A stored neuron in brief, as lists show it: what it is called, and how much speaks for that.

    concept: the label; NO_CONCEPT where the best concept is not significant, None for a dead neuron.
    """

    layer: str
    unit: int
    dead: bool
    concept: str | None
    category: str | None
    broad_category: str | None
    score: float | None
    significant: bool | None
    evidence: EvidenceFigures | None

    @property
    def verdict(self) -> UnitVerdict | None:
        """What it is called; None for a dead neuron, and in a job without verdicts."""
        return None if self.evidence is None else self.evidence.verdict


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A unit of the same dissection that follows much the same as another unit."""

    layer: str
    unit: int

    cosine: float
    """Between the two units' directions in the dissector's space."""

    concept: str | None
    """See `ListedNeuron`."""


@dataclass(frozen=True, slots=True)
class NeuronFilter:
    """Which neurons of a layer to list; a field that is None does not restrict."""

    concept: str | None = None
    category: str | None = None
    broad_category: str | None = None
    min_score: float | None = None
    dead: bool | None = None
    significant: bool | None = None
    verdicts: tuple[Verdict, ...] | None = None
    """Any of these."""
