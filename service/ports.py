"""Protocols between the parts: what one side needs and another provides."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from service.domain.audits import AuditFiles, FilesRead
from service.domain.jobs import Progress
from service.domain.json_values import JsonObject
from service.domain.preprocessing import Preprocessing
from service.domain.probes import ProbeItem
from service.domain.work import AnyLease
from service.errors import DissectError

WORK_TASK = "mammodissect.work"


class ProbeImages(Protocol):
    """The images of a probe set, decoded on demand; may be asked from several threads at once."""

    @property
    def items(self) -> Sequence[ProbeItem]:
        """The items, in probe-set order."""
        ...

    def load(self, index: int, contracts: Sequence[Preprocessing]) -> list[NDArray[np.float32]]:
        """Item `index`, decoded once and prepared for each contract: float32 [3, H, W] each. Raises UnreadableImage."""
        ...


@dataclass(frozen=True, slots=True)
class PlacesInInput:
    """How much of each pixel of a network's input is in a place of a finding: float32 [H, W], 0 to 1."""

    covered: NDArray[np.float32]

    turned: NDArray[np.float32]
    """The same, turned left to right within the image."""


@dataclass(frozen=True, slots=True)
class PlacedImage:
    """A probe image as a network is shown it, and where in it findings are."""

    array: NDArray[np.float32]
    """float32 [channels, H, W]"""

    faces: Literal["left", "right"] | None
    """Which way the breast faces as it is shown; None where that cannot be told."""

    places: Mapping[str, PlacesInInput]
    """Of each finding that was asked for and has places in what is shown."""

    problems: tuple[str, ...]
    """Why places of the image cannot be used, a few words each; their findings are then not in `places`."""


class PlacedImages(Protocol):
    """The images of a probe set, with the places of their findings."""

    @property
    def items(self) -> Sequence[ProbeItem]:
        """The items, in probe-set order."""
        ...

    def show(self, index: int, contract: Preprocessing, findings: Mapping[str, Sequence[str]]) -> PlacedImage:
        """Item `index`, prepared for the contract, and where its findings are.

        findings: what is asked for, and the names that the manifest's regions give it.
        Raises UnreadableImage, ImageChanged.
        """
        ...


class ProgressListener(Protocol):
    """Told about every step of a running dissection; may raise JobCancelled to stop it."""

    def __call__(self, progress: Progress, /) -> None:
        """Called at the start of each stage (done=0) and after each batch, layer or chunk."""
        ...


class JobQueue(Protocol):
    """Wakes a worker. The row in Postgres is the truth; a message carries ids only and may be lost or repeated."""

    def publish(self, task: str, identifier: UUID) -> None:
        """Ask a worker to run `task` for the row `identifier`. Raises Unavailable when the broker cannot be reached."""
        ...

    def waiting(self) -> int:
        """How many messages no worker has taken yet. Raises Unavailable when the broker cannot be reached."""
        ...


class ItemRunner(Protocol):
    """What a worker's child computes: work items."""

    def run(self, lease: AnyLease, report_progress: Callable[[int], None], /) -> JsonObject:
        """Do a work item and return its result, small JSON.

        report_progress: takes how many of its units of work are done; raises JobCancelled when the item is no longer
        wanted. Raises any DissectError.
        """
        ...


class ArtifactStore(Protocol):
    """Keeps artifacts under content keys: lower-case hexadecimal SHA-256 digests. Any other key is a ValueError."""

    def write(self, key: str, data: bytes) -> None:
        """Store it whole or not at all, in place of what was there. Raises ArtifactNotStored."""
        ...

    def fetch(self, key: str, sha256: str) -> Path:
        """A local file with exactly that content. Removes what is damaged.

        Raises ArtifactLost if there is none, ArtifactNotStored if there is one but no room for a local copy.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove it, if it is there."""
        ...

    def listing(self) -> Iterator[tuple[str, datetime]]:
        """Every key, and when it was last written."""
        ...

    def sweep(self, older_than: timedelta) -> None:
        """Remove what killed writers left behind that long ago."""
        ...


class RegistryTags(Protocol):
    """The tags of a model registry's versions."""

    def write(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set them. Raises Unavailable where it may go well later, and InvalidInput where it never will."""
        ...


class FilesNeeded(Exception):
    """An audit is to begin whose files were not read, or not those that it rests on by now: read them, try again."""


class Audits(Protocol):
    """Audits as schedules see them. `session` is the caller's database session: all happens in its transaction."""

    def files_of(self, session: Any, deployment_id: UUID) -> AuditFiles:
        """What has to be read before an audit of the deployment begins."""
        ...

    def read(self, files: AuditFiles) -> FilesRead:
        """Read it. Belongs into no transaction: it may be long, and never end where a drive does not answer."""
        ...

    def start(
        self, session: Any, deployment_id: UUID, read: FilesRead, *, schedule_id: UUID, fire_time: datetime
    ) -> UUID:
        """Begin an audit of the deployment and return its id.

        Raises FilesNeeded, and any DissectError where it cannot be begun.
        """
        ...

    def refuse(
        self, session: Any, deployment_id: UUID, problem: DissectError, *, schedule_id: UUID, fire_time: datetime
    ) -> UUID:
        """Record an audit that ends at once with that problem, and return its id."""
        ...

    def open_of(self, session: Any, schedule_id: UUID) -> Sequence[UUID]:
        """The audits of that schedule that have not ended."""
        ...

    def cancel(self, session: Any, audit_id: UUID) -> None:
        """End an audit. Raises Conflict where it has ended by itself, or is about to."""
        ...
