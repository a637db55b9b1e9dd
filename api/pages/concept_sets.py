"""Concept sets, and one concept set: its categories, what is weak about it, and what another version changes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from api.dependencies import QueueDep, SessionDep
from api.pages.forms import LongPageRoute
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from api.routes.resources import Ref
from service.domain.concepts import Concept
from service.domain.resources import Resource, ResourceKind
from service.domain.specs import concept_set_spec
from service.usecases import concept_sets
from service.usecases.resources import concept_set_of, find_resource, list_resources

router = APIRouter(include_in_schema=False, route_class=LongPageRoute)

MOST_LISTED = 500
_VERSIONS_OFFERED = 20
_NO_CATEGORY = "no category"

Choice = Annotated[str, Query(max_length=500)]


@dataclass(frozen=True, slots=True)
class CategoryLine:
    """A category and its concepts, counted."""

    name: str | None
    broad: str | None
    concepts: int
    watched: int


@router.get("/ui/concept-sets")
def show_concept_sets(request: Request, session: SessionDep, cursor: Cursor = None) -> Response:
    """All concept sets, newest first."""
    listed = list_resources(session, ResourceKind.CONCEPT_SET, limit=PAGE_SIZE, after=decode_cursor(cursor))
    return page(
        request,
        "concept_sets.html",
        concept_sets=listed.items,
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/concept-sets/{name}")
def show_concept_set(
    request: Request,
    name: Ref,
    session: SessionDep,
    queue: QueueDep,
    category: Choice = "",
    to: Annotated[str, Query(max_length=80)] = "",
) -> Response:
    """One concept set. category: whose concepts are listed, empty for all; to: the set that it is compared with.

    Raises NotFound.
    """
    resource = find_resource(session, ResourceKind.CONCEPT_SET, name, field="name")
    concepts = concept_set_of(resource).concepts
    shown = concepts if not category else [concept for concept in concepts if _category(concept) == category]
    review = concept_sets.review(session, queue, resource, None)

    return page(
        request,
        "concept_set.html",
        concept_set=resource,
        concepts=concepts,
        watched=sum(concept.watched for concept in concepts),
        categories=_categories(concepts),
        category=category,
        shown=shown[:MOST_LISTED],
        shown_of=len(shown),
        no_category=_NO_CATEGORY,
        notes=concept_set_spec(resource).get("notes", []),
        remarks=review.remarks[:MOST_LISTED],
        remarks_of=len(review.remarks),
        by_weakness=Counter(remark.weakness for remark in review.remarks),
        versions=_other_versions(session, resource),
        to=to,
        compared=concept_sets.compare_concept_sets(session, resource.reference, to) if to else None,
        most_listed=MOST_LISTED,
    )


def _category(concept: Concept) -> str:
    return concept.category or _NO_CATEGORY


def _categories(concepts: Sequence[Concept]) -> list[CategoryLine]:
    """In the order in which the set has them."""
    counts = Counter((concept.category, concept.broad_category) for concept in concepts)
    watched = Counter((concept.category, concept.broad_category) for concept in concepts if concept.watched)
    return [
        CategoryLine(name=category, broad=broad, concepts=number, watched=watched[category, broad])
        for (category, broad), number in counts.items()
    ]


def _other_versions(session: Session, resource: Resource) -> list[str]:
    """The newest versions under the same name, but for this one."""
    newest = find_resource(session, ResourceKind.CONCEPT_SET, resource.name, field="name").version
    oldest = max(1, newest - _VERSIONS_OFFERED)
    versions = range(newest, oldest - 1, -1)
    return [f"{resource.name}@{version}" for version in versions if version != resource.version]
