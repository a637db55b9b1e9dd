"""The JSON of dissected layers, their neurons, and what speaks for a label."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas.base import FromDomain
from api.schemas.reviews import NeuronReviewsOut
from service.domain.evidence import NO_CONCEPT, Evidence
from service.domain.localisation import WhyNot
from service.domain.neurons import LabelledNeuron, LayerSummary, ListedNeuron, TopImage, total_verdicts
from service.domain.reviews import Standing
from service.domain.verdicts import DirectionFigures, JobVerdicts, NameLevel, UnitVerdict, Verdict
from service.usecases.reviews import NeuronReviews


class CategoryCount(BaseModel):
    """How many neurons a category has."""

    category: str
    neurons: int


class VerdictCountsOut(FromDomain):
    """How many live neurons have which verdict."""

    named: int
    unverified: int
    unnamed: int
    no_signal: int


class JobVerdictsOut(FromDomain):
    """How verdicts were reached; `refused` says why there are none.

    `error_level` was asked for, `error` is what is estimated: of the names given, the share that is wrong.
    """

    error_level: float
    error: float | None
    least_explained: float
    decoys: int
    decoy_match: float
    refused: str | None


class LayerOut(BaseModel):
    """A dissected layer; mean_top_score is the paper's local threshold, threshold_met counts who reaches it.

    `significant` counts neurons with a significant label, and is null where nothing was inferred. `verdicts` is null
    where the job has none; `error` is the estimated share of wrong names among those of the layer.
    """

    layer: str
    units: int
    dead_units: int
    mean_top_score: float | None
    threshold_met: int
    top_categories: list[CategoryCount]
    significant: int | None
    verdicts: VerdictCountsOut | None
    error: float | None

    @classmethod
    def of(cls, summary: LayerSummary, verdicts: JobVerdicts | None) -> Self:
        """The summary on the wire."""
        return cls(
            layer=summary.layer,
            units=summary.units,
            dead_units=summary.dead_units,
            mean_top_score=summary.mean_top_score,
            threshold_met=summary.threshold_met,
            top_categories=[CategoryCount(category=name, neurons=count) for name, count in summary.top_categories],
            significant=summary.significant,
            verdicts=None if summary.verdicts is None else VerdictCountsOut.model_validate(summary.verdicts),
            error=None if verdicts is None else verdicts.error_of(summary.layer),
        )


class LayersOut(BaseModel):
    """The layers of one dissection, in the order of the dissection.

    `verdicts` of all layers together; `judged_by` is null for results of releases without verdicts, and where no
    evidence was asked for.
    """

    job: UUID
    items: list[LayerOut]
    verdicts: VerdictCountsOut | None
    judged_by: JobVerdictsOut | None

    @classmethod
    def of(cls, job: UUID, summaries: Sequence[LayerSummary], judged: JobVerdicts | None) -> Self:
        """The layers on the wire."""
        counts = total_verdicts(summaries)
        return cls(
            job=job,
            items=[LayerOut.of(summary, judged) for summary in summaries],
            verdicts=None if counts is None else VerdictCountsOut.model_validate(counts),
            judged_by=None if judged is None else JobVerdictsOut.model_validate(judged),
        )


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


class PlaceOut(BaseModel):
    """Where the manifest says that a finding is: left, top, width, height as fractions of what the network saw."""

    finding: str
    region: tuple[float, float, float, float]


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
    places: list[PlaceOut] = Field(description="Of findings, in images that the report shows.")

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


class WatchedBriefOut(BaseModel):
    """A watched concept that the neuron may respond to; `q` over all neurons and watched concepts of the job."""

    text: str
    z: float
    q: float | None


class WatchedOut(WatchedBriefOut):
    """The same with its p, and the correlation of activation and concept given the label's (`partial`).

    `partial` is null where activations were not kept.
    """

    p: float
    partial: float | None
    partial_p: float | None


class DirectionBriefOut(BaseModel):
    """What the dissector's embedding says of the activation, on held-out exams.

    `fit`: correlation with the best direction. `explained`: the share of the fit that the label's concept alone has.
    """

    fit: float
    explained: float


class NamePartOut(BaseModel):
    """A concept of a name, and the share that it adds."""

    text: str
    share: float


class DirectionOut(DirectionBriefOut):
    """The same with the concepts that the label's concept does not beat, and the parts of a combination.

    `correlation`: with the label's concept alone. `decoy_explained`: the share that the best decoy has. `decoy_p`: of a
    concept as far ahead of the decoys where no concept says what the unit follows. `rival_p`: that another concept is
    the better name.
    """

    fit_p: float
    correlation: float
    decoy_explained: float
    decoy_p: float
    rival_p: float
    rivals: list[str]
    parts: list[NamePartOut]

    @classmethod
    def whole(cls, figures: DirectionFigures, texts: Sequence[str]) -> Self:
        """The figures on the wire. texts: of the whole concept set."""
        parts = [NamePartOut(text=part.text, share=part.share) for part in figures.parts]
        rivals = [texts[concept] for concept in figures.rivals]
        return cls.model_validate({**asdict(figures), "rivals": rivals, "parts": parts})


class AgainstExchangedOut(BaseModel):
    """A figure; what it is with places of other exams, in the mean; p of as large a one by exchange."""

    value: float
    exchanged: float
    p: float


class LocalisationOut(BaseModel):
    """Where the neuron is active, against where a finding is, see docs/where.md; `why_not` where there are no figures.

    `from_label`: the label means the finding; otherwise the job gave it. `cells`: height and width of the map.
    """

    finding: str
    from_label: bool
    images: int
    exams: int
    cells: tuple[int, int] | None
    pointing: AgainstExchangedOut | None
    iou: AgainstExchangedOut | None
    quantiles: list[float] = Field(description="Best in each half of the exams; each cuts the other half's maps.")
    auroc: AgainstExchangedOut | None
    why_not: WhyNot | None


class EvidenceBriefOut(BaseModel):
    """What speaks for a neuron's label, in figures; a part that could not be had is null.

    `watched`: in lists at most the three strongest responses.
    """

    significance: SignificanceOut | None
    stability: StabilityBriefOut | None
    agreement: AgreementOut | None
    quality: QualityOut | None
    direction: DirectionBriefOut | None
    watched: Sequence[WatchedBriefOut]


class EvidenceOut(EvidenceBriefOut):
    """The same with its prediction set, rivals and parts, and all watched concepts that the neuron may respond to."""

    stability: StabilityOut | None
    direction: DirectionOut | None
    watched: list[WatchedOut]
    localisations: list[LocalisationOut] = Field(description="Empty where the job did not ask for any.")

    @classmethod
    def whole(cls, evidence: Evidence, texts: Sequence[str]) -> Self:
        """The evidence on the wire. texts: of the whole concept set."""
        direction = None if evidence.direction is None else DirectionOut.whole(evidence.direction, texts)
        strongest_first = sorted(evidence.watched, key=lambda response: (-response.z, response.concept))
        return cls.model_validate(
            {**asdict(evidence), "direction": direction, "watched": [asdict(response) for response in strongest_first]}
        )


class NeuronBriefOut(BaseModel):
    """A neuron and its label, `no concept` where that is not significant. A dead neuron has no label.

    `significant` is null where nothing was inferred; `score` is that of the best concept, whatever its significance.
    `verdict` says what the label is worth, and is null for a dead neuron and in a job without verdicts; `name` is what
    the neuron may be called, at the `level` of detail that the evidence carries, and `error` the estimated share of
    wrong names among those that are at least as sure. Ranked concepts, top images, activation, prediction set, rivals,
    all watched concepts and reviews are in GET /neurons/{layer}/{unit}.
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
    verdict: Verdict | None
    name: str | None
    level: NameLevel | None
    error: float | None
    review: Standing | None = Field(description="What readers say, as far as the caller may see it.")
    evidence: EvidenceBriefOut | None

    @classmethod
    def listed(cls, job: UUID, neuron: ListedNeuron, review: Standing | None) -> Self:
        """The neuron on the wire, in brief."""
        return cls.model_validate({"job": job, **asdict(neuron), **_called(neuron.verdict), "review": review})


