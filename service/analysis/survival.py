"""One dissection judged twice: with exams exchanged, and with images exchanged as if each were an exam."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from service.analysis.thresholds import local_threshold, neurons_meeting
from service.domain.evidence import Verdict
from service.domain.neurons import Dissection, LayerDissection, Neuron

_LABELS = 10


@dataclass(frozen=True, slots=True)
class Survival:
    """Units of a layer: living, at the paper's threshold, significant by exam, by image, and by both.

    by_both counts what is left of by_image when whole exams are exchanged.
    """

    living: int
    threshold_met: int
    by_exam: int
    by_image: int
    by_both: int

    def __add__(self, other: "Survival") -> "Survival":
        return Survival(
            self.living + other.living,
            self.threshold_met + other.threshold_met,
            self.by_exam + other.by_exam,
            self.by_image + other.by_image,
            self.by_both + other.by_both,
        )


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How many significant neurons have a label; verdict: on whether the dissector sees it, None where nobody knows."""

    text: str
    neurons: int
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a dissection amounts to.

    layers: by name; total: their sum. verdicts: significant neurons by what is known of the dissector for their label.
    label_stability, category_stability: medians over the significant neurons of `Stability`. agreeing: how many of them
    have an `Agreement`; agreement: its median AUROC; agreement_seen: the same where the dissector is qualified for the
    label. None where no neuron has the figure. labels: the commonest ones.
    """

    layers: dict[str, Survival]
    total: Survival
    verdicts: dict[str, int]
    label_stability: float | None
    category_stability: float | None
    agreeing: int
    agreement: float | None
    agreement_seen: float | None
    labels: tuple[LabelCount, ...]


def judge_survival(by_exam: Dissection, by_image: Dissection) -> Judgement:
    """by_exam, by_image: the same neurons, concepts and method, after false-discovery control."""
    layers = {one.layer: _survival(one, other) for one, other in zip(by_exam.layers, by_image.layers, strict=True)}
    found = [neuron for layer in by_exam.layers for neuron in layer.neurons if neuron.significant]
    known = () if by_exam.evidence is None else by_exam.evidence.qualifications
    verdicts = {one.text: one.verdict for one in known}
    counts = Counter(neuron.concepts[0].text for neuron in found)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    evidence = [neuron.evidence for neuron in found if neuron.evidence is not None]
    stability = [one.stability for one in evidence if one.stability is not None]
    agreement = [
        (verdicts.get(neuron.concepts[0].text), neuron.evidence.agreement.auroc)
        for neuron in found
        if neuron.evidence is not None and neuron.evidence.agreement is not None
    ]
    return Judgement(
        layers=layers,
        total=sum(layers.values(), Survival(0, 0, 0, 0, 0)),
        verdicts=dict(Counter(verdicts.get(neuron.concepts[0].text, "not known") for neuron in found)),
        label_stability=_median([one.label for one in stability]),
        category_stability=_median([one.category for one in stability if one.category is not None]),
        agreeing=len(agreement),
        agreement=_median([auroc for _, auroc in agreement]),
        agreement_seen=_median([auroc for verdict, auroc in agreement if verdict == "qualified"]),
        labels=tuple(LabelCount(text, count, verdicts.get(text)) for text, count in ordered[:_LABELS]),
    )


def _survival(by_exam: LayerDissection, by_image: LayerDissection) -> Survival:
    pairs = list(zip(by_exam.neurons, by_image.neurons, strict=True))
    return Survival(
        living=sum(not neuron.dead for neuron in by_exam.neurons),
        threshold_met=len(neurons_meeting(by_exam, local_threshold(by_exam))),
        by_exam=_significant([one for one, _ in pairs]),
        by_image=_significant([other for _, other in pairs]),
        by_both=sum(bool(one.significant and other.significant) for one, other in pairs),
    )


def _significant(neurons: Sequence[Neuron]) -> int:
    return sum(neuron.significant is True for neuron in neurons)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
