"""Lists as CSV."""

import csv
import io
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from api import csv_lists
from api.csv_lists import harmless
from service.db.session import Sessions, transaction
from service.domain.concepts import Concept, ConceptSet
from service.domain.neurons import LayerDissection, RankedConcept
from tests.api.test_problems import problem
from tests.usecases.factories import dissected_job, judged_neuron, neuron, queued_job

LAYER = "blocks.0"
NAMES = ("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", 'a "quoted", name', "Verkalkung, dünn")
WORDS = ConceptSet("words", tuple(Concept(name, "-category", "findings", True) for name in NAMES))


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    units = []
    for index, name in enumerate(NAMES):
        named = replace(neuron(index, float(-index), 0), concepts=(RankedConcept(index, name, float(-index)),))
        units.append(judged_neuron(named, p=0.001, q=0.01, z=3.0))
    with transaction(sessions) as session:
        layer = LayerDissection(LAYER, (*units, neuron(len(NAMES), None)))
        return dissected_job(session, [layer], concept_set=WORDS)


def rows(client: TestClient, path: str, **params: Any) -> list[dict[str, str]]:
    answer = client.get(path, params={"format": "csv", **params})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; header=present; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


@pytest.mark.parametrize("path", ["/neurons", f"/neurons/{LAYER}"])
def test_a_line_for_each_neuron_and_a_column_for_each_figure(client: TestClient, job: UUID, path: str) -> None:
    items = client.get(path, params={"job": str(job)}).json()["items"]
    table = rows(client, path, job=str(job))
    assert len(table) == len(items) == len(NAMES) + 1
    for row, item in zip(table, items, strict=True):
        assert row["unit"] == str(item["unit"])
        assert row["dead"] == ("true" if item["dead"] else "false")
        assert row["score"] == ("" if item["score"] is None else str(item["score"]))
        assert row["concept"] == ("" if item["concept"] is None else harmless(item["concept"]))
    assert table[0]["evidence.significance.z"] == "3.0"
    assert table[0]["evidence.stability.category"] == "1.0"
    assert table[0]["evidence.quality.redundancy"] == ""
    assert table[0]["evidence.watched"].startswith('[{"text": "red sports car"')
    assert table[-1]["evidence.significance.z"] == ""


def test_text_is_no_formula_and_numbers_are_numbers(client: TestClient, job: UUID) -> None:
    table = rows(client, "/neurons", job=str(job))
    assert [row["concept"] for row in table[:6]] == ["'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(A1)", *NAMES[4:]]
    assert {row["category"] for row in table[:6]} == {"'-category"}
    assert [row["score"] for row in table[1:6]] == ["-1.0", "-2.0", "-3.0", "-4.0", "-5.0"]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_what_a_spreadsheet_would_compute_gets_a_quote(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert harmless(f" {text}") == f" {text}"


def test_pages_lead_to_the_next(client: TestClient, job: UUID) -> None:
    answer = client.get("/neurons", params={"job": str(job), "limit": 5}, headers={"Accept": "text/csv"})
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-disposition"] == 'attachment; filename="neurons.csv"'
    following = client.get(answer.links["next"]["url"], headers={"Accept": "text/csv"})
    assert [len(page.text.splitlines()) for page in (answer, following)] == [6, 3]
    assert answer.text.splitlines()[0] == following.text.splitlines()[0]


def test_json_unless_csv_is_preferred(client: TestClient, job: UUID) -> None:
    for accept in ("*/*", "application/json", "application/json, text/csv"):
        answer = client.get("/jobs", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"
    preferred = client.get("/jobs", params={"format": "json"}, headers={"Accept": "text/csv"})
    assert preferred.headers["content-type"] == "application/json"


def test_jobs_keep_their_objects_as_json(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        queued_job(session)
    (row,) = rows(client, "/jobs")
    assert (row["status"], row["target"], row["part.probe_set"], row["problem"]) == ("queued", "screening@1", "", "")
    assert row["method"].startswith('{"similarity": "soft_wpmi"')


def test_other_formats_and_whole_items_are_refused(client: TestClient, job: UUID) -> None:
    assert problem(client.get("/jobs", params={"format": "xml"}), 422)["field"] == "format"
    params = {"format": "csv", "fields": "full"}
    assert problem(client.get("/jobs", params=params), 422)["field"] == "fields"
    assert problem(client.get("/neurons", params={"format": "csv"}), 422)["field"] == "job"


def lists_of(app: FastAPI) -> list[str]:
    contexts = [context for context in iter_route_contexts(app.routes) if isinstance(context.original_route, APIRoute)]
    return [str(context.path) for context in contexts if csv_lists.item_of(context.response_model) is not None]


def test_every_list_is_to_be_had_as_csv_and_says_so(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    paths = lists_of(app)
    document = client.get("/openapi.json").json()["paths"]
    for path in paths:
        described = document[path]["get"]
        assert "text/csv" in described["responses"]["200"]["content"], path
        assert [one["in"] for one in described["parameters"] if one["name"] == "format"] == ["query"], path

    needs_parameters = {"/layers", "/neurons", "/search/neurons"}
    without_parameters = [path for path in paths if "{" not in path and path not in needs_parameters]
    assert {"/jobs", "/models", "/dissectors", "/probe-sets", "/concept-sets", "/audits", "/deployments"} <= set(
        without_parameters
    )
    for path in without_parameters:
        assert rows(client, path) == [] or path == "/concept-sets", path
