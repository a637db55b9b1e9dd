"""Every call that may change something leaves exactly one entry in the trail, whichever route it takes."""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import SecretStr
from sqlalchemy import update

from api.app import create_app
from api.dependencies import SessionDep, check_one_thread, check_recorded, recorded
from api.one_thread import OneThreadRoute
from api.trail import READING
from service.analysis.policy_codec import policy_from
from service.config import Settings
from service.db.audits import end_audit
from service.db.jobs import move_job
from service.db.session import Sessions, transaction
from service.db.tables import ResourceRow
from service.db.trail import stream_entries
from service.domain.alerts import EndpointKind
from service.domain.audits import AuditStatus, Occasion
from service.domain.digests import digest_of
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from service.domain.trail import SCHEDULER, TrailEntry, check_chain
from service.errors import InvalidInput, ProblemFields
from service.files import ANYWHERE
from service.signatures import PublicKey, SigningKey
from service.usecases.alerts import create_endpoint, send_test
from service.usecases.audits import start_audit
from service.usecases.checks import ask_check
from service.usecases.deployments import DeploymentSubmission, create_deployment, find_deployment
from service.usecases.policies import register_policy
from service.usecases.readings import AT_ONCE
from service.usecases.resources import register_probe_set
from service.usecases.schedules import create_schedule
from service.usecases.trail import record
from service.usecases.work import begin_item, reap
from tests.api.test_comparisons import EVIDENCE, layer
from tests.api.test_problems import problem
from tests.api.registry_events import SECRET, created, send
from tests.schedules.field import DAILY
from tests.usecases.factories import RecordingQueue, dissected_job, queued_job, resource, taken

IT = {"Authorization": "Bearer second"}


class Caller:
    """A client, and what its calls need to exist before."""

    def __init__(self, client: TestClient, sessions: Sessions, data_root: Path) -> None:
        self.client, self.sessions, self.data_root = client, sessions, data_root

    def job(self, status: JobStatus = JobStatus.QUEUED) -> UUID:
        with transaction(self.sessions) as session:
            if status is JobStatus.SUCCEEDED:
                return dissected_job(session, [layer("blocks.0", 0, 1)], evidence=EVIDENCE)
            job = queued_job(session)
            for move in () if status is JobStatus.QUEUED else (JobStatus.RUNNING, status):
                assert move_job(session, job.id, move)
            return job.id

    def file(self, name: str, content: bytes = b"content") -> str:
        path = self.data_root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return str(path)

    def post(self, path: str, body: Any = None) -> Any:
        return self.client.post(path, json=body)


def post_model(caller: Caller) -> Any:
    return caller.post("/models", {"name": "m", "checkpoint": caller.file("m"), "architecture": "mammo-clip/b5"})


def post_dissector(caller: Caller) -> Any:
    return caller.post("/dissectors", {"name": "d", "path": str(Path(caller.file("d/dissector.json")).parent)})


def post_probe_set(caller: Caller) -> Any:
    Image.new("L", (64, 48)).save(caller.data_root / "0.png")
    return caller.post("/probe-sets", {"name": "p", "manifest": caller.file("p.csv", b"image\n0.png\n")})


def post_job(caller: Caller) -> Any:
    with transaction(caller.sessions) as session:
        resource(session, ResourceKind.MODEL, "m", checkpoint="/x", architecture="a", sha256="0")
        resource(session, ResourceKind.DISSECTOR, "d", path="/x")
        resource(session, ResourceKind.PROBE_SET, "p", images=120)
    return caller.post(
        "/jobs", {"target": "m", "layers": "all", "concept_set": "bi-rads", "probe_set": "p", "dissector": "d"}
    )


