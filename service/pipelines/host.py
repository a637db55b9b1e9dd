"""A worker's host process: claim an item, have the child do it, settle what became of it. It never imports torch."""

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

import structlog

from service.config import Settings
from service.db.resources import save_inspection
from service.db.session import Sessions, transaction
from service.db.work import claim_item, more_is_ready
from service.domain.jobs import Stage
from service.domain.work import Lease
from service.errors import ArtifactLost, LeaseLost, Unavailable
from service.pipelines import messages
from service.pipelines.finish import finish_dissection
from service.pipelines.held_lease import HeldLease
from service.ports import ArtifactStore, JobQueue
from service.usecases import work
from service.usecases.wake import wake_worker

_DATABASE_AWAY_S = 1.0
_ACCIDENTS = {"worker-crashed", "time-limit", "memory-limit", "out-of-memory"}
_INSPECT_AGAIN = "Look at the worker's log and memory; then POST /models/{name}/inspect tries it again."

log = structlog.get_logger()
Result = TypeVar("Result")


class Computation(Protocol):
    """Where work items are computed: see `ChildProcess`."""

    def ask(
        self, request: messages.Request, *, on_progress: Callable[[int], None], unwanted: Callable[[], bool]
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
    ) -> None:
        self._sessions = sessions
        self._settings = settings
        self._queue = queue
        self._store = store
        self._child = child
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
                self._persist(partial(self._wake_another, lease.job_id))
                woken = True
            structlog.contextvars.bind_contextvars(job=str(lease.job_id), stage=lease.stage, item=lease.position)
            try:
                self._do(lease)
            except LeaseLost as error:
                log.warning("result refused", reason=error.detail)
            finally:
                structlog.contextvars.unbind_contextvars("job", "stage", "item")

    def inspect(self, model_id: UUID) -> None:
        """Have the child list a model's layers.

        Where that kills the child, the model has it for its problem: else it would be asked for, and kill, for ever.
        """
        request = messages.Inspect(model_id)
        answer = self._child.ask(request, on_progress=lambda _: None, unwanted=lambda: self._out_of_grace)
        if isinstance(answer, messages.Failed) and not answer.cancelled and _is_of_the_model(answer):
            self._persist(partial(self._store_problem, model_id, {**answer.problem, "remedy": _INSPECT_AGAIN}))

    def stop(self) -> None:
        """Take no further item; the one in hand gets GRACE_S to end and is handed back after that."""
        self._stopped_at = time.monotonic()

    def close(self) -> None:
        """End the child."""
        self._child.kill()

    @property
    def stopping(self) -> bool:
        """Was `stop` called?"""
        return self._stopped_at is not None

    @property
    def _out_of_grace(self) -> bool:
        return self._stopped_at is not None and time.monotonic() - self._stopped_at > self._settings.grace_s

    def _claim(self) -> Lease | None:
        with transaction(self._sessions) as session:
            return claim_item(session, self._name, timedelta(seconds=self._settings.lease_s))

    def _wake_another(self, job_id: UUID) -> None:
        with transaction(self._sessions) as session:
            more = more_is_ready(session)
        if more:
            wake_worker(self._queue, job_id)

    def _do(self, lease: Lease) -> None:
        if not self._persist(lambda: self._begin(lease)):
            return
        with HeldLease(self._sessions, self._settings, lease) as held:

            def note(done: int) -> None:
                held.done = done

            answer = self._child.ask(
                messages.Run(lease), on_progress=note, unwanted=lambda: held.lost or self._out_of_grace
            )
            if held.lost:
                log.info("item dropped: its job has ended or another worker has it")
                return
            self._persist(lambda: self._settle(lease, answer))

    def _store_problem(self, model_id: UUID, problem: dict[str, Any]) -> None:
        with transaction(self._sessions) as session:
            save_inspection(session, model_id, problem=problem)

    def _begin(self, lease: Lease) -> bool:
        with transaction(self._sessions) as session:
            return work.begin_item(session, lease)

    def _settle(self, lease: Lease, answer: messages.Answer) -> None:
        limit = self._settings.max_attempts
        if isinstance(answer, messages.Finished) and lease.stage is Stage.STORE:
            try:
                finish_dissection(self._sessions, self._store, lease, answer.result)
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
                work.try_again(session, lease, answer.problem, max_attempts=limit)

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


def _is_of_the_model(answer: messages.Failed) -> bool:
    """A database that is away, or a setting of this worker, is not."""
    return answer.lasting or answer.problem["code"] in _ACCIDENTS
