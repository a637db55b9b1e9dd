"""What a dissection will cost, as far as it can be said before it begins."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.db.jobs import JobParts, latest_job_of_model
from service.db.resources import find_inspected
from service.domain.jobs import JobRequest, Stage
from service.domain.layers import STAGES, is_selector
from service.domain.work import LayerListing
from service.usecases.jobs import find_job
from service.usecases.preparations import image_count


@dataclass(frozen=True, slots=True)
class JobCost:
    """The size of a job. None where nobody has looked yet."""

    images: int
    layers: int | None
    neurons: int | None

    multiply_adds: int | None
    """Of the network for one image, up to the deepest of the layers."""

    seconds: float | None
    """How long showing the images would take at the rate of the network's last job."""


def cost_of_job(session: Session, parts: JobParts, request: JobRequest) -> JobCost:
    """What that job will cost. Raises what `image_count` raises."""
    images = image_count(session, parts.probe_set)
    listed = find_inspected(session, parts.target.id).layers
    chosen = None if listed is None else _chosen(list(listed), request.options.layers)
    rate = _rate(session, parts)
    costs = [layer["multiply_adds"] for layer in chosen or [] if "multiply_adds" in layer]
    return JobCost(
        images=images,
        layers=None if chosen is None else len(chosen),
        neurons=None if chosen is None else sum(layer["units"] for layer in chosen),
        multiply_adds=max(costs) if costs else None,
        seconds=None if rate is None else images / rate,
    )


def _chosen(listed: list[LayerListing], layers: tuple[str, ...] | None) -> list[LayerListing] | None:
    """The layers that are meant; None where only the job itself can say it."""
    if layers is None:
        main = [layer for layer in listed if layer.get("is_main")]
        return main or None
    if STAGES in layers or any(map(is_selector, layers)):
        return None
    names = frozenset(layers)
    return [layer for layer in listed if layer["name"] in names]


def _rate(session: Session, parts: JobParts) -> float | None:
    """Images a second of the last job on that version of the network."""
    last = latest_job_of_model(session, parts.target.name, parts.target.version)
    if last is None:
        return None
    rates = [stage.rate for stage in find_job(session, last).progress if stage.stage is Stage.PROBE]
    return rates[0] if rates else None
