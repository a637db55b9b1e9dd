"""What readers say at the page of a neuron, and the page that sums it up and draws neurons to review."""

import re
from html import unescape
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from markupsafe import escape

from service.db.session import Sessions, transaction
from service.domain.neurons import LayerDissection
from service.domain.reviews import Decision
from service.usecases.reviews import ReviewSubmission, submit_review
from tests.api.changing_calls import trail
from tests.api.test_problems import Answer
from tests.pages.results import EARLY, LATE
from tests.pages.shown import links, neuron_links
from tests.pages.visitor import Visitor, check_page, words_of
from tests.usecases.factories import dissected_job, neuron, queued_job


@pytest.fixture
def anna(app: FastAPI) -> Visitor:
    """A reader, signed in with the key of `radiology`."""
    return Visitor(app).sign_in("first")


@pytest.fixture
def ben(app: FastAPI) -> Visitor:
    """Another reader, signed in with the key of `it`."""
    return Visitor(app).sign_in("second")


def of(job: UUID, unit: int = 0, layer: str = LATE) -> str:
    return f"/ui/jobs/{job}/neurons/{layer}/{unit}"


def review(reader: Visitor, job: UUID, decision: str, unit: int = 0, **more: str) -> Answer:
    fields = {"decision": decision, "reason": "as seen", "version": "0", **more}
    return reader.send(f"{of(job, unit)}/review", fields)


def block(html: str) -> str:
    """What the page of a neuron shows of reviews."""
    assert html.index('id="looks"') < html.index('id="reviews"'), "whoever judges has seen the images"
    start = html.index('id="reviews"')
    return html[start : html.index("<section", start)]


def kept(reader: Visitor, job: UUID, **params: str) -> list[tuple[str, int, str, int]]:
    """Reader, unit, decision and version of the current reviews that a reader sees."""
    items = reader.client.get(f"/jobs/{job}/reviews", params=params).json()["items"]
    return [(item["reader"], item["unit"], item["decision"], item["version"]) for item in items]


def test_a_review_is_given_at_the_neuron_and_stands_in_the_trail(anna: Visitor, job: UUID, sessions: Sessions) -> None:
    empty = block(anna.get(of(job)))
    assert "You have not reviewed it." in empty
    assert 'name="version" value="0"' in empty
    assert '<option value="clustered calcification">' in empty, "concepts of the set are offered"
    assert re.search(r"<textarea[^>]*></textarea>", empty)

    answer = review(anna, job, "accept", reason=" Both images show it.\r\nClearly. ")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{of(job)}#reviews")
    said = block(anna.get(of(job)))
    assert "Both images show it.\nClearly." in said
    assert "radiology" in said
    assert "Together: <b>accepted</b>" in said
    assert 'name="version" value="1"' in said
    assert re.search(r'value="accept" checked', said)

    entry = trail(sessions)[-1]
    action = "POST /ui/jobs/{job_id}/neurons/{layer}/{unit}/review"
    assert (entry.actor, entry.action) == ("radiology", action)
    given = anna.client.get(f"/jobs/{job}/reviews").json()["items"][0]
    assert entry.subject == f"{of(job)} -> /jobs/{job}/reviews/{given['id']}"
    assert entry.after is not None


def test_a_label_is_renamed_to_a_concept_or_to_words_of_ones_own(anna: Visitor, job: UUID) -> None:
    review(anna, job, "rename", name="CLUSTER", unit=1)
    said = block(anna.get(of(job, 1)))
    assert "<q>clustered calcification</q>" in said
    assert "no concept of the set" not in said
    review(anna, job, "rename", name="a hair", unit=1, version="1")
    assert "<q>a hair</q> <span" in block(anna.get(of(job, 1)))


def test_readers_are_blind_until_they_have_judged(anna: Visitor, ben: Visitor, job: UUID) -> None:
    unseen = block(ben.get(of(job))).replace(ben.token(), "")
    review(anna, job, "reject", reason="No calcification anywhere.")
    assert block(ben.get(of(job))).replace(ben.token(), "") == unseen

    review(ben, job, "comment", reason="Let me think.")
    commented = block(ben.get(of(job)))
    assert "No calcification anywhere." not in commented
    assert "a comment judges nothing" in commented
    assert "Together" not in commented
    wrong = review(ben, job, "accept", reason="", version="1")
    assert "No calcification anywhere." not in wrong.text, "a refused review opens nothing"

    review(ben, job, "accept", version="1")
    for reader, other in ((ben, "No calcification anywhere."), (anna, "as seen")):
        said = block(reader.get(of(job)))
        assert other in said
        assert "Together: <b>disputed</b>, by it, radiology." in said


