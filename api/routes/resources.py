"""Register, list and read models, dissectors, probe sets and concept sets."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response, status
from sqlalchemy.orm import Session

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.checks import CheckOut, in_words
from api.schemas.concept_sets import ConceptSetDiffOut, ConceptSetIn, ConceptSetOut
from api.schemas.resources import (
    AutoencoderOut,
    DissectorIn,
    DissectorOut,
    FindingsOut,
    InputValueOut,
    LayerInfoOut,
    ModelIn,
    ModelOut,
    ProbeSetIn,
    ProbeSetOut,
    ResourceOut,
    StatedOut,
)
from service.db.resources import find_inspected
from service.db.work import find_check
from service.domain.resources import Resource, ResourceKind, ResourceState
from service.domain.specs import model_spec
from service.domain.work import Preparation
from service.files import DataRoots
from service.ports import JobQueue
from service.usecases import concept_sets as concepts
from service.usecases import resources
from service.usecases.checks import standing_of_check
from service.usecases.findings import findings_map_of, findings_of
from service.usecases.models import register_model as register_target
from service.usecases.preparations import measure_again, prepare, problem_of
from service.usecases.states import standing_of, states_of
from service.usecases.trail import annotate

models = APIRouter(prefix="/models", tags=["models"], route_class=OneThreadRoute)
dissectors = APIRouter(prefix="/dissectors", tags=["dissectors"], route_class=OneThreadRoute)
probe_sets = APIRouter(prefix="/probe-sets", tags=["probe sets"], route_class=OneThreadRoute)
concept_sets = APIRouter(prefix="/concept-sets", tags=["concept sets"], route_class=OneThreadRoute)

NamedConceptSet = Annotated[
    str | None,
    Query(max_length=80, description="Whose concepts the findings are looked for among; `bi-rads` where left out."),
]
Ref = Annotated[str, Path(max_length=80, description="`name` (its newest version) or `name@version`.")]


@models.post("", status_code=status.HTTP_201_CREATED)
def register_model(
    body: ModelIn, session: SessionDep, queue: QueueDep, roots: RootsDep, response: Response
) -> ModelOut:
    """Register a checkpoint; a worker then lists its layers. The same content again returns that model with 200.

    Other terms then replace those of that version.

    If the file has moved, the service reads it at its new path from then on. A source (s3://, https://, models:/,
    runs:/, mlflow-artifacts:/) without `sha256` is fetched by a worker first: until then `spec.sha256` is null, and
    requests for a dissection of the model get 409 `not-fetched`.
    """
    model, new = register_target(
        session,
        queue,
        body.named(),
        name=body.name,
        roots=roots,
        terms=body.terms(),
    )

    _describe(session, response, "/models", model, new=new)
    return _model(session, model)


@models.get("")
def list_models(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[StatedOut]:
    """All models, newest first."""
    return _stated_page(session, ResourceKind.MODEL, request, response, limit, cursor)


@models.get("/{name}")
def read_model(name: Ref, session: SessionDep) -> ModelOut:
    """One model, with its layers once a worker has listed them."""
    return _model(session, resources.find_resource(session, ResourceKind.MODEL, name, field="name"))


@models.post("/{name}/inspect", status_code=status.HTTP_202_ACCEPTED)
def inspect_model(name: Ref, session: SessionDep, queue: QueueDep) -> ModelOut:
    """Ask a worker to list the layers again, unless one is doing so. The answer shows what is known so far."""
    return _model(session, _inspected_again(session, queue, ResourceKind.MODEL, name))


@dissectors.post("", status_code=status.HTTP_201_CREATED)
def register_dissector(
    body: DissectorIn, session: SessionDep, queue: QueueDep, roots: RootsDep, response: Response
) -> DissectorOut:
    """Register a dissector directory; a worker then opens it. Its `state` says whether that worked.

    If it has moved, the service reads it at its new path from then on.
    """
    prompts = None if body.prompts is None else body.prompts.prompts("prompts")
    dissector, new = resources.register_dissector(
        session, queue, name=body.name, path=body.path, roots=roots, prompts=prompts, terms=body.terms()
    )

    _describe(session, response, "/dissectors", dissector, new=new)
    return _dissector(session, dissector)


@dissectors.get("")
def list_dissectors(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[StatedOut]:
    """All dissectors, newest first."""
    return _stated_page(session, ResourceKind.DISSECTOR, request, response, limit, cursor)


@dissectors.get("/{name}")
def read_dissector(name: Ref, session: SessionDep) -> DissectorOut:
    """One dissector, with the reason if a worker could not open it."""
    return _dissector(session, resources.find_resource(session, ResourceKind.DISSECTOR, name, field="name"))


@dissectors.post("/{name}/inspect", status_code=status.HTTP_202_ACCEPTED)
def inspect_dissector(name: Ref, session: SessionDep, queue: QueueDep) -> DissectorOut:
    """Ask a worker to open the dissector again, unless one is doing so."""
    return _dissector(session, _inspected_again(session, queue, ResourceKind.DISSECTOR, name))


@probe_sets.post("", status_code=status.HTTP_201_CREATED)
def register_probe_set(
    body: ProbeSetIn, session: SessionDep, queue: QueueDep, roots: RootsDep, response: Response
) -> ProbeSetOut:
    """Register a manifest of images, or a published data set; workers then check them, and jobs on it wait for that.

    If they are to be cut into frames or patches, a worker reads their sizes, too. Until then `spec.images` is null, and
    requests for a dissection on the set get 409 `not-measured`.
    """
    probe_set, new = resources.register_probe_set(
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
    )

    _describe(session, response, "/probe-sets", probe_set, new=new)
    return _with_findings(session, probe_set, roots, body.concept_set)


@probe_sets.get("")
def list_probe_sets(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[StatedOut]:
    """All probe sets, newest first."""
    return _stated_page(session, ResourceKind.PROBE_SET, request, response, limit, cursor)


@probe_sets.get("/{name}")
def read_probe_set(name: Ref, session: SessionDep, roots: RootsDep, concept_set: NamedConceptSet = None) -> ProbeSetOut:
    """One probe set: whether its images are checked, what was found in brief, how many frames and patches it has.

    `findings` says which of its findings name a concept of the set, and which name none.
    """
    probe_set = resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name")
    return _with_findings(session, probe_set, roots, concept_set)


@probe_sets.post("/{name}/measure", status_code=status.HTTP_202_ACCEPTED)
def measure_probe_set(name: Ref, session: SessionDep, queue: QueueDep) -> ProbeSetOut:
    """Ask a worker to read the image sizes again if it failed before, or skipped images that it could not read.

    Where every image was measured, or the images are not cut into frames or patches, nothing is done. 409
    where images were skipped and a job has used the set since.
    """
    probe_set = resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name")
    measure_again(session, queue, probe_set)
    return _probe_set(session, resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name"))


@probe_sets.get("/{name}/check")
def read_check(name: Ref, session: SessionDep) -> CheckOut:
    """The check of the set's images in full: for each reason the first hundred rows. 404 where nobody asked for one."""
    probe_set = resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name")
    return CheckOut.of(resources.find_check(session, probe_set), brief=False)


