"""The JSON of coverage and watch-lists."""

from collections.abc import Mapping
from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas.ablations import DependenceOut
from api.schemas.base import FromDomain
from api.schemas.neurons import TopImageOut, WatchedOut
from service.analysis.coverage import Counted, Coverage, Reason
from service.analysis.watch_list import WatchedConcept, WatchfulNeuron, WatchList
from service.domain.ablations import Dependence
from service.domain.neurons import WATCHED_IN_LISTS

Dependences = Mapping[tuple[str, int], Dependence]
"""By layer and unit."""


class LayerCountOut(FromDomain):
    """Neurons of a layer that count, and how many to expect by chance alone; of named ones, how many to be wrong."""

    layer: str
    neurons: int
    expected: float


class ConceptCoverageOut(FromDomain):
    """A concept's neurons that count; layers without any, observed or expected, are left out.

    `low` to `high`: interval of 95 % of `neurons` over resampled exams; null where nothing was resampled.
    """

    text: str
    category: str | None
    broad_category: str | None
    neurons: int
    expected: float
    low: float | None
    high: float | None
    layers: list[LayerCountOut]


class CategoryCoverageOut(FromDomain):
    """A category; `share` of its concepts are represented by a neuron that counts.

    `low` to `high`: interval of 95 % of `neurons` over resampled exams; null where nothing was resampled.
    """

    name: str
    concepts: int
    represented: int
    share: float
    neurons: int
    expected: float
    low: float | None
    high: float | None
    layers: list[LayerCountOut]


class MissingConceptOut(FromDomain):
    """An essential concept without a neuron; `category_neurons` stand for others of its category."""

    text: str
    reason: Reason
    findings: list[str]
    category: str | None
    category_neurons: int


class CoverageOut(FromDomain):
    """What the neurons stand for. If significance was not tested, `refused` says why.

    `counted`: the neurons that represent something, `named` ones where the job has verdicts, else `significant` ones.
    `named` is null where it has none.
    """

    job: UUID
    refused: str | None
    units: int
    tested: int
    significant: int
    counted: Counted
    named: int | None
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
            counted=coverage.counted,
            named=coverage.named,
            must_have=coverage.must_have,
            missing=[MissingConceptOut.model_validate(concept) for concept in coverage.missing],
            categories=[CategoryCoverageOut.model_validate(category) for category in coverage.categories],
            broad_categories=[CategoryCoverageOut.model_validate(category) for category in coverage.broad_categories],
            uncategorised=coverage.uncategorised,
            concepts=[ConceptCoverageOut.model_validate(concept) for concept in coverage.concepts],
        )


class WatchfulNeuronOut(BaseModel):
    """A neuron that responds to watched concepts, whatever its own label: to `responding_to`, the strongest first.

    `responses` are at most three; GET /neurons/{layer}/{unit} has all.
    """

    layer: str
    unit: int
    concept: str
    responding_to: int
    responses: list[WatchedOut]
    images: list[TopImageOut]
    dependence: DependenceOut | None = Field(description="Null until an ablation of the unit alone has succeeded.")

    @classmethod
    def of(cls, neuron: WatchfulNeuron, dependence: Dependence | None) -> Self:
        """The neuron on the wire."""
        strongest = neuron.responses[:WATCHED_IN_LISTS]
        return cls(
            layer=neuron.layer,
            unit=neuron.unit,
            concept=neuron.label,
            responding_to=len(neuron.responses),
            responses=[WatchedOut.model_validate(response, from_attributes=True) for response in strongest],
            images=[TopImageOut.of(image) for image in neuron.images],
            dependence=None if dependence is None else DependenceOut.of(dependence),
        )


class ResponseOut(FromDomain):
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
            neurons=[ResponseOut.model_validate(response) for response in concept.neurons[:limit]],
        )


class WatchListOut(BaseModel):
    """Responses to watched concepts with q <= 0.05. If significance was not tested, `refused` says why.

    `watched` concepts were looked for in `live` neurons; `responding` of these respond to any, a share of `share`.
    Not looked for: `unknown`, of which neither findings nor columns say which images show them; `rare`, which too few
    images show or too few do not; `unseen`, which the dissector cannot tell.
    """

    job: UUID
    refused: str | None
    watched: int
    live: int
    responding: int
    share: float | None
    concepts: list[WatchedConceptOut]
    neurons: list[WatchfulNeuronOut]
    unknown: list[str]
    rare: list[str]
    unseen: list[str]

    @classmethod
    def of(cls, job: UUID, watch_list: WatchList, limit: int, dependences: Dependences) -> Self:
        """The watch-list on the wire, with the first neurons."""
        return cls(
            job=job,
            refused=watch_list.refused,
            watched=watch_list.watched,
            live=watch_list.live,
            responding=len(watch_list.neurons),
            share=watch_list.share,
            concepts=[WatchedConceptOut.of(concept, limit) for concept in watch_list.concepts],
            neurons=[
                WatchfulNeuronOut.of(neuron, dependences.get((neuron.layer, neuron.unit)))
                for neuron in watch_list.neurons[:limit]
            ],
            unknown=list(watch_list.unknown),
            rare=list(watch_list.rare),
            unseen=list(watch_list.unseen),
        )
