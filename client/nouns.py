"""The nouns of the service: what is registered, listed, read and waited for."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast
from uuid import uuid4

from client import models
from client.answers import Answer
from client.connection import Connection, Parameter, path_of
from client.errors import StillRunning
from client.events import Event
from client.following import follow_job

_POLL_S = 0.5

Body = TypeVar("Body")
Brief = TypeVar("Brief")
Whole = TypeVar("Whole")


class Listed(Generic[Brief, Whole]):
    """Things that can be listed in brief and read whole."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection = connection
        self._path = path

    def list(self, *, limit: int | None = None, **filters: Parameter) -> Iterator[Brief]:
        """All of them in brief, newest first, from as many pages as that takes. Raises what `Connection.get` raises."""
        return cast("Iterator[Brief]", self._connection.items(self._path, filters, limit=limit))

    def show(self, name: str) -> Whole:
        """One of them. name: its name or id. Raises what `Connection.get` raises."""
        return cast("Whole", self._connection.get(self._path + path_of(name)))

    def _poll(self, name: str, has_ended: Callable[[Answer], bool], timeout_s: float | None) -> Answer:
        ends = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            answer = self._connection.get(self._path + path_of(name))
            if has_ended(answer):
                return answer
            if ends is not None and time.monotonic() > ends:
                raise StillRunning(f"{self._path}/{name} has not ended after {timeout_s:g} seconds.")
            time.sleep(_POLL_S)


class Registered(Listed[Brief, Whole], Generic[Body, Brief, Whole]):
    """Things that are registered in versions. The same content registered again is the same version."""

    def register(self, body: Body) -> Whole:
        """Register it. Raises what `Connection.post` raises."""
        return cast("Whole", self._connection.post(self._path, cast("Answer", body), repeatable=True))

    def wait(self, name: str, *, timeout_s: float | None = None) -> Whole:
        """Wait until workers have opened it: its `state` then is `ready`, `refused` or null. Raises StillRunning."""
        return cast("Whole", self._poll(name, lambda answer: answer["state"] != "checking", timeout_s))


class Jobs(Listed[models.JobBriefOut, models.JobOut]):
    """Dissections."""

    def submit(self, body: models.JobIn, *, idempotency_key: str | None = None) -> models.JobOut:
        """Ask for a dissection. Raises what `Connection.post` raises.

        idempotency_key: the same key again is the same job, and a new one where it is left out. With it, a request
        whose answer was lost is sent again without making a second job.
        """
        key = idempotency_key or str(uuid4())
        return cast("models.JobOut", self._connection.post(self._path, cast("Answer", body), idempotency_key=key))

    def events(self, job_id: str, *, last_event_id: int = 0) -> Iterator[Event]:
        """What happens to a job, until it has ended. Raises what `Connection.get` raises."""
        return follow_job(self._connection, job_id, last_event_id=last_event_id)

    def wait(self, job_id: str, *, on_event: Callable[[Event], None] | None = None) -> models.JobOut:
        """The job once it has ended; its `status` says how. Raises what `Connection.get` raises."""
        for event in self.events(job_id):
            if on_event is not None:
                on_event(event)
        return self.show(job_id)

    def cancel(self, job_id: str) -> models.JobOut:
        """Cancel a job, unless that was done before. Raises Refused where it has ended otherwise."""
        return self._ask(job_id, "cancel", repeatable=True)

    def retry(self, job_id: str) -> models.JobOut:
        """Put a failed or dead job back into the queue. Raises Refused for any other."""
        return self._ask(job_id, "retry")

    def replay(self, job_id: str) -> models.JobOut:
        """Compute a result again from scratch, as a job of its own. Raises Refused."""
        return self._ask(job_id, "replay")

    def coverage(self, job_id: str) -> models.CoverageOut:
        """Which concepts and categories its neurons represent. Raises Refused."""
        return cast("models.CoverageOut", self._connection.get(path_of("jobs", job_id, "coverage")))

    def watch_list(self, job_id: str) -> models.WatchListOut:
        """Which neurons respond to watched concepts. Raises Refused."""
        return cast("models.WatchListOut", self._connection.get(path_of("jobs", job_id, "watch-list")))

    def _ask(self, job_id: str, verb: str, *, repeatable: bool = False) -> models.JobOut:
        answer = self._connection.post(path_of("jobs", job_id, verb), {}, repeatable=repeatable)
        return cast("models.JobOut", answer)