def post_strata(caller: Caller) -> Any:
    rows = []
    for number in range(24):
        Image.new("L", (64, 48), number).save(caller.data_root / f"{number}.png")
        rows.append(f"{number}.png,{'AB'[number % 2]}\n")
    manifest = caller.file("p.csv", ("image,density\n" + "".join(rows)).encode())

    with transaction(caller.sessions) as session:
        resource(session, ResourceKind.MODEL, "m", checkpoint="/x", architecture="a", sha256="0")
        resource(session, ResourceKind.DISSECTOR, "d", path="/x")
        register_probe_set(
            session, RecordingQueue(), name="p", manifest=manifest, patches=None, on_unreadable="fail", roots=ANYWHERE
        )
    body = {"target": "m", "layers": "all", "concept_set": "bi-rads", "probe_set": "p", "dissector": "d"}
    return caller.post("/jobs/strata", {**body, "strata": [{"density": ["A"]}, {"density": ["B"]}]})


def inspect_model(caller: Caller) -> Any:
    with transaction(caller.sessions) as session:
        resource(session, ResourceKind.MODEL, "m", checkpoint="/x", architecture="a", sha256="0")
    return caller.post("/models/m/inspect")


def inspect_dissector(caller: Caller) -> Any:
    with transaction(caller.sessions) as session:
        resource(session, ResourceKind.DISSECTOR, "d", path="/x")
    return caller.post("/dissectors/d/inspect")


def measure_probe_set(caller: Caller) -> Any:
    grid = {"size": 16, "stride": 16}
    with transaction(caller.sessions) as session:
        resource(session, ResourceKind.PROBE_SET, "s", manifest="/x", patches=grid, on_unreadable="fail", images=None)
    return caller.post("/probe-sets/s/measure")


def check_probe_set(caller: Caller) -> Any:
    with transaction(caller.sessions) as session:
        probe_set = resource(session, ResourceKind.PROBE_SET, "s", manifest="/x", on_unreadable="fail", images=1)
        ask_check(session, None, probe_set, 1)
    return caller.post("/probe-sets/s/check")


def deployment(caller: Caller) -> str:
    """A deployment and its policy, made without the API."""
    Image.new("L", (64, 48)).save(caller.data_root / "0.png")
    manifest = caller.file("p.csv", b"image\n0.png\n")
    with transaction(caller.sessions) as session:
        found = {"name": "p", "manifest": manifest, "patches": None, "on_unreadable": "fail", "roots": ANYWHERE}
        probe_set, _ = register_probe_set(session, RecordingQueue(), **found)  # type: ignore[arg-type]
        job = dissected_job(session, [layer("blocks.0", 0, 1)], evidence=EVIDENCE, probe_set=probe_set)
        register_policy(session, "policy", policy_from(POLICY))
        create_deployment(session, DeploymentSubmission("east", "policy", baseline=job), ANYWHERE, AT_ONCE)
        session.info.clear()
        return str(job)


def audit(caller: Caller, *, ended: bool = False) -> str:
    deployment(caller)
    with transaction(caller.sessions) as session:
        spec = {"checkpoint": caller.file("w"), "sha256": hashlib.sha256(b"content").hexdigest(), "architecture": "a"}
        session.execute(update(ResourceRow).where(ResourceRow.kind == "model").values(spec=spec))
        found = start_audit(
            session, RecordingQueue(), find_deployment(session, "east"), Occasion("request"), ANYWHERE, AT_ONCE
        )
        assert found.job is not None
        if ended:
            end_audit(session, found.id, AuditStatus.ERROR, problem=ProblemFields(code="x", title="X", detail="x"))
        return str(found.id)


def deploying(path: str, body: Any = None, method: str = "POST") -> Callable[[Caller], Any]:
    def call(caller: Caller) -> Any:
        job = deployment(caller)
        filled = {name: job if value is JOB else value for name, value in (body or {}).items()}
        return caller.client.request(method, path, json=filled)

    return call


def hooked(caller: Caller) -> Any:
    settings = caller.client.app.state.settings  # type: ignore[attr-defined]
    secret = {"mlflow_webhook_secret": SecretStr(SECRET)}
    caller.client.app.state.settings = settings.model_copy(update=secret)  # type: ignore[attr-defined]
    return send(caller.client, created(caller.data_root))


