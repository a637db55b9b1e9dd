"""Search neurons by what they follow, and models, jobs, concepts and categories by their names."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import FiniteFloat
from starlette.responses import JSONResponse

from api.awaited_work import SearchRoute
from api.dependencies import QueueDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, decode_cursor, next_cursor
from api.problems import answer_to
from api.routes.neurons import UnitNumber
from api.schemas.search import NamedThingOut, NamedThingsOut, NeuronSearchOut
from service.domain.verdicts import Verdict
from service.errors import NotReadYet
from service.usecases import named_things, search

things = APIRouter(tags=["search"], route_class=OneThreadRoute)
neurons = APIRouter(tags=["search"], route_class=SearchRoute)


@neurons.get("/search/neurons", response_model=NeuronSearchOut)
def search_neurons(
    session: SessionDep,
    queue: QueueDep,
    request: Request,
    response: Response,
    concept: Annotated[
        str | None, Query(max_length=300, description="Near to this concept, which the dissector has read in a job.")
    ] = None,
    neuron: Annotated[str | None, Query(max_length=300, description="Near to this neuron: `JOB/LAYER/UNIT`.")] = None,
    text: Annotated[
        str | None, Query(max_length=300, description="Near to this text, which a worker has the dissector read.")
    ] = None,
    image: Annotated[
        str | None, Query(max_length=60, description="Near to a probe image: `JOB/ROW`, its manifest row.")
    ] = None,
    dissector: Annotated[
        str | None, Query(max_length=80, description="In whose space, where jobs are by several dissectors.")
    ] = None,
    job: Annotated[UUID | None, Query(description="Only neurons of this dissection.")] = None,
    model: Annotated[str | None, Query(max_length=80, description="Only of this model: `name` or `name@2`.")] = None,
    layer: Annotated[str | None, Query(max_length=200, description="Only of layers with this name.")] = None,
    verdict: Annotated[
        list[Verdict] | None,
        Query(description="Only neurons with this verdict; repeated: with any of these.", max_length=len(Verdict)),
    ] = None,
    category: Annotated[str | None, Query(max_length=300)] = None,
    min_z: Annotated[float | None, Query(allow_inf_nan=False, description="Only neurons with at least this z.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> NeuronSearchOut | JSONResponse:
    """Neurons of all layers, jobs and models whose directions are nearest to one concept, neuron, text or image.

    A text or an image that no worker has read yet is waited for, as long as the header `Prefer: wait=` says: 5 seconds
    where there is none, 10 at most. Then the answer is 503 with `Retry-After`; once a worker has read it, it is kept.
    """
    question = search.Question(
        concept=concept,
        neuron=neuron,
        text=text,
        image=image,
        dissector=dissector,
        job=job,
        model=model,
        layer=layer,
        verdicts=None if verdict is None else tuple(verdict),
        category=category,
        min_z=min_z,
    )
    after = decode_cursor(cursor, tuple[FiniteFloat, UUID, UnitNumber])
    answer = search.search_neurons(session, queue, question, limit=limit, after=after)
    if isinstance(answer, NotReadYet):
        return answer_to(answer)  # not raised: what a worker is asked for is to be committed
    return NeuronSearchOut.of(answer, next_cursor(request, response, answer.page.next_position))


@things.get("/search")
def search_names(
    session: SessionDep,
    q: Annotated[str, Query(min_length=1, max_length=300, description="Some of a name, or the start of a job's id.")],
    limit: Annotated[int, Query(ge=1, le=50, description="The most of each kind.")] = 10,
) -> NamedThingsOut:
    """Models, jobs, concepts and categories with these words in their names, a few of each kind."""
    found = named_things.find_named(session, q, limit=limit)
    of_kind = {kind: [NamedThingOut.model_validate(thing) for thing in listed] for kind, listed in found.items()}
    return NamedThingsOut(q=q, **of_kind)
