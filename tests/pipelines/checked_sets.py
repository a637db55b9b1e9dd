"""Probe sets whose images are checked in small items: what tests of checks, and of jobs that wait for them, need."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.db.session import Sessions, transaction
from service.db.work import claim_item
from service.domain.checks import SetCheck
from service.domain.jobs import Job
from service.domain.resources import Resource, ResourceKind
from service.domain.work import Preparation, PreparationLease
from service.probes.checking import look
from service.usecases.checks import CheckStanding
from service.usecases.jobs import find_job
from service.usecases.probe_sets import find_check
from service.usecases.resources import find_resource
from tests.pipelines.small_jobs import register
from tests.usecases.factories import RecordingQueue

AT_ONCE = 4
"""Images of an item: the ten of a folder are three items."""


def check_at_once(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """From now on an item has so many images."""
    for module in ("service.usecases.checks", "service.pipelines.prepare"):
        monkeypatch.setattr(f"{module}.IMAGES_AT_ONCE", images)


def note_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that are decoded for a check from now on, in turn."""
    rows: list[int] = []
    look_at_one = look._look_at_one

    def note(item: Any, *rest: Any) -> Any:
        rows.append(item.row)
        return look_at_one(item, *rest)

    monkeypatch.setattr(look, "_look_at_one", note)
    return rows


def damage(folder: Path, *images: int) -> None:
    """Without changing a file's size, which is part of the set's digest."""
    for number in images:
        path = folder / f"{number}.png"
        path.write_bytes(bytes(path.stat().st_size))


def standing(sessions: Sessions, name: str = "probes") -> CheckStanding:
    with transaction(sessions) as session:
        return find_check(session, find_resource(session, ResourceKind.PROBE_SET, name, field="name"))


def result_of(sessions: Sessions) -> SetCheck:
    result = standing(sessions).result
    assert result is not None
    return result


def register_set(sessions: Sessions, folder: Path, **wanted: Any) -> Resource:
    with transaction(sessions) as session:
        return register(session, folder, RecordingQueue(), probe_set=wanted)


def claim_check(sessions: Sessions) -> PreparationLease:
    """The next item of a check; what comes before is done."""
    with transaction(sessions) as session:
        while True:
            lease = claim_item(session, "tester", timedelta(seconds=60))
            assert isinstance(lease, PreparationLease)
            if lease.stage in {Preparation.CHECK, Preparation.TALLY}:
                return lease


def job_of(sessions: Sessions, job: Job) -> Job:
    with transaction(sessions) as session:
        return find_job(session, job.id)
