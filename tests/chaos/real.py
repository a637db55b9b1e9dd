"""A real dissection (EfficientNet-Lite0, phantoms) whose worker is killed again and again, beside an easy one."""

import sys
import time
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from cli.samples import Samples, write_samples
from service.db.session import transaction
from service.domain.jobs import JobStatus
from service.domain.methods import Method
from service.files import ANYWHERE
from service.usecases.jobs import submit_job
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.probe_sets import register_probe_set
from service.usecases.resources import register_dissector
from tests.chaos.field import SUBMISSION, Field, open_field

REAL_WORKER = (sys.executable, "-m", "workers")
KILLS = 5
HOLDERS = text("SELECT worker, done FROM work_items WHERE status = 'leased'")


def killed_dissection(folder: Path) -> list[tuple[str, str, bool]]:
    """Are the results bit-identical?"""
    files = write_samples(folder / "samples", phantoms=120, seed=11)
    calm, _ = dissect(folder / "calm", files, kills=0)
    disturbed, kills = dissect(folder / "killed", files, kills=KILLS)
    same = calm == disturbed and kills == KILLS
    return [(f"EfficientNet-Lite0, worker killed {kills} times", "bit-identical" if same else "different", same)]


def dissect(folder: Path, files: Samples, *, kills: int) -> tuple[dict[str, str], int]:
    """The digests of the layers, and how often the worker was really killed in the middle of an item."""
    settings = {"lease_s": 2.0, "heartbeat_s": 0.2, "max_attempts": 50}
    with open_field(folder, **settings) as field:
        _register(field, files)
        field.start(workers=1, worker=REAL_WORKER)
        submission = replace(
            SUBMISSION,
            target="lite0",
            dissector="reader",
            probe_set="phantoms",
            layers=("_blocks.3", "_blocks.15"),
            method=Method.of(top_k=24),
            shard_size=20,
            batch_size=4,
        )
        with transaction(field.sessions) as session:
            job = submit_job(session, field.queue, submission, request={}).id
        struck = sum(_kill_in_the_middle(field) for _ in range(kills))
        field.wait(lambda: field.ended([job]), patience_s=300)
        found = field.job(job)
        assert found.status is JobStatus.SUCCEEDED, found.problem
        assert found.manifest is not None
        return dict(found.manifest["results"]), struck


def _register(field: Field, files: Samples) -> None:
    with transaction(field.sessions) as session:
        register_model(
            session,
            field.queue,
            NamedCheckpoint(str(files.checkpoint), "efficientnet-lite0"),
            name="lite0",
            roots=ANYWHERE,
        )
        register_dissector(session, field.queue, name="reader", path=str(files.dissector), roots=ANYWHERE)
        register_probe_set(
            session,
            field.queue,
            name="phantoms",
            manifest=str(files.phantoms),
            patches=None,
            on_unreadable="fail",
            roots=ANYWHERE,
        )


def _kill_in_the_middle(field: Field) -> bool:
    """Wait until a worker has done a part of an item, then SIGKILL it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with transaction(field.sessions) as session:
            for worker, done in session.execute(HOLDERS):
                if done > 0 and field.workers[0].pid == int(worker.rsplit("/", 1)[1]):
                    field.kill_worker(0)
                    return True
        time.sleep(0.02)
    return False
