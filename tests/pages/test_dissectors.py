"""Dissectors: whether they work, and what they can see."""

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.domain.evidence import JobEvidence, Qualification
from service.domain.resources import ResourceKind
from tests.api.changing_calls import trail
from tests.api.test_comparisons import layer
from tests.pages.audited import client
from tests.pages.visitor import Visitor, words_of
from tests.usecases.factories import dissected_job, refuse, resource

__all__ = ["client"]

SEEN = Qualification(0, "spiculated mass", "mass", "qualified", 25, 30, 0.95, 0.9, 0.99)
UNSEEN = Qualification(1, "clustered <calcification>", "calc", "untestable", 40, 15, 0.52, 0.4, 0.64)
ABSENT = Qualification(2, "red sports car", "", "absent", 0, 55)
WATCHED = Qualification(2, "red sports car", "view = CC", "qualified", 20, 35, 0.8, 0.7, 0.9)


@pytest.fixture
def jobs(sessions: Sessions) -> list[str]:
    """Two dissections with the same images and concepts, and one with other images."""
    found = []
    with transaction(sessions) as session:
        for qualifications, probe_set in (
            ((ABSENT,), "probes"),
            ((SEEN, UNSEEN, ABSENT), "probes"),
            ((), "others"),
        ):
            evidence = JobEvidence("exam", 50, None, ("mass",), None, qualifications, watched=(WATCHED,))
            shown = resource(session, ResourceKind.PROBE_SET, probe_set, digest=probe_set, images=200)
            job = dissected_job(session, [layer("blocks.0", 0)], evidence=evidence, probe_set=shown)
            found.append(str(job))
    return found


def test_without_dissectors_the_page_says_how_to_register_one(visitor: Visitor) -> None:
    assert "POST /dissectors registers one" in visitor.words("/ui/dissectors")


def test_what_a_dissector_sees_by_its_newest_dissections(visitor: Visitor, jobs: list[str]) -> None:
    assert 'href="/ui/dissectors/reader%401"' in visitor.get("/ui/dissectors")
    html = visitor.get("/ui/dissectors/reader")
    words = words_of(html)
    assert f'href="/ui/jobs/{jobs[1]}"' in html
    assert f'href="/ui/jobs/{jobs[0]}"' not in html, "the newer one with the same images and concepts is shown"
    assert "It sees 1 concept and does not see 1; of 1 the probe set has too few images." in words
    assert "spiculated mass yes 25 30 0.95 0.90 to 0.99 mass" in words
    assert "clustered <calcification> no 40 15 0.52 0.40 to 0.64 calc" in words
    assert "red sports car not known 0 55 \N{EN DASH}" in words
    assert "red sports car yes 20 35 0.80 0.70 to 0.90 view = CC" in words
    assert "On others@1, concepts of words@1" in words
    assert "nothing was tested" in words
    assert "<calcification>" not in html


def test_a_dissector_without_dissections(visitor: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        resource(session, ResourceKind.DISSECTOR, "reader", path="/dissectors/<x>")
    html = visitor.get("/ui/dissectors/reader")
    assert "None of its newest dissections has tested what it sees." in words_of(html)
    assert "/dissectors/&lt;x&gt;" in html
    assert "not opened" in words_of(html)


def test_a_refused_dissector_says_why_and_is_opened_again(
    visitor: Visitor, client: TestClient, sessions: Sessions
) -> None:
    with transaction(sessions) as session:
        refuse(session, resource(session, ResourceKind.DISSECTOR, "reader", path="/dissectors/x"))
    words = visitor.words("/ui/dissectors/reader")
    assert "refused" in words
    assert "It has no weights. Add them." in words

    path = "/ui/dissectors/reader@1"
    assert visitor.client.post(f"{path}/inspect", data={}).status_code == 403
    answer = visitor.send(f"{path}/inspect")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert client.get("/dissectors/reader").json()["state"] == "checking"
    assert trail(sessions)[-1].action == "POST /ui/dissectors/{name}/inspect"
    assert "Have a worker open it again" not in visitor.words(path)


def test_what_is_not_there_is_a_page(visitor: Visitor) -> None:
    visitor.get("/ui/dissectors/none", 404)
    assert visitor.send("/ui/dissectors/none/inspect").status_code == 404
