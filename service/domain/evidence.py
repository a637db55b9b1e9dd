"""What speaks for a neuron's label, and what was done to find out."""

from dataclasses import dataclass
from typing import Literal

LEVEL = 0.05
"""A label is significant where its q-value does not exceed this."""

LEAST_EXAMS = 20
"""With fewer independent exams nothing is inferred: a few of them would decide everything."""

NO_CONCEPT = "no concept"
"""The label of a neuron whose best concept is not significant."""

Unit = Literal["patient", "exam", "image"]
"""What is drawn and resampled: patients where the manifest names them, else exams, else images."""

Verdict = Literal["qualified", "untestable", "absent"]


@dataclass(frozen=True, slots=True)
class EvidenceOptions:
    """How much is drawn; part of a job's request. draws: random image sets. resamples: of the exams, bootstrap.

    halves: random splits of the exams into two, whose differences are the noise floor of comparisons.
    0 draws ask for no evidence at all.
    """

    draws: int = 10_000
    resamples: int = 200
    halves: int = 20


@dataclass(frozen=True, slots=True)
class Significance:
    """A unit's best score against the scores of random image sets.

    p: of the best score over all concepts. z: its distance from the null's mean in the null's deviations, which can
    be compared between layers and jobs. q: after false-discovery control over the job; None until all layers are known.
    """

    p: float
    z: float
    q: float | None = None


@dataclass(frozen=True, slots=True)
class Stability:
    """What resampling the exams leaves of a label.

    label, category: share of the resamples whose best concept is the label, or lies in its category; None where the
    label has no category. prediction_set: the fewest concepts that are best in 90 % of the resamples, commonest first.
    """

    label: float
    category: float | None
    prediction_set: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a unit's activation tells images with the finding that its label names, on images that did not name it.

    Two-fold over exams: each half is labelled by the other, and the figures are the mean of the two. None where both
    halves' labels name no finding of the probe set.
    """

    finding: str
    auroc: float
    average_precision: float
    pearson: float


@dataclass(frozen=True, slots=True)
class Quality:
    """How a unit represents, whatever it is named (SemanticLens, Nat. Mach. Intell. 2025), from its top images.

    clarity: mean cosine between their embeddings. polysemanticity: distance between the two clusters they fall into.
    redundancy: cosine of the unit's mean embedding with that of the unit of the layer that is most like it.
    duplicate_of: the lowest unit with the very same top images in the same order.
    """

    clarity: float
    polysemanticity: float
    redundancy: float | None
    duplicate_of: int | None


@dataclass(frozen=True, slots=True)
class Watched:
    """A watched concept to which a unit may respond: p of that one concept's score; q over all units and concepts."""

    concept: int
    text: str
    p: float
    z: float
    q: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is known of one neuron's label; a part is None where it could not be had.

    watched: the watched concepts with p <= LEVEL. resampled: the best concept in each resample. halves: in each split
    into two halves, the best concept in the one and in the other, one pair after the other.
    """

    significance: Significance | None = None
    stability: Stability | None = None
    agreement: Agreement | None = None
    quality: Quality | None = None
    watched: tuple[Watched, ...] = ()
    resampled: tuple[int, ...] = ()
    halves: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerNull:
    """Best scores of random image sets under one layer's prior.

    quantiles: the best scores' 0th, 1st ... 100th percentile. labels: for each concept the share of the sets with
    p <= LEVEL for which it is the best; concepts with none are left out.
    """

    draws: int
    mean: float
    std: float
    quantiles: tuple[float, ...]
    labels: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Qualification:
    """Can the dissector tell images with the concept from images without it? AUROC with its 95 % interval.

    absent: the probe set's findings name the concept on too few images, or too few are without it.
    """

    concept: int
    text: str
    finding: str
    verdict: Verdict
    positives: int
    negatives: int
    auroc: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class JobEvidence:
    """What was inferred in a dissection, and why something was not.

    drawn_by, units: what was drawn and how many of them there are.
    refused: why no neuron has a p-value.
    findings: names with labelled images, None where the manifest knows nothing.
    no_agreement: why there are no agreements.
    tests: p-values in the false-discovery control.
    largest_p: the largest one that is significant, None if none is.
    nameless: units that name neither patient nor exam where others do: single images that count as independent.
    repeated: images whose bytes repeat another one's, and which are drawn with it; None where nobody has looked.
    """

    drawn_by: Unit
    units: int
    refused: str | None
    findings: tuple[str, ...] | None
    no_agreement: str | None
    qualifications: tuple[Qualification, ...]
    tests: int = 0
    largest_p: float | None = None
    nameless: int = 0
    repeated: int | None = None
