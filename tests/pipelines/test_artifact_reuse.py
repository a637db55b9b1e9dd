"""Artifacts of whole jobs on small networks: what is reused, what is computed anew, what is lost and found again."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sqlalchemy import text

from service.config import Settings
from service.db.session import Sessions, transaction
from service.db.work import hand_back_item
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import JobStatus, Stage
from service.domain.methods import Method, Similarity
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.probes import ProbeSet
from service.domain.prompts import Prompts
from service.domain.work import DissectionResult, Lease, ShardResult
from service.engine.probing.probe import Probing, ProbingPass
from service.engine.probing.shards import StoredShard
from service.pipelines.items import DissectionRunner
from service.pipelines.network_cache import NetworkCache
from service.ports import ProbeImages
from service.probes.images import open_images
from service.storage import open_store
from service.usecases.garbage import Collected, collect_garbage
from service.usecases.jobs import find_job, job_events, replay_job, retry_job
from service.usecases.neurons import list_layers
from service.usecases.work import begin_item
from tests.engine.small_networks import ARCHITECTURE, LAYERS
from tests.pipelines.conftest import Run
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import submit
from tests.usecases.factories import RecordingQueue, taken, without_preparations


def artifacts(sessions: Sessions) -> dict[str, str]:
    with transaction(sessions) as session:
        return dict(session.execute(text("SELECT key, kind FROM artifacts")).all())


def test_a_second_job_over_the_same_shards_computes_nothing(
    sessions: Sessions, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(submit(sessions, folder))
    stored = artifacts(sessions)
    assert Counter(stored.values()) == {"shard": 3, "texts": 1, "layer": 2, "directions": 2, "pictures": 1}
    monkeypatch.setattr("service.engine.probing.probe.ProbingPass.run", None)
    for computation in ("score_layer", "Thumbnails"):
        monkeypatch.setattr(f"service.pipelines.dissections.{computation}", None)
    second = run(submit(sessions, folder))
    assert (second.status, second.manifest) == (JobStatus.SUCCEEDED, first.manifest)
    assert artifacts(sessions) == stored


REUSED_AFTER = [
    ({}, {"shard", "texts", "layer", "directions"}),
    ({"concepts_per_neuron": 1}, {"shard", "texts", "directions"}),
    ({"method": Method.of(top_k=4, lam=0.5)}, {"shard", "texts", "directions"}),
    ({"method": Method.of(top_k=5)}, {"shard", "texts", "directions"}),
    ({"evidence": EvidenceOptions(draws=50, resamples=3, halves=2)}, {"shard", "texts", "directions"}),
    ({"images_per_neuron": 9}, {"shard", "texts", "directions"}),
    ({"method": Method.of(top_k=4, pooling="max")}, {"texts"}),
    ({"method": Method.of("cosine", top_k=4)}, {"shard", "texts", "directions"}),
    ({"method": Method.of(top_k=4, prompts=Prompts.of(["a {}"]))}, {"shard", "directions"}),
    ({"layers": LAYERS[:1]}, {"texts"}),
    ({"shard_size": 5}, {"texts"}),
    # Shards of its own, with the same bytes where the same images were used: then the layers are the same.
    ({"probe_set": {"on_unreadable": "skip"}}, {"texts", "layer", "directions"}),
]


@pytest.mark.parametrize(("change", "reused"), REUSED_AFTER)
def test_whatever_decides_an_artifact_is_part_of_its_key(
    sessions: Sessions, folder: Path, run: Run, change: dict[str, Any], reused: set[str]
) -> None:
    assert kinds_reused_after(sessions, folder, run, change) == reused


def test_any_similarity_and_evidence_follow_from_one_pass(
    sessions: Sessions, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    run_pass = ProbingPass.run

    def counted(probing_pass: ProbingPass, span: range, progress: Callable[[int], None]) -> Probing:
        passes.append(span)
        return run_pass(probing_pass, span, progress)

    monkeypatch.setattr(ProbingPass, "run", counted)
    evidence = EvidenceOptions(draws=50, resamples=3, halves=2)
    for similarity in get_args(Similarity):
        if similarity == "rank_reorder":  # wants more images than there are
            continue
        job = run(submit(sessions, folder, method=Method.of(similarity, top_k=4), evidence=evidence))
        assert job.status is JobStatus.SUCCEEDED, job.problem
        assert passes == [range(4), range(4, 8), range(8, 10)]


def test_what_is_too_much_to_store_is_said_and_labels_are_the_same(
    sessions: Sessions, folder: Path, run: Run, settings: Settings
) -> None:
    none_kept = settings.model_copy(update={"activations_gb": 0})
    job = submit(sessions, folder)
    inline_host(sessions, none_kept, DissectionRunner(none_kept, sessions)).work()
    with transaction(sessions) as session:
        small = find_job(session, job.id)
    assert small.manifest is not None
    assert "ACTIVATIONS_GB" in small.manifest["activations"]

    whole = run(submit(sessions, folder))
    assert whole.manifest is not None
    assert "activations" not in whole.manifest
    assert whole.manifest["results"] == small.manifest["results"]

    job = submit(sessions, folder, method=Method.of("cosine"), shard_size=5)
    inline_host(sessions, none_kept, DissectionRunner(none_kept, sessions)).work()
    with transaction(sessions) as session:
        refused = find_job(session, job.id)
    assert refused.problem is not None
    assert "ACTIVATIONS_GB" in refused.problem["remedy"]


def test_the_batch_size_is_part_of_a_shard_s_key(sessions: Sessions, folder: Path, run: Run) -> None:
    """Whether the layers are reused depends on how this machine rounds."""
    assert kinds_reused_after(sessions, folder, run, {"batch_size": 2}) - {"layer"} == {"texts"}


def kinds_reused_after(sessions: Sessions, folder: Path, run: Run, change: dict[str, Any]) -> set[str]:
    """Kinds of the artifacts that a changed job shares with the job before it, but for the pictures.

    The same images may be on the cards, whatever they are named by.
    """
    run(submit(sessions, folder))
    before = set(artifacts(sessions))
    job = run(submit(sessions, folder, **change))
    assert job.status is JobStatus.SUCCEEDED, job.problem

    with transaction(sessions) as session:
        mine = session.scalars(text("SELECT key FROM job_artifacts WHERE job_id = :id"), {"id": job.id}).all()
    kinds = artifacts(sessions)
    return {kinds[key] for key in mine if key in before} - {"pictures"}


def test_other_bytes_in_an_image_weights_or_dissector_are_another_artifact(
    sessions: Sessions, folder: Path, run: Run, settings: Settings
) -> None:
    def keys() -> set[str]:
        inline_host(sessions, settings, DissectionRunner(settings, sessions)).work()
        return {key for key, kind in artifacts(sessions).items() if kind == "shard"}

    submit(sessions, folder)
    first = keys()
    pixels = np.array(Image.open(folder / "1.png"))
    Image.fromarray(255 - pixels).save(folder / "1.png", compress_level=0)
    submit(sessions, folder)
    second = keys() - first
    assert len(second) == 1, "one image, one shard"
    weights = load_file(folder / "target.safetensors")
    name = next(key for key in weights if key.endswith("conv1.weight"))
    save_file(weights | {name: weights[name] * 2}, folder / "target.safetensors")
    submit(sessions, folder)
    third = keys() - first - second
    assert len(third) == 3
    description = folder / "dissector" / "dissector.json"
    description.write_text(description.read_text() + " ")
    submit(sessions, folder)
    assert len(keys() - first - second - third) == 3


def test_a_damaged_artifact_is_computed_again_and_told(
    sessions: Sessions, folder: Path, run: Run, settings: Settings
) -> None:
    first = run(submit(sessions, folder))
    for path in (folder / "artifacts").glob("*/*"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    again = submit(sessions, folder)
    inline_host(sessions, settings, DissectionRunner(settings, sessions)).work()
    with transaction(sessions) as session:
        job, events = job_events(session, again.id, after=0)
    assert (job.status, job.manifest) == (JobStatus.SUCCEEDED, first.manifest)
    lost = Counter(event.data["kind"] for event in events if event.kind == "artifact-lost")
    assert lost == {"shard": 3, "texts": 1, "layer": 2, "directions": 2, "pictures": 1}


def test_a_layer_that_is_damaged_at_the_very_end_is_scored_again(
    sessions: Sessions, folder: Path, settings: Settings, runner: DissectionRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = runner.run
    damaged: list[str] = []

    def damage_after(lease: Lease, report_progress: Any, /) -> Mapping[str, Any]:
        result = compute(lease, report_progress)
        if lease.stage is Stage.STORE and not damaged:
            key = cast("DissectionResult", result)["layers"][0]["key"]
            damaged.append(key)
            (folder / "artifacts" / key[:2] / key).write_bytes(b"?")
        return result

    monkeypatch.setattr(runner, "run", damage_after)
    job = submit(sessions, folder)
    inline_host(sessions, settings, runner).work()
    with transaction(sessions) as session:
        assert find_job(session, job.id).status is JobStatus.RUNNING
        assert list_layers(session, job.id) == []
        session.execute(text("UPDATE work_items SET ready_at = now()"))
    inline_host(sessions, settings, runner).work()
    with transaction(sessions) as session:
        assert find_job(session, job.id).status is JobStatus.SUCCEEDED
    assert damaged


def test_an_item_opens_each_shard_once(
    sessions: Sessions, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def read(path: Path) -> StoredShard:
        opened.append(path)
        return StoredShard(path)

    monkeypatch.setattr("service.pipelines.dissections.StoredShard", read)
    assert run(submit(sessions, folder)).status is JobStatus.SUCCEEDED
    assert list(Counter(opened).values()) == [1 + len(LAYERS) + 1] * 3, "probed, scored for each layer, stored"


def test_a_copy_that_vanishes_before_it_is_read_is_fetched_again(
    sessions: Sessions, folder: Path, settings: Settings, runner: DissectionRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another process makes room with it."""
    vanished: list[Path] = []

    def read(path: Path) -> StoredShard:
        if runner_is_scoring() and not vanished:
            vanished.append(path)
            path.unlink()
        return StoredShard(path)

    def runner_is_scoring() -> bool:
        return "texts" in artifacts(sessions).values()

    monkeypatch.setattr("service.pipelines.dissections.StoredShard", read)
    job = submit(sessions, folder)
    for _ in range(2):
        inline_host(sessions, settings, runner).work()
        with transaction(sessions) as session:
            session.execute(text("UPDATE work_items SET ready_at = now()"))
    with transaction(sessions) as session:
        stored_job, events = job_events(session, job.id, after=0)
    assert vanished
    assert stored_job.status is JobStatus.SUCCEEDED, stored_job.problem
    assert [event.data["code"] for event in events if event.kind == "accident"] == ["artifact-lost"]


