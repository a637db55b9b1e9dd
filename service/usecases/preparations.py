"""Have workers find things out about what is registered: layers of models, whether dissectors work, sizes of images.

A preparation is a work item like those of jobs, in turns with them: one for each thing. What becomes of it:
`service.usecases.preparation_work`.
"""

from uuid import UUID

from sqlalchemy.orm import Session

from service.db import work as queries
from service.db.pictures import find_sizes, forget_sizes
from service.db.resources import forget_image_count, image_count_for_job, lock_unused_sets
from service.db.search_vectors import add_search_vector
from service.db.session import on_commit
from service.db.text_readings import add_reading
from service.domain.resources import Resource, ResourceKind
from service.domain.search import SearchKind
from service.domain.specs import is_fetched, is_listed, is_measured_first, probe_set_spec, where_of
from service.domain.work import ItemStatus, Preparation
from service.errors import Conflict, NotFetched, NotListed, NotMeasured, ProblemFields
from service.ports import JobQueue
from service.usecases.checks import check_mended
from service.usecases.wake import wake_worker

QUEUE = "_preparations"
"""No job's queue may have this name, so that preparations take turns with all of them."""

_PRIORITIES = {Preparation.EMBED: 1_000}
"""Somebody waits for what a search goes by: it goes before all jobs, and takes a moment."""


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


def ask_vector(session: Session, queue: JobQueue, dissector: Resource, kind: SearchKind, query: str) -> None:
    """Have a worker find out where a text or an image lies in a dissector's space, or try that again."""
    add_search_vector(session, dissector.id, kind, query)
    prepare(session, queue, dissector, Preparation.EMBED)


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


def add_preparation(session: Session, resource_id: UUID, stage: Preparation, *, total: int = 1) -> bool:
    """Make an item ready, for whoever looks for work next; False where there is one that is not done."""
    turn = queries.next_turn(session, QUEUE)
    priority = _PRIORITIES.get(stage, 0)
    return queries.add_preparation(session, resource_id, stage, queue=QUEUE, turn=turn, total=total, priority=priority)


def _ask_worker(session: Session, queue: JobQueue, resource_id: UUID, stage: Preparation, total: int) -> None:
    if add_preparation(session, resource_id, stage, total=total):
        on_commit(session, lambda: wake_worker(queue, resource_id))


def _has_nothing_to_measure(session: Session, probe_set: Resource) -> bool:
    """Are the images shown whole, or is it a part of a measured set, or measured?"""
    spec = probe_set_spec(probe_set)
    if not is_measured_first(spec) or where_of(spec):
        return True

    preparation = queries.find_preparation(session, probe_set.id, Preparation.MEASURE)
    return preparation is not None and preparation[0] is ItemStatus.DONE