class Neurons:
    """What dissections found. Where a call takes `job` or `model`, the latter means its newest succeeded dissection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def layers(self, *, job: str | None = None, model: str | None = None) -> models.LayersOut:
        """The layers of a dissection, each in one line. Raises what `Connection.get` raises."""
        return cast("models.LayersOut", self._connection.get("/layers", job=job, model=model))

    def list(self, layer: str, *, limit: int | None = None, **filters: Parameter) -> Iterator[models.NeuronBriefOut]:
        """The neurons of a layer in brief. Raises what `Connection.get` raises.

        filters: `job` or `model`, and those of GET /neurons/{layer}, such as `concept`, `verdict`, `min_score`, `sort`.
        """
        items = self._connection.items(path_of("neurons", layer), filters, limit=limit)
        return cast("Iterator[models.NeuronBriefOut]", items)

    def show(self, layer: str, unit: int, *, job: str | None = None, model: str | None = None) -> models.NeuronOut:
        """Everything that is known about one neuron. Raises what `Connection.get` raises."""
        return cast("models.NeuronOut", self._connection.get(path_of("neurons", layer, unit), job=job, model=model))

    def neighbours(
        self, layer: str, unit: int, *, job: str | None = None, model: str | None = None, count: int = 5
    ) -> models.NeighboursOut:
        """The units most like a neuron. Raises what `Connection.get` raises."""
        path = path_of("neurons", layer, unit, "neighbours")
        return cast("models.NeighboursOut", self._connection.get(path, job=job, model=model, count=count))

    def search(self, *, limit: int | None = None, **asked: Parameter) -> Iterator[dict[str, Any]]:
        """Neurons of all layers, jobs and models that are like a `concept`, `text`, `neuron` or `image`.

        Raises what `Connection.get` raises. asked: that, and the filters of GET /search/neurons.
        """
        return self._connection.items("/search/neurons", asked, limit=limit)


class Deployments(Listed[models.DeploymentBriefOut, models.DeploymentOut]):
    """Deployed models."""

    def register(self, body: models.DeploymentIn) -> models.DeploymentOut:
        """Deploy a model. Raises Refused where the name is taken, and what `Connection.post` raises."""
        return cast("models.DeploymentOut", self._connection.post(self._path, cast("Answer", body)))


class Audits(Listed[models.AuditListedOut, models.AuditOut]):
    """Audits of deployed models, and of candidates for them."""

    def start(self, body: models.AuditIn) -> models.AuditOut:
        """Start an audit. Raises what `Connection.post` raises."""
        return cast("models.AuditOut", self._connection.post(self._path, cast("Answer", body)))

    def wait(self, audit_id: str, *, timeout_s: float | None = None) -> models.AuditOut:
        """The audit once it has ended; its `verdict` is null where there is none. Raises StillRunning."""
        answer = self._poll(audit_id, lambda audit: audit["finished_at"] is not None, timeout_s)
        return cast("models.AuditOut", answer)


class Schedules(Listed[models.ScheduleOut, models.ScheduleOut]):
    """When deployed models are audited again."""

    def register(self, body: models.ScheduleIn) -> models.ScheduleOut:
        """Create a schedule. Raises Refused where the name is taken."""
        return cast("models.ScheduleOut", self._connection.post(self._path, cast("Answer", body)))

    def pause(self, name: str) -> models.ScheduleOut:
        """Pause it. Raises Refused."""
        return cast("models.ScheduleOut", self._connection.post(path_of("schedules", name, "pause"), {}))

    def resume(self, name: str) -> models.ScheduleOut:
        """Resume it. Raises Refused."""
        return cast("models.ScheduleOut", self._connection.post(path_of("schedules", name, "resume"), {}))


class Comparisons(Listed[models.ComparisonBriefOut, models.ComparisonOut]):
    """Dissections side by side."""

    def create(self, jobs: list[str]) -> models.ComparisonOut:
        """Compare 2 to 8 succeeded jobs with the first. Raises Refused where they cannot be compared."""
        return cast("models.ComparisonOut", self._connection.post(self._path, {"jobs": jobs}, repeatable=True))