def test_an_image_that_is_swapped_after_it_was_hashed_is_never_taken_for_the_other(
    sessions: Sessions, folder: Path, settings: Settings, runner: DissectionRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(probe_set: ProbeSet, **options: Any) -> ProbeImages:
        if not swapped.exists():
            (folder / "0.png").rename(swapped)
            Image.fromarray(np.zeros((40, 30), dtype=np.uint8)).save(folder / "0.png")
        return open_images(probe_set, **options)

    swapped = folder / "swapped.png"
    monkeypatch.setattr("service.pipelines.dissections.open_images", read)
    job = submit(sessions, folder, probe_set={"on_unreadable": "skip"})
    for _ in range(2):
        inline_host(sessions, settings, runner).work()
        with transaction(sessions) as session:
            session.execute(text("UPDATE work_items SET ready_at = now()"))
    with transaction(sessions) as session:
        stored_job, events = job_events(session, job.id, after=0)
    assert stored_job.status is JobStatus.SUCCEEDED, stored_job.problem
    assert [event.data["code"] for event in events if event.kind == "accident"] == ["image-changed"]
    assert stored_job.manifest is not None
    assert stored_job.manifest["rows_skipped"] == []

    job = submit(sessions, folder, probe_set={"on_unreadable": "skip"})
    inline_host(sessions, settings, runner).work()
    with transaction(sessions) as session:
        again = find_job(session, job.id)
    assert again.manifest is not None
    assert again.manifest["results"] == stored_job.manifest["results"]
    assert again.manifest["probe_set"]["images"] == stored_job.manifest["probe_set"]["images"], (
        "of those that were shown"
    )


def test_a_lost_shard_is_not_made_again_from_other_images(
    sessions: Sessions, folder: Path, settings: Settings, runner: DissectionRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = runner.run
    lost: list[str] = []

    def lose_after_probing(lease: Lease, report_progress: Any, /) -> Mapping[str, Any]:
        result = compute(lease, report_progress)
        if lease.stage is Stage.PROBE and not lost:
            key = cast("ShardResult", result)["key"]
            lost.append(key)
            (folder / "artifacts" / key[:2] / key).unlink()
            Image.fromarray(np.zeros((40, 30), dtype=np.uint8)).save(folder / "0.png")
        return result

    monkeypatch.setattr(runner, "run", lose_after_probing)
    job = submit(sessions, folder)
    inline_host(sessions, settings, runner).work()
    with transaction(sessions) as session:
        _, events = job_events(session, job.id, after=0)
    assert {event.data["code"] for event in events if event.kind == "accident"} == {"image-changed"}
    assert lost[0] not in {path.name for path in (folder / "artifacts").rglob("*")}


def test_a_full_disk_is_tried_again_and_then_given_up(
    sessions: Sessions, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    submitted = submit(sessions, folder)
    with monkeypatch.context() as disk:
        disk.setattr("service.storage.directory.os.fsync", full)
        for _ in range(5):
            with transaction(sessions) as session:
                session.execute(text("UPDATE work_items SET ready_at = now()"))
            job = run(submitted)
    assert job.status is JobStatus.DEAD
    assert job.problem is not None
    assert "No space left on device" in job.problem["detail"]
    assert [path for path in (folder / "artifacts").rglob("*") if path.is_file()] == []
    with transaction(sessions) as session:
        retry_job(session, RecordingQueue(), job.id)
    assert run(job).status is JobStatus.SUCCEEDED


def test_a_replay_says_whether_the_result_is_the_same(sessions: Sessions, folder: Path, run: Run) -> None:
    job = run(submit(sessions, folder))
    with transaction(sessions) as session:
        replay = replay_job(session, RecordingQueue(), job.id)
    replayed = run(replay)
    assert replayed.manifest is not None
    assert replayed.manifest["replay"] == {"of": str(job.id), "identical": True, "differing_layers": []}
    assert Counter(artifacts(sessions).values()) == {
        **{"shard": 6, "texts": 2, "layer": 4, "directions": 4, "pictures": 2}
    }, "all was computed anew"
    with transaction(sessions) as session:
        session.execute(
            text("UPDATE jobs SET manifest = jsonb_set(manifest, '{results,layer4.0}', '\"0\"') WHERE id = :id"),
            {"id": job.id},
        )
        other = replay_job(session, RecordingQueue(), job.id)
    manifest = run(other).manifest
    assert manifest is not None
    assert manifest["replay"] == {"of": str(job.id), "identical": False, "differing_layers": ["layer4.0"]}


def test_ten_jobs_on_one_target_load_it_once(
    sessions: Sessions, folder: Path, runner: DissectionRunner, run: Run
) -> None:
    for lam in range(10):
        run(submit(sessions, folder, method=Method.of(top_k=4, lam=lam)))
    assert runner.networks.loads == 2, "target and dissector"


def test_networks_make_room_for_others(folder: Path) -> None:
    spec, reader = TargetSpec(folder / "target.safetensors", ARCHITECTURE), DissectorSpec(folder / "dissector")
    kept, cramped = (NetworkCache(torch.device("cpu"), limit) for limit in (1 << 40, -1))
    for cache in (kept, cramped):
        for _ in range(2):
            target = cache.target(spec, LAYERS)
            assert cache.target(spec, LAYERS) is target
            cache.target(spec, LAYERS[:1])
            cache.dissector(reader)
    assert (kept.loads, cramped.loads) == (3, 6)


def test_garbage_is_what_no_job_may_go_on_from(sessions: Sessions, folder: Path, run: Run, settings: Settings) -> None:
    store = open_store(settings.artifacts_url)
    run(submit(sessions, folder))
    waiting = submit(sessions, folder, concepts_per_neuron=1)
    host = inline_host(sessions, settings, DissectionRunner(settings, sessions))
    with transaction(sessions) as session:
        without_preparations(session)
        lease = taken(session)
        assert lease is not None
        begin_item(session, lease)
    DissectionRunner(settings, sessions).run(lease, lambda _: None)
    store.write("0" * 64, b"its writer was killed before it was recorded")
    assert collect_garbage(sessions, store, older_than=timedelta(hours=1)) == Collected(0, 0)
    assert collect_garbage(sessions, store, older_than=timedelta(0)) == Collected(8, 1)
    assert list(artifacts(sessions).values()) == ["shard"], "the shard that the running job refers to"
    assert len(list(store.listing())) == 1
    with transaction(sessions) as session:
        hand_back_item(session, lease)
    host.work()
    with transaction(sessions) as session:
        assert find_job(session, waiting.id).status is JobStatus.SUCCEEDED
