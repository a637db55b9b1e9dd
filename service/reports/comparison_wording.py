"""The sentences of a report on a comparison."""

from collections.abc import Iterator, Sequence

from service.domain.comparisons import Comparison, JudgedBy, Shift, category_shifts
from service.reports.figures import signed
from service.reports.wording import EXAMS_ARE_PATIENTS, GENERAL_LIMITS, counted, listed

_NOISE_OF_RESAMPLES = (
    "The noise of a gain is half of its interval: what other exams, drawn again, and the units that happen to differ "
    "would make of it. That of divergence and churn is the 95th percentile of the same between two draws of the exams "
    "within one network. A change within its noise may still be real; this probe set cannot show it. Halves say how "
    "well a figure reproduces where half of the exams has to do.",
    "Intervals hold the significance of each label fixed, and take the units that differ between two networks for "
    "independent, which they are not entirely.",
)
_NOISE_OF_HALVES = (
    "The noise floor is what the choice of exams alone would make of a figure: its 95th percentile between two "
    "halves of the exams within one network. A change below it may still be real; this probe set cannot show it.",
    "Intervals come from resampled exams, with the significance of each label held fixed. Tests (McNemar for "
    "paired units, Fisher otherwise) treat units as independent, which they are not entirely.",
)
_BEYOND: dict[JudgedBy, str] = {
    "resamples": "beyond the noise of exams and units (q <= 0.05)",
    "halves": "beyond the noise of the exams",
}
_WITHIN: dict[JudgedBy, str] = {
    "resamples": "by more than other exams and other units would make of it (q <= 0.05)",
    "halves": "by more than the choice of exams alone would do",
}


def comparison_sentences(network_names: Sequence[str], result: Comparison, *, same_images: bool = True) -> list[str]:
    """What each network gained and lost against the reference, and how much its labels differ.

    same_images: whether all were shown the same, and not different parts of one probe set.
    """
    images = "on the same images" if same_images else "on parts of one probe set"
    networks = f"{counted(len(network_names), 'network')} {images}"
    layers = counted(len(result.layers), "shared layer")
    labelled = [
        f"{name} names {labelled:,} of {counted(units, 'neuron')}"
        for name, labelled, units in zip(network_names, result.network.labelled, result.network.units, strict=True)
    ]
    sentences = [f"{networks}, in {layers}: {'; '.join(labelled)}."]

    reference, *others = network_names
    for other, name in enumerate(others):
        sentences.append(f"{name} against {reference}: {' '.join(_gains(result, other))}")
        sentences += _churn(network_names, result, other)

    sentences += result.notes
    return sentences


def anything_changed(result: Comparison, other: int) -> bool:
    """Has any category, broad or not, more or fewer neurons in any layer?"""
    return any(
        category_shifts(scope, composition, other).changed
        for scope in (result.network, *result.layers)
        for composition in (scope.categories, scope.broad_categories)
    )


def comparison_limits(result: Comparison) -> tuple[str, ...]:
    """What a comparison does not say."""
    basis = (
        "Only significant labels are counted."
        if result.basis == "significant"
        else "Labels were not tested in all of the dissections: best concepts are counted, which even pure noise has."
    )
    noise = _NOISE_OF_RESAMPLES if result.judged_by == "resamples" else _NOISE_OF_HALVES
    return (
        *GENERAL_LIMITS,
        f"{basis} A category that gains neurons is represented by more of them; that does not say how well.",
        noise[0],
        EXAMS_ARE_PATIENTS,
        noise[1],
        "Units are paired only between networks of one architecture, by their number. A unit may take over what "
        "another represented: counts by category then stay the same while labels change.",
    )


def _gains(result: Comparison, other: int) -> Iterator[str]:
    """What the tables of gains and the map of layers show, in words."""
    beyond, within = _BEYOND[result.judged_by], _WITHIN[result.judged_by]
    whole = result.network
    fine = category_shifts(whole, whole.categories, other)
    broad = category_shifts(whole, whole.broad_categories, other)
    if not fine.categories and not broad.categories:
        yield "no named neuron has a category."
        return

    if not anything_changed(result, other):
        yield "no category gains or loses a single neuron."
        return

    if not (fine.judged and broad.judged):
        yield f"{_gains_and_losses(fine.changed, ',')}, without a noise floor to judge them by."
        if broad.categories:
            yield f"Broad categories: {_gains_and_losses(broad.changed)}."
        return

    if fine.beyond:
        yield f"{beyond}, {_gains_and_losses(fine.beyond)}."
        if broad.beyond:
            yield f"Broad categories beyond it: {_gains_and_losses(broad.beyond)}."
        elif broad.categories:
            yield "No broad category changes by more than that noise."
    elif broad.beyond:
        yield f"{beyond}, broad categories: {_gains_and_losses(broad.beyond)}."
        yield "No single category changes by more than that noise."
    else:
        yield f"over all layers, no category, broad or not, changes {within}."

    yield from _in_single_concepts(result, other)
    yield from _in_single_layers(result, other, (*fine.beyond, *broad.beyond))


def _in_single_concepts(result: Comparison, other: int) -> Iterator[str]:
    if result.by_concept is None:
        return

    beyond = category_shifts(result.network, result.by_concept, other).beyond
    if beyond:
        yield f"Single concepts beyond it: {_gains_and_losses(beyond)}."


def _in_single_layers(result: Comparison, other: int, shifts_of_network: Sequence[Shift]) -> Iterator[str]:
    """Shifts of layers that those of the whole network do not show."""
    shifts_of_layers: list[Shift] = []
    for layer in result.layers:
        for composition in (layer.categories, layer.broad_categories):
            shifts_of_layers += category_shifts(layer, composition, other).beyond

    already_said = {(shift.category, shift.gain > 0) for shift in shifts_of_network}
    shifts = [shift for shift in shifts_of_layers if (shift.category, shift.gain > 0) not in already_said]

    if shifts and len(result.layers) > 1:
        largest_first = sorted(shifts, key=lambda shift: -abs(shift.gain))
        shown = listed(f"{shift.category} in {shift.layer} ({signed(shift.gain)})" for shift in largest_first)
        yield f"Beyond it in single layers alone: {shown}."


def _gains_and_losses(shifts: Sequence[Shift], separator: str = ";") -> str:
    gained = listed(f"{shift.category} ({signed(shift.gain)})" for shift in shifts if shift.gain > 0)
    lost = listed(f"{shift.category} ({signed(shift.gain)})" for shift in shifts if shift.gain < 0)
    return f"gains {gained or 'none'}{separator} losses {lost or 'none'}"


def _churn(network_names: Sequence[str], result: Comparison, other: int) -> Iterator[str]:
    churn = result.network.churn[other]
    if churn is None:
        reference, network = network_names[0], network_names[other + 1]
        yield f"The units of {network} cannot be paired with those of {reference}: the architectures differ."
        return

    if churn.label.value is not None:
        noise = "" if churn.label.noise is None else f"; the exams alone would change {100 * churn.label.noise:.0f} %"
        yield (
            f"Of {counted(churn.both, 'unit')} named in both, {100 * churn.label.value:.0f} % have another "
            f"label{noise}. {churn.vanished:,} lost their label, {churn.appeared:,} got one."
        )

    meaning = churn.semantic
    if meaning.value is not None:
        noise = "" if meaning.noise is None else f"; the exams alone would move them by {meaning.noise:.2f}"
        yield (
            f"In meaning the labels have moved by {meaning.value:.2f} on average (0 the same, 1 nothing in "
            f"common, as the dissector reads texts){noise}."
        )
