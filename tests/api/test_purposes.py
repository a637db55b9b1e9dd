"""Licences and allowed purposes of registered things, and what jobs, deployments and audits are for."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text, update

from api.schemas.jobs import JobIn
from service.db.session import Sessions, transaction
from service.db.tables import ResourceRow
from service.db.trail import stream_entries
from service.domain.digests import digest_of
from service.domain.purposes import MAX_LICENCE, Purpose, Terms
from service.domain.resources import ResourceKind
from service.domain.trail import TrailEntry
from service.files import ANYWHERE
from service.usecases.jobs import find_job
from service.usecases.probe_sets import probe_set_of, register_part
from service.usecases.resources import find_resource
from tests.api.registry_events import audits, created, registry, send
from tests.api.test_audits import baseline, deployed, start
from tests.api.test_jobs import body, brief
from tests.api.test_problems import problem
from tests.usecases.factories import queued_job

__all__ = ["baseline", "body", "deployed", "registry"]

NON_COMMERCIAL = {"licence": "CC-BY-NC-4.0", "allowed_purposes": ["research"]}
NOTHING_STATED = {
    "licence": None,
    "allowed_purposes": ["clinical", "research"],
    "allowed_purposes_from": "default",
}
REASON = "Agreement with the publisher of 3 May, signed by the head of department."
OVERRIDE = {"override_purpose": {"reason": REASON}}
KINDS: dict[str, ResourceKind] = {
    "target": ResourceKind.MODEL,
    "dissector": ResourceKind.DISSECTOR,
    "probe set": ResourceKind.PROBE_SET,
    "concept set": ResourceKind.CONCEPT_SET,
}

Body = dict[str, Any]


@pytest.fixture
def registrations(data_root: Path) -> dict[str, Body]:
    """What can be posted to each collection."""
    (data_root / "weights.safetensors").write_bytes(b"weights")
    (data_root / "0.png").write_bytes(b"pixels")
    (data_root / "probes.csv").write_text("image\n0.png\n")
    (data_root / "reader").mkdir()
    (data_root / "reader" / "dissector.json").write_text("{}")
    return {
        "/models": {"checkpoint": str(data_root / "weights.safetensors"), "architecture": "mammo-clip/b5"},
        "/dissectors": {"path": str(data_root / "reader")},
        "/probe-sets": {"manifest": str(data_root / "probes.csv")},
        "/concept-sets": {"concepts": ["mass"]},
    }


def trail(sessions: Sessions) -> list[TrailEntry]:
    with transaction(sessions) as session:
        return list(stream_entries(session))


def state(sessions: Sessions, kind: ResourceKind, terms: Terms) -> None:
    """Change what is stated of everything of a kind."""
    purposes = None if terms.allowed_purposes is None else list(map(str, terms.allowed_purposes))
    values = {"licence": terms.licence, "allowed_purposes": purposes}
    with transaction(sessions) as session:
        session.execute(update(ResourceRow).where(ResourceRow.kind == kind).values(**values))


def terms_of(answer: Body) -> Body:
    return {name: answer[name] for name in NOTHING_STATED}


@pytest.mark.parametrize("collection", ["/models", "/dissectors", "/probe-sets", "/concept-sets"])
def test_what_is_stated_is_shown_and_changes_no_content(
    client: TestClient, registrations: dict[str, Body], sessions: Sessions, collection: str
) -> None:
    thing = {"name": "thing", **registrations[collection]}
    first = client.post(collection, json=thing)
    assert (first.status_code, terms_of(first.json())) == (201, NOTHING_STATED)
    assert first.json()["replaced_terms"] is None

    changed = client.post(collection, json={**thing, **NON_COMMERCIAL})
    assert (changed.status_code, changed.json()["reference"]) == (200, "thing@1")
    assert changed.json()["digest"] == first.json()["digest"]
    assert terms_of(changed.json()) == {**NON_COMMERCIAL, "allowed_purposes_from": "statement"}
    assert changed.json()["replaced_terms"] == NOTHING_STATED

    licence_alone = client.post(collection, json={**thing, "licence": " CC0-1.0 "}).json()
    assert (licence_alone["licence"], licence_alone["allowed_purposes"]) == ("CC0-1.0", ["research"])
    assert licence_alone["replaced_terms"]["licence"] == "CC-BY-NC-4.0"

    nothing_new = client.post(collection, json=thing).json()
    assert terms_of(nothing_new) == terms_of(licence_alone), "what is left out stays"
    assert nothing_new["replaced_terms"] is None
    assert terms_of(client.get(f"{collection}/thing").json()) == terms_of(licence_alone)
    listed = {item["name"]: item for item in client.get(collection).json()["items"]}
    assert terms_of(listed["thing"]) == terms_of(licence_alone)

    content = first.json()["digest"]
    non_commercial = digest_of({"content": content, **NON_COMMERCIAL, "allowed_purposes_from": "statement"})
    free = digest_of({"content": content, **terms_of(licence_alone)})
    changes = [(entry.before, entry.after) for entry in trail(sessions)]
    assert changes == [(None, content), (content, non_commercial), (non_commercial, free), (None, free)]


def test_the_same_content_under_another_name_has_the_same_terms(
    client: TestClient, registrations: dict[str, Body]
) -> None:
    model = registrations["/models"]
    client.post("/models", json={"name": "first", **model, **NON_COMMERCIAL})
    assert client.post("/models", json={"name": "second", **model}).json()["allowed_purposes"] == ["research"]
    stated = client.post("/models", json={"name": "third", **model, "allowed_purposes": ["clinical"]}).json()
    assert (stated["licence"], stated["allowed_purposes"]) == (None, ["clinical"])


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"licence": ""}, "licence"),
        ({"licence": "  "}, "licence"),
        ({"licence": "x" * (MAX_LICENCE + 1)}, "licence"),
        ({"licence": 4}, "licence"),
        ({"allowed_purposes": []}, "allowed_purposes"),
        ({"allowed_purposes": ["teaching"]}, "allowed_purposes.0"),
        ({"allowed_purposes": "research"}, "allowed_purposes"),
    ],
)
def test_terms_that_say_nothing(client: TestClient, terms: Body, field: str) -> None:
    answer = client.post("/concept-sets", json={"name": "words", "concepts": ["mass"], **terms})
    assert problem(answer, 422)["field"] == field
    assert problem(client.get("/concept-sets/words"), 404)


def test_the_built_in_set_states_its_own_also_where_an_earlier_release_registered_it(
    client: TestClient, sessions: Sessions
) -> None:
    stated = client.get("/concept-sets/bi-rads").json()
    assert terms_of(stated) == {
        "licence": "Apache-2.0",
        "allowed_purposes": ["clinical", "research"],
        "allowed_purposes_from": "statement",
    }
    state(sessions, ResourceKind.CONCEPT_SET, Terms())
    assert terms_of(client.get("/concept-sets/bi-rads").json()) == terms_of(stated)
    assert client.get("/concept-sets/bi-rads").json()["version"] == 1


def test_a_job_that_says_no_purpose_is_for_research_and_says_so(client: TestClient, body: Body) -> None:
    job = client.post("/jobs", json=body).json()
    assert (job["purpose"], job["purpose_from"], job["override_purpose"]) == ("research", "default", None)
    assert job["terms"]["dissector"] == NOTHING_STATED
    assert job["terms"]["concept_set"]["licence"] == "Apache-2.0"
    assert list(job["terms"]) == ["target", "dissector", "probe_set", "concept_set"]
    asked = client.post("/jobs", json={**body, "purpose": "research"}).json()
    assert (asked["purpose"], asked["purpose_from"]) == ("research", "request")


def test_a_job_of_an_earlier_release_shows_none(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job_id = queued_job(session).id
    job = client.get(f"/jobs/{job_id}").json()
    assert [job[name] for name in ("purpose", "purpose_from", "override_purpose", "terms")] == [None] * 4
    assert client.get("/jobs").json()["items"] == [brief(job)]


@pytest.mark.parametrize("part", KINDS)
def test_a_part_for_research_only_refuses_a_clinical_job_unless_overridden(
    client: TestClient, body: Body, sessions: Sessions, part: str
) -> None:
    client.get("/concept-sets/bi-rads")
    state(sessions, KINDS[part], Terms("CC-BY-NC-4.0", (Purpose.RESEARCH,)))
    clinical = {**body, "purpose": "clinical"}
    refused = problem(client.post("/jobs", json=clinical), 409)
    reference = body[part.replace(" ", "_")].removesuffix("@1")
    assert refused["type"].endswith("purpose-not-allowed")
    assert (refused["field"], refused["value"]) == ("purpose", "clinical")
    assert f"{part} {reference}@1 is for research only (licence CC-BY-NC-4.0)" in refused["detail"]
    assert "purpose research" in refused["remedy"]
    assert "override_purpose" in refused["remedy"]
    assert client.get("/jobs").json()["items"] == []

    assert client.post("/jobs", json={**body, "purpose": "research"}).status_code == 202
    overridden = client.post("/jobs", json={**clinical, **OVERRIDE})
    assert overridden.status_code == 202, overridden.text
    job = overridden.json()
    override = {"reason": REASON, "parts": [f"{part} {reference}@1"]}
    assert (job["purpose"], job["override_purpose"]) == ("clinical", override)
    assert client.get("/jobs").json()["items"][0]["override_purpose"] == override
    entry = trail(sessions)[-1]
    request = digest_of({**posted_defaults(clinical), **OVERRIDE})
    assert str(entry.subject).endswith(job["id"])
    assert entry.after == digest_of({"request": request, "override_purpose": override})


def posted_defaults(request: Body) -> Body:
    """The request with its defaults, as the digest of a job's request has it."""
    return JobIn.model_validate(request).as_asked()