@probe_sets.post("/{name}/check", status_code=status.HTTP_202_ACCEPTED)
def check_probe_set(
    name: Ref, session: SessionDep, queue: QueueDep, roots: RootsDep, readings: ReadingsDep
) -> ProbeSetOut:
    """Ask workers to check the set's images again, or for the first time, unless a check is under way."""

    def ask() -> Resource:
        probe_set = resources.find_resource(session, ResourceKind.PROBE_SET, name, field="name")
        resources.check_again(session, queue, probe_set, roots, readings)
        return probe_set

    return _probe_set(session, readings.complete(session, ask))


@concept_sets.post("", status_code=status.HTTP_201_CREATED)
def register_concept_set(body: ConceptSetIn, session: SessionDep, roots: RootsDep, response: Response) -> ConceptSetOut:
    """Register concepts that are listed here or in a file, and say what is weak about them; see docs/concept-sets.md.

    A table of categories names their categories, to the character; where it names a concept in several places, the last
    one counts, and `spec.categories` lists these, the concepts that it does not name, and what else it holds.
    """
    concept_set, new = concepts.register_concepts(
        session,
        roots,
        name=body.name,
        concepts=body.concepts,
        path=body.path,
        categories=body.categories,
        control=body.control,
        terms=body.terms(),
    )
    _describe(session, response, "/concept-sets", concept_set, new=new)
    return ConceptSetOut.reviewed(concept_set, concepts.review(session, concept_set, body.dissector), brief=True)


