"""Concept sets: categories, remarks, and what another version changes."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.pages.audited import client
from tests.pages.visitor import Visitor, words_of

__all__ = ["client"]

FIRST: list[Any] = [
    {"text": "spiculated mass", "category": "mass margin", "broad_category": "findings", "synonyms": ["spicules"]},
    {"text": "no <calcification>", "category": "calcification", "broad_category": "findings"},
    {"text": "marker", "watched": True},
]
SECOND: list[Any] = [
    {"text": "spiculated mass", "category": "margin", "broad_category": "findings", "synonyms": ["spicules"]},
    {"text": "skin thickening", "category": "skin"},
    {"text": "marker", "watched": True},
]


@pytest.fixture
def versions(client: TestClient) -> None:
    for concepts in (FIRST, SECOND):
        assert client.post("/concept-sets", json={"name": "mine", "concepts": concepts}).status_code == 201


def test_concept_sets_are_listed_with_those_that_come_along(visitor: Visitor, versions: None) -> None:
    html = visitor.get("/ui/concept-sets")
    assert 'href="/ui/concept-sets/mine%402"' in html
    assert "bi-rads@1" in words_of(html)
    assert "mine@2 3 not stated" in words_of(html)


def test_categories_concepts_and_what_is_weak(visitor: Visitor, versions: None) -> None:
    html = visitor.get("/ui/concept-sets/mine@1")
    words = words_of(html)
    assert "3 concepts in 3 categories; 1 watched" in words
    assert "mass margin findings 1 0" in words
    assert "spiculated mass mass margin spicules" in words
    assert "negation: 1" in words
    assert "no <calcification>" in words
    assert "<calcification>" not in html

    one = visitor.words("/ui/concept-sets/mine@1?category=mass+margin")
    assert "Concepts of mass margin" in one
    assert "spiculated mass mass margin spicules" in one
    assert "no <calcification> calcification" not in one
    assert "marker \N{EN DASH}" in visitor.words("/ui/concept-sets/mine@1?category=no+category")
    assert "no concept of that category" in visitor.words("/ui/concept-sets/mine@1?category=%3Cb%3E")


def test_what_another_version_changes(visitor: Visitor, versions: None) -> None:
    form = visitor.get("/ui/concept-sets/mine@1")
    assert '<option value="mine@2">' in form
    assert '<option value="mine@1">' not in form
    words = visitor.words("/ui/concept-sets/mine@1?to=mine@2")
    assert (
        "From mine@1 to mine@2 : 1 added, 1 removed, 1 field changed, 0 in another place, 1 concept the same." in words
    )
    assert "Added (1) skin thickening." in words
    assert "Removed (1) no <calcification>." in words
    assert "spiculated mass category mass margin margin" in words
    visitor.get("/ui/concept-sets/mine@1?to=none", 404)


def test_a_set_without_remarks_and_other_versions(visitor: Visitor, client: TestClient) -> None:
    client.post("/concept-sets", json={"name": "plain", "concepts": ["mass"]})
    words = visitor.words("/ui/concept-sets/plain")
    assert "Nothing that its texts and categories tell." in words
    assert "There is no other version of plain" in words


def test_what_is_not_there_is_a_page(visitor: Visitor) -> None:
    visitor.get("/ui/concept-sets/none", 404)
    visitor.get("/ui/concept-sets?cursor=nonsense", 422)
