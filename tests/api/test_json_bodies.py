"""JSON that somebody sends: what is read, what is refused, and in which words."""

import json
import tracemalloc
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.domain.json_text import parse_json
from service.errors import InvalidInput
from tests.api.test_problems import problem

DEEP = b"[" * 100_000
FIELDS_THAT_EVERY_PROBLEM_HAS = ("field", "detail", "remedy")
FRAMEWORK = ("Input should", "valid dictionary", "error parsing", "Field required", "constrained", "[", "function-")


def post(client: TestClient, body: bytes, kind: str | None = "application/json", path: str = "/policies") -> Any:
    headers = {} if kind is None else {"Content-Type": kind}
    return client.post(path, content=body, headers=headers)


RULES = b'"policy": {"rules": [{"rule": "stability", "at_least": 0.5}]}'
POLICY = b'{"name": "p", ' + RULES + b"}"


@pytest.mark.parametrize(
    "kind",
    [None, "application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/plain",
     "application/vnd.policy+json", "Application/JSON"],
)  # fmt: skip
def test_json_is_read_whatever_clients_call_it(client: TestClient, kind: str | None) -> None:
    assert post(client, POLICY, kind).status_code == 201


def test_a_byte_order_mark_is_passed_over(client: TestClient) -> None:
    assert post(client, b"\xef\xbb\xbf" + POLICY).status_code == 201


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/xml", "application/yaml", "nonsense"])
def test_what_is_declared_to_be_something_else_is_refused(client: TestClient, kind: str) -> None:
    refused = problem(post(client, POLICY, kind), 415)
    assert (refused["field"], refused["value"]) == ("Content-Type", kind)
    assert "application/json" in refused["remedy"]


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        (b'{"name": "M\xfcller", ' + RULES + b"}", "name", "UTF-8"),
        (b'{"name": "p", "policy": {"description": ["a", "M\xfcller"]}}', "policy.description.1", "UTF-8"),
        (b'{"name": "p", "policy": {"M\xfcller": 1}}', r"policy.M\xfcller", "UTF-8"),
        ('{"name": "p"}'.encode("utf-16"), "body", "double quotes"),
        (b'{"name": "p",}', "body", "no comma after the last"),
        (b"{'name': 'p'}", "body", "double quotes"),
        (b'{"name": "p"', "body", "Close every bracket"),
        (b"   ", "body", "JSON object"),
        (b'{"name": "p"} {}', "body", "no comma after the last"),
        (DEEP, "body", "flatter"),
        (b'{"name":' + DEEP, "body", "flatter"),
        (b'{"name": "p", "policy": ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}", "body", "flatter"),
        (b'{"name": "p", "policy": [' + b"1," * 1_000_001 + b"1]}", "body", "less"),
        (b'{"name": "p", "policy": {"at_least": ' + b"9" * 5_000 + b"}}", "policy.at_least", "40 digits"),
        (b'{"name": "p", "policy": {"at_least": -' + b"9" * 41 + b"}}", "policy.at_least", "40 digits"),
        (b'{"name": "p", "policy": {"at_least": NaN}}', "policy.at_least", "null"),
        (b'{"name": "p", "policy": [-Infinity]}', "policy.0", "null"),
        (b'{"name": "p", "policy": {"at_least": 1e999}}', "policy.at_least", "null"),
        (b'{"name": "p", "policy": {"a": 1, "b": {"c": 1, "c": 2}}}', "policy.b", "once"),
        (b'{"name": "p", "name": "q", ' + RULES + b"}", "body", "once"),
        (b'{"name": "p", "policy": {"description": "\\ud800"}}', "policy.description", "whole characters"),
        (b'{"name": "p", "policy": {"\\udfff": 1}}', r"policy.\udfff", "whole characters"),
        (b'{"name": "p", "policy": {"description": "a\\u0000b"}}', "policy.description", "Leave it out"),
    ],
)
def test_what_cannot_be_read_is_told_by_field_and_remedy(
    client: TestClient, body: bytes, field: str, hint: str
) -> None:
    refused = problem(post(client, body), 422)
    assert refused["field"] == field
    assert hint in refused["remedy"]
    assert len(json.dumps(refused)) < 1_000


@pytest.mark.timeout(30)
@pytest.mark.parametrize("quotes", [b'"' + b'\\"' * 100_000, b'"\\' * 300_000, b'"' * 300_000])
def test_strings_without_an_end_are_looked_at_once(client: TestClient, quotes: bytes) -> None:
    """Their commas count as a string's, and whether there are too many is not sought from each quote anew."""
    refused = problem(post(client, quotes + b"," * 1_000_010), 422)
    assert refused["field"] == "body"


@pytest.mark.parametrize("character", ["k", "\U0001f600"])
def test_the_name_of_a_place_is_made_for_the_wrong_one_alone(character: str) -> None:
    key = character * 60
    opened = f'{{"{key}":' * 62
    body = f"{opened}[{'0,' * 100_000}NaN]{'}' * 62}".encode()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput) as refused:
            parse_json(body)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.field == ".".join([*[key] * 62, "100000"])
    assert most < 32 << 20


