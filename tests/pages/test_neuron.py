"""The page of a neuron: what it is called, what it looks at, what speaks for it."""

import re
from html import escape, unescape
from uuid import UUID

import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from api.picture_access import PictureAccess
from service.db.ablations import add_ablation, move_ablation
from service.db.session import Sessions, transaction
from service.domain.ablations import (
    AblationRequest,
    AblationResult,
    AblationStatus,
    Effect,
    LayerUnits,
    OutputChange,
    UnitChoice,
    UnitEffect,
)
from tests.pages.results import EARLY, LATE, stored_dissection
from tests.pages.shown import links, pictures
from tests.pages.visitor import Visitor, words_of


def test_a_neuron(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/neurons/{LATE}/0")
    words = words_of(page)
    assert "It follows 'clustered calcification', and the dissector is known to see that." in words
    assert "Of names as sure as this one 2 % are wrong" in words
    assert pictures(page) == 2
    assert page.count("The region that drives the activation is outlined") == 2
    assert "The manifest says that calcification is here" in page
    for figure in ("0.51", "0.62", "68 %", "z ? 6.5", "AUROC 0.84", "points at it in 0.80", "label kept in 75 %"):
        assert figure in words
    assert "It does not beat coarse calcification." in words
    assert "Score 3.65 among the best scores of random image sets" in page
    assert "Nobody has measured yet" in words
    assert f"/ui/jobs/{job}/neurons/{LATE}/1" in links(page)
    assert "patient-doe" not in page


def test_neighbours_lead_to_their_neurons(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/neurons/{LATE}/0")
    near = page[page.index('id="neighbours"') :]
    assert len(re.findall(r"/neurons/", near)) == 4, "the other living units"
    assert "In other dissections" not in near


def test_neighbours_of_other_models(visitor: Visitor, sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        other = stored_dissection(session, model="other")
    page = visitor.get(f"/ui/jobs/{job}/neurons/{LATE}/0")
    near = page[page.index("In other dissections") :]
    assert f"/ui/jobs/{other}/neurons/{LATE}/0" in near
    assert "other@1" in near
    assert f"/ui/jobs/{job}/neurons" not in near


@pytest.mark.parametrize(
    ("unit", "sentence"),
    [
        (1, "It follows something of the category 'calcification morphology' (which of its concepts is undecided)"),
        (2, "but nobody knows whether the dissector sees that"),
        (3, "It follows something that the dissector sees and no concept says."),
        (4, "It is dead, and there is nothing to name."),
    ],
)
def test_what_a_neuron_is_called_in_a_sentence(visitor: Visitor, job: UUID, unit: int, sentence: str) -> None:
    assert sentence in visitor.words(f"/ui/jobs/{job}/neurons/{LATE}/{unit}")


def test_a_neuron_that_responds_to_a_clip_says_so(visitor: Visitor, job: UUID) -> None:
    assert "responds to surgical clip (z 4.2, q 0.01)" in visitor.words(f"/ui/jobs/{job}/neurons/{LATE}/1")


def test_a_neuron_without_any_evidence(visitor: Visitor, bare: UUID) -> None:
    words = visitor.words(f"/ui/jobs/{bare}/neurons/{EARLY}/0")
    assert "No label was tested, and even pure noise would have a best concept." in words
    assert "has no directions" in words
    assert "No neuron has a verdict" in visitor.words(f"/ui/jobs/{bare}/layers")


def test_pictures_are_kept_ones(visitor: Visitor, stranger: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/neurons/{LATE}/0")
    addresses = [unescape(address) for address in re.findall(r'<img src="(/ui/jobs[^"]+)"', page)]
    assert addresses == [f"/ui/jobs/{job}/pictures/3", f"/ui/jobs/{job}/pictures/7?box=0,64,32,32"]
    for address in addresses:
        answer = visitor.client.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.content.startswith(b"\xff\xd8")
        assert "private" in answer.headers["cache-control"]
        assert stranger.client.get(address).status_code == 303
    for row in ("5", "99", "7", "7?box=0,64,32,33", "3?frame=2"):
        assert "There is no picture of row" in visitor.words(f"/ui/jobs/{job}/pictures/{row}", 404)
    visitor.get(f"/ui/jobs/{job}/pictures/7?box=1;DROP", 422)
    visitor.get(f"/ui/jobs/{job}/pictures/-1", 422)


def test_who_may_not_see_pictures_sees_pages_without_them(app: FastAPI, visitor: Visitor, job: UUID) -> None:
    app.state.picture_access = PictureAccess(True, frozenset({"radiology"}))
    page = visitor.get(f"/ui/jobs/{job}/neurons/{LATE}/0")
    assert pictures(page) == 0
    assert "/images/" not in page
    assert "your key may not see them" in words_of(page)
    assert pictures(visitor.get(f"/ui/jobs/{job}/layers/{LATE}")) == 0
    visitor.get(f"/ui/jobs/{job}/pictures/3", 403)
    assert pictures(Visitor(app).sign_in("first").get(f"/ui/jobs/{job}/neurons/{LATE}/0")) == 2


def test_pictures_at_a_size_that_shows_calcifications(visitor: Visitor, job: UUID) -> None:
    page = visitor.get(f"/ui/jobs/{job}/neurons/{LATE}/0")
    drawn = f"/jobs/{job}/images/7?layer={LATE}&unit=0&box=0,64,32,32&size=medium&wait=10"
    assert f'src="/ui/jobs/{job}/pictures/7?box=0,64,32,32" ' in page
    assert f'data-larger="{escape(drawn)}"' in page
    asked = visitor.client.get(drawn.replace("wait=10", "wait=0"))
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    for link in [link for link in links(page) if "/images/" in link]:
        assert visitor.client.get(link.replace("wait=10", "wait=0")).status_code == 202
    of_unpictured = visitor.get(f"/ui/jobs/{job}/neurons/{LATE}/3")
    assert "data-larger" not in of_unpictured
    assert f'src="/jobs/{job}/images/5?' in of_unpictured
    assert "images/" not in visitor.get(f"/ui/jobs/{job}/layers/{LATE}"), "lists show the small ones alone"


def test_what_an_ablation_did_is_said(visitor: Visitor, sessions: Sessions, job: UUID) -> None:
    change = OutputChange(1, 2.0, -0.25, -0.4, -0.1, 0.3, 0.2, 0.4)
    effect = Effect((change,), ())
    units = (UnitEffect(LATE, 1, effect),)
    result = AblationResult(2, "head", 200, "exam", 50, 1000, effect, (), units, "cpu")
    choice = UnitChoice(LATE, (1,))
    with transaction(sessions) as session:
        ablation = add_ablation(session, job, AblationRequest(choice, (LayerUnits(LATE, (1,)),), each=True))
        assert ablation is not None
        stored = TypeAdapter(AblationResult).dump_python(result, mode="json")
        move_ablation(session, ablation, AblationStatus.SUCCEEDED, result=stored)
    for path in (f"/ui/jobs/{job}/neurons/{LATE}/1", f"/ui/jobs/{job}/watch-list"):
        assert "Held at its mean, it moves output 1" in visitor.words(path)
