"""A real MLflow server: what was logged and registered there, aliases, a webhook, and verdicts as tags."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from service.config import Settings
from service.db.session import Sessions, transaction
from service.delivery.addresses import AllowedHosts
from service.errors import InvalidInput, Unavailable
from service.files import ANYWHERE
from service.pipelines.fetching import FetchRunner
from service.pipelines.host import WorkerHost
from service.pipelines.items import DissectionRunner
from service.sources.cache import open_cache
from service.sources.fetch import Fetcher
from service.sources.registry_tags import MlflowTags
from service.storage import open_store
from service.usecases.audit_verdicts import judge_ended_audits
from service.usecases.deployments import change_deployment
from service.usecases.followings import follow_fetched, tell_registry
from service.usecases.readings import AT_ONCE
from tests.embedded.processes import wait_until
from tests.pipelines.inline_child import InlineChild
from tests.sources.conftest import OpenFetcher
from tests.usecases.factories import RecordingQueue
from tests.usecases.hospital import Hospital, hospital

__all__ = ["hospital"]
SECRET = "shared between registry and service"  # noqa: S105 - of this test alone

LOG = """
import json, os, sys, time, urllib.request
from pathlib import Path
import mlflow, mlflow.pytorch, torch
while True:  # until the server listens
    try:
        urllib.request.urlopen(os.environ["MLFLOW_TRACKING_URI"] + "/health", timeout=5).close()
        break
    except OSError:
        time.sleep(0.1)
folder = Path(sys.argv[1])
client = mlflow.MlflowClient()
client.create_registered_model("logged")
options = {"serialization_format": "pickle", "pip_requirements": ["torch"]}
with mlflow.start_run() as run:
    mlflow.log_artifact(str(folder / "w.safetensors"))
    version = client.create_model_version("logged", f"runs:/{run.info.run_id}/w.safetensors", run.info.run_id)
    weights = [str(folder / "w.safetensors")]
    both = mlflow.pytorch.log_model(
        torch.nn.Linear(2, 2), name="both", extra_files=weights, registered_model_name="logged", **options
    )
    pickled = mlflow.pytorch.log_model(torch.nn.Linear(2, 2), name="pickled", **options)