def test_a_second_window_does_not_overwrite_the_first(anna: Visitor, job: UUID, sessions: Sessions) -> None:
    review(anna, job, "accept", reason="From the first window.")
    entries = len(trail(sessions))
    answer = review(anna, job, "reject", reason="From the second <window>.")
    assert answer.status_code == 409
    check_page(answer)
    said = block(answer.text)
    assert "is version 1 by now: accept" in unescape(said)
    assert "From the second &lt;window&gt;.</textarea>" in said, "what was typed is kept"
    assert re.search(r'value="reject" checked', said)
    assert kept(anna, job) == [("radiology", 0, "accept", 1)]
    assert len(trail(sessions)) == entries

    version = re.search(r'name="version" value="(\d+)"', said)
    assert version is not None
    again = review(anna, job, "reject", reason="From the second <window>.", version=version[1])
    assert again.status_code == 303
    assert kept(anna, job) == [("radiology", 0, "reject", 2)]


def test_a_wrong_field_does_not_hide_that_another_window_was_faster(anna: Visitor, job: UUID) -> None:
    review(anna, job, "accept")
    wrong = review(anna, job, "reject", reason="")
    assert wrong.status_code == 422
    assert 'name="version" value="0"' in wrong.text
    assert review(anna, job, "reject", reason="Typed now.").status_code == 409


def test_a_review_that_another_window_knows_of_and_is_not_there(anna: Visitor, job: UUID) -> None:
    answer = review(anna, job, "accept", version="3")
    assert answer.status_code == 409
    assert "Send the form again to give a first one." in words_of(answer.text)
    assert 'name="version" value="0"' in answer.text


def test_the_same_form_sent_twice_is_one_review(anna: Visitor, job: UUID) -> None:
    assert review(anna, job, "accept").status_code == 303
    assert review(anna, job, "accept").status_code == 303
    assert kept(anna, job, history="true") == [("radiology", 0, "accept", 1)]


@pytest.mark.parametrize(
    ("decision", "more", "field", "words"),
    [
        ("", {}, "decision", "Nothing is decided."),
        ("maybe", {}, "decision", "Nothing is decided."),
        ("accept", {"reason": "  "}, "reason", "A review needs its reason."),
        ("accept", {"reason": "x" * 2_001}, "reason", ""),
        ("accept", {"reason": "bell \x07"}, "reason", "control character"),
        ("rename", {}, "name", "there is no name"),
        ("rename", {"name": "x" * 301}, "name", ""),
        ("rename", {"name": "Clustered  calcification"}, "name", "already"),
        ("reject", {"name": "a hair"}, "name", "A name comes with a decision to reject."),
        ("accept", {"version": "two"}, "", "send it again|Send the form again"),
    ],
)
def test_what_is_wrong_is_said_at_the_form(
    anna: Visitor, job: UUID, sessions: Sessions, decision: str, more: dict[str, str], field: str, words: str
) -> None:
    fields = {"decision": decision, "reason": "typed <b>here</b>", "version": "0", **more}
    answer = anna.send(f"{of(job)}/review", fields)
    assert answer.status_code == 422
    check_page(answer)
    said = block(answer.text)
    wrong = re.search(rf'id="{field}-wrong">([^<]+)<' if field else r'role="alert">([^<]+)<', said)
    assert wrong is not None
    assert re.search(words, unescape(wrong[1]))
    if "reason" not in more:
        assert "typed &lt;b&gt;here&lt;/b&gt;</textarea>" in said
    assert escape(more.get("name", "")) in said
    assert kept(anna, job) == []
    assert not [entry for entry in trail(sessions) if (entry.action or "").endswith("/review")]


def test_what_readers_type_is_only_text(anna: Visitor, ben: Visitor, job: UUID) -> None:
    hostile = '<script>alert("1")</script> & "><img src=x onerror=alert(1)>'
    review(anna, job, "rename", name=hostile, reason=f"</textarea>{hostile}")
    review(ben, job, "accept")
    for reader in (anna, ben):
        html = reader.get(of(job))
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert escape(hostile) in html