def test_a_part_for_clinical_use_only_refuses_the_default_and_the_remedy_helps(
    client: TestClient, body: Body, sessions: Sessions
) -> None:
    state(sessions, ResourceKind.PROBE_SET, Terms(None, (Purpose.CLINICAL,)))
    refused = problem(client.post("/jobs", json=body), 409)
    assert "nobody said another purpose" in refused["detail"]
    assert "clinical only (no licence stated)" in refused["detail"]
    assert "purpose clinical" in refused["remedy"]
    assert client.post("/jobs", json={**body, "purpose": "clinical"}).status_code == 202


def test_parts_that_share_no_purpose_name_no_purpose_as_a_remedy(
    client: TestClient, body: Body, sessions: Sessions
) -> None:
    state(sessions, ResourceKind.PROBE_SET, Terms(None, (Purpose.CLINICAL,)))
    state(sessions, ResourceKind.DISSECTOR, Terms("CC-BY-NC-4.0", (Purpose.RESEARCH,)))
    for purpose in ("clinical", "research"):
        refused = problem(client.post("/jobs", json={**body, "purpose": purpose}), 409)
        assert refused["remedy"].startswith("Give override_purpose")
    assert client.post("/jobs", json={**body, "purpose": "clinical", **OVERRIDE}).status_code == 202


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"purpose": "teaching"}, "purpose"),
        ({"override_purpose": {}}, "override_purpose.reason"),
        ({"override_purpose": {"reason": " "}}, "override_purpose.reason"),
        ({"override_purpose": {"reason": "x" * 2001}}, "override_purpose.reason"),
        ({"override_purpose": "yes"}, "override_purpose"),
    ],
)
def test_a_purpose_that_cannot_be_meant(client: TestClient, body: Body, changes: Body, field: str) -> None:
    assert problem(client.post("/jobs", json={**body, **changes}), 422)["field"] == field


