"""The JSON of searches."""

from typing import Self
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas.base import FromDomain
from service.domain.search import NeuronHit
from service.domain.verdicts import Verdict
from service.usecases.search import Answer


class NeuronHitOut(BaseModel):
    """A neuron near to what was searched by; `cosine` between its direction and that, in the dissector's space.

    `concept` is the label, `no concept` where that is not significant; `name` is what the neuron may be called.
    """

    job: UUID
    model: str
    layer: str
    unit: int
    concept: str | None
    name: str | None
    verdict: Verdict | None
    category: str | None
    broad_category: str | None
    z: float | None
    score: float | None
    cosine: float
    link: str = Field(description="Path of the neuron.")

    @classmethod
    def of(cls, hit: NeuronHit) -> Self:
        """The neuron on the wire."""
        return cls(
            job=hit.job_id,
            model=hit.model,
            layer=hit.layer,
            unit=hit.unit,
            concept=hit.concept,
            name=hit.name,
            verdict=hit.verdict,
            category=hit.category,
            broad_category=hit.broad_category,
            z=hit.z,
            score=hit.score,
            cosine=hit.cosine,
            link=f"/neurons/{quote(hit.layer, safe='')}/{hit.unit}?job={hit.job_id}",
        )


class LeftOutOut(FromDomain):
    """Dissections that a search passes over."""

    without_directions: int = Field(description="Of jobs that kept not all activations, and of earlier releases.")
    of_other_dissectors: int = Field(description="Their spaces cannot be compared.")
    jobs: list[UUID] = Field(description="The newest of those without directions, 20 at most.")


class NeuronSearchOut(BaseModel):
    """One page of the neurons nearest to what was searched by; `next` is the cursor of the following page.

    `exact`: all neurons were compared. Otherwise an index named the nearest, and no more of them are listed.
    """

    searched_by: str
    dissector: str
    neurons: int = Field(description="How many were searched, before verdict, category and z.")
    jobs: int = Field(description="Whose neurons these are.")
    exact: bool
    left_out: LeftOutOut
    items: list[NeuronHitOut]
    next: str | None

    @classmethod
    def of(cls, answer: Answer, cursor: str | None) -> Self:
        """The answer on the wire."""
        return cls(
            searched_by=answer.searched_by,
            dissector=answer.dissector.reference,
            neurons=answer.scope.neurons,
            jobs=answer.scope.jobs,
            exact=answer.exact,
            left_out=LeftOutOut.model_validate(answer.left_out),
            items=[NeuronHitOut.of(hit) for hit in answer.page.items],
            next=cursor,
        )


class NamedThingOut(FromDomain):
    """Something whose name holds what was searched for; `link` is the path of the API's answer on it."""

    kind: str
    name: str
    detail: str
    link: str


class NamedThingsOut(BaseModel):
    """What has the words in its name, a few of each kind: those that begin with them first."""

    q: str
    models: list[NamedThingOut]
    jobs: list[NamedThingOut]
    concepts: list[NamedThingOut]
    categories: list[NamedThingOut]
    neurons: list[NamedThingOut] = Field(description="That which JOB/LAYER/UNIT names.")
