"""A field to make chaos on: real servers, real worker and scheduler processes that are started again when they die."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from pydantic import SecretStr
from sqlalchemy import text

from broker.queue import CeleryJobQueue, open_broker
from cli.embedded import PostgresServer, ValkeyServer
from service.db.migrate import upgrade
from service.db.resources import add_resource, save_inspection
from service.db.session import Sessions, open_sessions, transaction
from service.domain.concepts import Concept, ConceptSet
from service.domain.jobs import ENDED, Job, JobStatus
from service.domain.methods import Method
from service.domain.resources import ResourceKind
from service.errors import Unavailable
from service.ports import JobQueue
from service.usecases.jobs import JobSubmission, find_job, submit_job
from service.usecases.resources import register_concept_set
from tests.usecases.factories import RecordingQueue

ROOT = Path(__file__).parents[2]
WORKER = (sys.executable, "-m", "tests.chaos.worker")
SCHEDULER = (sys.executable, "-m", "workers.scheduler")
IMAGES = 100
SHARDS = 2
SUBMISSION = JobSubmission(
    target="target",
    dissector="dissector",
    probe_set="probes",
    concept_set="words",
    layers=None,
    method=Method.of(top_k=10),
    concepts_per_neuron=1,
    images_per_neuron=1,
    shard_size=IMAGES // SHARDS,
)
COUNT_BY_STATUS = text("SELECT status, count(*) FROM jobs GROUP BY status")


@dataclass
class Program:
    """A process that is started again whenever it has ended, until told otherwise."""

    command: Sequence[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def keep_alive(self) -> None:
        if self.process is None or self.process.poll() is not None:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self.command, env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
                )
            self.starts += 1

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def send(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass
class Field:
    """Servers and programs, and what a test does with them."""

    folder: Path
    postgres: PostgresServer
    valkey: ValkeyServer
    database_url: str
    sessions: Sessions
    queue: CeleryJobQueue
    environment: dict[str, str]
    workers: list[Program] = field(default_factory=list)
    schedulers: list[Program] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self, *, workers: int, schedulers: int = 1, worker: Sequence[str] = WORKER) -> None:
        """Start programs and keep them alive from a thread."""
        self.workers = [self._program(worker, f"worker-{number}") for number in range(workers)]
        self.schedulers = [self._program(SCHEDULER, f"scheduler-{number}") for number in range(schedulers)]
        self._look_after_all()
        threading.Thread(target=self._supervise, name="supervise", daemon=True).start()

    def submit(self, *layers: str, **changes: Any) -> UUID:
        """Post a job whose result follows from the names of its layers."""
        return post_job(self.sessions, *layers, queue=self.queue, **changes)

    def submit_patiently(self, *layers: str) -> UUID:
        """`submit`, again after a moment while the database is away: what a client does that gets a 503."""
        while True:
            try:
                return self.submit(*layers)
            except Unavailable:
                time.sleep(0.1)

    def job(self, job_id: UUID) -> Job:
        with transaction(self.sessions) as session:
            return find_job(session, job_id)

    def wait(self, condition: Callable[[], bool], *, patience_s: float) -> None:
        """Until the condition holds, an unreachable database counting as no. Raises AssertionError out of patience."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except Unavailable:
                pass
            time.sleep(0.05)
        raise AssertionError(f"after {patience_s:g} s: {self.counts()}; logs in {self.folder}")

    def ended(self, jobs: Sequence[UUID]) -> bool:
        counts = self.counts()
        return sum(count for status, count in counts.items() if status in ENDED) >= len(jobs)

    def counts(self) -> dict[JobStatus, int]:
        with transaction(self.sessions) as session:
            return {JobStatus(status): count for status, count in session.execute(COUNT_BY_STATUS)}

    def kill_worker(self, which: int) -> None:
        self.workers[which].send(signal.SIGKILL)

    def crash_broker(self) -> None:
        """SIGKILL, and everything that it held is gone."""
        os.kill(self.valkey.pid, signal.SIGKILL)
        while self.valkey.alive:
            time.sleep(0.01)
        shutil.rmtree(self.valkey.data_dir / "data")
        (self.valkey.data_dir / "data").mkdir(mode=0o700)
        self.valkey.restart()

    def crash_database(self) -> None:
        os.kill(self.postgres.pid, signal.SIGKILL)
        while self.postgres.alive:
            time.sleep(0.01)
        self.postgres.restart()

    def wipe_broker(self) -> None:
        with redis.Redis.from_url(self.valkey.redis_url) as client:
            client.flushall()

    def stop(self) -> None:
        self._ended.set()
        for program in (*self.workers, *self.schedulers):
            program.end()

    def _program(self, command: Sequence[str], name: str) -> Program:
        return Program(command, self.environment, self.folder / f"{name}.log")

    def _look_after_all(self) -> None:
        for program in (*self.workers, *self.schedulers):
            program.keep_alive()

    def _supervise(self) -> None:
        while not self._ended.wait(0.05):
            self._look_after_all()


@contextmanager
def open_field(folder: Path, **settings: object) -> Iterator[Field]:
    """Servers of one's own in a folder, everything registered; settings become environment variables."""
    with PostgresServer(folder / "postgres") as postgres, ValkeyServer(folder / "valkey") as valkey:
        database_url = postgres.url
        upgrade(database_url)
        environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "BROKER_URL": valkey.url,
            "ARTIFACTS_URL": (folder / "artifacts").as_uri(),
            "DATA_ROOTS": "/",
            "OMP_NUM_THREADS": "1",
            **{name.upper(): str(value) for name, value in settings.items()},
        }
        sessions = open_sessions(SecretStr(database_url))
        ground = Field(
            folder=folder,
            postgres=postgres,
            valkey=valkey,
            database_url=database_url,
            sessions=sessions,
            queue=CeleryJobQueue(open_broker(SecretStr(valkey.url))),
            environment=environment,
        )
        register_all(sessions)
        try:
            yield ground
        finally:
            ground.stop()
            sessions.kw["bind"].dispose()


def post_job(sessions: Sessions, *layers: str, queue: JobQueue | None = None, **changes: Any) -> UUID:
    """Post a job; without a queue nobody is woken."""
    submission = replace(SUBMISSION, layers=layers, **changes)
    with transaction(sessions) as session:
        return submit_job(session, queue or RecordingQueue(), submission, request={}).id


def register_all(sessions: Sessions) -> None:
    """Register what the jobs name; the model counts as inspected, and any layer as its own."""
    with transaction(sessions) as session:
        model = {"checkpoint": "/x", "architecture": "a", "sha256": "0"}
        target, _ = add_resource(session, ResourceKind.MODEL, "target", "0", model)
        save_inspection(session, target.id)
        add_resource(session, ResourceKind.DISSECTOR, "dissector", "0", {"path": "/x"})
        add_resource(session, ResourceKind.PROBE_SET, "probes", "0", {"patches": None, "images": IMAGES})
        register_concept_set(session, ConceptSet("words", tuple(Concept(word) for word in ("one", "two", "three"))))
