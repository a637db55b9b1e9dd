"""What an audit knows of a network: the figures that its verdict is computed from, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from service.domain.comparisons import Measured
from service.domain.policies import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """A dissection in figures.

    refused: why nothing was inferred; then nothing else is known but units and live ones. stability: the median share
    of the resamples that keep a significant label; None without any. concepts, categories: significant neurons of each
    that has any. unseen: concepts without a neuron that probe set or dissector could not have shown, with the reason.
    responses: of each live neuron that responds to watched concepts, their texts. halves: splits of the exams into two.
    watched_halves: of the neurons with a significant label or such a response, how many the one and the other half of
    each split name after each watched concept; concepts that no half names are left out.
    """

    refused: str | None
    units: int
    live: int
    significant: int
    stability: float | None
    concepts: Mapping[str, int] = field(default_factory=dict)
    categories: Mapping[str, int] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)
    responses: tuple[tuple[str, ...], ...] = ()
    halves: int = 0
    watched_halves: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    @property
    def is_judged(self) -> bool:
        """Was anything inferred of any neuron that is live?"""
        return self.refused is None and self.live > 0

    @property
    def significant_share(self) -> float | None:
        """Of the live neurons, the share with a significant label; None where nothing was inferred."""
        return self.significant / self.live if self.is_judged else None

    @property
    def watched_share(self) -> float | None:
        """Of the live neurons, the share that responds to watched concepts; None where nothing was inferred."""
        return len(self.responses) / self.live if self.is_judged else None


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """A category's neurons in the baseline, and the change: see `service.domain.comparisons.Change`."""

    name: str
    before: int
    gain: float
    low: float | None
    high: float | None
    noise: float | None
    exceeds_noise: bool | None


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a network has moved from the baseline, over all layers that both have.

    labels: the share of the labels that differ; None where units are not paired. unshared: layers that only one has.
    """

    comparison: UUID
    categories: tuple[CategoryChange, ...]
    divergence: Measured
    labels: Measured | None
    unpaired: int
    unshared: tuple[str, ...]

    @property
    def zero(self) -> bool:
        """Has nothing at all changed?"""
        moved = [self.divergence.value, None if self.labels is None else self.labels.value]
        return not (any(moved) or any(one.gain for one in self.categories) or self.unpaired or self.unshared)


@dataclass(frozen=True, slots=True)
class StratumFacts:
    """The exams with one value of a stratum. network: None where there were too few of them, or no dissection."""

    value: str
    exams: int
    network: NetworkFacts | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """Everything that a verdict rests on.

    same_network: checkpoint and architecture are the baseline's. identical: was the baseline's result reproduced bit
    by bit? None where another network was audited. made_otherwise: what the baseline was dissected with and this audit
    was not (device, processor, versions), in words. baseline, drift: None where nothing is pinned. release: of this
    service, that put the facts together and judged them.
    """

    network: NetworkFacts
    same_network: bool = False
    identical: bool | None = None
    made_otherwise: tuple[str, ...] = ()
    baseline: NetworkFacts | None = None
    drift: Drift | None = None
    strata: Mapping[str, tuple[StratumFacts, ...]] = field(default_factory=dict)
    release: str | None = None


Figure = float | int | str | None | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What became of one rule, or of one rule in one value of a stratum (`density=c`)."""

    rule: str
    kind: str
    stratum: str | None
    outcome: Outcome
    reason: str
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict and the outcomes that it follows from: the worst of them."""

    verdict: Verdict
    outcomes: tuple[RuleOutcome, ...]
