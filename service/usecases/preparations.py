"""What workers find out about registered things: the layers of models, whether dissectors work, the sizes of images.

A preparation is a work item like those of jobs: one for each thing, held under a lease, tried a bounded number of
times, in turns with the jobs. Every function is one transaction's work, and whoever writes for a holder checks its
fence.
"""

from typing import cast
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import work as queries
from service.db.checks import lock_probe_set
from service.db.pictures import find_sizes, forget_sizes
from service.db.resources import (
    forget_image_count,
    forget_inspection,
    get_resource,
    image_count_for_job,
    lock_unused_sets,
    note_content,
    note_of_model,
    save_inspection,
    set_image_count,
)
from service.db.session import on_commit
from service.db.text_readings import add_reading, fail_open_readings, open_readings
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
    where_of,
)
from service.domain.trail import SCHEDULER
from service.domain.work import (
    CHECK_STAGES,
    DissectorCheck,
    FetchResult,
    InspectionResult,
    ItemStatus,
    ListingResult,
    MeasuringResult,
    Preparation,
    PreparationLease,
)
from service.errors import Conflict, LeaseLost, NotFetched, NotListed, NotMeasured, ProblemFields
from service.ports import JobQueue
from service.usecases.accidents import MEMORY_LIMIT, TIME_LIMIT, WORKER_LOST, wait_after
from service.usecases.checks import QUEUE as QUEUE_OF_CHECKS
from service.usecases.checks import ask_check, check_mended, complete_check, give_up_check
from service.usecases.trail import record
from service.usecases.wake import wake_worker

_QUEUE = "_preparations"
"""No job's queue may have this name, so that preparations take turns with all of them."""

_ASK_AGAIN = {
    Preparation.INSPECT: "POST {collection}/{reference}/inspect tries again.",
    Preparation.MEASURE: "POST {collection}/{reference}/measure tries again.",
    Preparation.FETCH: "POST {collection}/{reference}/inspect tries again.",
    Preparation.LIST: "POST {collection}/{reference}/check tries again.",
    Preparation.READ: "POST {collection} with the same concepts and dissector tries again.",
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
    Preparation.CHECK: "checked",
    Preparation.TALLY: "checked",
}

_PLACES_TO_LOOK = "Check the workers' logs and memory."


def prepare(session: Session, queue: JobQueue, resource: Resource, stage: Preparation, *, total: int = 1) -> None:
    """Have a worker prepare a registered thing, or prepare it again, unless one is about it.

    total: units of work, images for example. A probe set that has been measured stays as it is. A model whose source
    was not fetched is fetched first, and then inspected; a probe set whose images are not listed is listed first.
    """
    if resource.kind is ResourceKind.PROBE_SET and not is_listed(probe_set_spec(resource)):
        stage = Preparation.LIST
    if stage is Preparation.INSPECT and resource.kind is ResourceKind.MODEL and not is_fetched(resource):
        stage = Preparation.FETCH
    if stage is Preparation.MEASURE and _has_nothing_to_measure(session, resource):
        return
    _ask_worker(session, queue, resource.id, stage, total)


def ask_reading(session: Session, queue: JobQueue, concept_set: Resource, dissector: Resource) -> None:
    """Have a worker read a concept set by a dissector, or try that again."""
    add_reading(session, concept_set.id, dissector.id)
    prepare(session, queue, concept_set, Preparation.READ)


def measure_again(session: Session, queue: JobQueue, probe_set: Resource) -> None:
    """Have a worker measure a probe set that could not be measured, or not all of whose images could.

    Where its check has refused it, its images are checked again as well.
    Raises Conflict where some could not, and a job rests on that already.
    """
    if not is_listed(probe_set_spec(probe_set)):
        prepare(session, queue, probe_set, Preparation.LIST)
        return
    check_mended(session, queue, probe_set)
    preparation = queries.find_preparation(session, probe_set.id, Preparation.MEASURE)
    is_measured = preparation is not None and preparation[0] is ItemStatus.DONE
    sizes = find_sizes(session, probe_set.digest) if is_measured else None
    if sizes is None or None not in sizes:
        prepare(session, queue, probe_set, Preparation.MEASURE)
        return

    unused_sets = lock_unused_sets(session, probe_set.digest)
    if unused_sets is None:
        raise Conflict(
            f"A job has used probe set {probe_set.reference} without the images that could not be measured.",
            field="name",
            value=probe_set.reference,
            remedy="Add a column to the manifest, for example `revision`, and register it: that is another probe set.",
        )

    forget_sizes(session, probe_set.digest)
    for probe_set_id in unused_sets:
        forget_image_count(session, probe_set_id)
        _ask_worker(session, queue, probe_set_id, Preparation.MEASURE, len(sizes))


def image_count(session: Session, probe_set: Resource) -> int:
    """How many images, or patches of them, a probe set has, for a job on it.

    Raises NotListed while a worker lists the images, NotMeasured while one reads their sizes, and Conflict where it
    could not.
    """
    spec = probe_set_spec(probe_set)
    if not is_listed(spec):
        raise unlisted(session, probe_set)
    if not is_measured_first(spec):
        images = spec["images"]  # cannot change
    else:
        images = image_count_for_job(session, probe_set.id)

    if images is None:
        raise unmeasured(session, probe_set)
    return images


