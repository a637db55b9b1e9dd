"""What an audit knows of a network: the figures that its verdict is computed from, and nothing else.

The stored types are rows of the database, wire format and part of signed reports:
`tests/domain/test_stored_names.py` says what a rename costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from service.domain.comparisons import Measured
from service.domain.policies import Outcome, Verdict
from service.domain.verdicts import Verdict as UnitVerdict
from service.domain.verdicts import VerdictCounts


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """A dissection in figures (stored)."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}

    refused: str | None
    """Why nothing was inferred; then nothing else is known but units and live ones."""
    units: int
    live: int
    significant: int
    stability: float | None
    """The median share of the resamples that keep a significant label; None without any."""
    concepts: Mapping[str, int] = field(default_factory=dict)
    """Neurons of each concept that has any: named ones where there are verdicts, else significant ones."""
    categories: Mapping[str, int] = field(default_factory=dict)
    """Neurons of each category that has any, counted in the same way."""
    unseen: Mapping[str, str] = field(default_factory=dict)
    """Concepts without a neuron that probe set or dissector could not have shown, with the reason."""
    responses: tuple[tuple[str, ...], ...] = ()
    """For each live neuron that responds to watched concepts, their texts."""
    halves: int = 0
    """How often the exams were split into two halves."""
    watched_halves: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    """Watched concept -> for each split, how many neurons the one and the other half name after it.

    Only neurons with a significant label or a response to a watched concept count; concepts that no half names are
    left out.
    """
    verdicts: VerdictCounts | None = None
    """How many live neurons have which verdict; None where the dissection has none."""
    no_verdicts: str | None = None
    """Why it has none, where that is known."""
    watched: tuple[str, ...] | None = None
    """The watched concepts that could be looked for; None where every one counts."""
    resamples: int = 0
    """How many resamples of the exams `watched_resamples` tells of; 0 in older audits."""
    watched_resamples: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Watched concept -> in each of these resamples, how many of the same neurons are named after it.

    Concepts that no resample names are left out.
    """

    @property
    def is_judged(self) -> bool:
        """Was anything inferred of any neuron that is live?"""
        return self.refused is None and self.live > 0

    @property
    def significant_share(self) -> float | None:
        """Of the live neurons, the share with a significant label; None where nothing was inferred."""
        return self.significant / self.live if self.is_judged else None

    def share_of(self, verdict: UnitVerdict) -> float | None:
        """Of the live neurons, the share with this verdict; None where there are no verdicts."""
        return None if self.verdicts is None or not self.live else self.verdicts.count_of(verdict) / self.live

    @property
    def watched_share(self) -> float | None:
        """Of the live neurons, the share that responds to watched concepts; None where nothing was inferred."""
        return len(self.responses) / self.live if self.is_judged else None


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """A category's neurons in the baseline, and the change: see `service.domain.comparisons.Change` (stored)."""

    name: str
    before: int
    gain: float
    low: float | None
    high: float | None
    noise: float | None
    exceeds_noise: bool | None
    q: float | None = None
    """None in older audits."""
    halves: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a network has moved from the baseline, over all layers that both have (stored)."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}

    comparison: UUID
    categories: tuple[CategoryChange, ...]
    divergence: Measured
    labels: Measured | None
    """The share of the labels that differ; None where units are not paired."""
    unpaired: int
    """Units that have a label in the baseline alone or in the audited network alone."""
    unshared: tuple[str, ...]
    """Layers that only one of the two has."""

    @property
    def zero(self) -> bool:
        """Has nothing at all changed?"""
        moved = [self.divergence.value, None if self.labels is None else self.labels.value]
        return not (any(moved) or any(category.gain for category in self.categories) or self.unpaired or self.unshared)


@dataclass(frozen=True, slots=True)
class StratumFacts:
    """The exams with one value of a stratum (stored)."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}

    value: str
    exams: int
    network: NetworkFacts | None
    """None where there were too few exams, or no dissection."""
    reason: str | None = None
    """Why there is no network."""


@dataclass(frozen=True, slots=True)
class UnitDependence:
    """How much the outputs depend on one neuron that responds to watched concepts (stored)."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}

    layer: str
    unit: int
    concepts: tuple[str, ...]
    """Those that it responds to."""
    output: int | None
    """The output that changes most when the neuron is held at its mean; None where no output varies."""
    absolute: float | None
    """How much it changes on average, in its own deviations, without sign."""
    low: float | None
    """The lower end of the 95 % interval of the same; None where there are too few exams."""


@dataclass(frozen=True, slots=True)
class DependenceFacts:
    """How much the outputs depend on neurons that respond to watched concepts (stored)."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}

    ablation: UUID | None
    refused: str | None
    """Why it could not be asked."""
    units: tuple[UnitDependence, ...] = ()
    left_out: int = 0
    """Neurons that respond less than these, and were not held because there were too many."""


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """Everything that a verdict rests on (stored)."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}

    network: NetworkFacts
    same_network: bool = False
    """Are checkpoint and architecture the baseline's?"""
    identical: bool | None = None
    """Was the baseline's result reproduced bit by bit? None where another network was audited."""
    made_otherwise: tuple[str, ...] = ()
    """What the baseline was dissected with and this audit was not (device, processor, versions), in words."""
    baseline: NetworkFacts | None = None
    """None where no baseline is pinned."""
    drift: Drift | None = None
    """None where no baseline is pinned."""
    strata: Mapping[str, tuple[StratumFacts, ...]] = field(default_factory=dict)
    dependence: Annotated[DependenceFacts | None, Field(exclude_if=lambda value: value is None)] = None
    """None, and left out, where no rule asks for it."""
    release: str | None = None
    """The release of this service that put the facts together and judged them."""


Figure = float | int | str | None | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What became of one rule, or of one rule in one value of a stratum (`density=c`) (stored)."""

    rule: str
    kind: str
    stratum: str | None
    outcome: Outcome
    reason: str = field(compare=False)  # words are not part of the judgement; the signature guards them
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, and the outcomes of which it is the worst (stored)."""

    verdict: Verdict
    outcomes: tuple[RuleOutcome, ...]
