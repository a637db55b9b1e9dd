"""The check of a probe set before any job: asked for when it is registered, shared by workers, waited for by jobs.

Every function is one transaction's work. Whoever begins or ends a check, or submits a job on the set, locks the set, so
that no job waits for a check that has ended.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import checks as queries
from service.db.session import on_commit
from service.db.work import finish_item, next_turn
from service.domain.checks import IMAGES_AT_ONCE, WHATEVER_THE_REASON, NamedRow, Reason, SetCheck, count_of, rows_of
from service.domain.jobs import WaitsFor
from service.domain.json_values import JsonObject
from service.domain.resources import Resource, ResourceState
from service.domain.specs import checked_with, probe_set_spec
from service.domain.work import CheckResult, Preparation, PreparationLease, TallyResult
from service.errors import PartRefused, ProblemFields, UnreadableImage
from service.ports import JobQueue
from service.usecases.wake import wake_worker

QUEUE = "_checks"
"""No job's queue may have this name: checks take turns with all of them, and with other preparations."""

_ROWS_IN_WORDS = 10
_REMEDIES = 3


@dataclass(frozen=True, slots=True)
class CheckStanding:
    """Where the check of a probe set stands."""

    state: ResourceState

    done: int
    total: int
    """Images."""

    result: SetCheck | None
    """What the last check found; while another is under way, what the one before did."""

    checked_at: datetime | None
    problem: ProblemFields | None
    """Why the set is refused."""


def ask_check(session: Session, queue: JobQueue | None, probe_set: Resource, images: int) -> None:
    """Have workers check the images of a probe set, or check them again, unless a check is under way.

    images: how many there are, not cut into patches. queue: wakes a worker; None where one is woken anyway.
    """
    queries.lock_probe_set(session, probe_set.id)
    progress = queries.find_progress(session, [probe_set.id]).get(probe_set.id)
    if progress is not None and progress.is_open:
        return

    queries.forget_check_items(session, probe_set.id)
    totals = [min(IMAGES_AT_ONCE, images - start) for start in range(0, images, IMAGES_AT_ONCE)]
    _add(session, queue, probe_set.id, Preparation.CHECK, totals)


def check_mended(session: Session, queue: JobQueue, probe_set: Resource) -> None:
    """Have workers check a probe set again that was refused when its images were checked."""
    progress = queries.find_progress(session, [probe_set.id]).get(probe_set.id)
    if progress is not None and _state(probe_set, progress) is ResourceState.REFUSED:
        ask_check(session, queue, probe_set, progress.total)


def standing_of_check(session: Session, probe_set: Resource) -> CheckStanding | None:
    """Where the check of a probe set stands; None where nobody has asked for one."""
    progress = queries.find_progress(session, [probe_set.id]).get(probe_set.id)
    if progress is None:
        return None

    found = queries.find_result(session, probe_set.id)
    result, checked_at = found or (None, None)
    problem = None
    if _state(probe_set, progress) is ResourceState.REFUSED:
        problem = progress.problem or _problem_of_images(probe_set, result)
    return CheckStanding(_state(probe_set, progress), progress.done, progress.total, result, checked_at, problem)


def check_of(session: Session, probe_set_id: UUID) -> SetCheck | None:
    """What the last check of a probe set has found; None where there is none."""
    found = queries.find_result(session, probe_set_id)
    return None if found is None else found[0]


def states_of_sets(session: Session, probe_sets: Sequence[Resource]) -> dict[UUID, ResourceState]:
    """The states of probe sets, as far as their images were ever to be checked."""
    progress = queries.find_progress(session, [probe_set.id for probe_set in probe_sets])
    return {
        probe_set.id: _state(probe_set, progress[probe_set.id]) for probe_set in probe_sets if probe_set.id in progress
    }


def check_readable(session: Session, probe_set: Resource) -> None:
    """Raise PartRefused where a check has found images that cannot be read and the set does not skip them.

    The same where the check was given up.
    """
    if states_of_sets(session, [probe_set]).get(probe_set.id) is not ResourceState.REFUSED:
        return
    standing = standing_of_check(session, probe_set)
    if standing is not None and standing.problem is not None:
        raise PartRefused(
            f"Probe set {probe_set.reference} was refused when its images were checked. {standing.problem['detail']}",
            field="probe_set",
            value=probe_set.reference,
            remedy=standing.problem.get("remedy"),
        )


def wait_for_check(session: Session, job_id: UUID, probe_set: Resource, *, priority: int) -> bool:
    """Have a job with ready items wait where its probe set is being checked; False where it is not.

    priority: the job's. The check becomes as urgent, or less urgent jobs would keep this one waiting.
    """
    checked_id = checked_with(probe_set)
    queries.keep_check_as_it_is(session, checked_id)
    progress = queries.find_progress(session, [checked_id]).get(checked_id)
    if progress is None or not progress.is_open:
        return False
    queries.hurry_check_items(session, checked_id, priority)
    queries.make_items_wait(session, job_id)
    return True


