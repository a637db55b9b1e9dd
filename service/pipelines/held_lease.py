"""Keeping a lease alive from a thread of the host, whatever the computation does."""

import threading
from datetime import timedelta
from types import TracebackType
from typing import Self

import structlog

from service.config import Settings
from service.db.session import Sessions, transaction
from service.db.work import extend_lease
from service.domain.work import AnyLease
from service.errors import Unavailable

log = structlog.get_logger()


class HeldLease:
    """A context in which heartbeats extend a lease and carry progress; `lost` once the item is no longer ours.

    An item is lost when its job was cancelled, or when this worker was silent for so long that another has it.
    While the database is away nothing is known, so the work goes on.
    """

    def __init__(self, sessions: Sessions, settings: Settings, lease: AnyLease) -> None:
        self._sessions = sessions
        self._every_s = settings.heartbeat_s
        self._duration = timedelta(seconds=settings.lease_s)
        self._lease = lease
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self.done = 0

    @property
    def lost(self) -> bool:
        """Has the item been taken from us?"""
        return self._lost.is_set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                with transaction(self._sessions) as session:
                    held = extend_lease(session, self._lease, self._duration, done=self.done)
            except Unavailable:
                log.warning("no heartbeat: the database cannot be reached", item=str(self._lease.item_id))
                continue

            if not held:
                self._lost.set()
                return
