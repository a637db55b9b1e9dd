"""What the routes of models, dissectors, probe sets and concept sets share."""

from typing import Annotated

from fastapi import Path, Request, Response, status
from sqlalchemy.orm import Session

from api.pagination import PageOut, decode_cursor, next_cursor
from api.schemas.resources import ResourceOut, StatedOut
from service.domain.resources import Resource, ResourceKind
from service.domain.work import Preparation
from service.ports import JobQueue
from service.usecases import resources
from service.usecases.preparations import prepare
from service.usecases.states import states_of
from service.usecases.trail import annotate

Ref = Annotated[str, Path(max_length=80, description="`name` (its newest version) or `name@version`.")]


def describe_registration(
    session: Session, response: Response, collection: str, resource: Resource, *, new: bool
) -> None:
    """Say in the answer where the resource is and whether it is new, and in the trail what it is and was before."""
    response.headers["Location"] = f"{collection}/{resource.reference}"
    replaced = resource.replaced_terms
    before = None if replaced is None else resources.digest_of_registration(resource, replaced)
    annotate(session, before=before, after=resources.digest_of_registration(resource))
    if not new:
        response.status_code = status.HTTP_200_OK


def inspected_again(session: Session, queue: JobQueue, kind: ResourceKind, name: str) -> Resource:
    """The resource that a worker is asked to open again, unless one is doing so. Raises NotFound."""
    resource = resources.find_resource(session, kind, name, field="name")
    prepare(session, queue, resource, Preparation.INSPECT)
    return resource


def stated_page(
    session: Session, kind: ResourceKind, request: Request, response: Response, limit: int, cursor: str | None
) -> PageOut[StatedOut]:
    """A page of resources with their states, newest first. Raises InvalidInput for a cursor that no such list gave."""
    page = resources.list_resources(session, kind, limit=limit, after=decode_cursor(cursor))
    states = states_of(session, page.items)
    items = [
        StatedOut(**ResourceOut.of(resource).model_dump(), state=states.get(resource.id)) for resource in page.items
    ]
    return PageOut[StatedOut](items=items, next=next_cursor(request, response, page.next_position))
