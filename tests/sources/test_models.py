"""Models from sources: registered, fetched, inspected and dissected; known at once where their digest is given."""

import errno
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pydantic import SecretStr

from service.config import Settings
from service.db.resources import find_inspection
from service.db.session import Sessions, transaction
from service.delivery.addresses import AllowedHosts
from service.domain.ablations import AblationStatus, UnitChoice
from service.domain.jobs import JobStatus
from service.domain.resources import Resource, ResourceKind
from service.domain.specs import model_spec
from service.domain.work import Preparation
from service.errors import Conflict, InvalidInput, NotFetched
from service.files import ANYWHERE
from service.pipelines.fetching import FetchRunner
from service.pipelines.host import WorkerHost
from service.pipelines.items import DissectionRunner
from service.sources import cache
from service.sources.cache import open_cache
from service.sources.fetch import Fetcher
from service.storage import open_store
from service.usecases.ablations import AblationSubmission, find_ablation, submit_ablation
from service.usecases.jobs import find_job, submit_job
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.preparations import prepare
from service.usecases.resources import find_resource
from tests.engine.small_networks import ARCHITECTURE
from tests.pipelines.inline_child import InlineChild
from tests.pipelines.small_jobs import SUBMISSION, register, write_folder
from tests.sources.conftest import Answers
from tests.usecases.factories import RecordingQueue

Work = Callable[[], None]
PATIENCE_S = 60.0


@pytest.fixture
def folder(tmp_path: Path, sessions: Sessions) -> Path:
    """A folder with everything that a job needs, all of it registered."""
    write_folder(tmp_path)
    with transaction(sessions) as session:
        register(session, tmp_path, RecordingQueue())
    return tmp_path


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        device="cpu",
        artifacts_url=(tmp_path / "artifacts").as_uri(),
        data_roots=str(tmp_path),
        source_cache_dir=str(tmp_path / "cache"),
    )


@pytest.fixture
def work(sessions: Sessions, settings: Settings) -> Work:
    """Works until nothing is ready, as a worker of its own with the cache of all."""

    def finish() -> None:
        fetcher = Fetcher(open_cache(settings), AllowedHosts.of("127.0.0.0/8"), ANYWHERE, 1 << 30)
        WorkerHost(
            sessions,
            settings,
            RecordingQueue(),
            open_store(settings.artifacts_url),
            InlineChild(DissectionRunner(settings, sessions)),
            InlineChild(FetchRunner(sessions, fetcher)),
        ).work()

    return finish


def weights(folder: Path) -> bytes:
    return (folder / "target.safetensors").read_bytes()


def registered(sessions: Sessions, source: str, *, name: str = "remote", sha256: str | None = None) -> Resource:
    with transaction(sessions) as session:
        checkpoint = NamedCheckpoint(source, ARCHITECTURE, sha256)
        return register_model(session, RecordingQueue(), checkpoint, name=name, roots=ANYWHERE)[0]


def model(sessions: Sessions, reference: str) -> Resource:
    with transaction(sessions) as session:
        return find_resource(session, ResourceKind.MODEL, reference, field="name")


def submitted(sessions: Sessions, target: str) -> Any:
    with transaction(sessions) as session:
        return submit_job(session, RecordingQueue(), replace(SUBMISSION, target=target), request={"target": target})


def test_a_source_without_a_digest_gets_it_from_the_worker_and_gives_the_results_of_a_local_file(
    folder: Path, sessions: Sessions, work: Work, web: str, answers: Answers
) -> None:
    answers["/w.safetensors"] = (200, {"ETag": '"1"'}, weights(folder))
    made = registered(sessions, f"{web}/w.safetensors")
    assert made.spec["sha256"] is None
    with pytest.raises(NotFetched) as early:
        submitted(sessions, "remote")
    assert early.value.field == "target"
    assert "GET /models/remote@1 shows spec.sha256" in str(early.value.remedy)

    work()
    known = model(sessions, "remote@1")
    local = model(sessions, "target")
    assert known.digest == local.digest, "the place is no content"
    assert model_spec(known)["fetched"]["place"] == f"{web}/w.safetensors"
    with transaction(sessions) as session:
        inspection = find_inspection(session, known.id)
    assert inspection is not None
    assert inspection[0]

    jobs = [submitted(sessions, name) for name in ("remote", "target")]
    work()
    with transaction(sessions) as session:
        manifests = [find_job(session, job.id).manifest for job in jobs]
    remote, nearby = (manifest or {} for manifest in manifests)
    assert remote["results"] == nearby["results"]
    assert remote["target"].pop("source") == {
        "named": f"{web}/w.safetensors",
        "place": f"{web}/w.safetensors",
        "version": '"1"',
    }
    assert remote["target"] == nearby["target"]


def test_an_ablation_has_the_source_fetched_again(
    folder: Path, sessions: Sessions, settings: Settings, work: Work, web: str, answers: Answers
) -> None:
    answers["/w.safetensors"] = (200, {}, weights(folder))
    registered(sessions, f"{web}/w.safetensors")
    work()
    job = submitted(sessions, "remote")
    work()
    for fetched in Path(settings.source_cache_dir).iterdir():
        fetched.unlink()

    with transaction(sessions) as session:
        choice = UnitChoice(layer="layer4.0", units=(0,))
        asked = submit_ablation(session, RecordingQueue(), job.id, AblationSubmission(choice))
    work()
    with transaction(sessions) as session:
        ended = find_ablation(session, job.id, asked.id)
    assert ended.status is AblationStatus.SUCCEEDED, ended.problem