def unmeasured(session: Session, probe_set: Resource) -> Conflict:
    """Why the patches of a probe set are not known: NotMeasured, or the problem that a worker met."""
    problem = problem_of(session, probe_set, Preparation.MEASURE)
    if problem is not None:
        return _given_up(probe_set, "cannot be cut into frames and patches", problem, field="probe_set")
    return NotMeasured(
        f"A worker has not yet read the image sizes that the frames and patches of probe set {probe_set.reference} "
        "need.",
        field="probe_set",
        value=probe_set.reference,
        remedy=f"Wait until GET /probe-sets/{probe_set.reference} says in spec.images how many there are.",
    )


def unlisted(session: Session, probe_set: Resource) -> Conflict:
    """Why it is not known which images a probe set has: NotListed, or the problem that a worker met."""
    problem = problem_of(session, probe_set, Preparation.LIST)
    if problem is not None:
        return _given_up(probe_set, "cannot be listed", problem, field="probe_set")
    return NotListed(
        f"A worker has not yet read the headers of the images of probe set {probe_set.reference}, which say what they "
        "are.",
        field="probe_set",
        value=probe_set.reference,
        remedy=f"Wait until GET /probe-sets/{probe_set.reference} says in spec.images how many there are.",
    )


def check_fetched(session: Session, model: Resource) -> None:
    """Raise NotFetched while nobody knows the content of a model's source, and Conflict where it cannot be fetched."""
    if is_fetched(model):
        return

    problem = problem_of(session, model, Preparation.FETCH)
    if problem is not None:
        raise _given_up(model, "cannot be fetched", problem, field="target")
    raise NotFetched(
        f"A worker has not yet fetched model {model.reference} from its source, so nobody knows its content.",
        field="target",
        value=model.reference,
        remedy=f"Wait until GET /models/{model.reference} shows spec.sha256, "
        "or register the source together with its sha256.",
    )


def _given_up(resource: Resource, what: str, problem: ProblemFields, *, field: str) -> Conflict:
    return Conflict(
        f"{resource.kind.words.capitalize()} {resource.reference} {what}. {problem['detail']}",
        field=field,
        value=resource.reference,
        remedy=problem.get("remedy"),
    )


def problem_of(session: Session, resource: Resource, stage: Preparation) -> ProblemFields | None:
    """Why a preparation was given up; None where it was not, or is tried again."""
    preparation = queries.find_preparation(session, resource.id, stage)
    if preparation is None:
        return None

    status, problem = preparation
    return problem if status is ItemStatus.WITHDRAWN else None


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
    elif lease.stage is Preparation.READ:
        queries.finish_item(session, lease, {})
        if open_readings(session, lease.resource_id):  # asked for since the worker looked
            turn = queries.next_turn(session, _QUEUE)
            queries.add_preparation(session, lease.resource_id, lease.stage, queue=_QUEUE, turn=turn, total=1)
        return
    elif lease.stage is Preparation.LIST:
        _note_listed(session, queue, lease.resource_id, cast("ListingResult", result))
    else:
        measured = cast("MeasuringResult", result)
        set_image_count(
            session,
            lease.resource_id,
            images=measured["images"],
            unmeasured=measured["unmeasured"],
            unmeasured_rows=measured["unmeasured_rows"],
        )
    queries.finish_item(session, lease, stored)


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

    turn = queries.next_turn(session, QUEUE_OF_CHECKS if lease.stage in CHECK_STAGES else _QUEUE)
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
        turn = queries.next_turn(session, _QUEUE)
        queries.add_preparation(session, model_id, Preparation.INSPECT, queue=_QUEUE, turn=turn, total=1)


def _note_listed(session: Session, queue: JobQueue | None, probe_set_id: UUID, result: ListingResult) -> None:
    """The probe set gets its digest; then its images are measured, where they are cut, and checked."""
    probe_set = get_resource(session, probe_set_id)
    if is_listed(probe_set_spec(probe_set)):
        return

    known = note_content(session, probe_set_id, result["digest"], {**probe_set.spec, **result["entries"]})
    if "same_as" in known.spec:
        return
    if is_measured_first(probe_set_spec(known)):
        turn = queries.next_turn(session, _QUEUE)
        queries.add_preparation(
            session, probe_set_id, Preparation.MEASURE, queue=_QUEUE, turn=turn, total=result["images"]
        )
    ask_check(session, queue, known, result["images"])


def _ask_worker(session: Session, queue: JobQueue, resource_id: UUID, stage: Preparation, total: int) -> None:
    turn = queries.next_turn(session, _QUEUE)
    if queries.add_preparation(session, resource_id, stage, queue=_QUEUE, turn=turn, total=total):
        on_commit(session, lambda: wake_worker(queue, resource_id))


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


def _has_nothing_to_measure(session: Session, probe_set: Resource) -> bool:
    """Are the images shown whole, or is it a part of a measured set, or measured?"""
    spec = probe_set_spec(probe_set)
    if not is_measured_first(spec) or where_of(spec):
        return True

    preparation = queries.find_preparation(session, probe_set.id, Preparation.MEASURE)
    return preparation is not None and preparation[0] is ItemStatus.DONE


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
