"""Ask for a dissection: choose a network, then everything else, then see what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, get_args
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from api.dependencies import QueueDep, SessionDep, SettingsDep
from api.pages.forms import Form, FormDep, PageRoute, Refused, see_other
from api.pages.job_form import WHICH, JobForm, WrongForm, as_command, as_curl, wrong_of
from api.pages.layer_tree import LayerNode, tree_of
from api.pages.rendering import page
from api.problems import status_of
from api.schemas.jobs import JobIn
from service.config import Settings
from service.db.resources import find_inspected
from service.domain.jobs import JobRequest
from service.domain.methods import Similarity
from service.domain.purposes import Purpose
from service.domain.resources import Resource, ResourceKind, ResourceState
from service.domain.work import LayerListing
from service.errors import DissectError, NotFound
from service.reports.wording import counted
from service.usecases import jobs
from service.usecases.costs import JobCost, cost_of_job
from service.usecases.resources import find_resource, list_resources
from service.usecases.states import states_of

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_MOST_LISTED = 500
_KINDS = {
    "model": ResourceKind.MODEL,
    "dissector": ResourceKind.DISSECTOR,
    "probe_set": ResourceKind.PROBE_SET,
    "concept_set": ResourceKind.CONCEPT_SET,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Something registered that can be chosen."""

    reference: str
    words: str
    is_refused: bool = False
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Review:
    """A request that would be accepted: what it amounts to, and how else it could be made."""

    request: JobRequest
    cost: JobCost
    curl: str
    command: str
    idempotency_key: str


@router.get("/ui/jobs/new")
def show_form(request: Request, session: SessionDep, settings: SettingsDep) -> Response:
    """The form, as far as it is filled in; with `review` what it amounts to, or what is wrong."""
    fields = {name: request.query_params.getlist(name) for name in request.query_params}
    form = Form(fields)
    filled = JobForm.of(form)
    if not form.has("review"):
        return _form_page(request, session, filled)

    try:
        review = _review(request, session, settings, filled.request())
    except WrongForm as error:
        return _form_page(request, session, filled, wrong=error.errors, status_code=422)
    except DissectError as error:
        return _form_page(request, session, filled, wrong=wrong_of(error), status_code=_status(error))
    return _form_page(request, session, filled, review=review)


@router.post("/ui/jobs/new")
def post_job(
    request: Request,
    form: FormDep,
    session: SessionDep,
    queue: QueueDep,
    settings: SettingsDep,
    response: Response,
) -> Response:
    """Start the dissection, and go to its page. The same form sent twice is one job.

    Raises Refused with the form where something is wrong.
    """
    filled = JobForm.of(form)
    try:
        body = filled.request()
        job = jobs.submit_job(
            session,
            queue,
            body.submission(filled.model, settings),
            request=body.as_asked(),
            idempotency_key=form.text("idempotency_key")[:200] or None,
        )
    except WrongForm as error:
        _refuse(request, session, filled, error.errors, 422)
    except DissectError as error:
        _refuse(request, session, filled, wrong_of(error), _status(error))
    return see_other(response, f"/ui/jobs/{job.id}", made=f"/jobs/{job.id}")


def _status(error: DissectError) -> int:
    """As the API answers, but for parts that there are not: the page is there, and its form is wrong."""
    return 422 if isinstance(error, NotFound) else status_of(error)


def _refuse(
    request: Request, session: Session, filled: JobForm, wrong: Mapping[str, str], status_code: int
) -> NoReturn:
    session.rollback()
    raise Refused(_form_page(request, session, filled, wrong=wrong, status_code=status_code))


def _form_page(
    request: Request,
    session: Session,
    filled: JobForm,
    *,
    wrong: Mapping[str, str] | None = None,
    review: Review | None = None,
    status_code: int = 200,
) -> Response:
    said = dict(wrong or {})
    model, layers = _model(session, filled, said)
    return page(
        request,
        "new_job.html",
        status_code=status_code,
        form=filled,
        choices={name: _choices(session, kind, getattr(filled, name)) for name, kind in _KINDS.items()},
        model=model,
        layers=None if layers is None else _tree(layers, filled),
        which=WHICH,
        similarities=get_args(Similarity),
        purposes=list(Purpose),
        wrong=said,
        review=review,
    )


def _model(
    session: Session, filled: JobForm, wrong: dict[str, str]
) -> tuple[Resource | None, list[LayerListing] | None]:
    """The chosen network with its layers, as far as a worker has listed them."""
    if not filled.model:
        return None, None
    try:
        model = find_resource(session, ResourceKind.MODEL, filled.model, field="target")
    except DissectError as error:
        wrong.setdefault("model", f"{error.detail} {error.remedy or ''}")
        return None, None

    inspected = find_inspected(session, model.id)
    return model, None if inspected.layers is None else list(inspected.layers)


def _tree(layers: Sequence[LayerListing], filled: JobForm) -> list[LayerNode]:
    return tree_of(layers, frozenset(filled.layers))


def _choices(session: Session, kind: ResourceKind, chosen: str) -> list[Choice]:
    """What is registered of that kind, newest first, and what was chosen even where it is not among that."""
    listed = list_resources(session, kind, limit=_MOST_LISTED, after=None).items
    states = {} if kind is ResourceKind.CONCEPT_SET else states_of(session, listed)

    choices = []
    is_found = not chosen
    for resource in listed:
        state = states.get(resource.id)
        is_chosen = not is_found and chosen in {resource.reference, resource.name}
        is_found = is_found or is_chosen
        is_refused = state is ResourceState.REFUSED
        choices.append(Choice(resource.reference, _words_of(resource, state), is_refused, is_chosen))

    return choices if is_found else [*choices, Choice(chosen, chosen, is_chosen=True)]


def _words_of(resource: Resource, state: ResourceState | None) -> str:
    words = [resource.reference]
    images = resource.spec.get("images") if resource.kind is ResourceKind.PROBE_SET else None
    if isinstance(images, int):
        words.append(counted(images, "image"))
    if state not in {None, ResourceState.READY}:
        words.append(str(state))
    return ", ".join(words)


def _review(request: Request, session: Session, settings: Settings, body: JobIn) -> Review:
    """What the request amounts to. Raises what `jobs.resolve` raises."""
    parts, resolved = jobs.resolve(session, body.submission(str(body.target), settings))
    address = str(request.base_url).rstrip("/")
    return Review(
        request=resolved,
        cost=cost_of_job(session, parts, resolved),
        curl=as_curl(body, address),
        command=as_command(body),
        idempotency_key=f"page-{uuid4()}",
    )
