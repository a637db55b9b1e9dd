"""Policies: what deployed models must fulfil."""

from fastapi import APIRouter, Request, Response, status

from api.dependencies import SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.routes.resources import Ref
from api.schemas.policies import PolicyIn, PolicyOut
from service.analysis.policy_codec import parse_policy, policy_from, policy_schema
from service.domain.json_values import StoredJson
from service.domain.resources import ResourceKind
from service.usecases import policies, resources

router = APIRouter(prefix="/policies", tags=["policies"], route_class=OneThreadRoute)


@router.post("", status_code=status.HTTP_201_CREATED)
def register_policy(body: PolicyIn, session: SessionDep, response: Response) -> PolicyOut:
    """Register a policy. Registering the same rules again returns the existing policy with 200."""
    policy = parse_policy(body.policy) if isinstance(body.policy, str) else policy_from(body.policy)
    resource, new = policies.register_policy(session, body.name, policy)
    response.headers["Location"] = f"/policies/{resource.reference}"
    if not new:
        response.status_code = status.HTTP_200_OK
    return PolicyOut.of(resource)


@router.get("")
def list_policies(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[PolicyOut]:
    """All policies in brief, newest first: rules are counted, not listed."""
    page = resources.list_resources(session, ResourceKind.POLICY, limit=limit, after=decode_cursor(cursor))
    items = [PolicyOut.of(policy) for policy in page.items]
    return PageOut[PolicyOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/schema")
def read_policy_schema() -> StoredJson:
    """The JSON Schema of a policy: every rule with its fields."""
    return policy_schema()


@router.get("/{name}")
def read_policy(name: Ref, session: SessionDep) -> PolicyOut:
    """One policy."""
    return PolicyOut.of(resources.find_resource(session, ResourceKind.POLICY, name, field="name"))
