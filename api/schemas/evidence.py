"""The JSON of coverage and watch-lists."""

from typing import Self
from uuid import UUID

from pydantic import BaseModel

from api.schemas.base import FromDomain
from api.schemas.neurons import TopImageOut, WatchedOut
from service.analysis.coverage import Coverage, Reason
from service.analysis.watch_list import WatchedConcept, WatchfulNeuron, WatchList


class LayerCountOut(FromDomain):
    """Significant neurons of a layer, and how many to expect by chance alone."""

    layer: str
    neurons: int
    expected: float


class ConceptCoverageOut(FromDomain):
    """A concept's significant neurons; layers without any, observed or expected, are left out.

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
    """A category; `share` of its concepts are represented by a significant neuron.

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
    """An essential concept without a significant neuron; `category_neurons` stand for others of its category."""

    text: str
    reason: Reason
    findings: list[str]
    category: str | None
    category_neurons: int


class CoverageOut(FromDomain):
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
            missing=[MissingConceptOut.model_validate(concept) for concept in coverage.missing],
            categories=[CategoryCoverageOut.model_validate(category) for category in coverage.categories],
            broad_categories=[CategoryCoverageOut.model_validate(category) for category in coverage.broad_categories],
            uncategorised=coverage.uncategorised,
            concepts=[ConceptCoverageOut.model_validate(concept) for concept in coverage.concepts],
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
            responses=[WatchedOut.model_validate(response, from_attributes=True) for response in neuron.responses],
            images=[TopImageOut.of(image) for image in neuron.images],
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