def test_a_form_without_the_sessions_token_is_refused(anna: Visitor, job: UUID) -> None:
    fields = {"decision": "accept", "reason": "as seen"}
    for more in ({}, {"form_token": "0" * 64}):
        answer = anna.client.post(f"{of(job)}/review", data={**fields, **more})
        assert answer.status_code == 403
    elsewhere = anna.send(f"{of(job)}/review", fields, origin="https://elsewhere.example")
    assert elsewhere.status_code == 403
    assert kept(anna, job) == []


def test_without_a_session_nothing_is_reviewed(stranger: Visitor, anna: Visitor, job: UUID) -> None:
    answer = stranger.client.post(f"{of(job)}/review", data={"decision": "accept", "reason": "as seen"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/sign-in")
    assert kept(anna, job) == []


def test_a_dead_neuron_has_no_label_to_review(anna: Visitor, job: UUID) -> None:
    said = block(anna.get(of(job, 4)))
    assert "it has no label to review" in said
    assert "<form" not in said
    assert review(anna, job, "accept", unit=4).status_code == 422


def test_what_is_not_there_is_a_page(anna: Visitor, job: UUID, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        running = queued_job(session).id
    for gone, status in ((uuid4(), 404), (running, 409)):
        anna.get(f"/ui/jobs/{gone}/reviews", status)
        anna.get(f"/ui/jobs/{gone}/reviews/next", status)
        answer = review(anna, gone, "accept")
        assert answer.status_code == status
        check_page(answer)
    assert review(anna, job, "accept", unit=99).status_code == 404
    anna.get(f"/ui/jobs/{job}/reviews?draw=nonsense", 422)


def test_the_page_of_reviews_before_anybody_has_reviewed(anna: Visitor, job: UUID) -> None:
    html = anna.get(f"/ui/jobs/{job}/reviews")
    words = words_of(html)
    assert "There is no review that you may see yet." in words
    assert "No two readers have judged the same neuron without seeing each other's review." in words
    assert "not known. Of the named neurons that come first" in words
    assert "4 % of its names are wrong, by its own estimate" in words
    assert "5 of 5 neurons drawn; you have reviewed 0." in words
    assert len([link for link in links(html) if "/neurons/" in link]) == 5
    assert "No neuron is disputed" in anna.words(f"/ui/jobs/{job}/reviews?draw=disputed")


def test_it_is_linked_from_the_job_and_the_layer(anna: Visitor, job: UUID) -> None:
    for path in (f"/ui/jobs/{job}", f"/ui/jobs/{job}/layers/{LATE}"):
        assert f"/ui/jobs/{job}/reviews" in links(anna.get(path))


def test_counts_are_of_what_the_reader_may_see(anna: Visitor, ben: Visitor, job: UUID) -> None:
    review(anna, job, "reject")
    review(anna, job, "comment", unit=1)
    words = anna.words(f"/ui/jobs/{job}/reviews")
    assert "0 accept 1 reject 0 rename 1 comment" in words
    assert "Neurons: 1 rejected." in words
    assert "you have reviewed 2" in words
    of_ben = ben.words(f"/ui/jobs/{job}/reviews")
    assert "There is no review that you may see yet." in of_ben
    assert "2 reviews of neurons that you have not judged are left out" in of_ben
    assert "rejected" not in of_ben


def test_a_list_is_gone_through_neuron_by_neuron(anna: Visitor, job: UUID) -> None:
    asked = "draw=strongest&count=3&seed=7"
    html = anna.get(f"/ui/jobs/{job}/reviews?{asked}")
    drawn = [link for link in links(html) if "/neurons/" in link]
    assert [link.partition("?")[0].rsplit("/", 1)[1] for link in drawn] == ["0", "1", "2"]

    first = anna.client.get(f"/ui/jobs/{job}/reviews/next?{asked}").headers["location"]
    assert first == drawn[0]
    follows = re.search(r'name="next" value="([^"]+)"', anna.get(first))
    assert follows is not None
    answer = review(anna, job, "accept", next=unescape(follows[1]))
    second = anna.client.get(answer.headers["location"]).headers["location"]
    assert second == drawn[1]

    skip = re.search(r'href="([^"]+)">Skip: ', anna.get(second))
    assert skip is not None
    third = anna.client.get(unescape(skip[1])).headers["location"]
    assert third == drawn[2]
    review(anna, job, "accept", unit=2)

    assert neuron_links(anna.get(f"/ui/jobs/{job}/reviews?{asked}"))[0].startswith("1?")
    end = anna.client.get(f"/ui/jobs/{job}/reviews/next?{asked}&at=3").headers["location"]
    assert end == f"/ui/jobs/{job}/reviews?{asked}#list"
    review(anna, job, "accept", unit=1)
    assert "You have reviewed all 3 neurons of this list." in anna.words(f"/ui/jobs/{job}/reviews?{asked}")


def test_disputed_neurons_move_up_as_they_are_reviewed(
    anna: Visitor, ben: Visitor, visitor: Visitor, job: UUID
) -> None:
    for unit in range(3):
        review(anna, job, "accept", unit=unit)
        review(ben, job, "reject", unit=unit)
    listed = visitor.get(f"/ui/jobs/{job}/reviews?draw=disputed")
    assert "rejected" not in words_of(listed)
    drawn = [link for link in links(listed) if "/neurons/" in link]

    seen = []
    place = f"/ui/jobs/{job}/reviews/next?draw=disputed"
    for _ in drawn:
        neuron_page = visitor.client.get(place).headers["location"]
        seen.append(neuron_page.partition("?")[0])
        follows = re.search(r'name="next" value="([^"]+)"', visitor.get(neuron_page))
        assert follows is not None
        unit = int(seen[-1].rsplit("/", 1)[1])
        place = review(visitor, job, "comment", unit=unit, next=unescape(follows[1])).headers["location"]
    assert seen == [link.partition("?")[0] for link in drawn]
    assert visitor.client.get(place).headers["location"].endswith("#list")


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://elsewhere.example/",
        "//elsewhere.example",
        "/ui/jobs",
        "/ui/jobs/{job}/reviews\\@elsewhere.example",
        "/ui/jobs/{other}/reviews",
        "/ui/jobs/{job}/reviews/../../../../jobs",
        "javascript:alert(1)",
    ],
)
def test_a_review_leads_to_lists_of_its_job_alone(anna: Visitor, job: UUID, elsewhere: str) -> None:
    address = elsewhere.format(job=job, other=uuid4())
    assert 'name="next"' not in anna.get(f"{of(job)}?next={address}")
    answer = review(anna, job, "accept", next=address)
    assert answer.headers["location"] == f"{of(job)}#reviews"


def test_a_refused_review_keeps_its_place_in_the_list(anna: Visitor, job: UUID) -> None:
    follows = f"/ui/jobs/{job}/reviews/next?draw=random&count=5&seed=0&at=2"
    answer = review(anna, job, "accept", reason="", next=follows)
    assert f'name="next" value="{escape(follows)}"' in answer.text


@pytest.mark.parametrize("query", ["count=0", "count=501", "count=many", "seed=-1", "seed=%C2%B2", f"seed={2**31}"])
def test_a_wrong_number_is_said_beside_its_field(anna: Visitor, job: UUID, query: str) -> None:
    assert "Write a whole number from" in anna.words(f"/ui/jobs/{job}/reviews?{query}")


def test_empty_fields_are_the_defaults(anna: Visitor, job: UUID) -> None:
    html = anna.get(f"/ui/jobs/{job}/reviews?draw=&count=&seed=")
    assert "Write a whole number" not in html
    assert '<option value="random" selected>' in html


def test_agreement_and_acceptance_once_there_are_enough(anna: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        units = tuple(neuron(unit, 2.0) for unit in range(24))
        job = dissected_job(session, [LayerDissection(EARLY, units)])
    for reader in ("radiology", "it"):
        for unit in range(24):
            decision = Decision.REJECT if unit % 3 == 0 or (reader == "it" and unit == 1) else Decision.ACCEPT
            with transaction(sessions) as session:
                submit_review(session, reader, job, ReviewSubmission(EARLY, unit, decision, "as seen"))

    html = anna.get(f"/ui/jobs/{job}/reviews")
    words = words_of(html)
    assert "it and radiology" in words
    expected = anna.client.get(f"/jobs/{job}/review-summary").json()["agreement"][0]
    for figure in ("kappa", "low", "high"):
        assert f"{expected[figure]:.2f}" in words
    assert "the dissection estimates none" in words