def test_a_body_that_was_declared_a_form_and_is_no_json_is_told_what_to_declare(client: TestClient) -> None:
    refused = problem(post(client, b"name=p&policy=x", "application/x-www-form-urlencoded"), 422)
    assert "application/json" in refused["remedy"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: &a [1]\nb: [*a, *a]", "Write the part again"),
        ("a: &a {x: 1}\nrules: [{<<: [*a, *a]}]", "Write the part again"),
        ("rules: " + "[" * 3_000, "docs/audits.md"),
        ("rules: " + "[" * 80 + "]" * 80, "flatter"),
        ('description: "\\ud800"\nrules: [{rule: stability, at_least: 0.5}]', "whole characters"),
        ('description: "a\\0b"\nrules: [{rule: stability, at_least: 0.5}]', "Leave it out"),
        ("rules: [{rule: stability, at_least: .nan}]", "Write"),
        ("rules: [{rule: stability, at_least: " + "9" * 5_000 + "}]", "docs/audits.md"),
        ("rules: [{rule: stability, at_least: " + "9" * 400 + "}]", "40 digits"),
    ],
)
def test_policies_in_yaml_have_the_same_bounds(client: TestClient, text: str, hint: str) -> None:
    refused = problem(client.post("/policies", json={"name": "p", "policy": text}), 422)
    assert refused["field"].startswith("policy")
    assert hint in refused["remedy"]


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "remedy"),
    [
        ("POST", "/jobs", {"layers": "blocks.1"}, "layers", "Send a list, 'all' or 'stages'."),
        ("POST", "/jobs", {"layers": [1]}, "layers.0", "Send a text."),
        ("POST", "/jobs", {"target": {"checkpoint": "/x"}}, "target.architecture", "Send it."),
        ("POST", "/jobs", {"target": 7}, "target", "Send a text or an object."),
        ("POST", "/jobs", {"method": {"similarity": "euclid"}}, "method.similarity", "'contrast'"),
        ("POST", "/jobs", {"method": {"top_k": 0}}, "method.top_k", "Send a number of at least 1."),
        ("POST", "/jobs", {"batch_size": "many"}, "batch_size", "Send a whole number."),
        ("POST", "/jobs", {"evidence": None}, "evidence", "Send an object."),
        ("POST", "/jobs", {"urgency": "high"}, "urgency", "Leave it out"),
        ("POST", "/jobs", [], "body", "Send an object."),
        ("POST", "/jobs", None, "body", "Send a JSON object."),
        ("POST", "/comparisons", {"jobs": ["x", "y"]}, "jobs.0", "Send an id such as"),
        ("POST", "/comparisons", {"jobs": []}, "jobs", "Send a list of at least 2 items."),
        ("POST", "/concept-sets", {"name": "c", "concepts": "a, b"}, "concepts", "Send a list."),
        ("POST", "/alert-endpoints", {"kind": "pigeon"}, "kind", "'webhook' or 'email'"),
        ("POST", "/alert-endpoints", {}, "kind", "kind"),
        ("POST", "/policies", {"name": "p", "policy": 7}, "policy", "Send an object or a text."),
        ("POST", "/policies", {"name": "p", "policy": {"rules": [{"rule": "stability", "at_least": "x"}]}},
         "policy.rules.0.at_least", "docs/audits.md"),
        ("POST", "/deployments/x/snooze", {"until": "2026-06-01T02:00:00", "by": "b", "reason": "r"},
         "until", "Send a time with its zone"),
        ("PATCH", "/schedules/x", {"cron": None}, "cron", "Leave it out to keep it as it is."),
        ("GET", "/jobs?limit=many", None, "limit", "Send a whole number."),
        ("GET", "/jobs?limit=0", None, "limit", "at least 1"),
        ("GET", "/jobs?status=tired", None, "status", "'queued'"),
        ("GET", "/jobs/seven", None, "job_id", "Send an id such as"),
        ("GET", "/neurons/a?min_score=nan", None, "min_score", "Send a finite number."),
        ("GET", "/neurons/a/minus", None, "unit", "Send a whole number."),
        ("GET", "/neurons/a?dead=perhaps", None, "dead", "Send true or false."),
    ],
)  # fmt: skip
def test_wrong_fields_are_told_in_our_own_words(
    client: TestClient, method: str, path: str, body: Any, field: str, remedy: str
) -> None:
    options = {} if body is None else {"json": body}
    refused = problem(client.request(method, path, **options), 422)
    errors = {error["field"]: error for error in refused.get("errors", [refused])}
    assert field in errors
    assert remedy in errors[field]["remedy"]
    for error in errors.values():
        assert all(error[name] for name in FIELDS_THAT_EVERY_PROBLEM_HAS)
        assert not any(words in error["field"] + error["detail"] for words in FRAMEWORK)


def test_no_value_is_repeated_that_may_be_secret_or_is_long(client: TestClient) -> None:
    secret = "s3cr3t-" + "x" * 300
    for body in (
        {"kind": "webhook", "name": "x", "url": ["https://hooks.test/" + secret]},
        {"kind": "webhook", "name": "x", "url": "https://h.test", "password": secret},
        {"kind": "webhook", "name": secret, "url": "https://h.test"},
        {"kind": "webhook", "name": "x", "url": "https://h.test", "events": {"a": secret}},
    ):
        answer = client.post("/alert-endpoints", json=body)
        assert problem(answer, 422)
        assert secret not in answer.text


def test_paths_and_methods_that_there_are_not(client: TestClient) -> None:
    nowhere = problem(client.get("/nowhere/x"), 404)
    assert (nowhere["field"], nowhere["value"]) == ("path", "/nowhere/x")
    assert "/openapi.json" in nowhere["remedy"]
    answer = client.put("/jobs", json={})
    refused = problem(answer, 405)
    assert (refused["field"], refused["value"], refused["remedy"]) == ("method", "PUT", "Use GET or POST.")
    assert answer.headers["allow"] == "GET, POST"
