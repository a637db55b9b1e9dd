"""What becomes of a preparation's work item, and through it of what is registered: see `service.usecases.work`.

It is held under a lease and tried a bounded number of times. Every function is one transaction's work, and whoever
writes for a holder checks its fence.
"""

from typing import cast
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import work as queries
from service.db.checks import lock_probe_set
from service.db.resources import (
    forget_inspection,
    get_resource,
    note_content,
    note_of_model,
    save_inspection,
    set_image_count,
)
from service.db.search_vectors import fail_open_search_vectors, open_search_vectors
from service.db.session import on_commit
from service.db.text_readings import fail_open_readings, open_readings
from service.domain.json_values import JsonObject
from service.domain.resources import Resource, ResourceKind
from service.domain.specs import (
    Fetched,
    ModelSpec,
    digest_of_model,
    is_fetched,
    is_listed,
    is_measured_first,
    model_spec,
    probe_set_spec,
)
from service.domain.trail import SCHEDULER
from service.domain.work import (
    CHECK_STAGES,
    DissectorCheck,
    FetchResult,
    InspectionResult,
    ListingResult,
    MeasuringResult,
    Preparation,
    PreparationLease,
)
from service.errors import LeaseLost, ProblemFields
from service.ports import JobQueue
from service.usecases.accidents import MEMORY_LIMIT, TIME_LIMIT, WORKER_LOST, wait_after
from service.usecases.checks import QUEUE as QUEUE_OF_CHECKS
from service.usecases.checks import ask_check, complete_check, give_up_check
from service.usecases.preparations import QUEUE, add_preparation
from service.usecases.trail import record
from service.usecases.wake import wake_worker

_ASK_AGAIN = {
    Preparation.INSPECT: "POST {collection}/{reference}/inspect tries again.",
    Preparation.MEASURE: "POST {collection}/{reference}/measure tries again.",
    Preparation.FETCH: "POST {collection}/{reference}/inspect tries again.",
    Preparation.LIST: "POST {collection}/{reference}/check tries again.",
    Preparation.READ: "POST {collection} with the same concepts and dissector tries again.",
    Preparation.EMBED: "The same search, a minute later, tries again.",
    Preparation.CHECK: "POST {collection}/{reference}/check tries again.",
    Preparation.TALLY: "POST {collection}/{reference}/check tries again.",
}
_LIMITS = {TIME_LIMIT, MEMORY_LIMIT}
"""What reaches one twice running would do so for ever, and hold up a worker each time."""

_TRIED = {
    Preparation.INSPECT: "opened",
    Preparation.MEASURE: "measured",
    Preparation.FETCH: "fetched",
    Preparation.LIST: "listed",
    Preparation.READ: "read",
    Preparation.EMBED: "opened for a search",
    Preparation.CHECK: "checked",
    Preparation.TALLY: "checked",
}

_PLACES_TO_LOOK = "Check the workers' logs and memory."


def complete_preparation(
    session: Session, lease: PreparationLease, result: JsonObject, queue: JobQueue | None = None
) -> None:
    """Store what a worker has found out. queue: wakes workers for what that opens. Raises LeaseLost."""
    _lock_held(session, lease)
    if lease.stage in CHECK_STAGES:
        complete_check(session, queue, lease, result)
        return

    stored: JsonObject = {}
    if _is_model(session, lease):
        inspected = cast("InspectionResult", result)
        save_inspection(
            session,
            lease.resource_id,
            layers=inspected["layers"],
            input=inspected.get("input"),
            reading=inspected.get("reading"),
        )
        note_of_model(session, lease.resource_id, inspected.get("notes", {}))
    elif lease.stage is Preparation.FETCH:
        _note_fetched(session, lease.resource_id, cast("FetchResult", result))
    elif lease.stage is Preparation.INSPECT:
        check = cast("DissectorCheck", result)
        stored = {"width": check["width"], "notes": check["notes"]}
    elif lease.stage is Preparation.LIST:
        _note_listed(session, queue, lease.resource_id, cast("ListingResult", result))
    elif lease.stage is Preparation.MEASURE:
        measured = cast("MeasuringResult", result)
        set_image_count(
            session,
            lease.resource_id,
            images=measured["images"],
            unmeasured=measured["unmeasured"],
            unmeasured_rows=measured["unmeasured_rows"],
        )
    queries.finish_item(session, lease, stored)

    if _more_is_asked(session, lease):
        add_preparation(session, lease.resource_id, lease.stage)


def fail_preparation(
    session: Session, lease: PreparationLease, problem: ProblemFields, queue: JobQueue | None = None
) -> None:
    """End a preparation that would meet the same error again; the thing has it for its problem. Raises LeaseLost."""
    _lock_held(session, lease)
    resource = get_resource(session, lease.resource_id)
    remedy = f"{problem.get('remedy', _PLACES_TO_LOOK)} {_ask_again(resource, lease.stage)}"
    _give_up(session, lease, {**problem, "remedy": remedy}, queue)


def try_preparation_again(
    session: Session,
    lease: PreparationLease,
    problem: ProblemFields,
    *,
    max_attempts: int,
    queue: JobQueue | None = None,
) -> None:
    """Hand an item back after an accident, to be tried again behind what waits by then, or give it up.

    An item that reaches a limit of time or memory in two attempts running is given up. Raises LeaseLost.
    """
    _lock_held(session, lease)
    if lease.attempt >= max_attempts or _reaches_limits(session, lease, problem):
        resource = get_resource(session, lease.resource_id)
        _give_up(session, lease, _tried_too_often(resource, lease, problem), queue)
        return

    turn = queries.next_turn(session, QUEUE_OF_CHECKS if lease.stage in CHECK_STAGES else QUEUE)
    queries.hand_back_item(session, lease, wait=wait_after(lease.attempt), problem=problem, turn=turn)