@concept_sets.get("")
def list_concept_sets(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[ResourceOut]:
    """All concept sets, newest first, including the built-in ones. Concepts are counted, not listed."""
    return _page(session, ResourceKind.CONCEPT_SET, request, response, limit, cursor)


@concept_sets.get("/{name}")
def read_concept_set(
    name: Ref, session: SessionDep, dissector: Annotated[str | None, Query(max_length=80)] = None
) -> ConceptSetOut:
    """One concept set with all its concepts, and what is weak about them; `dissector`: whose reading counts, too."""
    concept_set = resources.find_resource(session, ResourceKind.CONCEPT_SET, name, field="name")
    return ConceptSetOut.reviewed(concept_set, concepts.review(session, concept_set, dissector))


@concept_sets.get("/{name}/diff")
def compare_concept_sets(
    name: Ref,
    session: SessionDep,
    to: Annotated[str, Query(min_length=1, max_length=80, description="`name` or `name@version` of the later one.")],
) -> ConceptSetDiffOut:
    """What happened from one concept set to another: concepts added, removed, changed, and perhaps renamed."""
    return ConceptSetDiffOut.of(*concepts.compare_concept_sets(session, name, to))


def _describe(session: Session, response: Response, collection: str, resource: Resource, *, new: bool) -> None:
    response.headers["Location"] = f"{collection}/{resource.reference}"
    replaced = resource.replaced_terms
    before = None if replaced is None else resources.digest_of_registration(resource, replaced)
    annotate(session, before=before, after=resources.digest_of_registration(resource))
    if not new:
        response.status_code = status.HTTP_200_OK


def _inspected_again(session: Session, queue: JobQueue, kind: ResourceKind, name: str) -> Resource:
    resource = resources.find_resource(session, kind, name, field="name")
    prepare(session, queue, resource, Preparation.INSPECT)
    return resource


def _page(
    session: Session, kind: ResourceKind, request: Request, response: Response, limit: int, cursor: str | None
) -> PageOut[ResourceOut]:
    page = resources.list_resources(session, kind, limit=limit, after=decode_cursor(cursor))
    items = [ResourceOut.of(resource) for resource in page.items]
    return PageOut[ResourceOut](items=items, next=next_cursor(request, response, page.next_position))


def _stated_page(
    session: Session, kind: ResourceKind, request: Request, response: Response, limit: int, cursor: str | None
) -> PageOut[StatedOut]:
    page = resources.list_resources(session, kind, limit=limit, after=decode_cursor(cursor))
    states = states_of(session, page.items)
    items = [
        StatedOut(**ResourceOut.of(resource).model_dump(), state=states.get(resource.id)) for resource in page.items
    ]
    return PageOut[StatedOut](items=items, next=next_cursor(request, response, page.next_position))


def _dissector(session: Session, dissector: Resource) -> DissectorOut:
    state, problem = standing_of(session, dissector)
    check = find_check(session, dissector.id)
    notes = None if check is None else check["notes"]
    return DissectorOut(**ResourceOut.of(dissector).model_dump(), state=state, problem=problem, notes=notes)


def _model(session: Session, model: Resource) -> ModelOut:
    inspected = find_inspected(session, model.id)
    layers, inputs = inspected.layers, inspected.input
    layer_infos = None if layers is None else [LayerInfoOut.model_validate(layer) for layer in layers]
    state, _ = standing_of(session, model)
    values = None if inputs is None else inputs["values"] or None
    latents = model_spec(model).get("latents")
    return ModelOut(
        **ResourceOut.of(model).model_dump(),
        state=state,
        input=None if values is None else {name: InputValueOut(**value) for name, value in values.items()},
        warnings=[] if inputs is None else inputs["warnings"],
        layers=layer_infos,
        problem=inspected.problem,
        reading=inspected.reading,
        autoencoder=None if latents is None else AutoencoderOut.model_validate(latents),
    )


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

    problem = problem_of(session, probe_set, Preparation.MEASURE)
    if problem is None:
        shown = None if check is None else check.problem
    else:
        shown = in_words(problem)
        state = state and ResourceState.REFUSED
    return ProbeSetOut(**ResourceOut.of(probe_set).model_dump(), state=state, problem=shown, check=check)