def test_an_override_that_nothing_needs_is_kept_and_names_no_part(client: TestClient, body: Body) -> None:
    job = client.post("/jobs", json={**body, "purpose": "clinical", **OVERRIDE}).json()
    assert job["override_purpose"] == {"reason": REASON, "parts": []}


def test_a_checkpoint_in_a_job_has_the_terms_of_its_content_or_its_own(
    client: TestClient, body: Body, registrations: dict[str, Body]
) -> None:
    checkpoint = registrations["/models"]
    clinical = {**body, "layers": "all", "purpose": "clinical"}
    stated = problem(client.post("/jobs", json={**clinical, "target": {**checkpoint, **NON_COMMERCIAL}}), 409)
    assert "research only" in stated["detail"]
    client.post("/models", json={"name": "published", **checkpoint, **NON_COMMERCIAL})
    names = [model["name"] for model in client.get("/models").json()["items"]]
    assert names == ["published", "screening"], "a job that is refused registers nothing"
    inherited = problem(client.post("/jobs", json={**clinical, "target": checkpoint}), 409)
    assert "research only (licence CC-BY-NC-4.0)" in inherited["detail"]


def test_a_key_that_an_earlier_release_got_still_makes_one_job(
    client: TestClient, body: Body, sessions: Sessions
) -> None:
    headers = {"Idempotency-Key": "nightly"}
    job = client.post("/jobs", json=body, headers=headers).json()
    with transaction(sessions) as session:
        asked = session.execute(text("SELECT request_digest FROM jobs")).scalar_one()
    request = posted_defaults(body)
    assert {"purpose", "override_purpose"}.isdisjoint(request)
    assert asked == digest_of(request)
    other = client.post("/jobs", json={**body, "purpose": "clinical"}, headers=headers)
    assert problem(other, 422)["field"] == "Idempotency-Key"
    assert client.post("/jobs", json=body, headers=headers).json()["id"] == job["id"]


