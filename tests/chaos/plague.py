"""Accidents at random moments, all from one seed: workers killed, the broker emptied, the database crashed."""

import random
import threading
import time
from dataclasses import dataclass

from tests.chaos.field import Field


@dataclass(frozen=True)
class Accidents:
    """How often what happens. Workers are killed until the jobs are done, servers between the first of these kills."""

    every_s: tuple[float, float] = (1.0, 5.0)
    broker_crashes: int = 3
    database_crashes: int = 2


class Plague:
    """Strikes from a thread of its own while the block runs."""

    def __init__(self, field: Field, seed: int, accidents: Accidents) -> None:
        self._field = field
        self._source = random.Random(seed)
        self._accidents = accidents
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._strike, name="plague")
        self.kills = self.broker_crashes = self.database_crashes = 0

    def __enter__(self) -> "Plague":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _strike(self) -> None:
        others = ["broker"] * self._accidents.broker_crashes + ["database"] * self._accidents.database_crashes
        self._source.shuffle(others)
        while not self._ended.wait(self._source.uniform(*self._accidents.every_s)):
            self._field.kill_worker(self._source.randrange(len(self._field.workers)))
            self.kills += 1
            if others and self.kills % 4 == 0:
                self._strike_server(others.pop())

    def _strike_server(self, which: str) -> None:
        if which == "broker":
            self._field.crash_broker()
            self.broker_crashes += 1
        else:
            self._field.crash_database()
            self.database_crashes += 1


@dataclass(frozen=True)
class Harvest:
    """What came of the jobs: how long it took, and the digests of every layer of every job."""

    seconds: float
    results: dict[str, dict[str, str]]


def run_jobs(field: Field, names: list[str], *, patience_s: float) -> Harvest:
    """Post a job of two layers for each name and wait for all. Raises AssertionError unless each succeeded once."""
    begun = time.monotonic()
    jobs = {name: field.submit_patiently(f"{name}.a", f"{name}.b") for name in names}
    field.wait(lambda: field.ended(list(jobs.values())), patience_s=patience_s)
    seconds = time.monotonic() - begun
    found = {name: field.job(job_id) for name, job_id in jobs.items()}
    failed = {name: (job.status, job.problem) for name, job in found.items() if job.manifest is None}
    assert not failed, failed
    return Harvest(seconds, {name: dict(job.manifest["results"]) for name, job in found.items() if job.manifest})
