"""Alerts of jobs that have ended."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.alerts import EndpointKind
from service.domain.jobs import Job, Stage
from service.domain.work import Lease
from service.errors import ProblemFields
from service.usecases import work
from service.usecases.alerts import create_endpoint, list_alerts
from service.usecases.jobs import cancel_job
from tests.alerts.clockwork import Clockwork
from tests.alerts.conftest import MakeReceiver
from tests.usecases.factories import RecordingQueue, queued_job, taken

SECRET: ProblemFields = {
    "code": "image-unreadable",
    "title": "Image unreadable",
    "detail": "anna-smith.dcm is damaged.",
}


@pytest.fixture
def job(sessions: Sessions) -> Job:
    with transaction(sessions) as session:
        return queued_job(session)


def listen(sessions: Sessions, settings: Settings, name: str, url: str, *events: str) -> None:
    with transaction(sessions) as session:
        create_endpoint(session, settings, name=name, kind=EndpointKind.WEBHOOK, url=url, events=events or None)


def begun(sessions: Sessions) -> Lease:
    with transaction(sessions) as session:
        lease = taken(session, lease=timedelta(seconds=30))
        assert lease is not None
        assert work.begin_item(session, lease)
        return lease


def succeed(sessions: Sessions) -> None:
    for _ in range(2):
        lease = begun(sessions)
        with transaction(sessions) as session:
            if lease.stage is Stage.STORE:
                work.complete_job(session, lease, {"device": "cpu"}, {"layers": []})
            else:
                work.complete_item(session, RecordingQueue(), lease, {"layers": []})


def alerts(sessions: Sessions) -> list[tuple[str, str]]:
    with transaction(sessions) as session:
        page, _ = list_alerts(session, kind=None, status=None, limit=50, after=None)
        return [(alert.kind, alert.subject) for alert in page.items]


def test_who_asks_for_it_hears_of_a_job_that_succeeded(
    sessions: Sessions, settings: Settings, clockwork: Clockwork, receiver: MakeReceiver, job: Job
) -> None:
    asking, everything = receiver(), receiver()
    listen(sessions, settings, "pipeline", asking.url, "job.succeeded")
    listen(sessions, settings, "on-call", everything.url)
    succeed(sessions)
    clockwork.deliver()
    (message,) = asking.received
    body = json.loads(message.body)
    assert (body["type"], body["subject"]) == ("job.succeeded", "screening@1: job SUCCEEDED")
    assert body["data"] == {
        "job": str(job.id),
        "status": "succeeded",
        "target": "screening@1",
        "dissector": "reader@1",
        "probe_set": "probes@1",
        "concept_set": "words@1",
        "replay_of": None,
        "problem": None,
    }
    assert everything.received == [], "all alerts does not mean those of jobs"


def test_a_failed_job_is_told_without_what_may_name_an_image(sessions: Sessions, settings: Settings, job: Job) -> None:
    listen(sessions, settings, "pipeline", "https://127.0.0.1:9/", "job.failed")
    lease = begun(sessions)
    with transaction(sessions) as session:
        work.fail_job(session, lease, SECRET)
    assert alerts(sessions) == [("job.failed", "screening@1: job FAILED")]
    with transaction(sessions) as session:
        data = session.execute(text("SELECT data FROM alerts")).scalar_one()
    assert (data["job"], data["problem"]) == (str(job.id), "image-unreadable")
    assert "smith" not in json.dumps(data)


@pytest.mark.usefixtures("job")
def test_a_job_that_is_given_up_is_told_as_failed(sessions: Sessions, settings: Settings) -> None:
    listen(sessions, settings, "pipeline", "https://127.0.0.1:9/", "job.failed")
    lease = begun(sessions)
    with transaction(sessions) as session:
        work.try_again(session, lease, SECRET, max_attempts=1)
    assert alerts(sessions) == [("job.failed", "screening@1: job DEAD")]


@pytest.mark.parametrize("events", [(), ("job.failed", "audit.failed")])
@pytest.mark.usefixtures("job")
def test_where_nobody_asks_nothing_is_written(sessions: Sessions, settings: Settings, events: tuple[str, ...]) -> None:
    listen(sessions, settings, "other", "https://127.0.0.1:9/", *events)
    succeed(sessions)
    assert alerts(sessions) == []


def test_a_cancelled_job_is_not_told_of(sessions: Sessions, settings: Settings, job: Job) -> None:
    listen(sessions, settings, "pipeline", "https://127.0.0.1:9/", "job.failed", "job.succeeded")
    with transaction(sessions) as session:
        cancel_job(session, job.id)
    assert alerts(sessions) == []