def hand_back_preparation(session: Session, queue: JobQueue, lease: PreparationLease) -> None:
    """Make an item ready again whose worker is told to stop; it counts as no attempt. Raises LeaseLost."""
    if not queries.hand_back_item(session, lease, uncounted=True):
        raise _lost(lease)
    on_commit(session, lambda: wake_worker(queue, lease.resource_id))


def reap_preparation(session: Session, lease: PreparationLease) -> None:
    """Give up an item whose last holder has fallen silent, unless it has been heard of."""
    if not _lock(session, lease) or not queries.is_still_expired(session, lease):
        return

    resource = get_resource(session, lease.resource_id)
    _give_up(session, lease, _tried_too_often(resource, lease, WORKER_LOST))

    subject = f"{resource.kind.collection}/{resource.reference}"
    record(session, actor=SCHEDULER, action=f"give up to {lease.stage}", subject=subject)


def _note_fetched(session: Session, model_id: UUID, result: FetchResult) -> None:
    """The model gets its digest, and is inspected next; the worker that has fetched it looks for work anyway."""
    model = get_resource(session, model_id)
    if is_fetched(model):
        return

    fetched = Fetched(place=result["place"], version=result["version"], bytes=result["bytes"])
    spec: ModelSpec = {**model_spec(model), "sha256": result["sha256"], "fetched": fetched}
    known = note_content(session, model_id, digest_of_model(spec), cast("JsonObject", spec))
    forget_inspection(session, model_id)
    if "same_as" not in known.spec:
        add_preparation(session, model_id, Preparation.INSPECT)


def _note_listed(session: Session, queue: JobQueue | None, probe_set_id: UUID, result: ListingResult) -> None:
    """The probe set gets its digest; then its images are measured, where they are cut, and checked."""
    probe_set = get_resource(session, probe_set_id)
    if is_listed(probe_set_spec(probe_set)):
        return

    known = note_content(session, probe_set_id, result["digest"], {**probe_set.spec, **result["entries"]})
    if "same_as" in known.spec:
        return
    if is_measured_first(probe_set_spec(known)):
        add_preparation(session, probe_set_id, Preparation.MEASURE, total=result["images"])
    ask_check(session, queue, known, result["images"])


def _more_is_asked(session: Session, lease: PreparationLease) -> bool:
    """Has somebody asked for more since the worker looked?"""
    if lease.stage is Preparation.READ:
        return bool(open_readings(session, lease.resource_id))
    return lease.stage is Preparation.EMBED and bool(open_search_vectors(session, lease.resource_id))


def _reaches_limits(session: Session, lease: PreparationLease, problem: ProblemFields) -> bool:
    """Did this attempt and the one before it both reach a limit?"""
    previous = queries.last_problem(session, lease)
    return previous is not None and {previous["code"], problem["code"]} <= _LIMITS


def _give_up(session: Session, lease: PreparationLease, problem: ProblemFields, queue: JobQueue | None = None) -> None:
    queries.give_up_item(session, lease, problem)
    if lease.stage in CHECK_STAGES:
        give_up_check(session, queue, lease)
    elif lease.stage is Preparation.READ:
        fail_open_readings(session, lease.resource_id, problem)
    elif lease.stage is Preparation.EMBED:
        fail_open_search_vectors(session, lease.resource_id, problem)
    elif lease.stage is Preparation.FETCH or _is_model(session, lease):
        save_inspection(session, lease.resource_id, problem=problem)


def _is_model(session: Session, lease: PreparationLease) -> bool:
    return lease.stage is Preparation.INSPECT and get_resource(session, lease.resource_id).kind is ResourceKind.MODEL


def _tried_too_often(resource: Resource, lease: PreparationLease, problem: ProblemFields) -> ProblemFields:
    times = "once" if lease.attempt == 1 else f"{lease.attempt} times"
    return {
        "code": problem["code"],
        "title": problem["title"],
        "detail": (
            f"It was tried {times} to have the {resource.kind.words} {_TRIED[lease.stage]}, without success. "
            f"The last time: {problem['detail']}"
        ),
        "remedy": f"{_PLACES_TO_LOOK} {_ask_again(resource, lease.stage)}",
    }


def _ask_again(resource: Resource, stage: Preparation) -> str:
    return _ASK_AGAIN[stage].format(collection=resource.kind.collection, reference=resource.reference)


def _lock_held(session: Session, lease: PreparationLease) -> None:
    """Raises LeaseLost."""
    if not _lock(session, lease):
        raise _lost(lease)


def _lock(session: Session, lease: PreparationLease) -> bool:
    """Keep a held item from changing until the transaction ends; False where it is no longer ours."""
    if lease.stage in CHECK_STAGES:
        # Whoever gives a check up takes all its items, so holders who locked theirs first would wait for each other.
        lock_probe_set(session, lease.resource_id)
    return queries.lock_preparation(session, lease)


def _lost(lease: PreparationLease) -> LeaseLost:
    return LeaseLost(f"The lease on the item to {lease.stage} {lease.resource_id} is no longer this worker's.")
