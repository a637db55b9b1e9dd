"""Register, list, read and inspect models."""

from fastapi import APIRouter, Request, Response, status
from sqlalchemy.orm import Session

from api.dependencies import QueueDep, RootsDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut
from api.routes.resources import Ref, describe_registration, inspected_again, stated_page
from api.schemas.models import AutoencoderOut, InputValueOut, LayerInfoOut, ModelIn, ModelOut
from api.schemas.resources import ResourceOut, StatedOut
from service.db.resources import find_inspected
from service.domain.resources import Resource, ResourceKind
from service.domain.specs import model_spec
from service.usecases.models import register_model as register_target
from service.usecases.resources import find_resource
from service.usecases.states import standing_of

router = APIRouter(prefix="/models", tags=["models"], route_class=OneThreadRoute)


@router.post("", status_code=status.HTTP_201_CREATED)
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

    describe_registration(session, response, "/models", model, new=new)
    return _model(session, model)


@router.get("")
def list_models(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[StatedOut]:
    """All models, newest first."""
    return stated_page(session, ResourceKind.MODEL, request, response, limit, cursor)


@router.get("/{name}")
def read_model(name: Ref, session: SessionDep) -> ModelOut:
    """One model, with its layers once a worker has listed them."""
    return _model(session, find_resource(session, ResourceKind.MODEL, name, field="name"))


@router.post("/{name}/inspect", status_code=status.HTTP_202_ACCEPTED)
def inspect_model(name: Ref, session: SessionDep, queue: QueueDep) -> ModelOut:
    """Ask a worker to list the layers again, unless one is doing so. The answer shows what is known so far."""
    return _model(session, inspected_again(session, queue, ResourceKind.MODEL, name))


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
