"""GET /jobs/{id}/images/{row}: every answer but those of real workers, which tests/pipelines/test_drawings.py has."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import text

from api.app import create_app
from service.config import Settings
from service.db.pictures import add_pictures
from service.db.session import Sessions, transaction
from service.db.trail import stream_entries
from service.db.work import claim_item
from service.domain.probes import Box, ImagePlace
from service.domain.work import PictureLease
from service.errors import InvalidInput
from service.usecases import drawing_work, pictures
from tests.api.test_problems import problem
from tests.reports.page import Page
from tests.usecases.factories import RecordingQueue, neuron, queued_job, succeeded_job

DATA = b"picture"
SHA256 = "0" * 64


@pytest.fixture
def job(client: TestClient, sessions: Sessions) -> UUID:
    """One of a neuron whose top images are row 7, and a patch of row 3; nobody takes its own items."""
    with transaction(sessions) as session:
        job_id = succeeded_job(session, [neuron(0, 1.0), neuron(1, None)])
        session.execute(text("UPDATE work_items SET status = 'withdrawn'"))
    return job_id


def claim(sessions: Sessions) -> PictureLease:
    with transaction(sessions) as session:
        lease = claim_item(session, "tester", timedelta(seconds=30))
    assert isinstance(lease, PictureLease)
    return lease


def draw(sessions: Sessions) -> None:
    """Do as a worker does with the picture whose turn it is."""
    lease = claim(sessions)
    with transaction(sessions) as session:
        drawing_work.complete_drawing(session, lease, DATA, SHA256)


def test_a_picture_is_drawn_once_and_then_known(
    client: TestClient, sessions: Sessions, job: UUID, queue: RecordingQueue
) -> None:
    url = f"/jobs/{job}/images/7"
    before = len(queue.published)
    waiting = client.get(url)
    assert (waiting.status_code, waiting.headers["retry-after"], waiting.headers["cache-control"]) == (
        202,
        "1",
        "no-store",
    )
    assert waiting.json() == {"job": str(job), "row": 7, "state": "waiting", "retry_after_s": 1}
    assert client.get(url).status_code == 202
    assert len(queue.published) == before + 1

    draw(sessions)
    drawn = client.get(url)
    assert (drawn.status_code, drawn.content, drawn.headers["content-type"]) == (200, DATA, "image/webp")
    assert drawn.headers["etag"] == f'"{SHA256}"'
    assert drawn.headers["cache-control"] == "private, max-age=3600"
    assert drawn.headers["vary"] == "Authorization, Cookie"
    with transaction(sessions) as session:
        assert list(stream_entries(session)) == [], "a picture changes nothing that anybody answers for"


@pytest.mark.parametrize("tags", [f'"{SHA256}"', f'W/"{SHA256}"', f'"other", "{SHA256}"', "*"])
def test_a_picture_that_the_caller_has_is_not_sent_again(
    client: TestClient, sessions: Sessions, job: UUID, tags: str
) -> None:
    url = f"/jobs/{job}/images/7"
    client.get(url)
    draw(sessions)
    known = client.get(url, headers={"If-None-Match": tags})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", f'"{SHA256}"')
    assert client.get(url, headers={"If-None-Match": f'"{"1" * 64}"'}).status_code == 200


def test_the_small_pictures_of_the_report_are_there_at_once(
    client: TestClient, sessions: Sessions, job: UUID, queue: RecordingQueue
) -> None:
    patch = ImagePlace(3, Box(0, 64, 32, 32))
    with transaction(sessions) as session:
        add_pictures(session, job, {ImagePlace(7, None): b"jpeg 7", patch: b"jpeg 3"})
    before = len(queue.published)
    for query, data in (("7?size=thumbnail", b"jpeg 7"), ("3?size=thumbnail&box=0,64,32,32", b"jpeg 3")):
        picture = client.get(f"/jobs/{job}/images/{query}")
        assert (picture.status_code, picture.content, picture.headers["content-type"]) == (200, data, "image/jpeg")
        again = client.get(f"/jobs/{job}/images/{query}", headers={"If-None-Match": picture.headers["etag"]})
        assert again.status_code == 304
    assert len(queue.published) == before
    assert client.get(f"/jobs/{job}/images/7?size=medium").status_code == 202
    marked = client.get(f"/jobs/{job}/images/7?size=thumbnail&layer=blocks.0&unit=0&region=true")
    assert marked.status_code == 202, "the report's have no outline in them"


def test_with_a_unit_its_own_patch_is_drawn(client: TestClient, sessions: Sessions, job: UUID) -> None:
    assert client.get(f"/jobs/{job}/images/3?layer=blocks[0]&unit=0").status_code == 202
    with transaction(sessions) as session:
        [request] = session.scalars(text("SELECT request FROM pictures"))
    box = {"left": 0, "top": 64, "width": 32, "height": 32}
    assert request == {"place": {"row": 3, "box": box, "frame": None}, "size": "medium", "marks": None}
    assert client.get(f"/jobs/{job}/images/3?box=0,64,32,32").status_code == 202
    with transaction(sessions) as session:
        assert session.scalar(text("SELECT count(*) FROM pictures")) == 1, "it is the same picture"


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("8", "row", "row 8 is not among the top images of any neuron"),
        ("3", "row", "row 3 is not among the top images of any neuron"),
        ("7?frame=2", "row", "only those are drawn"),
        ("3?box=0,0,32,32", "row", "only those are drawn"),
        ("8?layer=blocks.0&unit=0", "row", "row 8 is not among the top images of unit 0 of layer blocks.0"),
        ("7?layer=blocks.0&unit=1", "row", "row 7 is not among the top images of unit 1"),
        ("3?layer=blocks.0&unit=0&box=1,64,32,32", "row", "not among the top images of unit 0"),
        ("7?layer=blocks.9&unit=0", "layer", "did not dissect a layer 'blocks.9'"),
        ("7?layer=blocks.0&unit=2", "unit", "units 0 to 1"),
    ],
)
def test_only_top_images_are_drawn(
    client: TestClient, sessions: Sessions, job: UUID, query: str, field: str, words: str
) -> None:
    refused = problem(client.get(f"/jobs/{job}/images/{query}"), 404)
    assert refused["field"] == field
    assert words in refused["detail"]
    with transaction(sessions) as session:
        assert session.scalar(text("SELECT count(*) FROM pictures")) == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("7?layer=blocks.0", "unit"),
        ("7?unit=0", "layer"),
        ("7?region=true", "region"),
        ("7?heat=true", "heat"),
        ("7?size=huge", "size"),
        ("7?size=160", "size"),
        ("7?box=1,2,3", "box"),
        ("7?box=0,0,0,5", "box"),
        ("7?box=a,b,c,d", "box"),
        ("7?frame=0", "frame"),
        ("7?unit=-1&layer=x", "unit"),
        ("7?wait=11", "wait"),
        ("7?region=perhaps", "region"),
        ("0", "row"),
        ("x", "row"),
        ("99999999999", "row"),
    ],
)
def test_what_cannot_be_meant_is_refused(client: TestClient, job: UUID, query: str, field: str) -> None:
    refused = problem(client.get(f"/jobs/{job}/images/{query}"), 422)
    assert refused["field"] == field
    assert refused["remedy"]


def test_only_a_succeeded_job_has_pictures(client: TestClient, sessions: Sessions) -> None:
    assert problem(client.get(f"/jobs/{uuid4()}/images/1"), 404)["field"] == "job"
    with transaction(sessions) as session:
        waiting = queued_job(session).id
    assert "queued" in problem(client.get(f"/jobs/{waiting}/images/1"), 409)["detail"]


def test_a_job_that_is_deleted_has_none(client: TestClient, sessions: Sessions, job: UUID) -> None:
    url = f"/jobs/{job}/images/7"
    client.get(url)
    draw(sessions)
    assert client.get(url).status_code == 200
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM jobs"))
    assert problem(client.get(url), 404)["field"] == "job"


def test_an_image_that_cannot_be_drawn_says_why(client: TestClient, sessions: Sessions, job: UUID) -> None:
    url = f"/jobs/{job}/images/7"
    client.get(url)
    lease = claim(sessions)
    with transaction(sessions) as session:
        gone = {"code": "x", "title": "X", "detail": "Its file is gone.", "remedy": "Put it back."}
        drawing_work.fail_drawing(session, lease, gone)  # type: ignore[arg-type]
    refused = problem(client.get(url), 409)
    assert refused["type"].endswith("picture-unavailable")
    assert (refused["field"], refused["value"]) == ("row", "7")
    assert "Its file is gone." in refused["detail"]
    assert refused["remedy"].startswith("Put it back.")


def test_without_a_worker_the_wait_ends(client: TestClient, sessions: Sessions, job: UUID) -> None:
    url = f"/jobs/{job}/images/7"
    assert client.get(url).status_code == 202
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET ready_at = ready_at - interval '9 seconds'"))
    answer = client.get(url)
    refused = problem(answer, 503)
    assert "No worker has begun" in refused["detail"]
    assert answer.headers["retry-after"] == "5"

    lease = claim(sessions)
    assert client.get(url).json()["state"] == "drawing"
    with transaction(sessions) as session:
        drawing_work.complete_drawing(session, lease, DATA, SHA256)
    assert client.get(url).status_code == 200


def test_too_many_that_wait_are_refused(
    client: TestClient, sessions: Sessions, job: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_WAITING", 1)
    assert client.get(f"/jobs/{job}/images/7").status_code == 202
    answer = client.get(f"/jobs/{job}/images/7?size=large")
    assert "pictures of job" in problem(answer, 503)["detail"]
    assert answer.headers["retry-after"] == "1"


@contextmanager
def drawn_later(sessions: Sessions, job: UUID) -> Iterator[None]:
    """A worker that draws the first picture that is asked for inside."""

    def work() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with transaction(sessions) as session:
                asked = session.scalar(text("SELECT count(*) FROM pictures WHERE job_id = :job"), {"job": job})
            if asked:
                draw(sessions)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize(
    ("query", "headers", "applied"),
    [
        ("", {"Prefer": "wait=10"}, "wait=10"),
        ("", {"Prefer": "respond-async, wait=600"}, "wait=10"),
        ("?wait=10", {}, None),
    ],
)
def test_the_answer_may_wait_for_the_worker(
    client: TestClient,
    sessions: Sessions,
    job: UUID,
    query: str,
    headers: dict[str, str],
    applied: str | None,
) -> None:
    with drawn_later(sessions, job):
        picture = client.get(f"/jobs/{job}/images/7{query}", headers=headers)
    assert (picture.status_code, picture.content) == (200, DATA)
    assert picture.headers.get("preference-applied") == applied


def test_a_wait_without_a_worker_ends_with_what_there_is(client: TestClient, job: UUID) -> None:
    waited = client.get(f"/jobs/{job}/images/7", headers={"Prefer": "wait=1"})
    assert (waited.status_code, waited.headers["preference-applied"]) == (202, "wait=1")


KEYS = "reader=first,clerk=second"


@contextmanager
def served(database_url: str, data_root: Path, **changes: str) -> Iterator[TestClient]:
    settings = Settings(
        database_url=SecretStr(database_url),
        broker_url=SecretStr("redis://localhost:1"),
        api_keys=SecretStr(KEYS),
        data_roots=str(data_root),
        **changes,  # type: ignore[arg-type]
    )
    app = create_app(settings)
    app.state.queue = RecordingQueue()
    with TestClient(app) as client:
        yield client


def key(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {dict(part.split('=') for part in KEYS.split(','))[name]}"}


def test_pictures_can_be_switched_off(database_url: str, data_root: Path, sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        add_pictures(session, job, {ImagePlace(7, None): b"jpeg 7"})
    with served(database_url, data_root, pictures="off") as client:
        for query in ("7", "7?size=thumbnail", "8"):
            refused = problem(client.get(f"/jobs/{job}/images/{query}", headers=key("reader")), 403)
            assert refused["detail"] == "Pictures are switched off."
            assert "PICTURES=on" in refused["remedy"]
        assert problem(client.get(f"/jobs/{job}/images/7"), 401)


def test_pictures_may_be_for_some_keys_alone(database_url: str, data_root: Path, sessions: Sessions, job: UUID) -> None:
    with served(database_url, data_root, picture_keys=" reader ,") as client:
        url = f"/jobs/{job}/images/7"
        refused = problem(client.get(url, headers=key("clerk")), 403)
        assert "'clerk' may not get pictures" in refused["detail"]
        assert "PICTURE_KEYS" in refused["remedy"]
        with transaction(sessions) as session:
            assert session.scalar(text("SELECT count(*) FROM pictures")) == 0
        assert client.get(url, headers=key("reader")).status_code == 202


def test_a_report_has_no_pictures_for_whoever_may_not_get_them(
    database_url: str, data_root: Path, sessions: Sessions, job: UUID
) -> None:
    with transaction(sessions) as session:
        add_pictures(session, job, {ImagePlace(7, None): b"jpeg 7", ImagePlace(3, Box(0, 64, 32, 32)): b"jpeg 3"})
    with served(database_url, data_root, picture_keys="reader") as client:
        pages = {name: client.get(f"/jobs/{job}/report", headers=key(name)) for name in ("reader", "clerk")}
    sources = {name: Page(page.text).attributes("src") for name, page in pages.items()}
    assert sources["reader"]
    assert sources["clerk"] == []
    assert "not for this key" in pages["clerk"].text


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"picture_keys": "reader,radiology"}, "picture_keys", "names 'radiology', and no API key has that name"),
    ],
)
def test_names_that_no_key_has_are_refused(
    database_url: str, data_root: Path, changes: dict[str, str], field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as refused, served(database_url, data_root, **changes):
        pass
    assert refused.value.field == field
    assert words in refused.value.detail
    assert "clerk, reader" in str(refused.value.remedy)
