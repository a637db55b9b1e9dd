"""Concept sets over HTTP: from lists and files, with what is weak about them and what happened between two."""

from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.db.text_embeddings import keep_texts
from service.domain.manifests import CutText
from service.domain.neurons import LayerDissection
from tests.api.test_problems import problem
from tests.usecases.factories import CONCEPTS, WORDS, dissected_job, neuron


@pytest.fixture
def workbook(data_root: Path) -> Path:
    """A list of words with a workbook of their categories: a word in two sheets, one with a blank, one in none."""
    (data_root / "words.txt").write_bytes("tachi\nkurna\nfib\u00e9lle\npalo\n".encode("latin-1"))
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    sheets: dict[str, list[list[str | None]]] = {
        " Shapes": [["round ones", "odd ones"], ["tachi", "kurna "], [None, "palo"]],
        "Everyday": [["things"], ["palo"], ["kurna"]],
    }
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for cells in rows:
            sheet.append(cells)
    book.save(data_root / "categories.xlsx")
    return data_root / "categories.xlsx"


def post(client: TestClient, **body: Any) -> Any:
    return client.post("/concept-sets", json={"name": "words"} | body)


def test_a_list_and_its_workbook_are_registered_as_they_lie(client: TestClient, workbook: Path) -> None:
    listed = workbook.with_name("words.txt")
    answer = post(client, path=f"file://{listed}", categories=str(workbook), control=["Everyday"])
    assert answer.status_code == 201
    assert answer.json()["spec"]["concepts"] == 4
    assert answer.json()["remarks_by_weakness"] == {"two categories": 1}

    read = client.get("/concept-sets/words").json()
    fields = ("text", "category", "broad_category", "mammographic", "watched")
    assert [[concept[field] for field in fields] for concept in read["spec"]["concepts"]] == [
        ["tachi", "round ones", " Shapes", True, False],
        ["kurna", "things", "Everyday", False, True],
        ["fib\u00e9lle", None, None, None, False],
        ["palo", "things", "Everyday", False, True],
    ]
    assert read["spec"]["notes"] == [
        "Its text is read as Windows-1252, because it is not UTF-8.",
        "The categories are those of the sheets ' Shapes', 'Everyday'.",
    ]
    assert read["spec"]["categories"] == {
        "several": [{"text": "palo", "places": [" Shapes / odd ones", "Everyday / things"]}],
        "several_concepts": 1,
        "without": ["fib\u00e9lle"],
        "without_concepts": 1,
        "unused": ["kurna "],
        "unused_texts": 1,
    }
    (remark,) = read["remarks"]
    assert (remark["concepts"], remark["because"][-1]) == (["palo"], "Everyday / things")


def test_the_same_concepts_in_a_file_and_in_a_list_are_the_same_version(client: TestClient, data_root: Path) -> None:
    (data_root / "words.yaml").write_text("- mass\n- text: dog\n  mammographic: false\n")
    first = post(client, path=str(data_root / "words.yaml"))
    again = post(client, concepts=["mass", {"text": "dog", "mammographic": False}])
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["digest"] == first.json()["digest"]
    coded = post(client, concepts=["mass", {"text": "dog", "mammographic": False, "codes": {"radlex": "RID1"}}])
    assert coded.json()["version"] == 2
    assert client.get("/concept-sets/words").json()["spec"]["concepts"][1]["codes"] == {"radlex": "RID1"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "concepts"),
        ({"concepts": ["mass"], "path": "/x.txt"}, "concepts"),
        ({"concepts": ["mass"], "control": ["Everyday"]}, "control"),
        ({"path": "words.txt"}, "path"),
        ({"path": "/etc/passwd"}, "path"),
        ({"concepts": ["mass"], "categories": "/etc/passwd"}, "categories"),
        ({"concepts": ["mass"], "categories": "ROOT/categories.xlsx", "control": ["everyday"]}, "control"),
        ({"path": "ROOT/categories.xlsx"}, "concepts"),
        ({"concepts": ["mass"], "dissector": "nobody"}, "dissector"),
    ],
)
def test_what_is_refused_names_its_field_and_registers_nothing(
    client: TestClient, workbook: Path, body: dict[str, Any], field: str
) -> None:
    placed = {
        name: value.replace("ROOT", str(workbook.parent)) if isinstance(value, str) else value
        for name, value in body.items()
    }
    answer = post(client, **placed)
    assert answer.status_code in (404, 422)
    assert problem(answer, answer.status_code)["field"] == field
    assert client.get("/concept-sets/words").status_code == 404


def test_what_happened_from_one_version_to_another(client: TestClient) -> None:
    post(client, concepts=["mass", {"text": "dog", "category": "animals"}, "lymph node"])
    post(client, concepts=[{"text": "dog", "category": "pets"}, "lymph nodes", "mass"])
    found = client.get("/concept-sets/words@1/diff", params={"to": "words"}).json()
    assert found == {
        "before": "words@1",
        "after": "words@2",
        "added": ["lymph nodes"],
        "removed": ["lymph node"],
        "renamed": [{"before": "lymph node", "after": "lymph nodes", "alike": "plural"}],
        "changed": [{"text": "dog", "field": "category", "before": "animals", "after": "pets"}],
        "moved": 2,
        "same": 1,
    }
    assert problem(client.get("/concept-sets/words/diff", params={"to": "nothing"}), 404)["field"] == "to"
    assert problem(client.get("/concept-sets/words/diff"), 422)["field"] == "to"


def test_a_dissector_that_has_read_the_texts_in_a_job_counts(client: TestClient, sessions: Sessions) -> None:
    layer = LayerDissection("blocks.0", (neuron(0, 2.0),))
    cut: CutText = {"text": CONCEPTS[2].text, "tokens": 90, "read": 77}
    embeddings = np.eye(len(CONCEPTS), dtype=np.float32)
    embeddings[1] = 2 * embeddings[0]

    with transaction(sessions) as session:
        dissected_job(session, [layer], manifest={"texts_cut": [cut]})
    unread = client.get("/concept-sets/words", params={"dissector": "reader"}).json()
    assert "reader@1 has not read words@1 yet" in unread["dissector_note"]

    with transaction(sessions) as session:
        keep_texts(session, "0", WORDS.digest, "cpu", embeddings)
    read = client.get("/concept-sets/words", params={"dissector": "reader"}).json()
    by_reader = [remark for remark in read["remarks"] if remark not in unread["remarks"]]
    assert [(remark["weakness"], remark["concepts"]) for remark in by_reader] == [
        ("near duplicate", [CONCEPTS[0].text, CONCEPTS[1].text]),
        ("cut text", [CONCEPTS[2].text]),
    ]
    assert read["dissector_note"] == "The texts are those that reader@1 read in a job."
