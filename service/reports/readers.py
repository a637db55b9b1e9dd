"""What readers say of labels, in a report: counts, agreement, and how often they accept names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.analysis.review_summary import Acceptance, PairAgreement, ReviewSummary
from service.domain.reviews import ReviewedNeuron, Standing
from service.reports.figures import number, percent
from service.reports.wording import counted

_OTHERWISE = (Standing.DISPUTED, Standing.RENAMED, Standing.REJECTED)


@dataclass(frozen=True, slots=True)
class ReadNeuron:
    """A neuron that readers judge, beside what the dissection calls it."""

    layer: str
    unit: int
    measured: str | None
    standing: Standing
    name: str | None
    """What the readers call it; None where they reject the label or differ."""
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadersSection:
    """What readers say, as far as the one may see it for whom the report was made."""

    seen_by: str
    summary: ReviewSummary
    sentences: tuple[str, ...]
    neurons: tuple[ReadNeuron, ...]
    """Those that are judged, in the order of the dissection."""

    @property
    def otherwise(self) -> tuple[ReadNeuron, ...]:
        """Neurons whose readers say something other than the dissection, disputed ones first."""
        others = [neuron for neuron in self.neurons if neuron.standing in _OTHERWISE]
        return tuple(sorted(others, key=lambda neuron: _OTHERWISE.index(neuron.standing)))

    def said_of(self, layer: str, unit: int) -> ReadNeuron | None:
        """What they say of a neuron; None where nobody judges it."""
        return next((neuron for neuron in self.neurons if (neuron.layer, neuron.unit) == (layer, unit)), None)


def readers_section(seen_by: str, summary: ReviewSummary, neurons: Sequence[ReviewedNeuron]) -> ReadersSection:
    """The section on what somebody may see. neurons: those that are judged."""
    return ReadersSection(
        seen_by=seen_by,
        summary=summary,
        sentences=tuple(_sentences(seen_by, summary)),
        neurons=tuple(
            ReadNeuron(neuron.layer, neuron.unit, neuron.measured, neuron.standing, neuron.name, neuron.readers)
            for neuron in neurons
            if neuron.standing is not None
        ),
    )


def standing_words(neuron: ReadNeuron) -> str:
    """What the readers of a neuron say, in a line."""
    called = f" to '{neuron.name}'" if neuron.standing is Standing.RENAMED else ""
    return f"{neuron.standing.value}{called} by {', '.join(neuron.readers)}"


def _sentences(seen_by: str, summary: ReviewSummary) -> Iterator[str]:
    standings = summary.standings
    judged = sum(standings.values())
    if judged:
        parts = [f"{standings[standing]:,} {standing.value}" for standing in Standing if standings.get(standing)]
        yield f"Readers judge {counted(judged, 'neuron')}: {', '.join(parts)}."
    if summary.hidden:
        yield (
            f"{counted(summary.hidden, 'review')} of neurons that {seen_by} has not judged "
            f"{'is' if summary.hidden == 1 else 'are'} left out: readers do not see each other's before."
        )
    if summary.no_agreement is not None:
        yield summary.no_agreement
    for pair in summary.agreement:
        yield _agreement(pair)
    yield _acceptance(summary.acceptance)


def _agreement(pair: PairAgreement) -> str:
    found, names = pair.agreement, " and ".join(pair.readers)
    if found.kappa is None:
        return f"How far {names} agree is not known. {found.refused}"
    return (
        f"{names} agree on {percent(found.observed)} of {counted(found.neurons, 'neuron')}, "
        f"where chance alone would give {percent(found.expected)}: kappa {number(found.kappa)}, "
        f"95 % interval {number(found.low)} to {number(found.high)}."
    )


def _acceptance(acceptance: Acceptance) -> str:
    if acceptance.share is None:
        return f"How often readers accept names is not known. {acceptance.refused}"

    share = acceptance.share
    sentence = (
        f"Of {counted(acceptance.judged, 'named neuron')} drawn at random and judged, all readers accept "
        f"{percent(share.value)} (95 % interval {percent(share.low)} to {percent(share.high)})"
    )
    if acceptance.error is None:
        return f"{sentence}."
    return f"{sentence}; the job itself estimates that {percent(1 - acceptance.error)} of its names are right."
