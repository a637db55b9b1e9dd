"""Whether what was registered can be used, as far as a worker has looked: checking, ready or refused."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from service.db.jobs import JobParts
from service.db.work import find_preparations
from service.domain.resources import Resource, ResourceKind, ResourceState
from service.domain.specs import probe_set_spec
from service.domain.work import ItemStatus, Preparation
from service.errors import PartRefused, ProblemFields
from service.usecases.checks import check_readable, states_of_sets

_STATES = {
    ItemStatus.READY: ResourceState.CHECKING,
    ItemStatus.LEASED: ResourceState.CHECKING,
    ItemStatus.DONE: ResourceState.READY,
    ItemStatus.WITHDRAWN: ResourceState.REFUSED,
}


def states_of(session: Session, resources: Sequence[Resource]) -> dict[UUID, ResourceState]:
    """The states of models, dissectors and probe sets. Those that no worker was asked to open or check have none."""
    probe_sets = [resource for resource in resources if resource.kind is ResourceKind.PROBE_SET]
    if probe_sets:
        listings = find_preparations(session, [probe_set.id for probe_set in probe_sets], Preparation.LIST)
        unlisted = {set_id: _STATES[status] for set_id, (status, _) in listings.items() if status != ItemStatus.DONE}
        return unlisted | states_of_sets(session, probe_sets)

    preparations = _openings(session, [resource.id for resource in resources])
    return {resource_id: _STATES[status] for resource_id, (status, _) in preparations.items()}


def standing_of(session: Session, resource: Resource) -> tuple[ResourceState | None, ProblemFields | None]:
    """The state of a model or dissector, None where it has none; and why it was refused, where it was."""
    preparation = _openings(session, [resource.id]).get(resource.id)
    if preparation is None:
        return None, None

    status, problem = preparation
    state = _STATES[status]
    return state, problem if state is ResourceState.REFUSED else None


def check_not_refused(session: Session, parts: JobParts) -> None:
    """Raise PartRefused where a worker could not open the target or the dissector, or read the probe set's images.

    One that is still being opened, or that nobody was asked to open, may be used: the job opens it itself. A job on a
    probe set that is being checked waits for that.
    """
    opened = {"target": parts.target, "dissector": parts.dissector}
    preparations = _openings(session, [part.id for part in opened.values()])

    for field, part in opened.items():
        status, problem = preparations.get(part.id, (None, None))
        if status is ItemStatus.WITHDRAWN and problem is not None:
            raise PartRefused(
                f"{part.kind.words.capitalize()} {part.reference} was refused when a worker opened it. "
                f"{problem['detail']}",
                field=field,
                value=part.reference,
                remedy=problem.get("remedy"),
            )

    if not _is_unmeasurable(session, parts.probe_set):  # that says more, and is told where the patches are counted
        check_readable(session, parts.probe_set)


def _is_unmeasurable(session: Session, probe_set: Resource) -> bool:
    if probe_set_spec(probe_set)["patches"] is None:
        return False
    status, _ = find_preparations(session, [probe_set.id], Preparation.MEASURE).get(probe_set.id, (None, None))
    return status is ItemStatus.WITHDRAWN


def _openings(session: Session, resource_ids: Sequence[UUID]) -> dict[UUID, tuple[ItemStatus, ProblemFields | None]]:
    """Where the opening of each stands; for what has to be fetched first, where that stands."""
    fetched = find_preparations(session, resource_ids, Preparation.FETCH)
    return fetched | find_preparations(session, resource_ids, Preparation.INSPECT)
