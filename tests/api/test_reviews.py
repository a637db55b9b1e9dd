"""POST and GET /jobs/{id}/reviews, by readers who do not see each other's reviews before they have judged."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import ProgrammingError

from api.app import create_app
from service.config import Settings
from service.db.review_tables import ReviewRow
from service.db.session import Sessions, transaction
from service.db.tables import JobRow
from tests.api.changing_calls import trail
from tests.api.readers import KEYS, Reader
from tests.api.test_problems import problem
from tests.usecases.factories import RecordingQueue, judged_neuron, neuron, queued_job, succeeded_job

NEURONS = [
    neuron(0, 3.0),
    neuron(1, 2.0, 1),
    judged_neuron(neuron(2, 9.0), p=0.9, q=0.9, z=0.5),
    neuron(3, None),
]
"""A mass, a calcification, one without a significant label, and a dead one."""


@pytest.fixture
def app(database_url: str, tmp_path: Any) -> Iterator[FastAPI]:
    app = create_app(
        Settings(
            database_url=SecretStr(database_url),
            broker_url=SecretStr("redis://localhost:1"),
            api_keys=SecretStr(KEYS),
            data_roots=str(tmp_path),
        )
    )
    app.state.queue = RecordingQueue()
    yield app
    app.state.sessions.kw["bind"].dispose()


@pytest.fixture
def anna(app: FastAPI) -> Reader:
    return Reader(app, "first")


@pytest.fixture
def ben(app: FastAPI) -> Reader:
    return Reader(app, "second")


@pytest.fixture
def carla(app: FastAPI) -> Reader:
    return Reader(app, "third")


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    with transaction(sessions) as session:
        return succeeded_job(session, NEURONS)


def test_a_review_and_where_it_is_seen(anna: Reader, job: UUID) -> None:
    answer = anna.post(job, 0, "accept", layer="blocks[0]", reader="anna", reason=" Both images show it. \n")
    review = answer.json()
    assert answer.status_code == 201
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"/jobs/{job}/reviews/{review['id']}"
    assert (review["job"], review["layer"], review["unit"]) == (str(job), "blocks.0", 0)
    assert (review["reader"], review["version"], review["decision"]) == ("anna", 1, "accept")
    assert (review["name"], review["name_in_set"], review["blind"]) == (None, None, True)
    assert review["reason"] == "Both images show it."
    assert anna.get(answer.headers["location"]) == review
    seen = anna.neuron(job, 0)
    assert (seen["concept"], seen["review"]) == ("spiculated mass", "accepted")
    assert seen["reviews"] == {
        "own": review,
        "others": [],
        "reviewers": ["anna"],
        "reviewed_name": "spiculated mass",
    }
    assert anna.briefs(job) == {0: "accepted", 1: None, 2: None, 3: None}


@pytest.mark.parametrize(
    ("unit", "decision", "more", "review", "name"),
    [
        (0, "reject", {}, "rejected", None),
        (0, "rename", {"name": "clustered  Calcification"}, "renamed", "clustered calcification"),
        (0, "rename", {"name": "a hair"}, "renamed", "a hair"),
        (0, "comment", {}, None, None),
        (2, "accept", {}, "accepted", None),
        (2, "rename", {"name": "spiculated mass"}, "renamed", "spiculated mass"),
    ],
)
def test_decisions_beside_the_measured_label(
    anna: Reader, job: UUID, unit: int, decision: str, more: Any, review: str | None, name: str | None
) -> None:
    anna.review(job, unit, decision, **more)
    seen = anna.neuron(job, unit)
    assert seen["concept"] == ("spiculated mass", "", "no concept")[unit]
    assert (seen["review"], seen["reviews"]["reviewed_name"]) == (review, name)
    assert anna.briefs(job)[unit] == review
    assert seen["reviews"]["reviewers"] == ([] if review is None else ["anna"])


def test_a_name_is_a_concept_of_the_set_or_free(anna: Reader, job: UUID) -> None:
    assert anna.review(job, 0, "rename", name="CLUSTERED CALCIFICATION")["name_in_set"] is True
    free = anna.review(job, 1, "rename", name="  Verkalkung \u00e4hnlich ")
    assert (free["name"], free["name_in_set"]) == ("Verkalkung \u00e4hnlich", False)


def test_readers_are_blind_until_they_have_judged(anna: Reader, ben: Reader, carla: Reader, job: UUID) -> None:
    unseen = ben.neuron(job, 0)
    said = anna.review(job, 0, "reject", reason="No mass anywhere.")
    anna.review(job, 1, "comment", reason="Hard to say.")

    def sees_nothing(reader: Reader) -> bool:
        return (
            reader.neuron(job, 0) == unseen
            and not any(reader.briefs(job).values())
            and reader.listed(job) == []
            and reader.listed(job, history=True) == []
            and reader.listed(job, reader="anna") == []
        )

    assert sees_nothing(ben)
    problem(ben.client.get(f"/jobs/{job}/reviews/{said['id']}"), 404)
    ben.review(job, 0, "comment", reason="Let me think.")
    assert ben.listed(job) == [("ben", 0, "comment")], "a comment judges nothing, so it opens nothing"
    assert ben.neuron(job, 0)["reviews"]["others"] == []

    ben.review(job, 0, "accept", version=1)
    assert ben.listed(job) == [("ben", 0, "accept"), ("anna", 0, "reject")]
    assert ben.get(f"/jobs/{job}/reviews/{said['id']}") == said
    assert anna.listed(job, layer="blocks.0", unit=0) == ben.listed(job)
    for reader in (anna, ben):
        seen = reader.neuron(job, 0)
        assert (seen["review"], seen["reviews"]["reviewed_name"]) == ("disputed", None)
        assert seen["reviews"]["reviewers"] == ["anna", "ben"]
        assert reader.briefs(job)[0] == "disputed"
    assert ben.neuron(job, 0)["reviews"]["others"] == [said]
    assert sees_nothing(carla)


def test_what_was_said_after_seeing_the_others_is_not_blind(anna: Reader, ben: Reader, job: UUID) -> None:
    assert anna.review(job, 0, "reject")["blind"]
    assert anna.review(job, 0, "accept", version=1)["blind"]
    assert ben.review(job, 0, "reject")["blind"]
    assert not ben.review(job, 0, "accept", version=1)["blind"]
    assert not anna.review(job, 0, "comment", version=2)["blind"]
    assert anna.listed(job) == [("anna", 0, "comment"), ("ben", 0, "accept")], "who has seen does not forget"


def test_a_name_that_readers_agree_on(anna: Reader, ben: Reader, job: UUID) -> None:
    anna.review(job, 0, "rename", name="Skin fold")
    ben.review(job, 0, "rename", name="skin  FOLD")
    assert (ben.neuron(job, 0)["review"], ben.neuron(job, 0)["reviews"]["reviewed_name"]) == ("renamed", "Skin fold")
    ben.review(job, 0, "rename", name="skin line", version=1)
    assert (ben.neuron(job, 0)["review"], ben.neuron(job, 0)["reviews"]["reviewed_name"]) == ("disputed", None)


def test_a_later_review_replaces_and_history_stays(anna: Reader, job: UUID) -> None:
    anna.review(job, 0, "reject")
    anna.review(job, 0, "comment", version=1)
    assert anna.neuron(job, 0)["review"] is None
    third = anna.review(job, 0, "rename", name="clip", headers={"If-Match": '"2"'})
    assert third["version"] == 3
    assert anna.listed(job) == [("anna", 0, "rename")]
    assert [decision for _, _, decision in anna.listed(job, history=True)] == ["rename", "comment", "reject"]


@pytest.mark.parametrize(
    "stale", [{}, {"version": 0}, {"version": 1}, {"headers": {"If-Match": '"1"'}}, {"headers": {"If-Match": "1"}}]
)
def test_two_tabs_do_not_overwrite_each_other(anna: Reader, job: UUID, stale: Any) -> None:
    anna.review(job, 0, "reject")
    anna.review(job, 0, "rename", name="clip", reason="There is a clip.", version=1)
    body = problem(anna.post(job, 0, "accept", **stale), 409)
    assert body["field"] == "version"
    assert "is version 2 by now: rename ('clip'), 'There is a clip.'" in body["detail"]
    assert "give `version` 2" in body["remedy"]
    assert anna.listed(job) == [("anna", 0, "rename")]


def test_a_version_of_nothing_is_refused(anna: Reader, job: UUID) -> None:
    assert "no review of unit 0" in problem(anna.post(job, 0, "accept", version=1), 409)["detail"]
    anna.review(job, 0, "accept", version=0)


def test_the_same_again_is_the_same(anna: Reader, sessions: Sessions, job: UUID) -> None:
    first = anna.review(job, 0, "accept")
    second = anna.review(job, 0, "reject", version=1)
    for more in ({}, {"version": 1}, {"version": 2}):
        again = anna.post(job, 0, "reject", **more)
        assert (again.status_code, again.json()) == (200, second)
    assert first["id"] != second["id"]
    problem(anna.post(job, 0, "accept"), 409)


@pytest.mark.parametrize("tag", ["*", "two", '""', '"1", "2"', '"-1"', 'W/"1"'])
def test_tags_that_are_no_version(anna: Reader, job: UUID, tag: str) -> None:
    assert problem(anna.post(job, 0, "accept", headers={"If-Match": tag}), 422)["field"] == "If-Match"


def test_a_tag_and_a_version_that_differ(anna: Reader, job: UUID) -> None:
    anna.review(job, 0, "accept")
    answer = anna.post(job, 0, "reject", version=0, headers={"If-Match": '"1"'})
    assert problem(answer, 422)["field"] == "If-Match"


def test_two_reviews_at_once(anna: Reader, job: UUID) -> None:
    reasons = [f"reason {number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda reason: anna.post(job, 0, "accept", reason=reason), reasons))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    (won,) = (answer.json() for answer in answers if answer.status_code == 201)
    assert [item["id"] for item in anna.get(f"/jobs/{job}/reviews", history=True)["items"]] == [won["id"]]
    lost = next(answer for answer in answers if answer.status_code == 409)
    assert won["reason"] in problem(lost, 409)["detail"]


def test_two_readers_at_once_are_both_blind(anna: Reader, ben: Reader, carla: Reader, job: UUID) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda reader: reader.review(job, 0, "accept"), (anna, ben, carla)))
    assert [(answer["version"], answer["blind"]) for answer in answers] == [(1, True)] * 3
    assert len(anna.listed(job)) == 3


def test_filters(anna: Reader, ben: Reader, job: UUID) -> None:
    for unit, decision in ((0, "accept"), (1, "reject"), (2, "comment")):
        anna.review(job, unit, decision)
    ben.review(job, 0, "reject")
    ben.review(job, 1, "reject")
    assert anna.listed(job, disputed=True) == [("ben", 0, "reject"), ("anna", 0, "accept")]
    assert anna.listed(job, disputed=False) == [("ben", 1, "reject"), ("anna", 2, "comment"), ("anna", 1, "reject")]
    assert anna.listed(job, decision="reject") == [("ben", 1, "reject"), ("ben", 0, "reject"), ("anna", 1, "reject")]
    assert anna.listed(job, reader="ben", unit=1) == [("ben", 1, "reject")]
    assert anna.listed(job, layer="blocks[0]", unit=2) == [("anna", 2, "comment")]
    assert anna.listed(job, reader="nobody") == []


def test_pages_follow_each_other(anna: Reader, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = succeeded_job(session, [neuron(unit, 1.0) for unit in range(7)])
    for unit in range(7):
        anna.review(job, unit, "accept")
    answer = anna.client.get(f"/jobs/{job}/reviews", params={"limit": 3})
    seen = [item["unit"] for item in answer.json()["items"]]
    while "next" in answer.links:
        answer = anna.client.get(answer.links["next"]["url"])
        seen += [item["unit"] for item in answer.json()["items"]]
    assert seen == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"unit": 3}, 422, "unit"),
        ({"unit": 4}, 404, "unit"),
        ({"unit": -1}, 422, "unit"),
        ({"layer": "blocks.1"}, 404, "layer"),
        ({"decision": "like"}, 422, "decision"),
        ({"decision": "rename"}, 422, "name"),
        ({"decision": "rename", "name": " \t "}, 422, "name"),
        ({"decision": "rename", "name": "x" * 301}, 422, "name"),
        ({"decision": "rename", "name": "mass\u202eflipped"}, 422, "name"),
        ({"decision": "rename", "name": "mass\x1b[31m"}, 422, "name"),
        ({"decision": "rename", "name": "two\nlines"}, 422, "name"),
        ({"decision": "rename", "name": "Spiculated  mass"}, 422, "name"),
        ({"decision": "accept", "name": "clip"}, 422, "name"),
        ({"decision": "comment", "name": "clip"}, 422, "name"),
        ({"reason": ""}, 422, "reason"),
        ({"reason": "  \n "}, 422, "reason"),
        ({"reason": "x" * 2001}, 422, "reason"),
        ({"reason": "bell \x07"}, 422, "reason"),
        ({"reader": "ben"}, 422, "reader"),
        ({"version": -1}, 422, "version"),
        ({"vote": 1}, 422, "vote"),
    ],
)
def test_what_is_no_review(
    anna: Reader, sessions: Sessions, job: UUID, body: dict[str, Any], status: int, field: str
) -> None:
    given = {"layer": "blocks.0", "unit": 0, "decision": "accept", "reason": "as seen", **body}
    answer = problem(anna.client.post(f"/jobs/{job}/reviews", json=given), status)
    assert answer["field"] == field
    assert anna.listed(job) == []
    assert trail(sessions) == []


def test_jobs_without_a_result(anna: Reader, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        waiting = queued_job(session).id
    problem(anna.post(waiting, 0, "accept"), 409)
    problem(anna.client.get(f"/jobs/{waiting}/review-list"), 409)
    problem(anna.client.get(f"/jobs/{waiting}/review-summary"), 409)
    assert anna.listed(waiting) == []
    nowhere = uuid4()
    for path in ("reviews", f"reviews/{uuid4()}", "review-list", "review-summary"):
        problem(anna.client.get(f"/jobs/{nowhere}/{path}"), 404)
    problem(anna.post(nowhere, 0, "accept"), 404)


def test_reviews_of_other_jobs_are_not_found(anna: Reader, sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        other = succeeded_job(session, NEURONS)
    review = anna.review(job, 0, "accept")
    problem(anna.client.get(f"/jobs/{other}/reviews/{review['id']}"), 404)
    assert anna.listed(other) == []
    assert anna.neuron(other, 0)["review"] is None
    assert problem(anna.client.get(f"/jobs/{job}/reviews", params={"layer": "blocks.7"}), 404)["field"] == "layer"


def test_the_trail_says_who_and_has_no_content(anna: Reader, ben: Reader, sessions: Sessions, job: UUID) -> None:
    first = anna.review(job, 0, "reject")
    anna.review(job, 0, "accept", version=1)
    ben.review(job, 1, "accept")
    entries = trail(sessions)
    assert [entry.actor for entry in entries] == ["anna", "anna", "ben"]
    assert {entry.action for entry in entries} == {"POST /jobs/{job_id}/reviews"}
    assert entries[0].subject == f"/jobs/{job} -> /jobs/{job}/reviews/{first['id']}"
    assert (entries[0].before, entries[1].before) == (None, entries[0].after)
    assert len({entry.after for entry in entries}) == 3


def test_reviews_go_with_their_job_and_nothing_else_takes_them(anna: Reader, sessions: Sessions, job: UUID) -> None:
    anna.review(job, 0, "reject")
    for statement in ("UPDATE reviews SET reason = 'x'", "DELETE FROM reviews"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction(sessions) as session:
            session.execute(text(statement))
    with transaction(sessions) as session:
        session.execute(delete(JobRow).where(JobRow.id == job))
    with transaction(sessions) as session:
        assert session.scalar(select(func.count()).select_from(ReviewRow)) == 0
