"""Open a registered model and list its layers."""

from dataclasses import asdict
from pathlib import Path
from uuid import UUID

from service.config import Settings
from service.db.resources import get_resource, save_inspection
from service.db.session import Sessions, transaction
from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.engine.hooks import list_layers
from service.engine.networks import choose_device
from service.errors import DissectError
from service.files import data_roots


def inspect_model(sessions: Sessions, settings: Settings, model_id: UUID) -> None:
    """Store the layers of a model, or the problem that opening it met."""
    with transaction(sessions) as session:
        model = get_resource(session, model_id)
    spec = TargetSpec(
        Path(model.spec["checkpoint"]),
        model.spec["architecture"],
        model.spec["sha256"],
        roots=data_roots(settings),
    )
    try:
        layers = [asdict(layer) for layer in list_layers(open_target(spec, choose_device(settings.device)))]
        problem = None
    except DissectError as error:
        layers, problem = None, error.as_problem()
    with transaction(sessions) as session:
        save_inspection(session, model_id, layers=layers, problem=problem)
