"""The JSON of comparisons."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from api.schemas.base import Body, FromDomain
from service.domain.comparisons import Basis, JudgedBy, StoredComparison, Test
from service.usecases.comparisons import MOST


class ComparisonIn(Body):
    """Succeeded jobs to compare; the first is the reference."""

    jobs: Annotated[list[UUID], Field(min_length=2, max_length=MOST)]


class MeasuredOut(FromDomain):
    """A difference beside its noise floor: the 95th percentile of the same between two draws of the exams.

    `halves`: the same between two halves of the exams, which says how well the figure reproduces.
    """

    value: float | None
    noise: float | None
    exceeds_noise: bool | None
    halves: float | None


class ChangeOut(FromDomain):
    """A category's neurons more (or fewer) than in the reference, scaled to the reference's number of units.

    `low` to `high`: interval of 95 % over resampled exams and the units that differ; `noise`: half of it. `q`: p after
    false-discovery control. `exceeds_noise`: q is at most 0.05, and 0 outside the interval. `halves`: by how many
    neurons halves of the exams differ within one network. Null where not computed.
    """

    gain: float
    low: float | None
    high: float | None
    noise: float | None
    exceeds_noise: bool | None
    test: Test
    p: float
    q: float
    halves: float | None


class CategoryRowOut(FromDomain):
    """A category: labelled neurons in each network, and the change in each but the reference."""

    name: str
    neurons: list[int]
    changes: list[ChangeOut]


class CompositionOut(FromDomain):
    """Neurons by category; Jensen-Shannon divergence (bits) from the reference of each other network."""

    rows: list[CategoryRowOut]
    divergence: list[MeasuredOut]


class ChurnOut(FromDomain):
    """Units labelled in both networks, and the share of them whose label or category differs.

    `semantic`: mean over them of 1 - cosine of the dissector's text embeddings of the two labels; null where the
    embeddings were not kept.
    """

    both: int
    vanished: int
    appeared: int
    label: MeasuredOut
    category: MeasuredOut
    semantic: MeasuredOut


class ScopeOut(FromDomain):
    """A layer, or all shared layers together (layer null).

    One value per network: units, labelled, only (concepts that it alone has). One per network but the reference:
    concepts (how many either it or the reference has alone), churn (null unless the units correspond).
    """

    layer: str | None
    units: list[int]
    labelled: list[int]
    categories: CompositionOut
    broad_categories: CompositionOut
    only: list[list[str]]
    concepts: list[MeasuredOut]
    churn: list[ChurnOut | None]


class ComparisonResultOut(FromDomain):
    """What was found. `basis`: labels are the significant ones, or the best ones where not all were judged.

    `unshared`: layers of each network that not all have. `notes`: what could not be done, and why. `by_concept`:
    neurons by single concept over all shared layers; null in older comparisons. `judged_by`: what differences are held
    against; halves of the exams in older comparisons and where nothing was resampled.
    """

    basis: Basis
    resamples: int
    halves: int
    notes: list[str]
    network: ScopeOut
    layers: list[ScopeOut]
    unshared: list[list[str]]
    by_concept: CompositionOut | None
    judged_by: JudgedBy


class ComparisonBriefOut(FromDomain):
    """A comparison's jobs in order, the first the reference."""

    id: UUID
    jobs: list[UUID]
    created_at: datetime


class ComparisonOut(ComparisonBriefOut):
    """A comparison with its result."""

    result: ComparisonResultOut

    @classmethod
    def of(cls, comparison: StoredComparison) -> Self:
        """The comparison on the wire."""
        return cls.model_validate(comparison)
