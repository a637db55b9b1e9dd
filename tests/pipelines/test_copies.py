"""Copies of an image and rows of an image in whole jobs: what the job, its manifest and its evidence say."""

import shutil
from pathlib import Path

from service.db.resources import find_resource
from service.db.session import Sessions, transaction
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions, JobStatus
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.resources import ResourceKind
from service.probes.manifest import read_manifest
from service.studies.dissection import DissectionPlan, run_dissection
from tests.engine.small_networks import ARCHITECTURE, LAYERS
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import CONCEPTS, SUBMISSION, submit, write_folder

ORIGINALS = 24


def write_copies(folder: Path) -> Path:
    """Three copies of every image, each in two rows; one finding a row."""
    write_folder(folder, images=ORIGINALS)
    rows = ["image,findings"]
    for index in range(ORIGINALS):
        for copy in range(3):
            shutil.copyfile(folder / f"{index}.png", folder / f"{index}-{copy}.png")
            rows += [f"{index}-{copy}.png,{finding}" for finding in ("mass", f"clip {index % 2}")]
    (folder / "manifest.csv").write_text("\n".join([*rows, ""]))
    return folder


def test_a_job_and_a_local_dissection_say_alike_what_counts_as_independent(
    sessions: Sessions, tmp_path: Path, run: Run
) -> None:
    folder = write_copies(tmp_path)
    evidence = EvidenceOptions(draws=50, resamples=3, halves=1)
    job = run(submit(sessions, folder, evidence=evidence))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None

    stored = job.manifest["evidence"]
    assert stored is not None
    assert (stored["drawn_by"], stored["units"], stored["repeated"]) == ("image", ORIGINALS, 2 * ORIGINALS)
    assert job.manifest["probe_set"]["merged_rows"] == 3 * ORIGINALS

    plan = DissectionPlan(
        target=TargetSpec(folder / "target.safetensors", ARCHITECTURE),
        dissector=DissectorSpec(folder / "dissector"),
        probe_set=read_manifest(folder / "manifest.csv", name="probes"),
        concept_set=CONCEPTS,
        options=DissectionOptions(LAYERS, Method.of(top_k=4), 2, 3, evidence=evidence),
        device="cpu",
        batch_size=SUBMISSION.batch_size,
        shard_size=SUBMISSION.shard_size,
    )
    _, manifest = run_dissection(plan, lambda _: None)
    assert manifest["results"] == job.manifest["results"]
    assert manifest["evidence"] == stored


def test_a_registered_probe_set_says_how_many_rows_were_merged(sessions: Sessions, tmp_path: Path) -> None:
    submit(sessions, write_copies(tmp_path))
    with transaction(sessions) as session:
        probe_set = find_resource(session, ResourceKind.PROBE_SET, "probes", None)
    assert probe_set is not None
    assert (probe_set.spec["images"], probe_set.spec["merged_rows"]) == (3 * ORIGINALS, 3 * ORIGINALS)


def test_a_shard_that_was_lost_is_made_again_with_the_digests_of_its_images(
    sessions: Sessions, tmp_path: Path, run: Run
) -> None:
    folder = write_copies(tmp_path)
    evidence = EvidenceOptions(draws=50, resamples=0, halves=0)
    first = run(submit(sessions, folder, evidence=evidence))
    for path in (folder / "artifacts").glob("*/*"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    again = run(submit(sessions, folder, evidence=evidence))
    assert again.manifest == first.manifest
