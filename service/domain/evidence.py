"""What speaks for a neuron's label, and what was done to find out.

The field names of the stored types are columns of the database, bytes of artifacts, and the wire format at once:
`tests/domain/test_stored_names.py` says what a rename costs.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NotRequired, TypedDict, TypeGuard, cast

from service.domain.findings import parted
from service.domain.localisation import Localisation
from service.domain.verdicts import DEFAULT_ERROR_LEVEL, DirectionFigures, JobVerdicts, UnitVerdict

LEVEL = 0.05
"""A label is significant where its q-value does not exceed this."""

LEAST_EXAMS = 20
"""With fewer independent exams nothing is inferred: a few of them would decide everything."""

NO_CONCEPT = "no concept"
"""The label of a neuron whose best concept is not significant."""

DrawnUnit = Literal["patient", "exam", "image", "group"]
"""What is drawn and resampled: patients where the manifest names them, else exams, else images, unless it was chosen.

`group`: the images with one value of a column of the manifest that was chosen.
"""

INDEPENDENT = ("patient", "exam", "image")
"""What may be chosen to count as independent, beside any column of the manifest."""

QualificationStatus = Literal["qualified", "untestable", "absent"]


class EvidenceFields(TypedDict):
    """The fields of `EvidenceOptions` in JSON."""

    draws: int
    resamples: int
    halves: int

    error_level: NotRequired[float]
    """Only where it was asked for."""


@dataclass(frozen=True, slots=True)
class EvidenceOptions:
    """How much is drawn; part of a job's request (stored)."""

    draws: int = 10_000
    """Random image sets. 0 asks for no evidence at all."""
    resamples: int = 200
    """Bootstrap resamples of the exams."""
    halves: int = 20
    """Random splits of the exams into two, whose differences say how well the figures of comparisons reproduce."""
    error_level: float | None = None
    """The share of wrong names among those given that the job allows; None where it asks for nothing."""

    @property
    def asked_for(self) -> bool:
        """Is anything to be drawn at all?"""
        return self.draws > 0

    @property
    def allowed_error(self) -> float:
        """The error level that holds, whether asked for or not."""
        return DEFAULT_ERROR_LEVEL if self.error_level is None else self.error_level

    def as_dict(self) -> EvidenceFields:
        """JSON form, part of a job's request. Where no error level was asked for, it is what it was before any was."""
        fields = asdict(self)
        _drop_none(fields, "error_level")
        return cast("EvidenceFields", fields)

    def drawn(self) -> EvidenceFields:
        """JSON form of what is drawn, part of every layer's key; the error level decides nothing in a layer alone."""
        return replace(self, error_level=None).as_dict()


def allowed_error_of(drawn: EvidenceFields) -> float:
    """The error level of a job that was stored with these fields."""
    return EvidenceOptions(**drawn).allowed_error


@dataclass(frozen=True, slots=True)
class Significance:
    """A unit's best score against the scores of random image sets (stored)."""

    p: float
    """Of the best score over all concepts."""
    z: float
    """Distance from the null's mean in the null's deviations, which can be compared between layers and jobs."""
    q: float | None = None
    """After false-discovery control over the job; None until all layers are known."""


@dataclass(frozen=True, slots=True)
class LabelStability:
    """What resampling the exams leaves of a label (stored)."""

    label: float
    """Share of the resamples whose best concept is the label."""
    category: float | None
    """Share of the resamples whose best concept lies in the label's category; None where the label has none."""
    prediction_set: tuple[str, ...]
    """The fewest concepts that are best in 90 % of the resamples, commonest first."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a unit's activation tells images with the finding that its label names (stored).

    Measured on images that did not name it, two-fold over exams: each half is labelled by the other, and the figures
    are the mean of the two. None where both halves' labels name no finding of the probe set.
    """

    finding: str
    """See `Qualification`."""

    auroc: float
    average_precision: float
    pearson: float


@dataclass(frozen=True, slots=True)
class Quality:
    """How a unit represents, whatever it is named, from its top images (stored).

    (SemanticLens, Nat. Mach. Intell. 2025.)
    """

    clarity: float
    """Mean cosine between the top images' embeddings."""
    polysemanticity: float
    """Distance between the two clusters that the top images fall into."""
    redundancy: float | None
    """Cosine of the unit's mean embedding with that of the unit of the layer that is most like it."""
    duplicate_of: int | None
    """The lowest unit with the very same top images in the same order."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A watched concept to which a unit may respond (stored)."""

    concept: int
    text: str
    p: float
    """Of this concept's score alone."""
    z: float
    q: float | None = None
    """Over all units and watched concepts of the job."""

    partial: float | None = None
    """Correlation of the activation with the concept given the label's; None where activations were not kept.

    Left out of what is stored where it is None, as is `partial_p`.
    """

    partial_p: float | None = None
    """Of a partial correlation as large where the unit follows nothing beyond its label."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is known of one neuron's label; a part is None where it could not be had (stored)."""

    significance: Significance | None = None
    stability: LabelStability | None = None
    agreement: Agreement | None = None
    quality: Quality | None = None
    watched: tuple[Watched, ...] = ()
    """The watched concepts with p <= LEVEL."""
    resampled: tuple[int, ...] = ()
    """The best concept in each resample."""
    halves: tuple[int, ...] = ()
    """For each split into two halves the best concept in the one and in the other, one pair after the other."""

    direction: DirectionFigures | None = None
    """None, and left out of what is stored, where activations were not kept."""

    verdict: UnitVerdict | None = None
    """None, and left out of what is stored, until all layers are known, and where the job has no verdicts."""

    localisations: tuple[Localisation, ...] = ()
    """Where the unit is active, against where findings are; left out of what is stored where nobody asked."""


