"""One dissection judged twice: with exams exchanged, and with images exchanged as if each were an exam."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from service.analysis.thresholds import commonest_first, local_threshold, neurons_meeting
from service.domain.evidence import QualificationStatus
from service.domain.neurons import Dissection, LayerDissection, Neuron
from service.domain.sums import Summed
from service.domain.verdicts import Verdict, VerdictCounts

_LABELS = 10


@dataclass(frozen=True, slots=True)
class Survival(Summed):
    """How many units of a layer pass each test."""

    living: int
    threshold_met: int
    """Units at the paper's threshold."""
    by_exam: int
    """Units that are significant where whole exams are exchanged."""
    by_image: int
    """Units that are significant where images are exchanged."""
    by_both: int
    """What is left of `by_image` when whole exams are exchanged."""


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How many significant neurons have a label."""

    text: str
    neurons: int
    verdict: QualificationStatus | None
    """Whether the dissector sees the label; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class SurvivalSummary:
    """What a dissection amounts to. Medians are over its significant neurons, None where no neuron has the figure."""

    layers: dict[str, Survival]
    """By name."""
    total: Survival
    """The sum of the layers."""
    verdicts: dict[str, int]
    """Significant neurons by what is known of the dissector for their label."""
    label_stability: float | None
    """Median of `LabelStability.label`."""
    category_stability: float | None
    """Median of `LabelStability.category`."""
    agreeing: int
    """Significant neurons that have an `Agreement`."""
    agreement: float | None
    """Median AUROC of these."""
    agreement_seen: float | None
    """The same, over the neurons for whose label the dissector is qualified."""
    labels: tuple[LabelCount, ...]
    """The commonest ones."""
    called: VerdictCounts
    """What the living neurons are called, judged with exams exchanged; none where the dissection has no verdicts."""
    error: float | None
    """The share of wrong names as estimated; None where nothing is named."""
    names: tuple[tuple[str, int], ...]
    """The commonest names of named neurons, with their numbers."""


def judge_survival(by_exam: Dissection, by_image: Dissection) -> SurvivalSummary:
    """Sum up a dissection that was judged with exams exchanged, and once more with images exchanged.

    Both hold the same neurons, concepts and method, after false-discovery control.
    """
    layers = {
        layer.layer: _survival(layer, layer_by_image)
        for layer, layer_by_image in zip(by_exam.layers, by_image.layers, strict=True)
    }
    neurons = [neuron for layer in by_exam.layers for neuron in layer.neurons]
    significant = [neuron for neuron in neurons if neuron.significant]

    qualifications = () if by_exam.evidence is None else by_exam.evidence.qualifications
    verdict_on = {qualification.text: qualification.verdict for qualification in qualifications}
    labels = Counter(_label(neuron) for neuron in significant)
    commonest = commonest_first(labels)[:_LABELS]

    evidence = [neuron.evidence for neuron in significant if neuron.evidence is not None]
    verdicts = [neuron.verdict for neuron in neurons if neuron.verdict is not None]
    names = Counter(known.name for known in verdicts if known.verdict is Verdict.NAMED and known.name is not None)
    job_verdicts = None if by_exam.evidence is None else by_exam.evidence.verdicts

    stabilities = [known.stability for known in evidence if known.stability is not None]
    agreeing = [neuron for neuron in significant if _auroc(neuron) is not None]
    agreeing_and_seen = [neuron for neuron in agreeing if verdict_on.get(_label(neuron)) == "qualified"]

    return SurvivalSummary(
        layers=layers,
        total=sum(layers.values(), Survival(0, 0, 0, 0, 0)),
        verdicts=dict(Counter(verdict_on.get(_label(neuron), "not known") for neuron in significant)),
        label_stability=_median(stability.label for stability in stabilities),
        category_stability=_median(stability.category for stability in stabilities),
        agreeing=len(agreeing),
        agreement=_median(map(_auroc, agreeing)),
        agreement_seen=_median(map(_auroc, agreeing_and_seen)),
        labels=tuple(LabelCount(text, neurons, verdict_on.get(text)) for text, neurons in commonest),
        called=VerdictCounts.of(known.verdict for known in verdicts),
        error=None if job_verdicts is None else job_verdicts.error,
        names=tuple(commonest_first(names)[:_LABELS]),
    )


def _survival(by_exam: LayerDissection, by_image: LayerDissection) -> Survival:
    neurons = list(zip(by_exam.neurons, by_image.neurons, strict=True))
    return Survival(
        living=sum(not neuron.dead for neuron in by_exam.neurons),
        threshold_met=len(neurons_meeting(by_exam, local_threshold(by_exam))),
        by_exam=sum(neuron.significant is True for neuron in by_exam.neurons),
        by_image=sum(neuron.significant is True for neuron in by_image.neurons),
        by_both=sum(bool(neuron.significant and neuron_by_image.significant) for neuron, neuron_by_image in neurons),
    )


def _label(neuron: Neuron) -> str:
    return neuron.concepts[0].text


def _auroc(neuron: Neuron) -> float | None:
    """How well the neuron tells images with its label from others; None where it has no agreement."""
    if neuron.evidence is None or neuron.evidence.agreement is None:
        return None
    return neuron.evidence.agreement.auroc


def _median(values: Iterable[float | None]) -> float | None:
    """The median of the known values; None without any."""
    known = [value for value in values if value is not None]
    return median(known) if known else None
