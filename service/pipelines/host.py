"""A worker's host process: claim an item, have the child do it, settle what became of it. It never imports torch."""

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Protocol, TypeVar, cast
from uuid import UUID

import structlog
from safetensors import SafetensorError
from sqlalchemy.exc import DataError, ProgrammingError

from service.config import Settings
from service.db.session import Sessions, transaction
from service.db.work import claim_item, more_is_ready
from service.domain.jobs import Stage
from service.domain.work import (
    AblationLease,
    AnyLease,
    DissectionResult,
    Lease,
    PictureLease,
    PreparationLease,
    StoredArtifact,
)
from service.errors import ArtifactLost, DissectError, LeaseLost, ProblemFields, Unavailable
from service.pipelines import messages
from service.pipelines.child_process import ChildProcess
from service.pipelines.fetching_environment import FETCHING, fetching_variables
from service.pipelines.finish import finish_dissection
from service.pipelines.held_lease import HeldLease
from service.pipelines.source_keeper import SourceKeeper
from service.ports import ArtifactStore, JobQueue
from service.usecases import ablation_work, drawing_work, preparation_work, work
from service.usecases.wake import wake_worker

_DATABASE_AWAY_S = 1.0
_NOT_STORABLE: ProblemFields = {
    "code": DissectError.code,
    "title": DissectError.title,
    "detail": "What was computed cannot be stored; the worker's log has the details.",
}
_REFUSALS = (DataError, SafetensorError, AttributeError, LookupError, TypeError, ValueError)
"""Of the database, and of whoever stores what a stage does not give."""

_OTHER_TYPE = {None, "42804", "42883"}
"""SQLSTATEs where a value is of another type than its column. None: the driver sends nothing of that type."""

log = structlog.get_logger()
Result = TypeVar("Result")


class Computation(Protocol):
    """Where work items are computed: see `ChildProcess`."""

    def ask(
        self, request: messages.Run, *, on_progress: Callable[[int], None], unwanted: Callable[[], bool]
    ) -> messages.Answer:
        """Do what is asked; an accident is an answer too. unwanted: true once nobody waits for it any more."""
        ...

    def kill(self) -> None:
        """End it, whatever it does."""
        ...


