"""Comparisons: dissections side by side, and how they differ.

The stored types are rows of the database and wire format: `tests/domain/test_stored_names.py` says what a rename costs.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, Protocol
from uuid import UUID

Basis = Literal["significant", "best"]
"""What counts as a label: the significant ones, or every live unit's best concept where not all were judged."""

Test = Literal["resampled", "mcnemar", "fisher"]
"""Where p comes from: resampled exams and the units that differ, or, where nothing was resampled, the units alone."""

JudgedBy = Literal["resamples", "halves"]
"""What differences are held against: resamples of the exams, or, as in older comparisons, halves of them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A difference that cannot be negative, beside its noise floor (stored)."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}

    value: float | None
    """None where there is nothing to compare."""
    noise: float | None
    """What other exams would make of it: see `Comparison.judged_by`; None where nothing was drawn."""
    exceeds_noise: bool | None
    """None where nothing was drawn."""
    halves: float | None = None
    """How well it reproduces: the 95th percentile of the same between two halves of the exams of one network.

    None where no halves were drawn, and in older comparisons, where it is the noise floor.
    """


UNKNOWN = Measured(None, None, None)


@dataclass(frozen=True, slots=True)
class Change:
    """A category's neurons in another network against the reference (stored)."""

    gain: float
    """Neurons more (fewer, if negative), with the other network scaled to the reference's number of units."""
    low: float | None
    """Lower end of the gain's interval of 95 %; None where nothing was resampled."""
    high: float | None
    """Upper end of the same interval."""
    noise: float | None
    """What other exams and other units would make of the gain: half of the interval; None where nothing was resampled.

    In older comparisons: what halves of the exams make of it.
    """
    exceeds_noise: bool | None
    """Is the gain a difference? q does not exceed LEVEL, and 0 is outside the interval.

    In older comparisons: is the gain beyond its noise, and 0 outside its interval?
    """
    test: Test
    p: float
    q: float
    """Over all categories of all layers; for all layers together, over all categories."""
    halves: float | None = None
    """How well it reproduces: by how many neurons two halves of the exams of one network differ, 95th percentile.

    None where no halves were drawn, and in older comparisons, where it is the noise.
    """


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A category: labelled neurons in each network, and the change in each but the reference (stored)."""

    name: str
    neurons: tuple[int, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Composition:
    """Neurons by category, and each other network's Jensen-Shannon divergence (bits) from the reference (stored)."""

    rows: tuple[CategoryRow, ...]
    divergence: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Churn:
    """What became of the units of a layer, in networks of one architecture (stored)."""

    both: int
    """Units that are labelled in the reference and in the other network."""
    vanished: int
    """Units that are labelled in the reference alone."""
    appeared: int
    """Units that are labelled in the other network alone."""
    label: Measured
    """Share of the units labelled in both whose label differs."""
    category: Measured
    """Share of the units labelled in both whose category differs."""
    semantic: Measured = UNKNOWN
    """Mean over the units labelled in both of 1 - cosine of the dissector's text embeddings of the two labels.

    Unknown without embeddings, and in comparisons that were stored before it was measured.
    """


@dataclass(frozen=True, slots=True)
class Scope:
    """A layer, or all shared layers together (stored)."""

    layer: str | None
    """None for all shared layers together."""
    units: tuple[int, ...]
    """Of each network."""
    labelled: tuple[int, ...]
    """Of each network: how many of its units have a label."""
    categories: Composition
    broad_categories: Composition
    only: tuple[tuple[str, ...], ...]
    """Of each network: the concepts that it alone has."""
    concepts: tuple[Measured, ...]
    """Of each network but the reference: how many concepts it or the reference has alone."""
    churn: tuple[Churn | None, ...]
    """Of each network but the reference; None unless units are paired."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Networks in order, the first the reference (stored)."""

    basis: Basis
    resamples: int
    halves: int
    network: Scope
    """All shared layers together."""
    layers: tuple[Scope, ...]
    """The layers that all networks have."""
    unshared: tuple[tuple[str, ...], ...]
    """Of each network: the layers that not all have."""
    notes: tuple[str, ...]
    """What could not be done, and why."""
    by_concept: Composition | None = None
    """Neurons by single concept, all shared layers together; None in older comparisons."""
    judged_by: JudgedBy = "halves"


@dataclass(frozen=True, slots=True)
class StoredComparison:
    """A comparison as the database knows it: its jobs in order, the first the reference. A brief one has no result."""

    id: UUID
    jobs: tuple[UUID, ...]
    created_at: datetime
    result: Comparison | None


class Judged(Protocol):
    """A figure that was held against its noise floor."""

    @property
    def exceeds_noise(self) -> bool | None:
        """None where there is no floor."""


def beyond_noise(figure: Judged) -> bool:
    """Is it more than other exams would make of it? Every summary, table and mark asks here."""
    return figure.exceeds_noise is True


@dataclass(frozen=True, slots=True)
class Shift:
    """A category that gained (or, if negative, lost) neurons against the reference. layer: None for all together."""

    category: str
    gain: float
    layer: str | None


@dataclass(frozen=True, slots=True)
class Shifts:
    """What became of the categories, or broad categories, of a scope in another network. Greatest shifts first."""

    categories: int
    """How many categories there are."""

    changed: tuple[Shift, ...]
    """The categories that gained or lost neurons."""

    beyond: tuple[Shift, ...]
    """The changed categories whose change is a difference."""

    judged: bool
    """Whether there was anything to judge changes by."""


def category_shifts(scope: Scope, composition: Composition, network: int) -> Shifts:
    """The facts that summaries tell of a composition of that scope. network: 0 for the second network."""
    changes = [(row.name, row.changes[network]) for row in composition.rows]
    changes.sort(key=lambda named_change: -abs(named_change[1].gain))

    changed = [Shift(name, change.gain, scope.layer) for name, change in changes if change.gain]
    beyond = [Shift(name, change.gain, scope.layer) for name, change in changes if beyond_noise(change)]
    return Shifts(
        categories=len(changes),
        changed=tuple(changed),
        beyond=tuple(beyond),
        judged=all(change.exceeds_noise is not None for _, change in changes),
    )
