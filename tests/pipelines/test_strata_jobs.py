"""Whole jobs on parts of a probe set, with what counts as independent chosen or recognised, and their comparison."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from service.db.resources import find_resource
from service.db.session import Sessions, transaction
from service.domain.evidence import EvidenceOptions
from service.domain.independence import UnitCounts
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from service.errors import InvalidInput
from service.files import ANYWHERE
from service.usecases.comparisons import compare_jobs
from service.usecases.probe_sets import register_probe_set
from service.usecases.reports import read_comparison_report, read_report
from service.usecases.strata import StrataJobs, find_strata, on_part, submit_strata
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import SUBMISSION, register, submit, write_folder
from tests.usecases.factories import RecordingQueue

IMAGES = 96
DENSITY = ["AB"[number % 2] for number in range(IMAGES)]
STUDY = [f"study-{number // 4}" for number in range(IMAGES)]
VIEW = ["CC" if number % 4 < 2 else "MLO" for number in range(IMAGES)]
ASKED = replace(SUBMISSION, evidence=EvidenceOptions(draws=60, resamples=8, halves=4), shard_size=64)


def test_a_column_that_was_recognised_is_what_a_job_draws_by_and_says(
    sessions: Sessions, tmp_path: Path, run: Run
) -> None:
    write_folder(tmp_path, images=IMAGES, columns={"Study_ID": STUDY, "density": DENSITY})
    job = run(submit(sessions, tmp_path, evidence=ASKED.evidence, shard_size=64))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None

    said = "Column 'Study_ID' is taken for exam_id and is not a stratum."
    assert job.manifest["probe_set"]["grouping"] == {"exam_id": "Study_ID"}
    assert job.manifest["probe_set"]["table_notes"] == [said]
    evidence = job.manifest["evidence"]
    assert evidence is not None
    assert (evidence["drawn_by"], evidence["units"]) == ("exam", IMAGES // 4)

    with transaction(sessions) as session:
        probe_set = find_resource(session, ResourceKind.PROBE_SET, "probes", None)
        assert probe_set is not None
        assert probe_set.spec["grouping"] == {"exam_id": "Study_ID"}
        assert cast("UnitCounts", probe_set.spec["independence"])["units"] == IMAGES // 4
        assert any(said in sentence for sentence in read_report(session, job.id, must_have=None).summary)


def test_what_was_chosen_is_warned_of_in_the_answer_the_manifest_and_the_report(
    sessions: Sessions, tmp_path: Path, run: Run
) -> None:
    write_folder(tmp_path, images=IMAGES, columns={"patient_id": STUDY, "density": DENSITY})
    job = run(submit(sessions, tmp_path, evidence=ASKED.evidence, shard_size=64, probe_set={"independent": "image"}))
    assert job.manifest is not None
    [warning] = job.manifest["probe_set"]["warnings"]
    assert "names patients and 24 patients have several" in warning
    assert job.manifest["probe_set"]["independent"] == "image"

    with transaction(sessions) as session:
        probe_set = find_resource(session, ResourceKind.PROBE_SET, "probes", None)
        assert probe_set is not None
        assert cast("UnitCounts", probe_set.spec["independence"])["warnings"] == [warning]
        report = read_report(session, job.id, must_have=None)
    assert warning in report.summary
    assert any("its 96 images count as independent, because that was chosen" in limit for limit in report.limits)


def test_strata_of_one_request_are_compared_when_all_have_succeeded(
    sessions: Sessions, tmp_path: Path, run: Run
) -> None:
    write_folder(tmp_path, images=IMAGES, columns={"exam_id": STUDY, "density": DENSITY, "view": VIEW})
    queue = RecordingQueue()

    def ask(key: str) -> StrataJobs:
        with transaction(sessions) as session:
            return submit_strata(
                session,
                queue,
                replace(ASKED, fit_top_k=True),
                [{"density": ["A"]}, {"density": ["B"], "view": ["CC", "MLO"]}],
                request={"of": "strata"},
                roots=ANYWHERE,
                idempotency_key=key,
            )

    with transaction(sessions) as session:
        register(session, tmp_path, queue)
    asked = ask("once")
    assert [job.id for job in ask("once").jobs] == [job.id for job in asked.jobs]
    assert len({job.request.options.method.top_k for job in asked.jobs}) == 1

    done = [run(job) for job in asked.jobs]
    assert [job.status for job in done] == [JobStatus.SUCCEEDED] * 2, [job.problem for job in done]
    for job, where in zip(done, ({"density": ["A"]}, {"density": ["B"], "view": ["CC", "MLO"]}), strict=True):
        assert job.manifest is not None
        assert (job.manifest["probe_set"]["where"], job.manifest["images_used"]) == (where, IMAGES // 2)
        assert job.request.part is not None
        assert job.request.part.probe_set == "probes@1"

    with transaction(sessions) as session:
        compared = find_strata(session, asked.id).comparison
        comparison, is_new = compare_jobs(session, [job.id for job in done])
        assert (comparison.id, is_new) == (compared, False)
        names = read_comparison_report(session, comparison.id).names
        summary = read_report(session, done[0].id, must_have=None).summary
    assert comparison.result is not None
    assert comparison.result.resamples == 8
    assert "nothing is paired by exams" in comparison.result.notes[0]
    assert names == ("target@1 on density A", "target@1 on density B, view CC or MLO")
    assert "Only images with density A were used: a part of the probe set." in summary


def test_two_requests_with_one_key_at_once_are_one(sessions: Sessions, tmp_path: Path) -> None:
    write_folder(tmp_path, images=IMAGES, columns={"exam_id": STUDY, "density": DENSITY})
    queue = RecordingQueue()
    with transaction(sessions) as session:
        register(session, tmp_path, queue)
    published = len(queue.published)

    def ask(session: Session) -> StrataJobs:
        strata = [{"density": ["A"]}, {"density": ["B"]}]
        return submit_strata(
            session, queue, ASKED, strata, request={"of": "strata"}, roots=ANYWHERE, idempotency_key="once"
        )

    earlier: list[StrataJobs] = []

    def ask_in_between(*_: object) -> None:
        if not earlier:
            with transaction(sessions) as other:
                earlier.append(ask(other))

    with transaction(sessions) as session:
        event.listen(session.connection(), "after_cursor_execute", ask_in_between)
        later = ask(session)
    assert (later.id, [job.id for job in later.jobs]) == (earlier[0].id, [job.id for job in earlier[0].jobs])
    assert len(queue.published) - published == 2, "a message for each stratum"


def test_nothing_is_queued_where_one_of_the_strata_cannot_be(sessions: Sessions, tmp_path: Path) -> None:
    write_folder(tmp_path, images=IMAGES, columns={"exam_id": STUDY, "density": DENSITY})
    queue = RecordingQueue()
    with transaction(sessions) as session:
        register(session, tmp_path, queue)

    refused = {
        "unknown": [{"density": ["A"]}, {"density": ["C"]}],
        "equal": [{"density": ["A", "B"]}, {"density": ["B", "A"]}],
        "one": [{"density": ["A"]}],
    }
    for strata in refused.values():
        with pytest.raises(InvalidInput) as raised, transaction(sessions) as session:
            submit_strata(session, queue, ASKED, strata, request={}, roots=ANYWHERE)
        assert str(raised.value.field).startswith("strata")
    with transaction(sessions) as session:
        assert find_resource(session, ResourceKind.PROBE_SET, "probes", None) is not None


def test_earlier_registrations_and_parts_keep_their_digests(sessions: Sessions, tmp_path: Path) -> None:
    write_folder(tmp_path, images=IMAGES, columns={"exam_id": STUDY, "density": DENSITY})
    queue = RecordingQueue()
    with transaction(sessions) as session:
        plain = register(session, tmp_path, queue)
        chosen, is_new = register_probe_set(
            session,
            queue,
            name="probes",
            manifest=str(tmp_path / "manifest.csv"),
            patches=None,
            on_unreadable="fail",
            roots=ANYWHERE,
            independent="image",
        )
        assert is_new
        assert chosen.digest != plain.digest
        part = on_part(session, replace(ASKED, probe_set="probes@1"), {"density": ["A"]}, ANYWHERE)
        stored = find_resource(session, ResourceKind.PROBE_SET, part.probe_set.split("@", maxsplit=1)[0], None)
    assert stored is not None
    assert stored.spec["part"] == ["density", "A"]
    assert "where" not in stored.spec