class NeuronOut(NeuronBriefOut):
    """A neuron with everything that is known about it. A dead one has neither label nor images."""

    evidence: EvidenceOut | None
    concepts: list[RankedConceptOut]
    images: list[TopImageOut]
    activation: ActivationOut
    reviews: NeuronReviewsOut

    @classmethod
    def whole(cls, job: UUID, labelled: LabelledNeuron, texts: Sequence[str], reviews: NeuronReviews) -> Self:
        """The neuron on the wire. texts: of the whole concept set."""
        neuron = labelled.neuron
        evidence = neuron.evidence
        top = neuron.concepts[0] if neuron.concepts else None
        if neuron.significant is False:
            label: str | None = NO_CONCEPT
        else:
            label = None if top is None else top.text

        reviewed = reviews.of_neuron(labelled.layer, neuron.unit, neuron.measured_name)
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
            **_called(neuron.verdict),
            review=reviewed.standing,
            evidence=None if evidence is None else EvidenceOut.whole(evidence, texts),
            concepts=[RankedConceptOut(concept=ranked.text, score=ranked.score) for ranked in neuron.concepts],
            images=[TopImageOut.of(image) for image in neuron.images],
            activation=ActivationOut.model_validate(neuron.activation, from_attributes=True),
            reviews=NeuronReviewsOut.of(reviews, reviewed),
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


def _called(verdict: UnitVerdict | None) -> dict[str, Any]:
    """The fields of a neuron that say what it is called."""
    return {name: getattr(verdict, name, None) for name in ("verdict", "name", "level", "error")}
