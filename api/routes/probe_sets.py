"""Register, list, read, measure and check probe sets."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status
from sqlalchemy.orm import Session

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut
from api.routes.resources import Ref, describe_registration, stated_page
from api.schemas.checks import CheckOut, in_words
from api.schemas.probe_sets import FindingsOut, ProbeSetIn, ProbeSetOut
from api.schemas.resources import ResourceOut, StatedOut
from service.domain.resources import Resource, ResourceKind, ResourceState
from service.domain.specs import is_listed, probe_set_spec
from service.domain.work import Preparation
from service.files import DataRoots
from service.usecases import probe_sets, resources
from service.usecases.checks import standing_of_check
from service.usecases.findings import findings_map_of, findings_of
from service.usecases.preparations import measure_again, problem_of
from service.usecases.states import states_of

router = APIRouter(prefix="/probe-sets", tags=["probe sets"], route_class=OneThreadRoute)

NamedConceptSet = Annotated[
    str | None,
    Query(max_length=80, description="Whose concepts the findings are looked for among; `bi-rads` where left out."),
]


@router.post("", status_code=status.HTTP_201_CREATED)
def register_probe_set(
    body: ProbeSetIn,
    session: SessionDep,
    queue: QueueDep,
    roots: RootsDep,
    readings: ReadingsDep,
    response: Response,
) -> ProbeSetOut:
    """Register a manifest of images, or a published data set; workers then check them, and jobs on it wait for that.

    If they are to be cut into frames or patches, a worker reads their sizes, too. Until then `spec.images` is null, and
    requests for a dissection on the set get 409 `not-measured`. Of the layouts `dicom-folder` and `cmmd` a worker first
    reads the headers of all images; until then the digest is not that of the content, and the type is `not-listed`.
    """

    def register() -> resources.Registered:
        return probe_sets.register_probe_set(
            session,
            queue,
            name=body.name,
            manifest=body.manifest,
            layout=body.layout,
            root=body.root,
            key_file=body.key_file(),
            patches=body.grid(),
            frames=body.frames,
            on_unreadable=body.on_unreadable,
            roots=roots,
            findings_map=findings_map_of(
                session, body.findings_map, roots, layout=body.layout, concept_set=body.concept_set
            ),
            independent=body.independent,
            terms=body.terms(),
            readings=readings,
        )

    probe_set, new = readings.complete(session, register)
    describe_registration(session, response, "/probe-sets", probe_set, new=new)
    return _with_findings(session, probe_set, roots, body.concept_set)


@router.get("")
def list_probe_sets(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[StatedOut]:
    """All probe sets, newest first."""
    return stated_page(session, ResourceKind.PROBE_SET, request, response, limit, cursor)


@router.get("/{name}")
def read_probe_set(name: Ref, session: SessionDep, roots: RootsDep, concept_set: NamedConceptSet = None) -> ProbeSetOut:
    """One probe set: whether its images are checked, what was found in brief, how many frames and patches it has.

    `findings` says which of its findings name a concept of the set, and which name none.
    """
    probe_set = resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name")
    return _with_findings(session, probe_set, roots, concept_set)


@router.post("/{name}/measure", status_code=status.HTTP_202_ACCEPTED)
def measure_probe_set(name: Ref, session: SessionDep, queue: QueueDep) -> ProbeSetOut:
    """Ask a worker to read the image sizes again if it failed before, or skipped images that it could not read.

    Where every image was measured, or the images are not cut into frames or patches, nothing is done. 409
    where images were skipped and a job has used the set since.
    """
    probe_set = resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name")
    measure_again(session, queue, probe_set)
    return _probe_set(session, resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name"))


@router.get("/{name}/check")
def read_check(name: Ref, session: SessionDep) -> CheckOut:
    """The check of the set's images in full: for each reason the first hundred rows. 404 where nobody asked for one.

    409 while a worker has not yet listed them by their headers.
    """
    probe_set = resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name")
    return CheckOut.of(probe_sets.find_check(session, probe_set), brief=False)


@router.post("/{name}/check", status_code=status.HTTP_202_ACCEPTED)
def check_probe_set(
    name: Ref, session: SessionDep, queue: QueueDep, roots: RootsDep, readings: ReadingsDep
) -> ProbeSetOut:
    """Ask workers to check the set's images again, or for the first time, unless a check is under way.

    Where the headers of its images could not be read, a worker tries that again first.
    """

    def ask() -> Resource:
        probe_set = resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name")
        probe_sets.check_again(session, queue, probe_set, roots, readings)
        return probe_set

    return _probe_set(session, readings.complete(session, ask))


def _with_findings(session: Session, probe_set: Resource, roots: DataRoots, concept_set: str | None) -> ProbeSetOut:
    found = findings_of(session, probe_set, roots, concept_set=concept_set)
    answer = _probe_set(session, probe_set)
    if found is not None:
        reference, entry = found
        answer.findings = FindingsOut.model_validate({**entry, "concept_set": reference})
    return answer


def _probe_set(session: Session, probe_set: Resource) -> ProbeSetOut:
    standing = standing_of_check(session, probe_set)
    check = None if standing is None else CheckOut.of(standing, brief=True)
    state = None if check is None else check.state

    if not is_listed(probe_set_spec(probe_set)):
        state = states_of(session, [probe_set]).get(probe_set.id)
    problem = problem_of(session, probe_set, Preparation.LIST) or problem_of(session, probe_set, Preparation.MEASURE)
    if problem is None:
        shown = None if check is None else check.problem
    else:
        shown = in_words(problem)
        state = state and ResourceState.REFUSED
    return ProbeSetOut(**ResourceOut.of(probe_set).model_dump(), state=state, problem=shown, check=check)
