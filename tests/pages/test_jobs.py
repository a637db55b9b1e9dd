"""The pages of jobs: their list, one job, and what can be done to it."""

import re
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from service.db.jobs import move_job
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from tests.api.changing_calls import trail
from tests.pages.visitor import Visitor, check_page, words_of
from tests.usecases.factories import RecordingQueue, neuron, queued_job, succeeded_job

PROBLEM = {"code": "x", "title": "Out of <memory>", "detail": "It took & took.", "remedy": "Give it more."}


def job_with(sessions: Sessions, status: JobStatus, model: str = "screening") -> UUID:
    with transaction(sessions) as session:
        if status is JobStatus.SUCCEEDED:
            return succeeded_job(session, [neuron(0, 2.0)], model=model)
        job = queued_job(session, model=model)
        if status is JobStatus.CANCELLED:
            assert move_job(session, job.id, status)
        elif status is not JobStatus.QUEUED:
            assert move_job(session, job.id, JobStatus.RUNNING)
        if status in {JobStatus.FAILED, JobStatus.DEAD}:
            assert move_job(session, job.id, status, problem=PROBLEM)
        return job.id


def test_without_jobs_the_list_leads_to_the_first(visitor: Visitor) -> None:
    page = visitor.get("/ui/jobs")
    assert "Nobody has asked for a dissection yet." in words_of(page)
    assert 'href="/ui/jobs/new"' in page


def test_the_list_has_the_newest_first_and_filters_by_status(visitor: Visitor, sessions: Sessions) -> None:
    failed = job_with(sessions, JobStatus.FAILED, "first")
    queued = job_with(sessions, JobStatus.QUEUED, "second")
    page = visitor.get("/ui/jobs")
    assert re.findall(r'href="/ui/jobs/([0-9a-f-]{36})"', page) == [str(queued), str(failed)]
    assert "Out of &lt;memory&gt;" in page

    page = visitor.get("/ui/jobs?status=failed")
    assert re.findall(r'href="/ui/jobs/([0-9a-f-]{36})"', page) == [str(failed)]
    assert "No job fits that." in visitor.words("/ui/jobs?status=running")
    assert len(re.findall(r'href="/ui/jobs/([0-9a-f-]{36})"', visitor.get("/ui/jobs?status="))) == 2
    assert "There is no such status." in visitor.words("/ui/jobs?status=lost", 422)


