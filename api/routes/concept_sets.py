"""Register, list, read and compare concept sets."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status

from api.dependencies import QueueDep, RootsDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.routes.resources import Ref, describe_registration
from api.schemas.concept_sets import ConceptSetDiffOut, ConceptSetIn, ConceptSetOut
from api.schemas.resources import ResourceOut
from service.domain.resources import ResourceKind
from service.usecases import concept_sets
from service.usecases.resources import find_resource, list_resources

router = APIRouter(prefix="/concept-sets", tags=["concept sets"], route_class=OneThreadRoute)


@router.post("", status_code=status.HTTP_201_CREATED)
def register_concept_set(
    body: ConceptSetIn, session: SessionDep, queue: QueueDep, roots: RootsDep, response: Response
) -> ConceptSetOut:
    """Register concepts that are listed here or in a file, and say what is weak about them; see docs/concept-sets.md.

    A table of categories names their categories, to the character; where it names a concept in several places, the last
    one counts, and `spec.categories` lists these, the concepts that it does not name, and what else it holds.
    """
    concept_set, new = concept_sets.register_concepts(
        session,
        roots,
        name=body.name,
        concepts=body.concepts,
        path=body.path,
        categories=body.categories,
        control=body.control,
        terms=body.terms(),
    )
    describe_registration(session, response, "/concept-sets", concept_set, new=new)
    review = concept_sets.review(session, queue, concept_set, body.dissector, again=True)
    return ConceptSetOut.reviewed(concept_set, review, brief=True)


@router.get("")
def list_concept_sets(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[ResourceOut]:
    """All concept sets, newest first, including the built-in ones. Concepts are counted, not listed."""
    page = list_resources(session, ResourceKind.CONCEPT_SET, limit=limit, after=decode_cursor(cursor))
    items = [ResourceOut.of(concept_set) for concept_set in page.items]
    return PageOut[ResourceOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{name}")
def read_concept_set(
    name: Ref, session: SessionDep, queue: QueueDep, dissector: Annotated[str | None, Query(max_length=80)] = None
) -> ConceptSetOut:
    """One concept set with all its concepts, and what is weak about them; `dissector`: whose reading counts, too.

    Where that dissector has not read them yet, a worker is asked to have it do so; until then `state` is `checking`.
    """
    concept_set = find_resource(session, ResourceKind.CONCEPT_SET, name, field="name")
    return ConceptSetOut.reviewed(concept_set, concept_sets.review(session, queue, concept_set, dissector))


@router.get("/{name}/diff")
def compare_concept_sets(
    name: Ref,
    session: SessionDep,
    to: Annotated[str, Query(min_length=1, max_length=80, description="`name` or `name@version` of the later one.")],
) -> ConceptSetDiffOut:
    """What happened from one concept set to another: concepts added, removed, changed, and perhaps renamed."""
    return ConceptSetDiffOut.of(*concept_sets.compare_concept_sets(session, name, to))