def endpoint(caller: Caller) -> UUID:
    """An alert endpoint, and a test alert sent to it."""
    with transaction(caller.sessions) as session:
        settings = caller.client.app.state.settings  # type: ignore[attr-defined]
        create_endpoint(session, settings, name="hook", kind=EndpointKind.WEBHOOK, url=HOOK["url"])
        return send_test(session, "hook").id


def alerting(path: str, body: Any = None, method: str = "POST") -> Callable[[Caller], Any]:
    def call(caller: Caller) -> Any:
        alert = endpoint(caller)
        return caller.client.request(method, path.format(alert=f"msg_{alert.hex}"), json=body)

    return call


def scheduling(path: str, body: Any = None, method: str = "POST") -> Callable[[Caller], Any]:
    def call(caller: Caller) -> Any:
        deployment(caller)
        with transaction(caller.sessions) as session:
            create_schedule(session, name="nightly", deployment="east", terms=DAILY)
            session.info.clear()
        return caller.client.request(method, path, json=body)

    return call


POLICY: dict[str, Any] = {"rules": [{"rule": "stability", "at_least": 0.5}]}
JOB = object()
SNOOZE = {"until": "2099-01-01T00:00:00Z", "by": "on call", "reason": "service"}
HOOK = {"name": "hook", "kind": "webhook", "url": "https://9.9.9.9/hook"}

CALLS: dict[str, Callable[[Caller], Any]] = {
    "POST /models": post_model,
    "POST /models/{name}/inspect": inspect_model,
    "POST /probe-sets/{name}/measure": measure_probe_set,
    "POST /probe-sets/{name}/check": check_probe_set,
    "POST /dissectors": post_dissector,
    "POST /dissectors/{name}/inspect": inspect_dissector,
    "POST /probe-sets": post_probe_set,
    "POST /concept-sets": lambda caller: caller.post("/concept-sets", {"name": "c", "concepts": ["mass"]}),
    "POST /jobs": post_job,
    "POST /jobs/strata": post_strata,
    "POST /jobs/{job_id}/cancel": lambda caller: caller.post(f"/jobs/{caller.job()}/cancel"),
    "POST /jobs/{job_id}/retry": lambda caller: caller.post(f"/jobs/{caller.job(JobStatus.FAILED)}/retry"),
    "POST /jobs/{job_id}/replay": lambda caller: caller.post(f"/jobs/{caller.job(JobStatus.SUCCEEDED)}/replay"),
    "POST /comparisons": lambda caller: caller.post(
        "/comparisons", {"jobs": [str(caller.job(JobStatus.SUCCEEDED)) for _ in range(2)]}
    ),
    "POST /policies": lambda caller: caller.post("/policies", {"name": "policy", "policy": POLICY}),
    "POST /deployments": deploying("/deployments", {"name": "west", "policy": "policy", "baseline": JOB}),
    "PATCH /deployments/{name}": deploying("/deployments/east", {"alert_budget": 3}, "PATCH"),
    "POST /deployments/{name}/versions": deploying(
        "/deployments/east/versions", {"target": "screening", "audit": False}
    ),
    "POST /deployments/{name}/baseline": deploying("/deployments/east/baseline", {"job": JOB}),
    "POST /deployments/{name}/snooze": deploying("/deployments/east/snooze", SNOOZE),
    "DELETE /deployments/{name}/snooze": deploying("/deployments/east/snooze", None, "DELETE"),
    "POST /audits": deploying("/audits", {"deployment": "east"}),
    "POST /audits/{audit_id}/cancel": lambda caller: caller.post(f"/audits/{audit(caller)}/cancel"),
    "POST /audits/{audit_id}/acknowledge": lambda caller: caller.post(
        f"/audits/{audit(caller, ended=True)}/acknowledge", {"by": "physicist", "reason": "seen"}
    ),
    "POST /registry-events": hooked,
    "POST /schedules": deploying(
        "/schedules", {"name": "weekly", "deployment": "east", "cron": "0 2 * * 1", "zone": "UTC"}
    ),
    "PATCH /schedules/{name}": scheduling("/schedules/nightly", {"cron": "0 3 * * *"}, "PATCH"),
    "DELETE /schedules/{name}": scheduling("/schedules/nightly", None, "DELETE"),
    "POST /schedules/{name}/pause": scheduling("/schedules/nightly/pause"),
    "POST /schedules/{name}/resume": scheduling("/schedules/nightly/resume"),
    "POST /schedules/{name}/run": scheduling("/schedules/nightly/run"),
    "POST /alert-endpoints": lambda caller: caller.post("/alert-endpoints", HOOK),
    "PATCH /alert-endpoints/{name}": alerting("/alert-endpoints/hook", {"enabled": False}, "PATCH"),
    "DELETE /alert-endpoints/{name}": alerting("/alert-endpoints/hook", None, "DELETE"),
    "POST /alert-endpoints/{name}/rotate-secret": alerting("/alert-endpoints/hook/rotate-secret"),
    "POST /alert-endpoints/{name}/test": alerting("/alert-endpoints/hook/test"),
    "POST /alerts/{id}/redeliver": alerting("/alerts/{alert}/redeliver"),
}
"""One good call for each operation of the contract that may change something. A new one belongs here."""


