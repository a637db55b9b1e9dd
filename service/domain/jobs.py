"""A dissection job: its specification, its legal states, its progress."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from service.domain.methods import Method
from service.errors import Conflict


class JobStatus(StrEnum):
    """Where a job stands; nothing follows succeeded, failed and cancelled."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


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


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What somebody asked for, with every name resolved to one version (`name@version`)."""

    target: str
    dissector: str
    probe_set: str
    concept_set: str
    options: DissectionOptions


@dataclass(frozen=True, slots=True)
class StageProgress:
    """One stage of a job as far as it has come."""

    stage: Stage
    done: int
    total: int
    started_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the database knows it.

    manifest: digests and versions of everything that made the result, once it succeeded.
    problem: why it failed, in the form of `DissectError.as_problem()`.
    """

    id: UUID
    request: JobRequest
    status: JobStatus
    cancel_requested: bool
    progress: tuple[StageProgress, ...]
    manifest: Mapping[str, Any] | None
    problem: Mapping[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
