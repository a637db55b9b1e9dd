"""Content-addressed intermediate results: taken from the store where they are, computed where they are not."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from service.db.artifacts import forget_artifact, record_artifact, refer_to_artifact
from service.db.events import add_event
from service.db.session import Sessions, transaction
from service.errors import ArtifactLost
from service.ports import ArtifactStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A stored artifact: key and digest, and a local file with its content."""

    key: str
    sha256: str
    path: Path


class Artifacts:
    """The artifacts of jobs. Each is stored first and recorded after, so no record speaks of what never was."""

    def __init__(self, sessions: Sessions, store: ArtifactStore) -> None:
        self._sessions = sessions
        self._store = store

    def obtain(self, job_id: UUID, key: str, *, kind: str, make: Callable[[], bytes]) -> Artifact:
        """The artifact under a content key; `make` computes it where it is missing or damaged.

        From then on the job refers to it. Damage is logged and told in the job's history.
        Raises ArtifactNotStored, Unavailable, and what `make` raises.
        """
        return self.find(job_id, key, kind=kind) or self.keep(job_id, key, kind=kind, data=make())

    def find(self, job_id: UUID, key: str, *, kind: str) -> Artifact | None:
        """The artifact under a content key, to which the job refers from then on; None where it is missing or damaged.

        Damage is logged and told in the job's history. Raises Unavailable.
        """
        with transaction(self._sessions) as session:
            sha256 = refer_to_artifact(session, job_id, key)
        if sha256 is None:
            return None

        try:
            return Artifact(key, sha256, self._store.fetch(key, sha256))
        except ArtifactLost as error:
            self._note_loss(job_id, key, kind, error)
            return None

    def keep(self, job_id: UUID, key: str, *, kind: str, data: bytes) -> Artifact:
        """Store an artifact, to which the job refers from then on. Raises ArtifactNotStored and Unavailable."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._store.write(key, data)

        with transaction(self._sessions) as session:
            record_artifact(session, key, kind=kind, sha256=sha256, size=len(data))
            refer_to_artifact(session, job_id, key)

        return Artifact(key, sha256, self._store.fetch(key, sha256))

    def _note_loss(self, job_id: UUID, key: str, kind: str, error: ArtifactLost) -> None:
        log.error("artifact lost, computing it again", key=key, kind=kind, reason=error.detail)

        with transaction(self._sessions) as session:
            forget_artifact(session, key)
            add_event(session, job_id, "artifact-lost", {"key": key, "kind": kind, "detail": error.detail})
