"""What the layers of a job are scored with is made once, and reads what the present item may read."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
import torch
from torch import Tensor

from service.db.session import Sessions
from service.domain.evidence import LEAST_EXAMS, EvidenceOptions
from service.domain.jobs import JobStatus
from service.engine.evidence import scoring_context
from service.engine.probing.shards import StoredShard
from service.pipelines.dissections import DissectionWork
from service.pipelines.items import DissectionRunner
from service.pipelines.job_plan import JobPlan
from service.pipelines.kept_context import KeptContext
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import submit, write_folder

EVIDENCE = EvidenceOptions(draws=50, resamples=2, halves=1)


def test_what_follows_from_the_images_alone_is_worked_out_once_for_a_job(
    sessions: Sessions, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., object]:
        work: Callable[..., object] = getattr(scoring_context, name)

        def count(*arguments: object) -> object:
            done[name] += 1
            return work(*arguments)

        return count

    for name in ("group_images", "spread_of_embeddings", "background_of"):
        monkeypatch.setattr(scoring_context, name, counted(name))

    folder = write_folder(tmp_path, images=LEAST_EXAMS)
    first = run(submit(sessions, folder, evidence=EVIDENCE))
    assert first.status is JobStatus.SUCCEEDED
    assert done == {"group_images": 1, "spread_of_embeddings": 1, "background_of": 1}

    run(submit(sessions, folder, evidence=EVIDENCE, concepts_per_neuron=1))
    assert set(done.values()) == {2}, "another job's is not taken"


def test_a_kept_context_is_of_the_present_item(
    sessions: Sessions, folder: Path, run: Run, runner: DissectionRunner
) -> None:
    job = run(submit(sessions, folder, evidence=EvidenceOptions(draws=0)))
    plan, shards = plan_and_shards(runner, job.id)
    gone = [copy_of(shard, folder / f"{number}.gone") for number, shard in enumerate(shards)]
    texts = torch.zeros(3, 2)
    told: list[int] = []

    kept = KeptContext()
    first = kept.of(plan, ["sha256"] * 3, gone, lambda: texts, nobody)
    for shard in gone:
        shard._path.unlink()

    again = kept.of(plan, ["sha256"] * 3, shards, never, told.append)
    assert again is first
    assert again.read_embeddings(torch.arange(2)).equal(shards[0][torch.arange(2)])
    again.check_cancelled()
    assert told == [0]


def test_other_shards_of_the_job_have_a_context_of_their_own(
    sessions: Sessions, folder: Path, run: Run, runner: DissectionRunner
) -> None:
    job = run(submit(sessions, folder, evidence=EvidenceOptions(draws=0)))
    plan, shards = plan_and_shards(runner, job.id)
    texts = torch.zeros(3, 2)

    kept = KeptContext()
    first = kept.of(plan, ["a", "b", "c"], shards, lambda: texts, nobody)
    other = kept.of(plan, ["a", "b", "d"], shards, lambda: texts, nobody)
    assert other is not first
    kept.forget()
    assert kept.of(plan, ["a", "b", "d"], shards, lambda: texts, nobody) is not other


def plan_and_shards(runner: DissectionRunner, job_id: UUID) -> tuple[JobPlan, list[StoredShard]]:
    plan = runner._plans.of(job_id, nobody)
    work = DissectionWork(
        runner._sessions,
        runner._artifacts,
        runner.networks,
        runner._device,
        plan,
        KeptContext(),
        runner._most_activations,
        nobody,
    )
    return plan, work._shards


def nobody(_done: int) -> None:
    pass


def never() -> Tensor:
    raise AssertionError("the texts were asked for again")


def copy_of(shard: StoredShard, path: Path) -> StoredShard:
    shutil.copyfile(shard._path, path)
    return StoredShard(path)