class WorkerHost:
    """Does ready work items one after another. `stop` may be called from another thread or a signal handler."""

    def __init__(
        self,
        sessions: Sessions,
        settings: Settings,
        queue: JobQueue,
        store: ArtifactStore,
        child: Computation,
        fetching: Computation | None = None,
    ) -> None:
        """fetching: fetches sources; None for a process of its own, which lives as long as a fetch."""
        self._sessions = sessions
        self._settings = settings
        self._queue = queue
        self._store = store
        self._child = child
        self._fetching = fetching or ChildProcess(
            settings, FETCHING, variables=fetching_variables(), limits_inspections=False
        )
        self._keeper = SourceKeeper(sessions, settings)
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        self._stopped_at: float | None = None

    def work(self) -> None:
        """Do items until none is ready or `stop` was called. An unreachable database is waited for."""
        woken = False
        while not self.stopping:
            lease = self._persist(self._claim)
            if lease is None:
                return

            if not woken:
                self._persist(partial(self._wake_another, _owner(lease)))
                woken = True

            with structlog.contextvars.bound_contextvars(**_in_logs(lease)):
                try:
                    self._do(lease)
                except LeaseLost as error:
                    log.warning("result refused", reason=error.detail)

    def stop(self) -> None:
        """Take no further item; the one in hand gets GRACE_S to end and is handed back after that."""
        self._stopped_at = time.monotonic()

    def close(self) -> None:
        """End the child, and what fetches."""
        self._child.kill()
        self._fetching.kill()

    @property
    def stopping(self) -> bool:
        """Was `stop` called?"""
        return self._stopped_at is not None

    @property
    def _out_of_grace(self) -> bool:
        return self._stopped_at is not None and time.monotonic() - self._stopped_at > self._settings.grace_s

    def _claim(self) -> AnyLease | None:
        with transaction(self._sessions) as session:
            return claim_item(session, self._name, timedelta(seconds=self._settings.lease_s))

    def _wake_another(self, identifier: UUID) -> None:
        with transaction(self._sessions) as session:
            more = more_is_ready(session)
        if more:
            wake_worker(self._queue, identifier)

    def _do(self, lease: AnyLease) -> None:
        if not self._persist(lambda: self._begin(lease)):
            return

        with HeldLease(self._sessions, self._settings, lease) as held:

            def note(done: int) -> None:
                held.done = done

            def is_unwanted() -> bool:
                return held.lost or self._out_of_grace

            def fetch() -> messages.Answer:
                try:
                    return self._fetching.ask(messages.Run(lease), on_progress=note, unwanted=is_unwanted)
                finally:
                    self._fetching.kill()

            with self._keeper.at_hand(lease, fetch) as settled:
                answer = settled or self._child.ask(messages.Run(lease), on_progress=note, unwanted=is_unwanted)

            if held.lost:
                log.info("item dropped: its job has ended or another worker has it")
            else:
                self._settle_any(lease, answer)

    def _begin(self, lease: AnyLease) -> bool:
        if isinstance(lease, PreparationLease | PictureLease):
            return True
        with transaction(self._sessions) as session:
            if isinstance(lease, AblationLease):
                return ablation_work.begin_item(session, lease)
            return work.begin_item(session, lease)

    def _settle_any(self, lease: AnyLease, answer: messages.Answer) -> None:
        """Settle an item, as one that has failed where the child's answer cannot be stored.

        The database may take none of it, or its content is not what the stage gives.
        """

        def settle(answer: messages.Answer) -> None:
            if isinstance(lease, PreparationLease):
                self._settle_preparation(lease, answer)
            elif isinstance(lease, AblationLease):
                self._settle_ablation(lease, answer)
            elif isinstance(lease, PictureLease):
                self._settle_picture(lease, answer)
            else:
                self._settle(lease, answer)

        try:
            self._persist(partial(settle, answer))
            return
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) not in _OTHER_TYPE:
                raise  # tables that are not those of this release are no fault of the answer
            log.error("the answer cannot be stored", exc_info=error)
        except _REFUSALS as error:
            log.error("the answer cannot be stored", exc_info=error)
        self._persist(partial(settle, messages.Failed(_NOT_STORABLE, lasting=True)))

    def _settle(self, lease: Lease, answer: messages.Answer) -> None:
        if isinstance(answer, messages.Finished) and lease.stage is Stage.STORE:
            try:
                finish_dissection(self._sessions, self._store, lease, cast("DissectionResult", answer.result))
                return
            except ArtifactLost as error:  # damaged since the child looked: it makes it anew
                answer = messages.Failed(error.as_problem(), lasting=False)

        with transaction(self._sessions) as session:
            if isinstance(answer, messages.Finished):
                work.complete_item(session, self._queue, lease, answer.result)
            elif answer.cancelled:
                work.hand_back(session, self._queue, lease)
            elif answer.lasting:
                work.fail_job(session, lease, answer.problem)
            else:
                limit = self._settings.max_attempts
                work.try_again(session, lease, answer.problem, max_attempts=limit)

    def _settle_preparation(self, lease: PreparationLease, answer: messages.Answer) -> None:
        with transaction(self._sessions) as session:
            if isinstance(answer, messages.Finished):
                preparation_work.complete_preparation(session, lease, answer.result, self._queue)
            elif answer.cancelled:
                preparation_work.hand_back_preparation(session, self._queue, lease)
            elif answer.lasting:
                preparation_work.fail_preparation(session, lease, answer.problem, self._queue)
            else:
                limit = self._settings.max_attempts
                preparation_work.try_preparation_again(
                    session, lease, answer.problem, max_attempts=limit, queue=self._queue
                )

    def _settle_ablation(self, lease: AblationLease, answer: messages.Answer) -> None:
        with transaction(self._sessions) as session:
            if isinstance(answer, messages.Finished):
                ablation_work.complete_item(session, self._queue, lease, answer.result)
            elif answer.cancelled:
                ablation_work.hand_back(session, self._queue, lease)
            elif answer.lasting:
                ablation_work.fail(session, lease, answer.problem)
            else:
                limit = self._settings.max_attempts
                ablation_work.try_again(session, lease, answer.problem, max_attempts=limit)

    def _settle_picture(self, lease: PictureLease, answer: messages.Answer) -> None:
        data = b""
        if isinstance(answer, messages.Finished):
            drawn = cast("StoredArtifact", answer.result)
            try:
                data = self._store.fetch(drawn["key"], drawn["sha256"]).read_bytes()
            except ArtifactLost as error:  # damaged since the child looked: it draws it anew
                answer = messages.Failed(error.as_problem(), lasting=False)

        with transaction(self._sessions) as session:
            if isinstance(answer, messages.Finished):
                drawing_work.complete_drawing(session, lease, data, drawn["sha256"])
            elif answer.cancelled:
                drawing_work.hand_back_drawing(session, self._queue, lease)
            elif answer.lasting:
                drawing_work.fail_drawing(session, lease, answer.problem)
            else:
                limit = self._settings.max_attempts
                drawing_work.try_drawing_again(session, lease, answer.problem, max_attempts=limit)

    def _persist(self, action: Callable[[], Result]) -> Result:
        """Do it, waiting for the database as long as that takes (or until out of grace)."""
        while True:
            try:
                return action()
            except Unavailable as error:
                if self._out_of_grace:
                    raise
                log.warning("waiting for the database", reason=error.detail)
                threading.Event().wait(_DATABASE_AWAY_S)


def _owner(lease: AnyLease) -> UUID:
    if isinstance(lease, AblationLease):
        return lease.ablation_id
    if isinstance(lease, PictureLease):
        return lease.picture_id
    return lease.resource_id if isinstance(lease, PreparationLease) else lease.job_id


def _in_logs(lease: AnyLease) -> dict[str, object]:
    if isinstance(lease, AblationLease):
        return {"ablation": str(lease.ablation_id), "stage": lease.stage, "item": lease.position}
    if isinstance(lease, PictureLease):
        return {"picture": str(lease.picture_id), "stage": lease.stage}
    if isinstance(lease, PreparationLease):
        return {"resource": str(lease.resource_id), "stage": lease.stage}
    return {"job": str(lease.job_id), "stage": lease.stage, "item": lease.position}