@pytest.fixture
def caller(client: TestClient, sessions: Sessions, data_root: Path) -> Caller:
    return Caller(client, sessions, data_root)


@pytest.fixture
def named(database_url: str, data_root: Path, tmp_path: Path) -> Iterator[FastAPI]:
    """The application with a signing key, keys with names, and no key without one."""
    SigningKey.create(tmp_path / "key.pem")
    app = create_app(
        Settings(
            database_url=SecretStr(database_url),
            broker_url=SecretStr("redis://localhost:1"),
            api_keys=SecretStr("radiology=first==,it=second"),
            data_roots=str(data_root),
            signing_key=str(tmp_path / "key.pem"),
        )
    )
    app.state.queue = RecordingQueue()
    yield app
    app.state.sessions.kw["bind"].dispose()


def trail(sessions: Sessions) -> list[TrailEntry]:
    with transaction(sessions) as session:
        return list(stream_entries(session))


def mutating(document: dict[str, Any]) -> set[str]:
    return {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
        if method.upper() not in READING
    }


def test_the_calls_below_are_all_that_may_change_something(client: TestClient) -> None:
    assert set(CALLS) == mutating(client.get("/openapi.json").json())


@pytest.mark.parametrize("operation", CALLS)
def test_each_leaves_exactly_one_entry(caller: Caller, operation: str) -> None:
    response = CALLS[operation](caller)
    assert response.is_success, response.text
    (entry,) = trail(caller.sessions)
    actor = "registry" if operation == "POST /registry-events" else "api"
    assert (entry.actor, entry.action) == (actor, operation)
    sent = response.request.content
    assert entry.request == (hashlib.sha256(sent).hexdigest() if sent else None)
    location = response.headers.get("location")
    subject = str(entry.subject)
    assert subject.endswith(location) if location else response.request.url.path.startswith(subject)
    again = caller.client.request(response.request.method, response.request.url.path, content=sent, headers={
        "Content-Type": "application/json"})  # fmt: skip
    assert len(trail(caller.sessions)) == 1 + again.is_success, "a repeat is a call too, unless it is refused"
    assert check_chain(trail(caller.sessions)).fault is None


