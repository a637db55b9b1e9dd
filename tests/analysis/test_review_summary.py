"""Which judgements count as drawn at random, and which pairs of readers are compared."""

import pytest

from service.analysis.review_summary import agreement_of_pairs, measure_acceptance, most_drawn
from service.domain.reviews import Decision, Judgement, ReviewedNeuron
from service.domain.verdicts import JobVerdicts

ORDER = [("blocks.0", unit) for unit in range(100)]
VERDICTS = JobVerdicts(0.1, 0.04, least_explained=0.5, decoys=80, decoy_match=0.9)


def judged(unit: int, *decisions: Decision) -> ReviewedNeuron:
    readers = {f"reader-{number}": Judgement(decision) for number, decision in enumerate(decisions)}
    return ReviewedNeuron("blocks.0", unit, "mass", readers)


def accepted(*units: int) -> list[ReviewedNeuron]:
    return [judged(unit, Decision.ACCEPT) for unit in units]


@pytest.mark.parametrize(
    ("units", "drawn", "counted"),
    [
        (range(30), 30, 30),
        (range(0, 60, 2), 1, 1),  # each second one
        (range(50, 100), 0, 0),  # none of the first
        ([*range(24), *range(90, 96)], 24, 24),  # some more that were not drawn
        ([*range(20), *range(25, 35)], 35, 30),  # five of the draw were passed over
    ],
)
def test_only_the_first_part_of_the_draw_counts(units: list[int], drawn: int, counted: int) -> None:
    found = measure_acceptance(ORDER, accepted(*units), VERDICTS, seed=3)
    assert (found.seed, found.drawn, found.judged) == (3, drawn, counted)
    assert (found.share is None) == (counted < 20) == (found.refused is not None)
    assert (found.error, found.error_level) == (0.04, 0.1)


def test_a_label_that_one_reader_rejects_is_not_accepted() -> None:
    disputed = [judged(unit, Decision.ACCEPT, Decision.REJECT) for unit in range(10, 14)]
    found = measure_acceptance(ORDER, [*accepted(*range(10)), *disputed, *accepted(*range(14, 20))], None, seed=0)
    assert (found.judged, found.accepted) == (20, 16)
    assert found.share is not None
    assert found.share.value == 0.8
    assert (found.error, found.error_level) == (None, None)


@pytest.mark.parametrize("count", [0, 1, 7, 24, 100])
def test_no_longer_part_of_a_draw_could_count(count: int) -> None:
    order = [("blocks.0", unit) for unit in range(400)]
    units = range(most_drawn(count) - count, most_drawn(count)) if count else ()
    found = measure_acceptance(order, accepted(*units), None, seed=0)
    cut = measure_acceptance(order[: most_drawn(count)], accepted(*units), None, seed=0)
    assert found == cut


def test_pairs_are_those_with_neurons_in_common() -> None:
    neurons = [ReviewedNeuron("a", unit, None, judgements(unit)) for unit in range(30)]
    pairs = agreement_of_pairs(neurons)
    assert [(pair.readers, pair.agreement.neurons) for pair in pairs] == [(("ann", "bob"), 25), (("ann", "cat"), 5)]
    assert pairs[0].agreement.observed == 13 / 25
    assert pairs[1].agreement.kappa is None


def judgements(unit: int) -> dict[str, Judgement]:
    """Of ann for all; of bob for the first 25, of whom she accepts each second; of cat for the others."""
    accept, reject = Judgement(Decision.ACCEPT), Judgement(Decision.REJECT)
    if unit < 25:
        return {"ann": reject if unit % 2 else accept, "bob": accept}
    return {"cat": reject, "ann": accept}