def what_job_waits_for(session: Session, job_id: UUID) -> WaitsFor | None:
    """The check that a job waits for; None where it waits for none."""
    if not queries.is_waiting(session, job_id):
        return None
    probe_set_id, reference = queries.probe_set_of_job(session, job_id)
    progress = queries.find_progress(session, [probe_set_id])[probe_set_id]
    return WaitsFor("check", f"/probe-sets/{reference}/check", progress.done, progress.total)


def unreadable_images(reference: str, result: SetCheck, among: Collection[int] | None = None) -> UnreadableImage | None:
    """The error of a job on images that a check could not read; None where it could read all.

    among: the rows that count, where these are not all; of them, those that the check has named.
    """
    count = count_of(result, Reason.UNREADABLE)
    rows = rows_of(result, Reason.UNREADABLE)
    if among is not None:
        rows = [row for row in rows if row["row"] in among]
        count = len(rows)
    return None if count == 0 else _unreadable(reference, rows, count)


def complete_check(session: Session, queue: JobQueue | None, lease: PreparationLease, result: JsonObject) -> None:
    """Store what an item of a check has found; the last one opens or ends the rest.

    Its holder has locked it and the set: the holders of the last two items must not each think that the other one is
    still at work.
    """
    if lease.stage is Preparation.TALLY:
        finish_item(session, lease, {})
        _end(session, queue, lease.resource_id, cast("TallyResult", result)["set"])
        return

    found = cast("CheckResult", result)
    finish_item(session, lease, {"shard": found["shard"]})
    if "set" in found:
        _end(session, queue, lease.resource_id, found["set"])
        return

    if not queries.has_open_items(session, lease.resource_id, Preparation.CHECK):
        _add(session, queue, lease.resource_id, Preparation.TALLY, [1])


def give_up_check(session: Session, queue: JobQueue | None, lease: PreparationLease) -> None:
    """End a check one of whose items was given up. Its set is locked; jobs that wait find out by themselves."""
    queries.withdraw_check_items(session, lease.resource_id)
    _release(session, queue, lease.resource_id)


def _end(session: Session, queue: JobQueue | None, probe_set_id: UUID, result: SetCheck) -> None:
    queries.save_check(session, probe_set_id, result)
    _release(session, queue, probe_set_id)


def _release(session: Session, queue: JobQueue | None, probe_set_id: UUID) -> None:
    for job_id in queries.release_waiting_jobs(session, probe_set_id):
        _wake(session, queue, job_id)


def _add(session: Session, queue: JobQueue | None, probe_set_id: UUID, stage: Preparation, totals: list[int]) -> None:
    turn = next_turn(session, QUEUE)
    queries.add_check_items(session, probe_set_id, stage, totals, queue=QUEUE, turn=turn)
    _wake(session, queue, probe_set_id)


def _wake(session: Session, queue: JobQueue | None, identifier: UUID) -> None:
    if queue is not None:
        on_commit(session, lambda: wake_worker(queue, identifier))


def _state(probe_set: Resource, progress: queries.CheckProgress) -> ResourceState:
    if progress.is_open:
        return ResourceState.CHECKING
    skips = probe_set_spec(probe_set)["on_unreadable"] == "skip"
    if progress.problem is not None or (progress.unreadable and not skips):
        return ResourceState.REFUSED
    return ResourceState.READY


def _problem_of_images(probe_set: Resource, result: SetCheck | None) -> ProblemFields | None:
    error = None if result is None else unreadable_images(probe_set.reference, result)
    return None if error is None else error.as_problem()


def _unreadable(reference: str, rows: list[NamedRow], count: int) -> UnreadableImage:
    remedy = _of_their_own(rows) + (
        f"Mend the files, then POST /probe-sets/{reference}/check checks them again. Or register a manifest without "
        "these rows, or with on_unreadable `skip`."
    )
    if count == 1:
        row = rows[0]
        return UnreadableImage(
            f"The image of manifest row {row['row']} cannot be read: {row['why']}.",
            field="image",
            value=f"row {row['row']}",
            remedy=remedy,
        )

    said = [f"row {row['row']}: {row['why']}" for row in rows[:_ROWS_IN_WORDS]]
    more = "" if count <= len(said) else f"; and {count - len(said)} more, see GET /probe-sets/{reference}/check"
    return UnreadableImage(
        f"{count} images of the manifest cannot be read. {'; '.join(said)}{more}.",
        field="image",
        value="rows " + ", ".join(str(row["row"]) for row in rows[:_ROWS_IN_WORDS]),
        remedy=remedy,
    )


def _of_their_own(rows: Sequence[NamedRow]) -> str:
    """What helps against the reasons of the first rows, where more can be said than what always helps."""
    remedies = (row.get("remedy", "").removesuffix(WHATEVER_THE_REASON).strip() for row in rows)
    own = list(dict.fromkeys(remedy for remedy in remedies if remedy))
    return "".join(f"{remedy} " for remedy in own[:_REMEDIES])
