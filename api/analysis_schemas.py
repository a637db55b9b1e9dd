"""The JSON of coverage, watch-lists and comparisons."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.neuron_schemas import TopImageOut, WatchedOut
from api.schemas import Body
from service.analysis.coverage import Coverage, Reason
from service.analysis.watch_list import WatchedConcept, WatchfulNeuron, WatchList
from service.domain.comparisons import Basis, StoredComparison, Test
from service.usecases.comparisons import MOST


class Found(BaseModel):
    """Part of an answer, read from the domain's own object."""

    model_config = ConfigDict(from_attributes=True)


class LayerCountOut(Found):
    """Significant neurons of a layer, and how many to expect by chance alone."""

    layer: str
    neurons: int
    expected: float


class ConceptCoverageOut(Found):
    """A concept's significant neurons; layers without any, observed or expected, are left out."""

    text: str
    category: str | None
    broad_category: str | None
    neurons: int
    expected: float
    layers: list[LayerCountOut]


class CategoryCoverageOut(Found):
    """A category; `share` of its concepts are represented by a significant neuron."""

    name: str
    concepts: int
    represented: int
    share: float
    neurons: int
    expected: float
    layers: list[LayerCountOut]


class MissingConceptOut(Found):
    """An essential concept without a significant neuron; `category_neurons` stand for others of its category."""

    text: str
    reason: Reason
    category: str | None
    category_neurons: int


class CoverageOut(Found):
    """What the significant neurons stand for. If significance was not tested, `refused` says why."""

    job: UUID
    refused: str | None
    units: int
    tested: int
    significant: int
    must_have: int
    missing: list[MissingConceptOut]
    categories: list[CategoryCoverageOut]
    broad_categories: list[CategoryCoverageOut]
    uncategorised: int
    concepts: list[ConceptCoverageOut]

    @classmethod
    def of(cls, job: UUID, coverage: Coverage) -> Self:
        """The coverage on the wire."""
        return cls(
            job=job,
            refused=coverage.refused,
            units=coverage.units,
            tested=coverage.tested,
            significant=coverage.significant,
            must_have=coverage.must_have,
            missing=[MissingConceptOut.model_validate(one) for one in coverage.missing],
            categories=[CategoryCoverageOut.model_validate(one) for one in coverage.categories],
            broad_categories=[CategoryCoverageOut.model_validate(one) for one in coverage.broad_categories],
            uncategorised=coverage.uncategorised,
            concepts=[ConceptCoverageOut.model_validate(one) for one in coverage.concepts],
        )


class WatchfulNeuronOut(BaseModel):
    """A neuron that responds to watched concepts, strongest first, whatever its own label."""

    layer: str
    unit: int
    concept: str
    responses: list[WatchedOut]
    images: list[TopImageOut]

    @classmethod
    def of(cls, neuron: WatchfulNeuron) -> Self:
        """The neuron on the wire."""
        return cls(
            layer=neuron.layer,
            unit=neuron.unit,
            concept=neuron.label,
            responses=[WatchedOut.model_validate(one, from_attributes=True) for one in neuron.responses],
            images=[TopImageOut.of(image) for image in neuron.images],
        )


class ResponseOut(Found):
    """One neuron's response to a watched concept."""

    layer: str
    unit: int
    p: float
    z: float
    q: float


class WatchedConceptOut(BaseModel):
    """A watched concept, how many neurons and what share of the live ones respond to it, and the strongest of them."""

    text: str
    category: str | None
    responding: int
    share: float
    neurons: list[ResponseOut]

    @classmethod
    def of(cls, concept: WatchedConcept, limit: int) -> Self:
        """The concept on the wire, with its first neurons."""
        return cls(
            text=concept.text,
            category=concept.category,
            responding=len(concept.neurons),
            share=concept.share,
            neurons=[ResponseOut.model_validate(one) for one in concept.neurons[:limit]],
        )


class WatchListOut(BaseModel):
    """Responses to watched concepts with q <= 0.05. If significance was not tested, `refused` says why.

    `watched` concepts were looked for in `live` neurons; `responding` of these respond to any, a share of `share`.
    """

    job: UUID
    refused: str | None
    watched: int
    live: int
    responding: int
    share: float | None
    concepts: list[WatchedConceptOut]
    neurons: list[WatchfulNeuronOut]

    @classmethod
    def of(cls, job: UUID, watch_list: WatchList, limit: int) -> Self:
        """The watch-list on the wire, with the first neurons."""
        return cls(
            job=job,
            refused=watch_list.refused,
            watched=watch_list.watched,
            live=watch_list.live,
            responding=len(watch_list.neurons),
            share=watch_list.share,
            concepts=[WatchedConceptOut.of(concept, limit) for concept in watch_list.concepts],
            neurons=[WatchfulNeuronOut.of(neuron) for neuron in watch_list.neurons[:limit]],
        )


class ComparisonIn(Body):
    """Succeeded jobs to compare; the first is the reference."""

    jobs: Annotated[list[UUID], Field(min_length=2, max_length=MOST)]


class MeasuredOut(Found):
    """A difference beside its noise floor: the 95th percentile of the same between two halves of the exams."""

    value: float | None
    noise: float | None
    exceeds_noise: bool | None


class ChangeOut(Found):
    """A category's neurons more (or fewer) than in the reference, scaled to the reference's number of units.

    `low` to `high`: bootstrap interval of 95 %. `q`: p after false-discovery control. Null where not computed.
    """

    gain: float
    low: float | None
    high: float | None
    noise: float | None
    exceeds_noise: bool | None
    test: Test
    p: float
    q: float


class CategoryRowOut(Found):
    """A category: labelled neurons in each network, and the change in each but the reference."""

    name: str
    neurons: list[int]
    changes: list[ChangeOut]


class CompositionOut(Found):
    """Neurons by category; Jensen-Shannon divergence (bits) from the reference of each other network."""

    rows: list[CategoryRowOut]
    divergence: list[MeasuredOut]


class ChurnOut(Found):
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


class ScopeOut(Found):
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


class ComparisonResultOut(Found):
    """What was found. `basis`: labels are the significant ones, or the best ones where not all were judged.

    `unshared`: layers of each network that not all have. `notes`: what could not be done, and why.
    """

    basis: Basis
    resamples: int
    halves: int
    notes: list[str]
    network: ScopeOut
    layers: list[ScopeOut]
    unshared: list[list[str]]


class ComparisonBriefOut(Found):
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