def drop_absent_evidence(evidence: dict[str, Any]) -> None:
    """Leave direction, verdict, partial correlations and localisations out of the fields of evidence that has none.

    So evidence was stored before there were any, and equal results keep equal digests.
    """
    _drop_none(evidence, "direction", "verdict")
    if not evidence["localisations"]:
        del evidence["localisations"]
    for response in evidence["watched"]:
        _drop_none(response, "partial", "partial_p")


def _drop_none(fields: dict[str, Any], *names: str) -> None:
    for name in names:
        if fields[name] is None:
            del fields[name]


@dataclass(frozen=True, slots=True)
class LayerNull:
    """Best scores of random image sets under one layer's prior (stored)."""

    draws: int
    mean: float
    std: float
    quantiles: tuple[float, ...]
    """The best scores' 0th, 1st ... 100th percentile."""
    labels: tuple[tuple[int, float], ...]
    """Each concept, and the share of the sets with p <= LEVEL for which it is the best.

    Concepts with none are left out.
    """


@dataclass(frozen=True, slots=True)
class Qualification:
    """Can the dissector tell images with the concept from images without it (stored)?"""

    concept: int
    text: str

    finding: str
    """The finding that the concept names; several joined by ` | `, of which an image has to have one.

    Of a watched concept also what columns of the manifest say, as `view = CC`.
    """

    verdict: QualificationStatus
    """`absent`: the probe set's findings name the concept on too few images, or too few are without it."""
    positives: int
    negatives: int
    auroc: float | None = None
    low: float | None = None
    """Lower end of the 95 % interval of the AUROC."""
    high: float | None = None
    """Upper end of the same interval."""


@dataclass(frozen=True, slots=True)
class JobEvidence:
    """What was inferred in a dissection, and why something was not (stored)."""

    drawn_by: DrawnUnit
    """The kind of unit that was drawn."""

    units: int
    """How many units of that kind there are."""

    refused: str | None
    """Why no neuron has a p-value."""

    findings: tuple[str, ...] | None
    """The names with labelled images; None where the manifest knows nothing."""

    no_agreement: str | None
    """Why there are no agreements."""

    qualifications: tuple[Qualification, ...]

    tests: int = 0
    """How many p-values are in the false-discovery control."""

    largest_p: float | None = None
    """The largest p-value that is significant; None if none is."""

    nameless: int = 0
    """How many units name neither patient nor exam where others do.

    Each is a single image and counts as independent. With `drawn_by` `group`: how many have no value in the column.
    """

    repeated: int | None = None
    """How many images have bytes that repeat another image's, and are drawn with it; None where nobody has looked."""

    no_concept: tuple[str, ...] = ()
    """Findings that a map knows to mean no concept."""

    independent: str | None = None
    """What was chosen to count as independent: one of INDEPENDENT or a column; None where nobody chose."""

    watched: tuple[Qualification, ...] | None = None
    """The watched concepts that findings or columns know, and whether the dissector sees them.

    None, and left out of what is stored, in results of earlier releases, for which every watched concept counts.
    """

    verdicts: JobVerdicts | None = None
    """None, and left out of what is stored, where nobody asked for verdicts or an earlier release inferred."""

    @property
    def watched_that_count(self) -> frozenset[int] | None:
        """The watched concepts that the probe set can show, and the dissector sees; None where nobody has looked."""
        if self.watched is None:
            return None
        return frozenset(known.concept for known in self.watched if known.verdict == "qualified")

    @property
    def units_in_words(self) -> str:
        """What was drawn, as `24 patients` or `192 groups by 'site'`."""
        plural = "" if self.units == 1 else "s"
        by = f" by '{self.independent}'" if self.drawn_by == "group" else ""
        return f"{self.units:,} {self.drawn_by}{plural}{by}"

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Findings that mean no concept as far as anybody knows, though they may mean one; none where none is known."""
        matched = {name for qualification in self.qualifications for name in parted(qualification.finding)}
        understood = matched.union(self.no_concept)
        return tuple(finding for finding in self.findings or () if finding not in understood)


def is_column(independent: str | None) -> TypeGuard[str]:
    """Does what was chosen to count as independent name a column of the manifest?"""
    return independent is not None and independent not in INDEPENDENT
