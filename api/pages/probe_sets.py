"""Probe sets, and one probe set: whether its images are checked, and what that has found."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep
from api.pages.forms import PageRoute, see_other
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from api.routes.resources import Ref
from service.domain.checks import SetCheck
from service.domain.findings import FindingsEntry
from service.domain.probes import where_in_words
from service.domain.resources import Resource, ResourceKind, ResourceState
from service.domain.specs import is_listed, probe_set_spec, where_of
from service.domain.work import Preparation
from service.errors import ProblemFields
from service.reports.probe_set import COUNTED, HEADINGS, said_of, summary_of
from service.usecases import probe_sets
from service.usecases.checks import CheckStanding, standing_of_check
from service.usecases.findings import VOCABULARY, findings_of
from service.usecases.preparations import problem_of
from service.usecases.resources import find_resource, list_resources
from service.usecases.states import states_of

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Meanings = tuple[str, FindingsEntry] | None


@router.get("/ui/probe-sets")
def show_probe_sets(request: Request, session: SessionDep, cursor: Cursor = None) -> Response:
    """All probe sets, newest first."""
    listed = list_resources(session, ResourceKind.PROBE_SET, limit=PAGE_SIZE, after=decode_cursor(cursor))
    states = states_of(session, listed.items)
    return page(
        request,
        "probe_sets.html",
        probe_sets=[(probe_set, probe_set_spec(probe_set), states.get(probe_set.id)) for probe_set in listed.items],
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/probe-sets/{name}")
def show_probe_set(
    request: Request,
    name: Ref,
    session: SessionDep,
    roots: RootsDep,
    concept_set: Annotated[str, Query(max_length=80)] = "",
) -> Response:
    """One probe set. concept_set: among whose concepts its findings are looked for; empty for `bi-rads`.

    Raises NotFound.
    """
    probe_set = find_resource(session, ResourceKind.PROBE_SET, name, field="name")
    spec = probe_set_spec(probe_set)
    standing = standing_of_check(session, probe_set)
    meanings = findings_of(session, probe_set, roots, concept_set=concept_set or None)
    state, problem = _state(session, probe_set, standing)
    check = None if standing is None else standing.result
    where = where_of(spec)

    return page(
        request,
        "probe_set.html",
        probe_set=probe_set,
        spec=spec,
        part=where_in_words(where) if where else None,
        state=state,
        problem=problem,
        standing=standing,
        check=check,
        summary=[] if check is None else list(summary_of(check, spec["on_unreadable"], meanings)),
        reasons=_reasons(check),
        files=_files(check),
        meanings=None if meanings is None else meanings[1],
        said_of={} if meanings is None else said_of(meanings[1]),
        concept_set=VOCABULARY if meanings is None else meanings[0],
        may_check=standing is None or standing.state is not ResourceState.CHECKING,
    )


@router.post("/ui/probe-sets/{name}/check")
def check_probe_set(
    name: Ref, session: SessionDep, queue: QueueDep, roots: RootsDep, readings: ReadingsDep, response: Response
) -> Response:
    """Have workers check the images again, or for the first time. Raises NotFound, and what reading the list raises."""

    def ask() -> Resource:
        probe_set = find_resource(session, ResourceKind.PROBE_SET, name, field="name")
        probe_sets.check_again(session, queue, probe_set, roots, readings)
        return probe_set

    probe_set = readings.complete(session, ask)
    return see_other(response, f"/ui/probe-sets/{probe_set.reference}")


def _state(
    session: Session, probe_set: Resource, standing: CheckStanding | None
) -> tuple[ResourceState | None, ProblemFields | None]:
    """Where it stands, and why it was refused; None and None where nobody has looked."""
    state = None if standing is None else standing.state
    if not is_listed(probe_set_spec(probe_set)):
        state = states_of(session, [probe_set]).get(probe_set.id)

    problem = problem_of(session, probe_set, Preparation.LIST) or problem_of(session, probe_set, Preparation.MEASURE)
    if problem is not None:
        return state and ResourceState.REFUSED, problem
    return state, None if standing is None else standing.problem


def _reasons(check: SetCheck | None) -> list[tuple[str, object]]:
    """What images are named for, in words, with their rows."""
    reasons = [] if check is None else check["reasons"]
    return [(HEADINGS.get(entry["reason"], entry["reason"]), entry) for entry in reasons]


def _files(check: SetCheck | None) -> list[tuple[str, object]]:
    """What the files are, in words, with the counts."""
    counted = {} if check is None else check["files"]
    return [(COUNTED.get(name, name), values) for name, values in counted.items() if values["distinct"]]
