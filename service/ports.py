"""Protocols between the parts: what one side needs and another provides."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from service.domain.jobs import Progress
from service.domain.preprocessing import Preprocessing
from service.domain.probes import ProbeItem

RUN_JOB_TASK = "mammodissect.run_job"
INSPECT_MODEL_TASK = "mammodissect.inspect_model"


class ProbeImages(Protocol):
    """The images of a probe set, decoded on demand; may be asked from several threads at once."""

    @property
    def items(self) -> Sequence[ProbeItem]:
        """The items, in probe-set order."""
        ...

    def load(self, index: int, contracts: Sequence[Preprocessing]) -> list[NDArray[np.float32]]:
        """Item `index`, decoded once and prepared for each contract: float32 [3, H, W] each. Raises UnreadableImage."""
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