client.set_registered_model_alias("logged", "champion", version.version)
print(json.dumps({"run": run.info.run_id, "both": both.model_id, "pickled": pickled.model_id}))
"""


@dataclass(frozen=True)
class Logged:
    """The server's address, what lies there, and the digest's file."""

    address: str
    run: str
    both: str
    pickled: str
    weights: Path


@pytest.fixture(scope="module")
def starting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address where a server with a database and artifacts of its own is about to listen."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, *stores], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def mlflow_server(starting_server: str) -> str:
    """The server's address, where it listens."""
    wait_until(partial(_answers, starting_server))
    return starting_server


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):  # noqa: S310 - of this machine
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def logged(starting_server: str, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """A run with a file of weights, and two models that it logged: one with weights beside it, one without."""
    folder = tmp_path_factory.mktemp("logged")
    weights = folder / "w.safetensors"
    weights.write_bytes(b"weights" * 100)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": starting_server, "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", LOG, str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Logged(starting_server, **json.loads(done.stdout.splitlines()[-1]), weights=weights)


@pytest.fixture(autouse=True)
def registry_environment(monkeypatch: pytest.MonkeyPatch, starting_server: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", starting_server)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)


@pytest.mark.proves("source", "models:/name/version, models:/name@alias, models:/m-id, runs:/, mlflow-artifacts:/")
def test_what_a_registry_leads_to_is_fetched(logged: Logged, open_fetcher: OpenFetcher) -> None:
    artifacts = f"mlflow-artifacts:/0/{logged.run}/artifacts"
    beside = f"mlflow-artifacts:/0/models/{logged.both}/artifacts/extra_files/w.safetensors"
    for uri, place in (
        ("models:/logged/1", f"{artifacts}/w.safetensors"),
        ("models:/logged@champion", f"{artifacts}/w.safetensors"),
        (f"runs:/{logged.run}/w.safetensors", f"{artifacts}/w.safetensors"),
        (artifacts, f"{artifacts}/w.safetensors"),
        ("models:/logged/2", beside),
        (f"models:/{logged.both}", beside),
        (f"runs:/{logged.run}/both", beside),
        (beside, beside),
    ):
        fetched = open_fetcher().fetch(uri, sha256=None)
        assert fetched["place"] == place, uri
        assert fetched["bytes"] == logged.weights.stat().st_size


def test_what_a_registry_does_not_have_is_said(logged: Logged, open_fetcher: OpenFetcher) -> None:
    for uri, said in (
        ("models:/logged/99", "no such model"),
        ("models:/unknown/1", "no such model"),
        ("models:/logged@unknown", "no such model"),
        ("models:/m-00000000000000000000000000000000", "no such model"),
        ("models:/123", "no such model"),
        ("runs:/00000000000000000000000000000000/w.pt", "no such model"),
        (f"runs:/{logged.run}/unknown.pt", "no such artifact"),
        (f"models:/{logged.pickled}", "saved the model as a program"),
        ("mlflow-artifacts://other.example/0/w.pt", "another server"),
    ):
        with pytest.raises(InvalidInput, match=said) as refused:
            open_fetcher().fetch(uri, sha256=None)
        assert refused.value.field == "checkpoint", uri
        assert refused.value.remedy, uri


def test_a_registry_that_cannot_be_asked(open_fetcher: OpenFetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        with pytest.raises(InvalidInput, match="lack a package") as refused:
            open_fetcher().fetch("models:/logged/1", sha256=None)
        assert "[mlflow]" in str(refused.value.remedy)

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hidden@127.0.0.1:9")
    with pytest.raises(Unavailable, match="cannot be reached") as away:
        open_fetcher().fetch("models:/logged/1", sha256=None)
    assert "hidden" not in str(away.value.as_problem())

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(InvalidInput, match="do not know where") as unset:
        open_fetcher().fetch("models:/logged/1", sha256=None)
    assert "MLFLOW_TRACKING_URI" in str(unset.value.remedy)


@contextmanager
def forwarding(client: TestClient) -> Iterator[str]:
    """A port that hands MLflow's webhooks, bytes and headers as they come, to the service."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            answer = client.post("/registry-events", content=content, headers={**headers, "Authorization": ""})
            self.send_response(answer.status_code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        broker_url=SecretStr("redis://localhost:1"),
        api_key=SecretStr("open sesame"),
        mlflow_webhook_secret=SecretStr(SECRET),
        device="cpu",
        artifacts_url=(tmp_path / "artifacts").as_uri(),
        data_roots="/",
        source_cache_dir=str(tmp_path / "cache"),
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings)
    app.state.queue = RecordingQueue()
    with TestClient(app, headers={"Authorization": "Bearer open sesame"}) as client:
        yield client


def work(sessions: Sessions, settings: Settings) -> None:
    """What a worker does."""
    fetcher = Fetcher(open_cache(settings), AllowedHosts.of(""), ANYWHERE, 1 << 30)
    runner = DissectionRunner(settings, sessions)
    store = open_store(settings.artifacts_url)
    fetching = InlineChild(FetchRunner(sessions, fetcher))
    WorkerHost(sessions, settings, RecordingQueue(), store, InlineChild(runner), fetching).work()


def audits(client: TestClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/audits").json()["items"]
    return items


@pytest.mark.proves("source", "events of a real MLflow server, audit, tags written back")
def test_a_version_and_its_alias_become_audits_whose_verdict_the_registry_then_shows(
    mlflow_server: str, client: TestClient, hospital: Hospital, sessions: Sessions, settings: Settings, tmp_path: Path
) -> None:
    from mlflow import MlflowClient
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

    hospital.policy("policy", {"rule": "significant-share", "at_least": 0.0})
    hospital.deploy(baseline=hospital.baseline)
    with transaction(sessions) as session:
        change_deployment(
            session,
            "east",
            policy=None,
            alert_budget=None,
            registered_model="screening@champion",
            roots=ANYWHERE,
            readings=AT_ONCE,
        )

    registry = MlflowClient(mlflow_server)
    run = registry.create_run("0").info.run_id
    registry.log_artifact(run, str(tmp_path / "target.safetensors"), "weights")
    registry.create_registered_model("screening")
    with forwarding(client) as url:
        events: list[Any] = [
            WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED),
            WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED),
        ]
        registry.create_webhook("audits", url, events, secret=SECRET)
        version = registry.create_model_version("screening", f"runs:/{run}/weights", run).version
        registry.set_registered_model_alias("screening", "champion", version)
        waiting = partial(client.get, "/models/east@1")
        wait_until(lambda: waiting().status_code == 200)
    assert audits(client) == [], "nobody knows yet what the version holds"
    assert follow_fetched(sessions, RecordingQueue(), ANYWHERE) == 0

    work(sessions, settings)
    assert follow_fetched(sessions, RecordingQueue(), ANYWHERE) == 1
    (audit,) = audits(client)
    assert (audit["deployment"], audit["target"], audit["trigger"]) == ("east", "east@1", "registry")
    assert client.get("/deployments/east").json()["target"] == "east@1"

    tags = MlflowTags.of(os.environ)
    assert tags is not None
    assert tell_registry(sessions, tags) == 0, "it has not ended"
    work(sessions, settings)
    judge_ended_audits(sessions)
    assert tell_registry(sessions, MlflowTags("http://127.0.0.1:9")) == 0, "the registry is away"
    time.sleep(1.1)  # the wait before the next attempt
    assert tell_registry(sessions, tags) == 1
    assert tell_registry(sessions, tags) == 0
    told = registry.get_model_version("screening", version).tags
    assert told["mammodissect.verdict"] == told["mammodissect.verdict.east"] == "pass"
    assert told["mammodissect.audit"] == audit["id"]
    assert told["mammodissect.deployment"] == "east"
