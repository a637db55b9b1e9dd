"""A dissection of 20 shards by a worker, against the same one in-process: what leases, artifacts and rows cost."""

import tempfile
import time
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from benchmarks.table import Row
from cli.embedded import PostgresServer
from cli.samples import Samples, write_samples
from service.concepts.builtin import builtin_concept_set
from service.config import Settings
from service.db.migrate import upgrade
from service.db.session import Sessions, open_sessions, transaction
from service.domain.jobs import DissectionOptions, JobStatus, Progress, Stage
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.files import ANYWHERE
from service.pipelines.child_process import DISSECTION, ChildProcess
from service.pipelines.host import WorkerHost
from service.probes.manifest import read_manifest
from service.storage import open_store
from service.studies.dissection import DissectionPlan, run_dissection
from service.usecases.jobs import JobSubmission, find_job, submit_job
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.probe_sets import register_probe_set
from service.usecases.resources import register_dissector
from tests.usecases.factories import RecordingQueue

_SHARDS = 20
_SHARD_SIZE = Settings.model_fields["shard_size"].default
_WARM_UP = 24
_ROUNDS = 2
_LAYERS = ("_blocks.3", "_blocks.10", "_blocks.15")
_MOST = 1.05
_NETWORKS = 2
_ARCHITECTURE = "efficientnet-lite0"


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        files = write_samples(folder / "samples", phantoms=_SHARDS * _SHARD_SIZE, seed=1)
        few = write_samples(folder / "few", phantoms=_WARM_UP, seed=2)
        with PostgresServer(folder / "postgres") as postgres:
            upgrade(postgres.url)
            settings = Settings(
                database_url=SecretStr(postgres.url),
                artifacts_url=(folder / "artifacts").as_uri(),
                device="cpu",
                data_roots="/",
            )
            pairs = _measure(settings, files, few)
    # The least of each side: whatever else the machine does only adds, and by more than the overhead.
    in_process, worker = (min(side) for side in zip(*pairs, strict=True))
    ratio = worker / in_process
    name = f"EfficientNet-Lite0, {_SHARDS} shards of {_SHARD_SIZE}, worker against in-process, the least of {_ROUNDS}"
    return [Row(name, in_process, worker, "s", ratio, f"at most {_MOST}", ratio <= _MOST)]


def _measure(settings: Settings, files: Samples, few: Samples) -> list[tuple[float, float]]:
    """Seconds of both sides, networks loaded: in-process every time anew, by the worker in rounds after a small job."""
    sessions = open_sessions(settings.database_url)
    _register(sessions, files, few)
    child = ChildProcess(settings, DISSECTION)
    host = WorkerHost(sessions, settings, RecordingQueue(), open_store(settings.artifacts_url), child)
    try:
        _by_worker(sessions, host, "few", lam=9.0)
        _in_process(few, lam=9.0)
        return [_pair(sessions, host, files, number) for number in range(_ROUNDS)]
    finally:
        host.close()
        sessions.kw["bind"].dispose()


def _pair(sessions: Sessions, host: WorkerHost, files: Samples, number: int) -> tuple[float, float]:
    """Seconds in-process and by the worker, who takes turns in going first."""
    if number % 2:
        worker = _by_worker(sessions, host, "probes", lam=number)
        return _in_process(files, lam=number), worker
    return _in_process(files, lam=number), _by_worker(sessions, host, "probes", lam=number)


def _register(sessions: Sessions, files: Samples, few: Samples) -> None:
    queue = RecordingQueue()
    with transaction(sessions) as session:
        register_model(
            session, queue, NamedCheckpoint(str(files.checkpoint), _ARCHITECTURE), name="target", roots=ANYWHERE
        )
        register_dissector(session, queue, name="dissector", path=str(files.dissector), roots=ANYWHERE)
        for name, manifest in (("probes", files.phantoms), ("few", few.phantoms)):
            register_probe_set(
                session,
                queue,
                name=name,
                manifest=str(manifest),
                patches=None,
                on_unreadable="fail",
                roots=ANYWHERE,
            )


def _by_worker(sessions: Sessions, host: WorkerHost, probe_set: str, *, lam: float) -> float:
    """Another lam is another scoring; the artifacts of the shards are removed, so they are probed again."""
    submission = JobSubmission(
        target="target",
        dissector="dissector",
        probe_set=probe_set,
        concept_set="bi-rads",
        layers=_LAYERS,
        method=Method.of(top_k=24, lam=lam),
        concepts_per_neuron=10,
        images_per_neuron=5,
        batch_size=8,
        shard_size=_SHARD_SIZE,
    )
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM artifacts"))
        job = submit_job(session, RecordingQueue(), submission, request={}).id
    begun = time.perf_counter()
    host.work()
    seconds = time.perf_counter() - begun
    with transaction(sessions) as session:
        if find_job(session, job).status is not JobStatus.SUCCEEDED:
            raise AssertionError(find_job(session, job).problem)
    return seconds


def _in_process(files: Samples, *, lam: float) -> float:
    """The same work without the time that opening the networks takes: the worker has them open."""
    plan = DissectionPlan(
        target=TargetSpec(files.checkpoint, _ARCHITECTURE),
        dissector=DissectorSpec(files.dissector),
        probe_set=read_manifest(files.phantoms, name="probes"),
        concept_set=builtin_concept_set("bi-rads"),
        options=DissectionOptions(_LAYERS, Method.of(top_k=24, lam=lam)),
        device="cpu",
        batch_size=8,
        shard_size=_SHARD_SIZE,
    )
    loaded: list[float] = []

    def note(progress: Progress) -> None:
        if progress.stage is Stage.LOAD and progress.done == _NETWORKS:
            loaded.append(time.perf_counter())

    run_dissection(plan, note)
    return time.perf_counter() - loaded[0]
