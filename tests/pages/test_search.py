"""The page of the one box: what is named so, and the neurons nearest to it."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI

from api.picture_access import PictureAccess
from service.db.search_vectors import save_search_vector
from service.db.session import Sessions, transaction
from service.domain.resources import ResourceKind
from service.domain.search import SearchKind
from tests.api.test_search import LAYER, NEURONS, TEXTS, nearest, stored
from tests.pages.results import EARLY, LATE
from tests.pages.shown import links
from tests.pages.visitor import Visitor, words_of
from tests.usecases.factories import RecordingQueue, resource, succeeded_job


@pytest.fixture
def jobs(sessions: Sessions) -> list[UUID]:
    return [stored(sessions, seed, model=f"model-{seed}") for seed in range(3)]


def address(**query: Any) -> str:
    return f"/ui/search?{urlencode(query, doseq=True)}"


def hits(page: str) -> list[tuple[str, int]]:
    """The neurons of the list, in its order."""
    found = re.findall(r'href="/ui/jobs/([^/]+)/neurons/[^"]+/(\d+)">', page[page.index('id="nearest"') :])
    return [(job, int(unit)) for job, unit in found]


def save(sessions: Sessions, kind: SearchKind, query: str, result: Any) -> None:
    """What a worker has read, or why it could not."""
    with transaction(sessions) as session:
        dissector = resource(session, ResourceKind.DISSECTOR, "reader", path="/dissectors/x")
        save_search_vector(session, dissector.id, kind, query, result)


def link_of(page: str, title: str) -> str:
    """Where the link of that title leads."""
    link = re.search(rf'<a[^>]*href="([^"]+)"[^>]*>{title}</a>', page)
    assert link is not None, title
    return unescape(link[1])


def follow(visitor: Visitor, page: str, title: str) -> str:
    """The page that the link of that title leads to."""
    return visitor.get(link_of(page, title))


def test_the_box_is_in_the_head_of_every_page(visitor: Visitor) -> None:
    assert '<form class="search" action="/ui/search"' in visitor.get("/ui")
    assert 'value="a &lt;b&gt; &#34;"' in visitor.get(address(q='a <b> "'))


@pytest.mark.parametrize("query", ["", "?q=", "?q=+++", "?model=&verdict="])
def test_nothing_to_search_by_says_what_can_be_typed(visitor: Visitor, query: str) -> None:
    assert "Type some of a model's" in visitor.words(f"/ui/search{query}")


def test_neurons_nearest_to_a_known_concept(visitor: Visitor, jobs: list[UUID], queue: RecordingQueue) -> None:
    page = visitor.get(address(q="Red  Sports Car"))
    assert hits(page) == nearest(jobs, TEXTS[2])
    words = words_of(page)
    assert "Neurons nearest to the concept 'red sports car'" in words
    assert "Among 15 neurons of 3 dissections by reader@1 ." in words
    assert queue.published == []

    job, unit = hits(page)[0]
    line = words[words.index(f"{LAYER}, unit {unit}") :]
    shown = NEURONS[unit].evidence
    assert shown is not None
    assert shown.significance is not None
    assert f" {shown.significance.z:.1f} " in line[:120]
    assert f"/ui/jobs/{job}/neurons/{LAYER}/{unit}" in links(page)


def test_what_is_named_so_leads_to_pages(visitor: Visitor, jobs: list[UUID]) -> None:
    page = visitor.get(address(q="MODEL-1"), 202)
    assert "/ui/models/model-1@1" in links(page)
    assert f"/ui/jobs/{jobs[1]}" in links(page)

    page = visitor.get(address(q="sports"), 202)
    assert "/ui/concepts/concept?name=red+sports+car" in links(page)
    assert "/ui/search?q=red+sports+car" in links(page)
    page = visitor.get(address(q="vehicles"), 202)
    assert "/ui/concepts/category?name=vehicles" in links(page)
    for link in links(page):
        if link.startswith("/ui") and not link.startswith("/ui/search"):
            visitor.get(link)
    assert not [link for link in links(page) if not link.startswith("/ui")], "paths of the API"


def test_a_jobs_id_is_no_text(visitor: Visitor, jobs: list[UUID], queue: RecordingQueue) -> None:
    page = visitor.get(address(q=str(jobs[2]).upper()[:30]))
    assert f"/ui/jobs/{jobs[2]}" in links(page)
    assert "Neurons nearest" not in page
    assert queue.published == []


def test_a_neurons_address_finds_it_and_its_like(visitor: Visitor, jobs: list[UUID]) -> None:
    page = visitor.get(address(q=f"{jobs[0]}/{LAYER}/4"))
    assert f"/ui/jobs/{jobs[0]}/neurons/{LAYER}/4" in links(page)
    assert len(hits(page)) == 14
    assert (str(jobs[0]), 4) not in hits(page)
    nowhere = visitor.words(address(q=f"{jobs[0]}/{LAYER}/400"))
    assert "No model, job, concept or category" in nowhere
    assert "has units 0 to 5" in nowhere


def test_a_text_is_read_by_a_worker_and_then_found(
    visitor: Visitor, jobs: list[UUID], sessions: Sessions, queue: RecordingQueue
) -> None:
    page = visitor.get(address(q=" something   else", verdict="named"), 202)
    assert "A worker is reading it." in words_of(page)
    assert "No model, job, concept or category has these words in its name." in words_of(page)
    assert len(queue.published) == 1, "what is asked for is committed"
    visitor.get(address(q="something else"), 202)
    assert len(queue.published) == 1

    save(sessions, SearchKind.TEXT, "something else", TEXTS[1])
    found = follow(visitor, page, "Try again")
    assert hits(found) == [place for place in nearest(jobs, TEXTS[1]) if place[1] in (0, 2, 4)]
    assert "Neurons nearest to the text 'something else'" in words_of(found)


def test_who_tries_again_waits_for_the_worker(
    visitor: Visitor, jobs: list[UUID], sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visitor.get(address(q="odd"), 202)
    assert "wait=5" in link_of(page, "Try again")

    async def read_meanwhile(_: float) -> None:
        save(sessions, SearchKind.TEXT, "odd", TEXTS[0])

    monkeypatch.setattr("api.awaited_work.asyncio.sleep", read_meanwhile)
    assert hits(follow(visitor, page, "Try again")) == nearest(jobs, TEXTS[0])


def test_what_a_worker_could_not_read_is_said(visitor: Visitor, jobs: list[UUID], sessions: Sessions) -> None:
    visitor.get(address(q="odd"), 202)
    why = {"code": "invalid-dissector", "title": "Invalid dissector", "detail": "It is gone.", "remedy": "Copy it."}
    save(sessions, SearchKind.TEXT, "odd", why)
    assert "reader@1 could not read the text 'odd'. It is gone. Copy it." in visitor.words(address(q="odd"))


def test_neurons_that_react_to_an_image(visitor: Visitor, jobs: list[UUID], sessions: Sessions) -> None:
    page = visitor.get(address(image=f"{jobs[0]}/7"), 202)
    assert "The image was not searched by before." in words_of(page)
    save(sessions, SearchKind.IMAGE, f"{jobs[0]}/7", TEXTS[1])
    page = visitor.get(address(image=f"{jobs[0]}/7"))
    assert hits(page) == nearest(jobs, TEXTS[1])
    assert "Neurons that react to this image" in words_of(page)
    assert "<img" not in page[page.index("<main") :]


def test_the_image_that_is_searched_by_is_shown_to_those_who_may_see_it(
    app: FastAPI, visitor: Visitor, job: UUID
) -> None:
    shown = f'<img src="/ui/jobs/{job}/pictures/3"'
    assert shown in visitor.get(address(image=f"{job}/3"), 202)
    app.state.picture_access = PictureAccess(True, frozenset({"radiology"}))
    assert shown not in visitor.get(address(image=f"{job}/3"), 202)


def test_a_neuron_leads_to_neurons_like_it_and_to_those_of_its_images(visitor: Visitor, job: UUID, bare: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/neurons/{LATE}/0")
    like_it = follow(visitor, page, "Neurons like this one")
    assert len(hits(like_it)) == 4
    assert (str(job), 0) in hits(like_it), "of the other layer"
    assert f"/ui/jobs/{job}/neurons/{LATE}/0" in links(like_it)
    of_images = [link for link in links(page) if link.startswith("/ui/search?image=")]
    assert [link.rsplit("2F", 1)[1] for link in of_images] == ["3", "7"]
    assert "A worker is reading it." in visitor.words(of_images[0], 202)
    for without in (f"/ui/jobs/{job}/neurons/{LATE}/4", f"/ui/jobs/{bare}/neurons/{EARLY}/0"):
        assert "/ui/search?" not in visitor.get(without)


def test_of_several_dissectors_the_reader_chooses_one(
    visitor: Visitor, jobs: list[UUID], sessions: Sessions, queue: RecordingQueue
) -> None:
    other = stored(sessions, 0, dissector="other", model="elsewhere")
    page = visitor.get(address(q="spiculated mass", verdict="named"))
    assert "The dissections are by 2 dissectors, whose numbers cannot be compared." in words_of(page)
    assert hits(page) == []
    chosen = follow(visitor, page, "other@1")
    assert {job for job, _ in hits(chosen)} == {str(other)}
    assert 'aria-current="true">other@1' in chosen
    assert "3 dissections by other dissectors are left out" in words_of(chosen)
    assert 'name="dissector" value="other@1"' in chosen
    assert len(hits(follow(visitor, chosen, "reader@1"))) == 9
    assert len(hits(visitor.get(address(q="spiculated mass", model="model-1")))) == 5, "its dissector is the only one"
    assert "There is no dissector 'nobody'" in visitor.words(address(q="spiculated mass", dissector="nobody"))
    assert queue.published == []


def test_filters_and_pages_go_together(visitor: Visitor, jobs: list[UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.pages.search._NEURONS", 2)
    page = visitor.get(address(q="spiculated mass", verdict="named"))
    expected = [place for place in nearest(jobs, TEXTS[0]) if place[1] in (0, 2, 4)]
    seen = hits(page)
    while ">Next</a>" in page:
        page = follow(visitor, page, "Next")
        seen += hits(page)
    assert seen == expected
    assert hits(follow(visitor, page, "First page")) == expected[:2]

    of_model = visitor.get(address(q="spiculated mass", model="model-2@1"))
    assert {job for job, _ in hits(of_model)} == {str(jobs[2])}
    assert 'value="model-2@1"' in of_model


def test_filters_that_none_passes_can_be_taken_away(visitor: Visitor, jobs: list[UUID], sessions: Sessions) -> None:
    page = visitor.get(address(q="spiculated mass", verdict="no-signal"))
    assert "No neuron of these passes the filters." in words_of(page)
    assert len(hits(follow(visitor, page, "Show all"))) == 15
    assert "There is no model 'nothing'" in visitor.words(address(q="spiculated mass", model="nothing"))

    with transaction(sessions) as session:
        succeeded_job(session, NEURONS, layer=LAYER, model="without")
    page = visitor.get(address(q="spiculated mass", model="without"))
    assert "No dissection of without has directions to search." in words_of(page)
    assert len(hits(follow(visitor, page, "Search all models"))) == 15
    assert "1 dissection without directions is left out" in visitor.words(address(q="spiculated mass"))


def test_without_a_dissection_there_is_nothing_to_search(visitor: Visitor, queue: RecordingQueue) -> None:
    page = visitor.get(address(q="spiculated"))
    assert "No dissection has directions to search." in words_of(page)
    assert "/ui/jobs/new" in links(page)
    assert queue.published == []


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"neuron": "nonsense"}, "'nonsense' is not of the form JOB/LAYER/UNIT."),
        ({"image": "3"}, "'3' is not of the form JOB/ROW."),
        ({"image": f"{uuid4()}/3"}, "There is no job"),
        ({"neuron": f"{uuid4()}/a/3"}, "There is no job"),
        ({"neuron": f"{uuid4()}/a/3", "image": "3"}, "neuron and image to search by"),
    ],
)
def test_what_cannot_be_searched_by_is_said(
    visitor: Visitor, jobs: list[UUID], query: dict[str, str], says: str
) -> None:
    page = visitor.get(address(**query))
    assert says in words_of(page)
    assert "/neurons/" not in page, "no link to what is not there"


def test_a_dead_neuron_has_no_like(visitor: Visitor, jobs: list[UUID]) -> None:
    assert "has no direction" in visitor.words(address(neuron=f"{jobs[0]}/{LAYER}/5"))


@pytest.mark.parametrize("query", [{"verdict": "good"}, {"cursor": "WzFd"}, {"q": "a" * 301}, {"q": "a\0"}])
def test_what_no_form_sends_is_refused(visitor: Visitor, jobs: list[UUID], query: dict[str, str]) -> None:
    visitor.get(address(**{"q": "spiculated mass", **query}), 422)


def test_odd_words_are_only_text(visitor: Visitor, jobs: list[UUID]) -> None:
    for odd in ("%", "<script>alert(1)</script>", "';--", "::", "{{ 7*7 }}", "☢"):
        page = visitor.get(address(q=odd), 202)
        assert "<script>alert" not in page
        assert odd in words_of(page) or "<" in odd
