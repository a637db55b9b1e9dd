"""One good call for each operation of the contract that may change something."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from fastapi.testclient import TestClient
from PIL import Image
from pydantic import SecretStr
from sqlalchemy import update

from service.analysis.policy_codec import policy_from
from service.db.audits import end_audit
from service.db.jobs import move_job
from service.db.session import Sessions, transaction
from service.db.tables import ResourceRow
from service.db.trail import stream_entries
from service.domain.ablations import UnitChoice
from service.domain.alerts import EndpointKind
from service.domain.audits import AuditStatus, Occasion
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from service.domain.trail import TrailEntry
from service.errors import ProblemFields
from service.files import ANYWHERE
from service.usecases.ablations import AblationSubmission, submit_ablation
from service.usecases.alerts import create_endpoint, send_test
from service.usecases.audits import start_audit
from service.usecases.checks import ask_check
from service.usecases.deployments import DeploymentSubmission, create_deployment, find_deployment
from service.usecases.policies import register_policy
from service.usecases.probe_sets import register_probe_set
from service.usecases.readings import AT_ONCE
from service.usecases.schedules import create_schedule
from tests.api.registry_events import SECRET, created, send
from tests.api.test_comparisons import EVIDENCE, layer
from tests.schedules.field import DAILY
from tests.usecases.factories import RecordingQueue, dissected_job, queued_job, resource


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


def ablation(caller: Caller, path: str = "") -> Any:
    """An ablation of a succeeded job; path: what is asked of it after that, without the API before."""
    job = caller.job(JobStatus.SUCCEEDED)
    if not path:
        return caller.post(f"/jobs/{job}/ablations", {"layer": "blocks.0", "units": [0]})
    with transaction(caller.sessions) as session:
        submission = AblationSubmission(UnitChoice("blocks.0", (0,)))
        posted = submit_ablation(session, RecordingQueue(), job, submission)
        session.info.clear()
    return caller.post(f"/jobs/{job}/ablations/{posted.id}{path}")


def post_review(caller: Caller) -> Any:
    review = {"layer": "blocks.0", "unit": 0, "decision": "reject", "reason": "They show clips."}
    return caller.post(f"/jobs/{caller.job(JobStatus.SUCCEEDED)}/reviews", review)


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
    "POST /jobs/{job_id}/ablations": ablation,
    "POST /jobs/{job_id}/ablations/{ablation_id}/cancel": lambda caller: ablation(caller, "/cancel"),
    "POST /jobs/{job_id}/reviews": post_review,
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


def trail(sessions: Sessions) -> list[TrailEntry]:
    with transaction(sessions) as session:
        return list(stream_entries(session))