def test_with_its_digest_a_source_is_the_version_that_has_it_and_it_is_checked_at_every_fetch(
    folder: Path, sessions: Sessions, settings: Settings, work: Work, web: str, answers: Answers
) -> None:
    work()
    digest = hashlib.sha256(weights(folder)).hexdigest()
    same = registered(sessions, f"{web}/w.safetensors", name="target", sha256=digest.upper())
    assert (same.reference, same.spec["checkpoint"]) == ("target@1", f"{web}/w.safetensors")

    answers["/w.safetensors"] = (200, {}, weights(folder) + b" ")
    job = submitted(sessions, "target")
    work()
    with transaction(sessions) as session:
        failed = find_job(session, job.id)
    assert failed.status is JobStatus.FAILED
    assert failed.problem is not None
    assert (failed.problem["code"], failed.problem["value"]) == ("digest-mismatch", digest)
    assert list(Path(settings.source_cache_dir).iterdir()) == [], "nothing of it was kept"

    answers["/w.safetensors"] = (200, {}, weights(folder))
    job = submitted(sessions, "target")
    work()
    answers.clear()  # what was fetched is not fetched again
    again = submitted(sessions, "target")
    work()
    with transaction(sessions) as session:
        assert [find_job(session, one.id).status for one in (job, again)] == [JobStatus.SUCCEEDED] * 2


def test_a_failing_disk_below_the_cache_hands_the_item_back(
    folder: Path, sessions: Sessions, work: Work, web: str, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers["/w.safetensors"] = (200, {}, weights(folder))
    registered(sessions, f"{web}/w.safetensors")
    work()
    opened_and_locked = cache._opened_and_locked
    failures = [OSError(errno.EIO, "Input/output error"), OSError(errno.ENOLCK, "No locks available")]

    def fail(path: Path) -> BinaryIO | None:
        if failures:
            raise failures.pop()
        return opened_and_locked(path)

    monkeypatch.setattr(cache, "_opened_and_locked", fail)
    job = submitted(sessions, "remote")
    status = JobStatus.QUEUED
    deadline = time.monotonic() + PATIENCE_S
    while status in {JobStatus.QUEUED, JobStatus.RUNNING} and time.monotonic() < deadline:
        work()  # an item that was handed back is ready a little later
        with transaction(sessions) as session:
            status = find_job(session, job.id).status

    assert failures == []
    assert status is JobStatus.SUCCEEDED


def test_a_source_that_turns_out_to_hold_a_known_version_is_that_version(
    folder: Path, sessions: Sessions, work: Work, web: str, answers: Answers
) -> None:
    answers["/w.safetensors"] = (200, {}, weights(folder))
    for _ in range(2):
        assert registered(sessions, f"{web}/w.safetensors", name="target").reference == "target@2", "asked for once"
    work()
    assert model(sessions, "target@2").reference == "target@1"
    assert model(sessions, "target").reference == "target@1"
    assert submitted(sessions, "target").request.target == "target@1"
    assert registered(sessions, f"{web}/w.safetensors", name="target").reference == "target@3", "it may have changed"


def test_a_source_that_cannot_be_fetched_says_why_and_can_be_asked_for_again(
    folder: Path, sessions: Sessions, work: Work, web: str, answers: Answers
) -> None:
    made = registered(sessions, f"{web}/w.safetensors")
    work()
    with transaction(sessions) as session:
        inspection = find_inspection(session, made.id)
    assert inspection is not None
    assert inspection[1] is not None
    assert "answered 404" in inspection[1]["detail"]
    assert "POST /models/remote@1/inspect" in inspection[1]["remedy"]
    with pytest.raises(Conflict, match="answered 404"):
        submitted(sessions, "remote")

    answers["/w.safetensors"] = (200, {}, weights(folder))
    with transaction(sessions) as session:
        prepare(session, RecordingQueue(), made, Preparation.INSPECT)
    work()
    assert model(sessions, "remote").spec["sha256"] == hashlib.sha256(weights(folder)).hexdigest()


def test_a_checkpoint_inside_a_job_needs_its_digest(sessions: Sessions, web: str) -> None:
    checkpoint = NamedCheckpoint(f"{web}/w.pt", ARCHITECTURE)
    with transaction(sessions) as session, pytest.raises(InvalidInput) as refused:
        register_model(session, RecordingQueue(), checkpoint, name=None, roots=ANYWHERE)
    assert refused.value.field == "sha256"
    assert "POST /models" in str(refused.value.remedy)


def test_what_fetches_runs_in_a_process_of_its_own(
    folder: Path, sessions: Sessions, settings: Settings, web: str, answers: Answers
) -> None:
    answers["/w.safetensors"] = (200, {}, weights(folder))
    made = registered(sessions, f"{web}/w.safetensors")
    chosen = settings.model_copy(update={"source_hosts": "127.0.0.0/8"})
    child = InlineChild(DissectionRunner(chosen, sessions))
    host = WorkerHost(sessions, chosen, RecordingQueue(), open_store(chosen.artifacts_url), child)
    host.work()
    host.close()
    assert model(sessions, made.reference).spec["sha256"] == hashlib.sha256(weights(folder)).hexdigest()


def test_a_network_that_other_files_describe_is_no_single_file(sessions: Sessions) -> None:
    checkpoint = NamedCheckpoint("s3://bucket/model.safetensors", "transformers/vit", "0" * 64)
    with transaction(sessions) as session, pytest.raises(InvalidInput, match="files beside its weights") as refused:
        register_model(session, RecordingQueue(), checkpoint, name="m", roots=ANYWHERE)
    assert "data roots" in str(refused.value.remedy)
