"""Home: what runs, what failed, what is deployed; on an empty service the way to a first dissection."""

from functools import partial
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep
from api.key_check import PAGES
from api.pages.forms import FormDep, PageRoute, see_other
from api.pages.jobs import STAGES
from api.pages.rendering import page
from service.domain import samples as names
from service.domain.overview import Overview
from service.domain.resources import ResourceKind
from service.files import DataRoots
from service.usecases.overview import read_overview
from service.usecases.readings import Readings
from service.usecases.resources import digest_of_registration
from service.usecases.samples import RegisteredSamples, SampleFiles, find_samples, register_samples, samples_in
from service.usecases.trail import record

router = APIRouter(include_in_schema=False, route_class=PageRoute)
entry = APIRouter(include_in_schema=False)
"""Served without a key."""

_COUNTED = (
    (ResourceKind.MODEL, "models", "/ui/models"),
    (ResourceKind.DISSECTOR, "dissectors", "/ui/dissectors"),
    (ResourceKind.PROBE_SET, "probe sets", "/ui/probe-sets"),
    (ResourceKind.CONCEPT_SET, "concept sets", "/ui/concept-sets"),
)


@entry.get("/")
async def lead_to_pages() -> Response:
    """From the service's address to its pages."""
    return RedirectResponse(PAGES, 303)


@router.get(PAGES)
def show_home(request: Request, session: SessionDep, roots: RootsDep, readings: ReadingsDep) -> Response:
    """What is going on, or where to begin."""

    def look() -> tuple[Overview, SampleFiles | None]:
        overview = read_overview(session)
        if not overview.is_empty or overview.names.get(ResourceKind.MODEL):
            return overview, None
        return overview, readings.of(("samples", "data roots"), partial(find_samples, roots))

    overview, samples = readings.complete(session, look)
    return page(
        request,
        "home.html",
        overview=overview,
        counted_kinds=[(title, path, overview.names.get(kind, 0)) for kind, title, path in _COUNTED],
        has_model=bool(overview.names.get(ResourceKind.MODEL)),
        samples=samples,
        data_roots=[str(root) for root in roots.paths],
        stages=STAGES,
    )


@router.post("/ui/samples")
def post_samples(
    request: Request,
    form: FormDep,
    session: SessionDep,
    queue: QueueDep,
    roots: RootsDep,
    readings: ReadingsDep,
    response: Response,
) -> Response:
    """Register the samples in a folder, and go on to the job on them. Raises InvalidInput where they are not there."""

    def register() -> RegisteredSamples:
        files = _files(form.text("folder"), roots, readings)
        return register_samples(session, queue, files, roots, readings)

    registered = readings.complete(session, register)
    for part in (registered.model, registered.dissector, registered.probe_set):
        subject = f"{part.kind.collection}/{part.reference}"
        action = "POST /ui/samples"
        record(session, actor=request.state.actor, action=action, subject=subject, after=digest_of_registration(part))

    parts = {
        "model": registered.model.reference,
        "dissector": registered.dissector.reference,
        "probe_set": registered.probe_set.reference,
        "concept_set": names.CONCEPT_SET,
    }
    return see_other(response, f"/ui/jobs/new?{urlencode(parts)}")


def _files(folder: str, roots: DataRoots, readings: Readings) -> SampleFiles:
    return readings.of(("samples", folder), partial(samples_in, folder, roots))
