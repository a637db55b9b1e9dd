"""The JSON of dissected layers, their neurons, and what speaks for a label."""

from dataclasses import asdict
from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field

from service.domain.evidence import NO_CONCEPT
from service.domain.neurons import LabelledNeuron, LayerSummary, ListedNeuron, TopImage


class CategoryCount(BaseModel):
    """How many neurons a category has."""

    category: str
    neurons: int


class LayerOut(BaseModel):
    """A dissected layer; mean_top_score is the paper's local threshold, threshold_met counts who reaches it.

    `significant` counts neurons with a significant label, and is null where nothing was inferred.
    """

    layer: str
    units: int
    dead_units: int
    mean_top_score: float | None
    threshold_met: int
    top_categories: list[CategoryCount]
    significant: int | None

    @classmethod
    def of(cls, summary: LayerSummary) -> Self:
        """The summary on the wire."""
        return cls(
            layer=summary.layer,
            units=summary.units,
            dead_units=summary.dead_units,
            mean_top_score=summary.mean_top_score,
            threshold_met=summary.threshold_met,
            top_categories=[CategoryCount(category=name, neurons=count) for name, count in summary.top_categories],
            significant=summary.significant,
        )


class LayersOut(BaseModel):
    """The layers of one dissection, in the order of the dissection."""

    job: UUID
    items: list[LayerOut]


class RankedConceptOut(BaseModel):
    """A concept and its score for a neuron."""

    concept: str
    score: float


class BoxOut(BaseModel):
    """A rectangle in the pixels of the decoded image."""

    left: int
    top: int
    width: int
    height: int


class TopImageOut(BaseModel):
    """A probe image that excites the neuron; `box` where it is a patch of an image, `frame` where of several frames.

    `region`: the part that drives the activation (left, top, width, height as fractions), where it was looked for.
    """

    image_id: str
    row: int
    activation: float
    box: BoxOut | None
    region: tuple[float, float, float, float] | None
    frame: int | None = Field(description="From 1, where each frame of an image is an image of its own.")

    @classmethod
    def of(cls, image: TopImage) -> Self:
        """The image on the wire."""
        return cls.model_validate(image, from_attributes=True)


class ActivationOut(BaseModel):
    """Pooled activations of a neuron over the probe set."""

    mean: float
    std: float
    minimum: float
    maximum: float


class SignificanceOut(BaseModel):
    """The best score against random image sets; q after false-discovery control over the job."""

    p: float
    z: float
    q: float | None


class StabilityBriefOut(BaseModel):
    """Share of resamples of the exams that keep the label and its category."""

    label: float
    category: float | None


class StabilityOut(StabilityBriefOut):
    """The same; 90 % of the resamples are in the prediction set."""

    prediction_set: list[str]


class AgreementOut(BaseModel):
    """How well the activation tells images with the finding that the label names, on images that did not name it."""

    finding: str
    auroc: float
    average_precision: float
    pearson: float


class QualityOut(BaseModel):
    """How the unit represents, whatever its name (SemanticLens)."""

    clarity: float
    polysemanticity: float
    redundancy: float | None
    duplicate_of: int | None


class WatchedOut(BaseModel):
    """A watched concept that the neuron may respond to; `q` over all neurons and watched concepts of the job."""

    text: str
    p: float
    z: float
    q: float | None


class EvidenceBriefOut(BaseModel):
    """What speaks for a neuron's label, in figures; a part that could not be had is null."""

    significance: SignificanceOut | None
    stability: StabilityBriefOut | None
    agreement: AgreementOut | None
    quality: QualityOut | None


class EvidenceOut(EvidenceBriefOut):
    """The same with its prediction set, and the watched concepts that the neuron may respond to."""

    stability: StabilityOut | None
    watched: list[WatchedOut]


class NeuronBriefOut(BaseModel):
    """A neuron and its label, `no concept` where that is not significant. A dead neuron has no label.

    `significant` is null where nothing was inferred; `score` is that of the best concept, whatever its significance.
    Ranked concepts, top images, activation, prediction set and watched concepts are in GET /neurons/{layer}/{unit}.
    """

    job: UUID
    layer: str
    unit: int
    dead: bool
    concept: str | None
    category: str | None
    broad_category: str | None
    score: float | None
    significant: bool | None
    evidence: EvidenceBriefOut | None

    @classmethod
    def listed(cls, job: UUID, neuron: ListedNeuron) -> Self:
        """The neuron on the wire, in brief."""
        return cls.model_validate({"job": job, **asdict(neuron)})


class NeuronOut(NeuronBriefOut):
    """A neuron with everything that is known about it. A dead one has neither label nor images."""

    evidence: EvidenceOut | None
    concepts: list[RankedConceptOut]
    images: list[TopImageOut]
    activation: ActivationOut

    @classmethod
    def of(cls, job: UUID, labelled: LabelledNeuron) -> Self:
        """The neuron on the wire."""
        neuron = labelled.neuron
        evidence = neuron.evidence
        top = neuron.concepts[0] if neuron.concepts else None
        if neuron.significant is False:
            label: str | None = NO_CONCEPT
        else:
            label = None if top is None else top.text

        return cls(
            job=job,
            layer=labelled.layer,
            unit=neuron.unit,
            dead=neuron.dead,
            concept=label,
            category=labelled.category,
            broad_category=labelled.broad_category,
            score=None if top is None else top.score,
            significant=neuron.significant,
            evidence=None if evidence is None else EvidenceOut.model_validate(evidence, from_attributes=True),
            concepts=[RankedConceptOut(concept=ranked.text, score=ranked.score) for ranked in neuron.concepts],
            images=[TopImageOut.of(image) for image in neuron.images],
            activation=ActivationOut.model_validate(neuron.activation, from_attributes=True),
        )


class NeighbourOut(BaseModel):
    """A unit that follows much the same: its direction in the dissector's space is like the other's."""

    layer: str
    unit: int
    cosine: float = Field(description="Between the two directions.")
    concept: str | None = Field(description="Its label; `no concept` where that is not significant.")


class NeighboursOut(BaseModel):
    """The units most like a neuron, most like it first; none for one that is dead."""

    job: UUID
    layer: str
    unit: int
    items: list[NeighbourOut]
