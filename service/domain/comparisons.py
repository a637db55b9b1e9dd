"""Comparisons: dissections side by side, and what was found."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

Basis = Literal["significant", "best"]
"""What counts as a label: the significant ones, or every live unit's best concept where not all were judged."""

Test = Literal["mcnemar", "fisher"]


@dataclass(frozen=True, slots=True)
class Measured:
    """A difference that cannot be negative, beside its noise floor.

    value: None where there is nothing to compare. noise, exceeds_noise: None where no halves were drawn.
    """

    value: float | None
    noise: float | None
    exceeds_noise: bool | None


UNKNOWN = Measured(None, None, None)


@dataclass(frozen=True, slots=True)
class Change:
    """A category's neurons in another network against the reference.

    gain: neurons more (fewer, if negative), the other network scaled to the reference's number of units. low, high: its
    bootstrap interval of 95 %; noise: what the exams alone make of it; both None where nothing was resampled.
    exceeds_noise: the gain is beyond its noise, and its interval does not hold 0. test: McNemar's on paired units, or
    Fisher's on shares of units, which both take units for independent. q: over all categories of all layers, and for
    all layers together over all categories.
    """

    gain: float
    low: float | None
    high: float | None
    noise: float | None
    exceeds_noise: bool | None
    test: Test
    p: float
    q: float


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A category: labelled neurons in each network, and the change in each but the reference."""

    name: str
    neurons: tuple[int, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Composition:
    """Neurons by category, and for each network but the reference the Jensen-Shannon divergence (bits) from it."""

    rows: tuple[CategoryRow, ...]
    divergence: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Churn:
    """What became of the units of a layer, in networks of one architecture.

    both: units labelled in reference and other; vanished, appeared: in the one or the other alone. label, category:
    share of both whose label, or category, differs. semantic: mean over both of 1 - cosine of the dissector's text
    embeddings of the two labels; unknown without embeddings, and in comparisons stored before it was measured.
    """

    both: int
    vanished: int
    appeared: int
    label: Measured
    category: Measured
    semantic: Measured = UNKNOWN


@dataclass(frozen=True, slots=True)
class Scope:
    """A layer, or all shared layers together (layer None).

    Of each network: its units, how many are labelled, and only: the concepts that it alone has. Of each network but the
    reference: concepts, the number of concepts that it or the reference has alone; churn, None unless units are paired.
    """

    layer: str | None
    units: tuple[int, ...]
    labelled: tuple[int, ...]
    categories: Composition
    broad_categories: Composition
    only: tuple[tuple[str, ...], ...]
    concepts: tuple[Measured, ...]
    churn: tuple[Churn | None, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Networks in order, the first the reference; layers: those that all of them have.

    unshared: of each network the layers that not all have. notes: what could not be done and why.
    """

    basis: Basis
    resamples: int
    halves: int
    network: Scope
    layers: tuple[Scope, ...]
    unshared: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredComparison:
    """A comparison as the database knows it: its jobs in order, the first the reference. A brief one has no result."""

    id: UUID
    jobs: tuple[UUID, ...]
    created_at: datetime
    result: Comparison | None
