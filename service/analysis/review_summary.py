"""What readers say of a job's labels, in numbers: the product measures itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from service.analysis.agreement_of_readers import LEAST_NEURONS, Kappa, Share, cohen_kappa, wilson
from service.domain.reviews import Decision, ReviewedNeuron, Standing
from service.domain.verdicts import JobVerdicts

LEAST_JUDGED = 0.8
"""Of the first neurons of the random draw so many must be judged: who judges what they like draws nothing at random."""

_MOST_PAIRS = 50


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two readers agree, on what each decided without seeing the other's review."""

    readers: tuple[str, str]
    agreement: Kappa


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How often readers accept the names of named neurons that were drawn at random, beside the estimated error."""

    seed: int
    """Of the draw."""

    drawn: int
    """The first named neurons of the draw, as far as LEAST_JUDGED of them are judged."""

    judged: int
    accepted: int | None
    """By every reader who judges them; None where there are too few."""

    share: Share | None
    """Of the judged ones; None where there are too few."""

    error: float | None
    """What the job estimates: the share of wrong names among those given."""

    error_level: float | None
    """The share of wrong names that was allowed."""

    refused: str | None = None
    """Why there are no figures."""


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """Counts of what somebody may see, and sums that tell nothing of a single neuron."""

    decisions: Mapping[Decision, int]
    """Current reviews that may be seen."""

    standings: Mapping[Standing, int]
    """Neurons that may be seen."""

    hidden: int
    """Current reviews by others of neurons that whoever asks has not judged; none of them is counted above."""

    agreement: tuple[PairAgreement, ...]
    """Of each two readers with neurons in common, those with most first."""

    no_agreement: str | None
    """Why there is none."""

    acceptance: Acceptance


def agreement_of_pairs(blind: Sequence[ReviewedNeuron]) -> tuple[PairAgreement, ...]:
    """Of each two readers with neurons in common, the 50 pairs with most of them.

    blind: what each reader said without seeing what others say. What is compared are decisions, not the names given.
    """
    decisions: dict[tuple[str, str], list[tuple[Decision, Decision]]] = {}
    for neuron in blind:
        for pair in combinations(sorted(neuron.judgements), 2):
            first, second = (neuron.judgements[reader].decision for reader in pair)
            decisions.setdefault(pair, []).append((first, second))

    most_first = sorted(decisions.items(), key=lambda item: (-len(item[1]), item[0]))[:_MOST_PAIRS]
    return tuple(
        PairAgreement(pair, cohen_kappa([first for first, _ in both], [second for _, second in both]))
        for pair, both in most_first
    )


def most_drawn(judged: int) -> int:
    """How many neurons of a draw are looked at where so many of a job are judged: no longer a first part can count."""
    return int(judged / LEAST_JUDGED)


def measure_acceptance(
    order: Sequence[tuple[str, int]], judged: Sequence[ReviewedNeuron], verdicts: JobVerdicts | None, *, seed: int
) -> Acceptance:
    """How often readers accept names.

    order: layer and unit of the job's named neurons, as they were drawn. judged: all that is judged in the job.
    """
    standings = {(neuron.layer, neuron.unit): neuron.standing for neuron in judged}
    drawn = judged_so_far = judged_of_drawn = 0
    for length, place in enumerate(order, start=1):
        if standings.get(place) is None:
            continue
        judged_so_far += 1
        if judged_so_far >= LEAST_JUDGED * length:
            drawn, judged_of_drawn = length, judged_so_far

    error = None if verdicts is None else verdicts.error
    error_level = None if verdicts is None else verdicts.error_level
    if judged_of_drawn < LEAST_NEURONS:
        refused = (
            f"Of the named neurons that come first in the random draw with seed {seed}, {judged_of_drawn} are judged; "
            f"{LEAST_NEURONS} are needed, and {LEAST_JUDGED:.0%} of those that come before the last of them."
        )
        return Acceptance(seed, drawn, judged_of_drawn, None, None, error, error_level, refused)

    accepted = sum(standings.get(place) is Standing.ACCEPTED for place in order[:drawn])
    share = wilson(accepted, judged_of_drawn)
    return Acceptance(seed, drawn, judged_of_drawn, accepted, share, error, error_level)
