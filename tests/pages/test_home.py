"""Home: first steps on an empty service, and what goes on otherwise."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from service.db.session import Sessions, transaction
from service.domain import samples as names
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from service.usecases.resources import find_resource
from tests.api.changing_calls import Caller, audit, trail
from tests.pages.test_jobs import job_with
from tests.pages.visitor import Visitor, words_of
from tests.usecases.factories import resource


@pytest.fixture(autouse=True)
def started_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service was not started where somebody has samples."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def samples(data_root: Path) -> Path:
    """The samples in small, one level below a data root."""
    folder = data_root / "some where" / "samples"
    phantoms = folder / "phantoms-12-seed-2024"
    phantoms.mkdir(parents=True)
    (folder / names.CHECKPOINT).write_bytes(b"weights")
    (folder / names.DISSECTOR).mkdir()
    (folder / names.DISSECTOR / "dissector.json").write_text("{}")
    for number in range(12):
        (phantoms / f"{number}.png").write_bytes(b"image")
    (phantoms / "manifest.csv").write_text("image\n" + "".join(f"{number}.png\n" for number in range(12)))
    return folder


def test_an_empty_service_says_how_to_get_the_samples(visitor: Visitor, data_root: Path) -> None:
    page = visitor.get("/ui")
    assert f"mammodissect samples {data_root}/samples" in words_of(page)
    assert 'action="/ui/samples"' in page


def test_three_clicks_from_nothing_to_a_dissection(visitor: Visitor, samples: Path, sessions: Sessions) -> None:
    page = visitor.get("/ui")
    folder = re.search(r'name="folder" value="([^"]+)"', page)
    assert folder is not None
    assert folder[1] == str(samples)

    first = visitor.send("/ui/samples", {"folder": folder[1]})
    assert first.status_code == 303, first.text
    assert [entry.subject for entry in trail(sessions)][-3:] == [
        "/models/general@1",
        "/dissectors/phantom-reader@1",
        "/probe-sets/phantoms@1",
    ]
    assert {entry.action for entry in trail(sessions)[-3:]} == {"POST /ui/samples"}

    second = visitor.get(f"{first.headers['location']}&which=stages&review=1")
    fields = dict(
        re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)">', second[second.index('id="review"') :])
    )
    third = visitor.send("/ui/jobs/new", fields)
    assert third.status_code == 303, third.text
    words = visitor.words(third.headers["location"])
    assert "general@1" in words
    assert "queued" in words
    with transaction(sessions) as session:
        terms = find_resource(session, ResourceKind.MODEL, "general", field="name").terms
    assert terms.allowed_purposes == ("research",)


@pytest.mark.parametrize("folder", ["", "relative", "/nowhere", "/", "{root}", "/proc/self", "a" * 5_000])
def test_a_folder_without_samples_is_refused(
    visitor: Visitor, data_root: Path, sessions: Sessions, folder: str
) -> None:
    answer = visitor.send("/ui/samples", {"folder": folder.format(root=data_root)})
    assert answer.status_code == 422
    assert "The samples are not in that folder" in words_of(answer.text)
    assert [entry.action for entry in trail(sessions)] == ["POST /ui/sign-in"]


def test_samples_outside_the_data_roots_are_not_seen(
    visitor: Visitor, samples: Path, data_root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    samples.rename(outside)
    (data_root / "link").symlink_to(outside)
    assert str(outside) not in visitor.get("/ui")
    assert visitor.send("/ui/samples", {"folder": str(data_root / "link")}).status_code == 422


def test_what_is_registered_without_jobs_leads_to_the_first(visitor: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        resource(session, ResourceKind.MODEL, "m", checkpoint="/x", architecture="a", sha256="0")
    page = visitor.get("/ui")
    assert "Ask for the first dissection" in words_of(page)
    assert "/ui/samples" not in page


def test_home_says_what_runs_what_failed_and_what_was_found(visitor: Visitor, sessions: Sessions) -> None:
    jobs = {status: job_with(sessions, status, f"net-{status}") for status in JobStatus}
    words = visitor.words("/ui")
    assert "It took & took." in words
    assert "0 of 200 images" in words
    page = visitor.get("/ui")
    for status in JobStatus:
        assert (f"/ui/jobs/{jobs[status]}" in page) is (status is not JobStatus.CANCELLED)
    assert "No model is deployed." in words
    assert "6 jobs" in words
    assert "First steps" not in words


def test_home_has_each_deployment_with_its_last_verdict(visitor: Visitor, sessions: Sessions, data_root: Path) -> None:
    audited = audit(Caller(visitor.client, sessions, data_root))
    assert "east" in visitor.words("/ui")
    assert "not judged" in visitor.words("/ui")
    with transaction(sessions) as session:
        session.execute(
            text("UPDATE audits SET status = 'judged', verdict = 'WARN', finished_at = now() WHERE id = :id"),
            {"id": audited},
        )
    assert 'class="badge outcome-warn">WARN' in visitor.get("/ui")