def test_the_list_comes_in_pages(visitor: Visitor, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.pages.jobs.PAGE_SIZE", 2)
    jobs = [str(job_with(sessions, JobStatus.QUEUED)) for _ in range(3)]
    address: str | None = "/ui/jobs?status=queued"
    seen = []
    while address is not None:
        page = visitor.get(address)
        seen += re.findall(r'href="/ui/jobs/([0-9a-f-]{36})"', page)
        following = re.search(r'rel="next" class="button" href="([^"]+)"', page)
        address = None if following is None else following[1].replace("&amp;", "&")
        assert address is None or "status=queued" in address
    assert seen == jobs[::-1]
    assert 'href="/ui/jobs?status=queued">First page' in page
    assert visitor.client.get("/ui/jobs?cursor=x").status_code == 422


@pytest.mark.parametrize("status", JobStatus)
def test_each_job_says_where_it_stands_and_offers_what_can_be_done(
    visitor: Visitor, sessions: Sessions, status: JobStatus
) -> None:
    job = job_with(sessions, status)
    page = visitor.get(f"/ui/jobs/{job}")
    assert f'class="badge state-{status}"' in page
    offered = set(re.findall(rf'action="/ui/jobs/{job}/([a-z]+)"', page))
    assert (
        offered
        == {
            JobStatus.QUEUED: {"cancel"},
            JobStatus.RUNNING: {"cancel"},
            JobStatus.SUCCEEDED: {"replay"},
            JobStatus.FAILED: {"retry"},
            JobStatus.DEAD: {"retry"},
            JobStatus.CANCELLED: set(),
        }[status]
    )
    is_open = status in {JobStatus.QUEUED, JobStatus.RUNNING}
    assert (f'data-events="/jobs/{job}/events"' in page) is is_open
    assert ("Look again" in page) is is_open, "what to do without scripts"
    assert ("Out of &lt;memory&gt;" in page) is (status in {JobStatus.FAILED, JobStatus.DEAD})
    assert ("What made it" in page) is (status is JobStatus.SUCCEEDED)


def test_a_job_says_what_was_asked_and_how_far_it_is(visitor: Visitor, sessions: Sessions) -> None:
    words = visitor.words(f"/ui/jobs/{job_with(sessions, JobStatus.RUNNING)}")
    assert "0 of 200 images" in words
    assert "Showing images" in words
    assert "blocks.0" in words
    assert "Neurons are scored by soft wpmi" in words
    for part in ("screening@1", "probes@1", "reader@1", "words@1"):
        assert part in words


def test_every_link_of_a_result_leads_somewhere(visitor: Visitor, sessions: Sessions) -> None:
    page = visitor.get(f"/ui/jobs/{job_with(sessions, JobStatus.SUCCEEDED)}")
    links = set(re.findall(r'href="(/[^"#]+)', page[page.index("<main") :]))
    assert any(link.endswith("/report") for link in links)
    for link in links:
        assert visitor.client.get(link.replace("&amp;", "&")).status_code == 200, link


def test_cancelling_is_one_entry_under_the_name_of_the_key(app: FastAPI, sessions: Sessions) -> None:
    job = job_with(sessions, JobStatus.QUEUED)
    visitor = Visitor(app).sign_in("first")
    answer = visitor.send(f"/ui/jobs/{job}/cancel")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/jobs/{job}")
    assert 'state-cancelled"' in visitor.get(f"/ui/jobs/{job}")
    entry = trail(sessions)[-1]
    assert (entry.actor, entry.action, entry.subject) == (
        "radiology",
        "POST /ui/jobs/{job_id}/cancel",
        f"/ui/jobs/{job}",
    )
    assert entry.before is not None


def test_retry_and_replay_wake_a_worker(visitor: Visitor, sessions: Sessions, queue: RecordingQueue) -> None:
    failed, succeeded = job_with(sessions, JobStatus.FAILED), job_with(sessions, JobStatus.SUCCEEDED, "other")
    assert visitor.send(f"/ui/jobs/{failed}/retry").headers["location"] == f"/ui/jobs/{failed}"
    replay = visitor.send(f"/ui/jobs/{succeeded}/replay").headers["location"].rpartition("/")[2]
    assert replay not in {str(failed), str(succeeded)}
    assert {identifier for _, identifier in queue.published} >= {failed, UUID(replay)}
    assert trail(sessions)[-1].subject == f"/ui/jobs/{succeeded} -> /jobs/{replay}"
    assert "Replay of a dissection" in visitor.words(f"/ui/jobs/{replay}")


@pytest.mark.parametrize(("action", "status"), [("cancel", 409), ("retry", 409)])
def test_what_cannot_be_done_is_said_and_leaves_no_entry(
    visitor: Visitor, sessions: Sessions, action: str, status: int
) -> None:
    job = job_with(sessions, JobStatus.SUCCEEDED)
    before = len(trail(sessions))
    answer = visitor.send(f"/ui/jobs/{job}/{action}")
    assert answer.status_code == status
    check_page(answer)
    assert len(trail(sessions)) == before


def test_a_form_without_its_token_changes_nothing(visitor: Visitor, sessions: Sessions) -> None:
    job = job_with(sessions, JobStatus.QUEUED)
    assert visitor.client.post(f"/ui/jobs/{job}/cancel").status_code == 403
    assert 'state-queued"' in visitor.get(f"/ui/jobs/{job}")


def test_a_job_that_is_not_there_is_said(visitor: Visitor, sessions: Sessions) -> None:
    words = visitor.words(f"/ui/jobs/{uuid4()}", 404)
    assert "There is no job" in words
    assert "/ui/jobs" in words, "the remedy leads to the page"
    assert visitor.client.get("/ui/jobs/none").status_code == 422
    job = job_with(sessions, JobStatus.QUEUED)
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM work_items"))
        session.execute(text("DELETE FROM job_events"))
        session.execute(text("DELETE FROM jobs"))
    assert visitor.send(f"/ui/jobs/{job}/cancel").status_code == 404


def test_names_are_only_text(visitor: Visitor, sessions: Sessions) -> None:
    job_with(sessions, JobStatus.QUEUED, "<i>x</i>")
    page = visitor.get("/ui/jobs")
    assert "<i>x</i>" not in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