def test_a_replay_is_for_what_the_original_was_for(client: TestClient, baseline: str, sessions: Sessions) -> None:
    state(sessions, ResourceKind.DISSECTOR, Terms("CC-BY-NC-4.0", (Purpose.RESEARCH,)))
    replay = client.post(f"/jobs/{baseline}/replay")
    assert (replay.status_code, replay.json()["purpose"]) == (202, None)


def test_audits_of_a_deployment_follow_what_is_stated_by_now(
    client: TestClient, deployed: str, sessions: Sessions
) -> None:
    path = f"/deployments/{deployed}"
    assert client.get(path).json()["purpose"] == "research"
    assert client.patch(path, json={"purpose": "clinical"}).json()["purpose"] == "clinical"
    assert client.get(f"/jobs/{start(client)['job']}").json()["purpose"] == "clinical"

    state(sessions, ResourceKind.DISSECTOR, Terms("CC-BY-NC-4.0", (Purpose.RESEARCH,)))
    refused = start(client)
    assert (refused["status"], refused["problem"]["code"]) == ("error", "purpose-not-allowed")
    assert "dissector reader@1 is for research only" in refused["problem"]["detail"]
    assert "deployment the purpose research" in refused["problem"]["remedy"]

    once = start(client, **OVERRIDE)
    override = {"reason": REASON, "parts": ["dissector reader@1"]}
    assert client.get(f"/jobs/{once['job']}").json()["override_purpose"] == override
    assert start(client)["status"] == "error", "that override was for one audit"

    changed = client.patch(path, json=OVERRIDE).json()
    assert (changed["purpose"], changed["override_purpose"]) == ("clinical", override)
    assert client.get(f"/jobs/{start(client)['job']}").json()["override_purpose"] == override
    assert client.patch(path, json={"purpose": "research"}).json()["override_purpose"] is None
    assert start(client)["status"] == "running"


def test_a_deployment_takes_no_version_that_its_purpose_does_not_allow(
    client: TestClient, deployed: str, data_root: Path
) -> None:
    (data_root / "v2.pt").write_bytes(b"second version")
    target = {"checkpoint": str(data_root / "v2.pt"), "architecture": "a", **NON_COMMERCIAL}
    client.patch(f"/deployments/{deployed}", json={"purpose": "clinical"})
    before = client.get(f"/deployments/{deployed}").json()

    version = {"target": target, "audit": False}
    refused = problem(client.post(f"/deployments/{deployed}/versions", json=version), 409)
    assert "is for research only (licence CC-BY-NC-4.0)" in refused["detail"]
    assert client.get(f"/deployments/{deployed}").json() == before

    taken = client.post(f"/deployments/{deployed}/versions", json={**version, **OVERRIDE})
    assert taken.status_code == 202, taken.text
    deployment = taken.json()["deployment"]
    assert deployment["override_purpose"] == {"reason": REASON, "parts": [f"target {deployment['target']}"]}
    audit = start(client)
    assert audit["status"] == "running", audit["problem"]


def test_a_version_from_the_registry_that_is_not_allowed_is_an_audit_that_ended_in_an_error(
    registry: TestClient, data_root: Path
) -> None:
    weights = str(data_root / "v2" / "model.safetensors")
    published = {"name": "published", "checkpoint": weights, "architecture": "a", **NON_COMMERCIAL}
    assert registry.post("/models", json=published).status_code == 201
    assert registry.patch("/deployments/east", json={"purpose": "clinical"}).status_code == 200
    assert send(registry, created(data_root)).status_code == 202
    (audit,) = audits(registry)
    assert (audit["status"], audit["problem"]["code"]) == ("error", "purpose-not-allowed")


def test_the_parts_of_a_probe_set_have_its_terms(baseline: str, sessions: Sessions) -> None:
    state(sessions, ResourceKind.PROBE_SET, Terms("CC-BY-NC-4.0", (Purpose.RESEARCH,)))
    with transaction(sessions) as session:
        reference = find_job(session, UUID(baseline)).request.probe_set
        whole = find_resource(session, ResourceKind.PROBE_SET, reference, field="probe_set")
        part = register_part(session, whole, probe_set_of(session, whole, ANYWHERE), {"density": ("a",)})
        assert part.terms == Terms("CC-BY-NC-4.0", (Purpose.RESEARCH,))
