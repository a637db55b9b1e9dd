"""The pages on what dissections found: layers, neurons, concepts, coverage, watch-list."""

import re
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from service.db.session import Sessions, transaction
from service.domain.concepts import Concept, ConceptSet
from service.domain.neurons import LayerDissection, RankedConcept
from tests.pages.results import EARLY, LATE, bare_dissection, stored_dissection
from tests.pages.shown import links, neuron_links, pictures
from tests.pages.visitor import Visitor, words_of
from tests.usecases.factories import dissected_job, neuron, queued_job


def test_the_layers_of_a_job(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/layers")
    words = words_of(page)
    assert "Of 5 living neurons, 2 are named" in words
    assert "Of the names given 4 % are wrong" in words
    assert f"/ui/jobs/{job}/layers/{EARLY}" in links(page)
    assert f"/ui/jobs/{job}/layers/{LATE}?verdict=named" in links(page)


def test_every_link_of_these_pages_leads_somewhere(visitor: Visitor, job: UUID) -> None:
    paths = {f"/ui/jobs/{job}/layers", "/ui/concepts", "/ui/models"}
    seen: set[str] = set()
    # The last two redirect, and wait for a worker.
    elsewhere = re.compile(r"^/ui/jobs/[^/]+$|^/ui/jobs/new|^/jobs/|^/ui$|/reviews/next|[?&]image=")
    while paths - seen:
        path = (paths - seen).pop()
        seen.add(path)
        if len(seen) > 150:
            break
        page = visitor.get(path)
        words = set(re.findall(r'href="/ui/words#([^"]+)"', page))
        glossary = visitor.get("/ui/words") if words and len(seen) == 1 else None
        assert glossary is None or all(f'<div id="{word}"' in glossary for word in words)
        paths |= {link for link in links(page) if not elsewhere.search(link)}
    assert any("/neurons/" in path for path in seen)
    assert any("/category" in path for path in seen)


def test_a_layer_as_cards(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/layers/{LATE}")
    assert neuron_links(page) == ["0", "1", "2", "3", "4"]
    words = words_of(page)
    assert "5 neurons, 1 of them dead" in words
    assert "calcification morphology" in words, "a name of a category"
    assert pictures(page) == 6, "units 0, 1 and 2 have two pictures each"
    assert "no picture kept" in words
    assert "patient-doe" not in page


def test_a_layer_as_a_table_that_sorts(visitor: Visitor, job: UUID) -> None:
    path = f"/ui/jobs/{job}/layers/{LATE}"
    assert neuron_links(visitor.get(f"{path}?view=table&sort=unit")) == ["0", "1", "2", "3", "4"]
    page = visitor.get(f"{path}?view=table&sort=-z&verdict=named&concept=&min_score=")
    assert neuron_links(page) == ["0", "1"]
    assert 'aria-sort="descending"' in page
    by_unit = next(link for link in links(page) if "sort=unit" in link)
    assert "verdict=named" in by_unit, "filters are kept"
    assert "view=table" in by_unit
    assert neuron_links(visitor.get(by_unit)) == ["0", "1"]


@pytest.mark.parametrize(
    ("query", "units"),
    [
        ("concept=clustered+calcification", ["0", "2"]),
        ("category=calcification+morphology", ["1"]),
        ("broad_category=findings&sort=unit", ["0", "1", "2", "3"]),
        ("verdict=unverified&verdict=unnamed&sort=unit", ["2", "3"]),
        ("dead=yes", ["4"]),
        ("significant=yes&sort=unit", ["0", "1", "2", "3"]),
        ("min_score=3%2C45&sort=unit", ["0", "1"]),
        ("min_score=99", []),
    ],
)
def test_filters_of_a_layer(visitor: Visitor, job: UUID, query: str, units: list[str]) -> None:
    page = visitor.get(f"/ui/jobs/{job}/layers/{LATE}?{query}")
    assert neuron_links(page) == units
    if not units:
        assert "No neuron of this layer fits these filters." in words_of(page)


def test_what_was_typed_wrongly_stays_in_its_field(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f'/ui/jobs/{job}/layers/{LATE}?min_score="lots"&verdict=named')
    assert "That is no number." in words_of(page)
    assert 'value="&#34;lots&#34;"' in page
    assert 'aria-invalid="true"' in page
    assert neuron_links(page) == ["0", "1"]


@pytest.mark.parametrize("query", ["sort=name", "verdict=sure", "dead=perhaps", "view=list"])
def test_what_no_form_sends_is_refused(visitor: Visitor, job: UUID, query: str) -> None:
    visitor.get(f"/ui/jobs/{job}/layers/{LATE}?{query}", 422)


def test_pages_of_a_long_layer_follow_each_other(visitor: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = bare_dissection(session, units=119)
    path = f"/ui/jobs/{job}/layers/{EARLY}?sort=unit&dead=no"
    seen: list[str] = []
    pages = 0
    while path:
        page = visitor.get(path)
        seen += neuron_links(page)
        pages += 1
        path = next((link for link in links(page) if "cursor=" in link), "")
        assert not path or "dead=no" in path
    assert seen == [str(unit) for unit in range(119)]
    assert pages == 3


def test_concepts_are_text_and_nothing_else(visitor: Visitor, job: UUID) -> None:
    for path in (
        f"/ui/jobs/{job}/neurons/{LATE}/3",
        f"/ui/jobs/{job}/layers/{LATE}",
        f"/ui/concepts?job={job}",
        f"/ui/concepts?job={job}&q=%3Cb%3Edense",
        f"/ui/jobs/{job}/coverage",
    ):
        assert "<b>dense</b>" not in visitor.get(path)
    page = visitor.get(f"/ui/concepts?job={job}")
    address = next(link for link in links(page) if "dense" in link)
    assert "<b>dense</b> & 'bright'" in visitor.words(address)


def test_the_concepts_of_a_dissection(visitor: Visitor, job: UUID) -> None:
    page = visitor.get("/ui/concepts")
    words = words_of(page)
    assert "clustered calcification 2 1 named" in words
    assert f"/ui/concepts/concept?name=clustered+calcification&job={job}" in links(page)


def test_neurons_that_react_to_what_somebody_types(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/concepts?job={job}&q=Calcifications")
    assert neuron_links(page) == ["0", "1", "2"], "by descending z"
    words = words_of(page)
    assert "2 concepts fit; neurons are labelled with 2 of them" in words
    assert pictures(page) == 6
    assert neuron_links(visitor.get(f"/ui/concepts?job={job}&q=calcifications&verdict=named")) == ["0", "1"]
    assert neuron_links(visitor.get(f"/ui/concepts?job={job}&q=cluster")) == ["0", "2"], "by a synonym"
    assert "No concept of words@" in visitor.words(f"/ui/concepts?job={job}&q=zebra")
    clip = visitor.words(f"/ui/concepts?job={job}&q=clip")
    assert "No neuron of this dissection is labelled so." in clip
    assert "Without any neuron: surgical clip" in clip


def test_who_knows_a_concept(visitor: Visitor, job: UUID, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        other = stored_dissection(session, model="other")
        bare_dissection(session)
    page = visitor.get(f"/ui/concepts/concept?name=clustered+calcification&job={job}")
    words = words_of(page)
    assert "2 neurons of screening@1 are labelled so, 1 of them named" in words
    assert "The dissector tells images that show this concept from others (AUROC 0.84" in words
    assert neuron_links(page) == ["0", "2"]
    assert f"/ui/concepts/concept?name=clustered+calcification&job={other}" in links(page)
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    assert [words_of(f"<main>{row}</main>").split()[0] for row in rows[1:]] == ["bare@1", "other@1", "screening@1"]
    assert "has no such concept" in visitor.words(f"/ui/concepts/concept?name=zebra&job={job}")
    assert "do not rely on it" in visitor.words(f"/ui/concepts/concept?name=coarse+calcification&job={job}")


def test_a_category(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/concepts/category?name=findings&job={job}")
    assert neuron_links(page) == ["0", "1", "2", "3"]
    assert "4 concepts of words@1 belong to it" in words_of(page)
    assert "has no category of that name" in visitor.words(f"/ui/concepts/category?name=x&job={job}")


def test_the_concepts_of_no_dissection(visitor: Visitor) -> None:
    for path in ("/ui/concepts", "/ui/concepts/concept?name=mass", "/ui/concepts/category?name=mass"):
        assert "No dissection has a result yet." in visitor.words(path)
    visitor.get("/ui/concepts?job=x", 422)
    visitor.get("/ui/concepts/concept", 422)


def test_coverage(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/coverage")
    assert "Concepts that a mammography network should know" in words_of(page)
    cell = next(link for link in links(page) if "/layers/" in link and "concept=clustered" in link)
    assert "verdict=named" in cell
    assert neuron_links(visitor.get(cell)) == ["0"], "what is behind the number"


def test_the_watch_list(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/watch-list")
    words = words_of(page)
    assert "1 of 5 living neurons (20 %) respond" in words
    assert "surgical clip (z 4.2, q 0.01)" in words
    assert neuron_links(page) == ["1"]


def test_what_nobody_asked_for_is_said(visitor: Visitor, bare: UUID) -> None:
    for what in ("coverage", "watch-list"):
        assert "Not known: No evidence was asked for" in visitor.words(f"/ui/jobs/{bare}/{what}")


@pytest.mark.parametrize(
    "path", ["layers", f"layers/{LATE}", f"neurons/{LATE}/0", "coverage", "watch-list", "pictures/3"]
)
def test_what_is_not_there_is_a_page(visitor: Visitor, sessions: Sessions, path: str) -> None:
    assert "There is no job" in visitor.words(f"/ui/jobs/{uuid4()}/{path}", 404)
    with transaction(sessions) as session:
        waiting = queued_job(session).id
    assert "has no result: it is queued" in visitor.words(f"/ui/jobs/{waiting}/{path}", 409)


def test_layers_and_units_that_are_not_there(visitor: Visitor, job: UUID) -> None:
    assert f"Near matches: {LATE}" in visitor.words(f"/ui/jobs/{job}/layers/features.88", 404)
    assert "units 0 to 4" in visitor.words(f"/ui/jobs/{job}/neurons/{LATE}/5", 404)
    visitor.get(f"/ui/jobs/{job}/neurons/{LATE}/x", 422)


def test_a_job_deleted_while_its_page_is_open(visitor: Visitor, sessions: Sessions, job: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/layers/{LATE}")
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM jobs"))
    gone = next(link for link in links(page) if "/neurons/" in link)
    assert "There is no job" in visitor.words(gone, 404)


def test_layers_with_slashes_in_their_names(visitor: Visitor, sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE layers SET name = '/conv1/Relu_output?0' WHERE name = :name"), {"name": LATE})
    page = visitor.get(f"/ui/jobs/{job}/layers")
    address = next(link for link in links(page) if "Relu" in link and "?" not in link)
    layer = visitor.get(address)
    assert neuron_links(layer) == ["0", "1", "2", "3", "4"]
    visitor.get(next(link for link in links(layer) if "/neurons/" in link))
    visitor.get(next(link for link in links(layer) if "view=table" in link))


def test_labels_without_a_category_stand_together(visitor: Visitor, sessions: Sessions) -> None:
    plain = ConceptSet("plain", (Concept("something"),))
    with transaction(sessions) as session:
        alive = replace(neuron(0, 1.0), concepts=(RankedConcept(0, "something", 1.0),))
        dissected_job(session, [LayerDissection("a", (alive,))], concept_set=plain)
    page = visitor.get("/ui/concepts")
    assert "without a category" in words_of(page)
    assert not any("/category" in link for link in links(page))
