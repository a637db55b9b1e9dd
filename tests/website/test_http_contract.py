"""The OpenAPI document as pages."""

import json
import re
from pathlib import Path
from typing import Any

from website.http_contract import contract_pages

CONTRACT: dict[str, Any] = {
    "info": {"description": "A small service."},
    "paths": {
        "/jobs": {
            "post": {
                "tags": ["big jobs"],
                "description": "Ask for one.",
                "security": [{"HTTPBearer": []}],
                "parameters": [
                    {
                        "name": "limit",
                        "in": "query",
                        "description": "How many | at once.",
                        "schema": {"type": "integer", "minimum": 1, "default": 5},
                    }
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobIn"}}},
                },
                "responses": {
                    "204": {"description": "Successful Response"},
                    "default": {
                        "description": "A problem",
                        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                    },
                },
            }
        },
        "/live": {"get": {"tags": ["health"], "summary": "Is it alive?", "responses": {}}},
    },
    "components": {
        "schemas": {
            "JobIn": {
                "description": "A job.",
                "required": ["layers"],
                "properties": {
                    "layers": {"type": "array", "items": {"type": "string"}, "description": "Names."},
                    "kind": {"enum": ["a", "b"]},
                    "pair": {
                        "type": "array",
                        "prefixItems": [{"type": "number"}, {"type": "string", "format": "uuid"}],
                    },
                    "more": {"anyOf": [{"type": "object", "additionalProperties": {"const": 1}}, {"type": "null"}]},
                },
            },
            "Problem": {"type": "object"},
        }
    },
}
PAGES = contract_pages(CONTRACT)


def test_a_page_for_each_tag_and_one_for_shapes() -> None:
    assert sorted(PAGES) == ["big-jobs.md", "health.md", "index.md", "shapes.md"]
    assert "big-jobs\nhealth\nshapes\n" in PAGES["index.md"]


def test_an_operation_has_its_parameters_body_and_answers() -> None:
    page = PAGES["big-jobs.md"]
    assert page.startswith("# Big jobs\n\n## POST /jobs\n\nAsk for one.\n")
    assert "| `limit` | query | integer | How many \\| at once; at least 1; default `5` |" in page
    assert "**Body**: [JobIn](#shape-JobIn) (`application/json`)" in page
    assert "| `204` | no body |" in page
    assert "| `default` | A problem: [Problem](#shape-Problem) (`application/problem+json`) |" in page


def test_it_says_what_needs_no_key() -> None:
    assert "Needs no API key." in PAGES["health.md"]
    assert "Needs no API key." not in PAGES["big-jobs.md"]


def test_a_shape_has_its_fields_in_words() -> None:
    page = PAGES["shapes.md"]
    assert "(shape-JobIn)=\n## JobIn\n\nA job.\n" in page
    assert "| `layers` | list of string | yes | Names |" in page
    assert '| `kind` | `"a"` or `"b"` |  |  |' in page
    assert "| `pair` | [number, string (uuid)] |  |  |" in page
    assert "| `more` | object of `1` or null |  |  |" in page


def test_every_operation_and_every_link_of_the_real_contract_has_its_place() -> None:
    contract = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text("utf-8"))
    pages = contract_pages(contract)
    written = "\n".join(pages.values())
    for path, operations in contract["paths"].items():
        for verb in operations:
            assert f"## {verb.upper()} {path}\n" in written
    assert set(re.findall(r"\]\(#(shape-\w+)\)", written)) <= set(
        re.findall(r"^\((shape-\w+)\)=", written, re.MULTILINE)
    )
