"""A dissection job: its specification, its legal states, its progress."""

from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.methods import Method
from service.errors import Conflict


class JobStatus(StrEnum):
    """Where a job stands. Succeeded, failed and cancelled are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """No status follows this one."""
        return not LEGAL_MOVES[self]


LEGAL_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


def check_move(current: JobStatus, following: JobStatus) -> None:
    """The one place that says which status may follow which. Raises Conflict for any other pair."""
    if following not in LEGAL_MOVES[current]:
        raise Conflict(f"A {current} job cannot become {following}.", field="status", value=current)


class Stage(StrEnum):
    """What a running job is doing, in order."""

    LOAD = "load"
    PROBE = "probe"
    SCORE = "score"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Progress:
    """Work done and work to do in one stage, in the stage's own units (files, images, layers, neurons)."""

    stage: Stage
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class DissectionOptions:
    """What a job asks of the engine. layers is a tuple of layer names, or None for every layer that can be pooled."""

    layers: tuple[str, ...] | None
    method: Method = field(default_factory=Method)
    concepts_per_neuron: int = 10
    images_per_neuron: int = 5
