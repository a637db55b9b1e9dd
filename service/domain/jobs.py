"""A dissection job: its specification, its legal states, its progress."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, NotRequired, Self, TypedDict
from uuid import UUID

from service.domain.digests import digest_of
from service.domain.evidence import EvidenceOptions
from service.domain.localisation import LocalisationOptions
from service.domain.manifests import JobManifest
from service.domain.methods import Method
from service.domain.probes import Where, stored_where
from service.domain.purposes import JobPurpose
from service.errors import Conflict, ProblemFields

BATCH_SIZE = 8
"""Images per forward pass, where nobody chooses."""

SHARD_SIZE = 256
"""Images per work item, where nobody chooses."""


class JobStatus(StrEnum):
    """Where a job stands.

    Nothing follows succeeded and cancelled. A failed job met an error that trying again would meet again; a dead one
    was given up after its workers were lost too often. Both can be put back into the queue and go on where they were.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


LEGAL_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.DEAD}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset(),
    JobStatus.DEAD: frozenset({JobStatus.QUEUED}),
}
"""The one place that says which status may follow which; a trigger in the database refuses the same moves."""

ENDED = frozenset(JobStatus) - {JobStatus.QUEUED, JobStatus.RUNNING}


def check_move(current: JobStatus, following: JobStatus) -> None:
    """Raises Conflict for a pair of statuses that is not among LEGAL_MOVES."""
    if following not in LEGAL_MOVES[current]:
        raise Conflict(f"A {current} job cannot become {following}.", field="status", value=current)


def digest_of_status(status: JobStatus) -> str:
    """What the trail keeps of a job before and after a move: the digest of `{"status": ...}`."""
    return digest_of({"status": status})


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
    """What a job asks of the engine."""

    layers: tuple[str, ...] | None
    """Names of layers; None for the target's main layers.

    Patterns and STAGES are among them only until a worker has listed the target's layers.
    """

    method: Method = field(default_factory=Method)
    concepts_per_neuron: int = 10
    images_per_neuron: int = 5
    evidence: EvidenceOptions = field(default_factory=EvidenceOptions)

    shuffled: int | None = None
    """The seed that shuffles the network's weights before it is dissected, as a null: see `TargetSpec`."""

    localisation: LocalisationOptions | None = None
    """Whether maps are held against the places of findings; None where that is not asked."""

    layers_asked: tuple[str, ...] | None = field(default=None, compare=False)
    """The patterns and names that `layers` came from, where these are not the same."""


class PartEntries(TypedDict):
    """The fields of `JobPart` in JSON; those that are None are left out."""

    probe_set: str
    where: dict[str, list[str]]
    strata: NotRequired[str]
    number: NotRequired[int]


@dataclass(frozen=True, slots=True)
class JobPart:
    """The part of a probe set that a job was asked to use (stored)."""

    probe_set: str
    """The whole one, `name@version`."""

    where: Where

    strata: UUID | None = None
    """What the jobs that were asked for in one request for several parts have in common."""

    number: int | None = None
    """Place in that request, counted from 0."""

    def as_dict(self) -> PartEntries:
        """JSON form."""
        entries: PartEntries = {"probe_set": self.probe_set, "where": stored_where(self.where)}
        if self.strata is not None:
            entries["strata"] = str(self.strata)
        if self.number is not None:
            entries["number"] = self.number
        return entries

    @classmethod
    def from_dict(cls, entries: PartEntries) -> Self:
        """From its JSON form."""
        where = {column: tuple(values) for column, values in entries["where"].items()}
        strata = entries.get("strata")
        return cls(entries["probe_set"], where, None if strata is None else UUID(strata), entries.get("number"))


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What somebody asked for, with every name resolved to one version (`name@version`)."""

    target: str
    dissector: str
    probe_set: str
    concept_set: str
    options: DissectionOptions

    batch_size: int = BATCH_SIZE
    """Images per forward pass; part of the request, because rounding follows it."""

    shard_size: int = SHARD_SIZE
    """Images per work item; part of the request, because rounding follows it."""

    queue: str = "default"
    """The queue whose jobs take turns with those of other queues."""

    priority: int = 0
    """A job with a higher priority goes first, whatever its queue's turn."""

    purpose: JobPurpose | None = None
    """What it is for; no result follows it. None for what an earlier release stored."""

    part: JobPart | None = None
    """The part of a probe set that was asked for; `probe_set` is then that part. None for a whole one."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; a field that is None does not restrict."""

    model: str | None = None
    """The target: `name`, whichever version, or `name@version`."""

    probe_set: str | None = None
    """The same of the probe set. A part of a probe set is one by itself."""

    statuses: Sequence[JobStatus] | None = None
    """Any of these."""

    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class StageProgress:
    """One stage of a job as far as it has come, in images (probe), layers (score) or results (store)."""

    stage: Stage
    done: int
    total: int

    items: int
    """How many work items the stage has."""

    items_done: int
    """How many of the work items are done."""

    started_at: datetime | None
    """None while no worker has begun."""

    updated_at: datetime | None

    @property
    def rate(self) -> float | None:
        """Units of work a second since the stage began; None before there is one."""
        if self.started_at is None or self.updated_at is None or self.done == 0:
            return None
        elapsed = (self.updated_at - self.started_at).total_seconds()
        return self.done / elapsed if elapsed > 0 else None

    @property
    def expected_end(self) -> datetime | None:
        """When the stage will have ended at its rate so far."""
        if self.rate is None or self.updated_at is None:
            return None
        return self.updated_at + timedelta(seconds=(self.total - self.done) / self.rate)


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """What a queued job waits for, before any of its items may be taken."""

    what: Literal["check"]

    path: str
    """Of the call that shows it."""

    done: int
    total: int
    """Images."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the database knows it."""

    id: UUID
    request: JobRequest
    status: JobStatus
    progress: tuple[StageProgress, ...]

    manifest: JobManifest | None
    """What made the result, once the job succeeded."""

    problem: ProblemFields | None
    """Why the job failed or was given up."""

    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    replay_of: UUID | None = None
    """The job whose result this one computes again from scratch, to see whether it comes out the same."""

    waits_for: WaitsFor | None = None
    """None where it waits for nothing but its turn."""