def test_the_entry_says_what_became_of_what(caller: Caller) -> None:
    response = caller.post("/concept-sets", {"name": "c", "concepts": ["mass"]})
    job = caller.job()
    caller.post(f"/jobs/{job}/cancel")
    original = caller.job(JobStatus.SUCCEEDED)
    replayed = caller.post(f"/jobs/{original}/replay").json()["id"]
    registered, cancelled, replay = trail(caller.sessions)
    assert (registered.subject, registered.before) == ("/concept-sets/c@1", None)
    assert registered.after == response.json()["digest"]
    assert (cancelled.subject, cancelled.request) == (f"/jobs/{job}", None)
    assert cancelled.before == digest_of({"status": "queued"})
    assert cancelled.after == digest_of({"status": "cancelled"})
    assert replay.subject == f"/jobs/{original} -> /jobs/{replayed}"


def test_what_is_refused_and_what_only_reads_leaves_none(caller: Caller) -> None:
    client = caller.client
    job = caller.job(JobStatus.SUCCEEDED)
    for path in ("/jobs", f"/jobs/{job}", "/concept-sets", "/concept-sets/bi-rads", "/health/ready", "/models"):
        assert client.get(path).is_success
    problem(client.post(f"/jobs/{job}/cancel"), 409)
    problem(client.post("/models/none/inspect"), 404)
    problem(client.post("/concept-sets", json={"name": "No Name", "concepts": ["mass"]}), 422)
    problem(client.post("/concept-sets", content="{"), 422)
    problem(client.post("/concept-sets", json={"name": "c", "concepts": ["m"]}, headers={"Authorization": ""}), 401)
    assert trail(caller.sessions) == []


def test_a_call_that_crashes_leaves_none(named: FastAPI, sessions: Sessions) -> None:
    router = APIRouter(route_class=OneThreadRoute)

    @router.post("/crash")
    def crash(session: SessionDep) -> None:
        record(session, actor="a", action="b", subject="c")
        raise RuntimeError

    named.include_router(router)
    with TestClient(named, headers=IT, raise_server_exceptions=False) as client:
        problem(client.post("/crash"), 500)
    assert trail(sessions) == []


def test_a_route_that_nobody_thought_of_is_recorded_too(named: FastAPI, sessions: Sessions) -> None:
    router = APIRouter(prefix="/things", route_class=OneThreadRoute)

    @router.put("/{thing}/parts/{part}/turn")
    async def turn(thing: str, part: int, body: dict[str, Any]) -> None:
        """Without a session of its own."""

    @router.delete("/{thing}")
    def remove(thing: str, session: SessionDep) -> None:
        record(session, actor="the use case", action="remove", subject=thing, before="0" * 64)

    named.include_router(router, dependencies=[Depends(recorded)])
    check_recorded(named)
    with TestClient(named, headers=IT) as client:
        client.put("/things/a%20b/parts/7/turn", json={})
        client.request("DELETE", "/things/c", content=b"why")
    first, second = trail(sessions)
    assert (first.actor, first.action) == ("it", "PUT /things/{thing}/parts/{part}/turn")
    assert first.subject == "/things/a%20b/parts/7"
    assert (second.actor, second.action, second.subject) == ("the use case", "remove", "c")
    assert second.request == hashlib.sha256(b"why").hexdigest(), "the use case's own entry is the call's"


def test_a_route_that_would_not_be_recorded_is_refused_at_the_start(named: FastAPI) -> None:
    router = APIRouter()

    @router.post("/silent")
    def silent() -> None:
        """Changes something without a session."""

    @router.get("/loud")
    def loud() -> None:
        """Reads."""

    named.include_router(router)
    with pytest.raises(TypeError, match="/silent changes things without a trail"):
        check_recorded(named)


def test_a_route_that_could_wait_for_a_second_thread_is_refused_at_the_start(named: FastAPI) -> None:
    def in_a_thread() -> None:
        """What FastAPI would send to another thread."""

    waiting, blocking = APIRouter(route_class=OneThreadRoute), APIRouter()
    waiting.add_api_route("/waiting", lambda: None, dependencies=[Depends(in_a_thread)])
    blocking.add_api_route("/blocking", lambda: None, dependencies=[Depends(recorded)])

    for router, message in ((waiting, "/waiting is no coroutine"), (blocking, "/blocking has a session")):
        app = FastAPI()
        app.include_router(router)
        with pytest.raises(TypeError, match=message):
            check_one_thread(app)
    check_one_thread(named)


