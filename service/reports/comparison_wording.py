"""The sentences of a report on a comparison."""

from collections.abc import Iterator, Sequence

from service.domain.comparisons import CategoryRow, Comparison
from service.reports.wording import EXAMS_ARE_PATIENTS, GENERAL_LIMITS, counted, listed


def comparison_sentences(names: Sequence[str], result: Comparison) -> list[str]:
    """What each network gained and lost against the reference, and how much its labels differ."""
    sentences = [
        f"{counted(len(names), 'network')} on the same images, in {counted(len(result.layers), 'shared layer')}: "
        + "; ".join(
            f"{name} names {labelled:,} of {counted(units, 'neuron')}"
            for name, labelled, units in zip(names, result.network.labelled, result.network.units, strict=True)
        )
        + "."
    ]
    for other, name in enumerate(names[1:]):
        sentences.append(f"{name} against {names[0]}: {_gains(result, other)}")
        sentences += _churn(names, result, other)
    return sentences + list(result.notes)


def comparison_limits(result: Comparison) -> tuple[str, ...]:
    """What a comparison does not say."""
    basis = (
        "Only significant labels are counted."
        if result.basis == "significant"
        else "Labels were not tested in all of the dissections: best concepts are counted, which pure noise has, too."
    )
    return (
        *GENERAL_LIMITS,
        f"{basis} A category that gains neurons is represented by more of them; that is no measure of how well.",
        "The noise floor is what the choice of exams alone would make of a figure: its 95th percentile between two "
        "halves of the exams within one network. A change below it may still be real; this probe set cannot show it.",
        EXAMS_ARE_PATIENTS,
        "Intervals come from resampled exams, with the significance of each label held fixed. Tests (McNemar for "
        "paired units, Fisher otherwise) take units for independent, which they are not quite.",
        "Units are paired only between networks of one architecture, by their number. A unit may take over what "
        "another one represented: counts by category then stay the same while labels change.",
    )


def _gains(result: Comparison, other: int) -> str:
    rows = result.network.categories.rows
    if result.network.categories.divergence[other].value == 0 and all(row.changes[other].gain == 0 for row in rows):
        return "no category gains or loses a single neuron."
    beyond = [row for row in rows if row.changes[other].exceeds_noise]
    if all(row.changes[other].exceeds_noise is None for row in rows):
        return (
            f"gains {_named(rows, other, 1)}, losses {_named(rows, other, -1)}, without a noise floor to judge them by."
        )
    if not beyond:
        return "no category changes by more than the choice of exams alone would do."
    return f"beyond the noise of the exams, gains {_named(beyond, other, 1)}; losses {_named(beyond, other, -1)}."


def _named(rows: Sequence[CategoryRow], other: int, sign: int) -> str:
    changed = [(row.changes[other].gain, row.name) for row in rows if row.changes[other].gain * sign > 0]
    changed.sort(key=lambda pair: -abs(pair[0]))
    return listed(f"{name} ({gain:+.0f})".replace("-", "\N{MINUS SIGN}") for gain, name in changed) or "none"


def _churn(names: Sequence[str], result: Comparison, other: int) -> Iterator[str]:
    churn = result.network.churn[other]
    if churn is None:
        yield f"The units of {names[other + 1]} cannot be paired with those of {names[0]}: the architectures differ."
    elif churn.label.value is not None:
        noise = "" if churn.label.noise is None else f"; the exams alone would change {100 * churn.label.noise:.0f} %"
        yield (
            f"Of {counted(churn.both, 'unit')} named in both, {100 * churn.label.value:.0f} % have another "
            f"label{noise}. {churn.vanished:,} lost their label, {churn.appeared:,} got one."
        )
    if churn is not None and churn.semantic.value is not None:
        noise = (
            "" if churn.semantic.noise is None else f"; the exams alone would move them by {churn.semantic.noise:.2f}"
        )
        yield (
            f"In meaning the labels have moved by {churn.semantic.value:.2f} on average (0 the same, 1 nothing in "
            f"common, as the dissector reads texts){noise}."
        )