def test_each_key_acts_under_its_name(named: FastAPI, sessions: Sessions) -> None:
    with TestClient(named) as client:
        for key, name in (("first==", "radiology"), ("second", "it")):
            headers = {"Authorization": f"Bearer {key}"}
            body = {"name": name, "concepts": ["mass"]}
            assert client.post("/concept-sets", json=body, headers=headers).status_code == 201
        for wrong in ("first", "", "it=second", "radiology"):
            problem(client.get("/jobs", headers={"Authorization": f"Bearer {wrong}"}), 401)
    assert [entry.actor for entry in trail(sessions)] == ["radiology", "it"]


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ("secret-word", "Key 1"),
        ("a=secret-word,b=", "Key 2"),
        ("A B=secret-word", "Key 1"),
        ("a=secret-word,a=other", "a, is taken"),
        ("scheduler=secret-word", "scheduler, is taken"),
        ("a=secret-word,b=secret-word", "the same as another"),
        ("a=open sesame", "the same as another"),
        ("a=secret-wörd", "Key 1 of API_KEYS, a, holds characters that are not ASCII"),
        ("a= secret-word", "Key 1 of API_KEYS, a, begins or ends with a blank"),
        ("a=secret\tword", "Key 1 of API_KEYS, a, is more than one line, or holds control characters"),
    ],
)
def test_a_bad_list_of_keys_is_named_and_not_shown(keys: str, hint: str) -> None:
    url = SecretStr("postgresql+psycopg://")
    settings = Settings(
        database_url=url, broker_url=url, api_key=SecretStr("open sesame"), api_keys=SecretStr(keys), data_roots="/"
    )
    with pytest.raises(InvalidInput, match=hint) as refused:
        create_app(settings)
    assert refused.value.field == "api_keys"
    assert "secret-w" not in json.dumps(refused.value.as_problem())


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("secret-wörd", "not ASCII"),
        (" secret-word", "begins or ends with a blank"),
        ("secret-word ", "begins or ends with a blank"),
        ("secret-word\n", "more than one line"),
        (" ", "is empty"),
        ("secret\tword", "control characters"),
        ("\0", "control characters"),
    ],
)
def test_a_key_that_no_client_can_send_is_refused_and_not_shown(key: str, why: str) -> None:
    url = SecretStr("postgresql+psycopg://")
    settings = Settings(database_url=url, broker_url=url, api_key=SecretStr(key), data_roots="/")
    with pytest.raises(InvalidInput, match=f"API_KEY .*{why}") as refused:
        create_app(settings)
    assert refused.value.field == "api_key"
    assert "secret" not in json.dumps(refused.value.as_problem())


def test_the_scheduler_acts_under_its_name(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session)
        lease = taken(session, lease=timedelta(microseconds=1))
        assert lease is not None
        begin_item(session, lease)
    reap(sessions, max_attempts=1)
    (entry,) = trail(sessions)
    assert (entry.actor, entry.action, entry.subject) == (SCHEDULER, "give up job", f"/jobs/{job.id}")
    assert entry.after == digest_of({"status": "dead"})


def test_the_public_key_is_told(named: FastAPI, client: TestClient) -> None:
    with TestClient(named, headers={"Authorization": "Bearer second"}) as signing:
        told = signing.get("/signing-key").json()
    assert told["algorithm"] == "Ed25519"
    public = PublicKey.from_pem(told["public_key"].encode())
    assert public.key_id == told["key_id"]
    public.verify(b"report", named.state.signing_key.sign(b"report"))
    assert "SIGNING_KEY" in problem(client.get("/signing-key"), 404)["remedy"]
    problem(client.get("/signing-key", headers={"Authorization": ""}), 401)
