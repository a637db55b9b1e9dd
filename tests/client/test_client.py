"""The client against a real service, its frames, and what is generated for it."""

import builtins
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from checks.client_models import MODELS, OPENAPI, client_models
from client import Client, ClientError, Refused, StillRunning, to_frame
from service.analysis.layers import summarise_layer
from service.config import Settings
from service.db.jobs import move_job
from service.db.neurons import add_layer
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from tests.api.test_comparisons import EVIDENCE, layer
from tests.api.test_jobs import body
from tests.api.wire import listening
from tests.usecases.factories import WORDS, RecordingQueue, dissected_job

__all__ = ["body"]  # a fixture that stands there

KEY = "open sesame"
REPOSITORY = Path(__file__).parents[2]


class DissectingQueue(RecordingQueue):
    """A queue whose worker finds three neurons in the layer `blocks.1` at once."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self._sessions = sessions

    def publish(self, task: str, identifier: UUID) -> None:
        super().publish(task, identifier)
        neurons = layer("blocks.1", 0, 0, 1)
        with transaction(self._sessions) as session:
            if not move_job(session, identifier, JobStatus.RUNNING):
                return  # work of something that was registered

            summary = summarise_layer(neurons, WORDS)
            add_layer(
                session, identifier, position=0, summary=summary, neurons=neurons.neurons, concepts=WORDS.concepts
            )
            move_job(session, identifier, JobStatus.SUCCEEDED, manifest={})


@pytest.fixture
def application(database_url: str, sessions: Sessions) -> FastAPI:
    app = create_app(
        Settings(
            database_url=SecretStr(database_url),
            broker_url=SecretStr("redis://localhost:1"),
            api_key=SecretStr(KEY),
            data_roots="/",
        )
    )
    app.state.queue = DissectingQueue(sessions)
    return app


@pytest.fixture
def url(application: FastAPI) -> Iterator[str]:
    with listening(application) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def service(url: str) -> Iterator[Client]:
    with Client(url, KEY) as service:
        yield service


def test_from_a_job_to_a_frame(service: Client, body: Any) -> None:
    happened: list[str] = []
    job = service.jobs.submit(body, idempotency_key="a")
    assert service.jobs.submit(body, idempotency_key="a")["id"] == job["id"]
    ended = service.jobs.wait(job["id"], on_event=lambda event: happened.append(event.kind))
    assert (ended["status"], set(happened)) == ("succeeded", {"status", "progress"})
    assert [found["id"] for found in service.jobs.list(status="succeeded")] == [job["id"]]
    assert service.jobs.show(job["id"]) == ended
    assert [item["layer"] for item in service.neurons.layers(job=job["id"])["items"]] == ["blocks.1"]

    neurons = list(service.neurons.list("blocks[1]", model="screening", concept="spiculated mass", sort="unit"))
    assert [neuron["unit"] for neuron in neurons] == [0, 1]
    assert service.neurons.show("blocks.1", 2, job=job["id"])["unit"] == 2
    frame = to_frame(neurons)
    assert list(frame["evidence.significance.z"]) == [3.0, 3.0]
    with pytest.raises(Refused, match="succeeded") as refused:
        service.jobs.retry(job["id"])
    assert refused.value.status == 409


def test_what_is_registered_and_compared(service: Client, sessions: Sessions, tmp_path: Path) -> None:
    (tmp_path / "target.pt").write_bytes(b"weights")
    checkpoint = str(tmp_path / "target.pt")
    model = service.models.register({"name": "new", "checkpoint": checkpoint, "architecture": "timm/resnet18"})
    assert (model["reference"], service.models.show("new@1")["id"]) == ("new@1", model["id"])
    assert [found["reference"] for found in service.models.list()] == ["new@1"]
    with pytest.raises(StillRunning, match="/models/new has not ended"):
        service.models.wait("new", timeout_s=0)

    with transaction(sessions) as session:
        jobs = [
            str(dissected_job(session, [layer("blocks.0", 0, number)], model=model, evidence=EVIDENCE))
            for number, model in enumerate(("screening", "tuned"))
        ]
    comparison = service.comparisons.create(jobs)
    assert service.comparisons.create(jobs)["id"] == comparison["id"]
    assert service.comparisons.show(comparison["id"]) == comparison
    assert next(service.comparisons.list())["jobs"] == jobs
    assert service.jobs.coverage(jobs[0])["tested"] == 2
    assert service.jobs.watch_list(jobs[0])["live"] == 2
    for noun in (service.alerts, service.deployments, service.audits, service.schedules):
        assert next(noun.list(), None) is None


def test_pandas_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert to_frame([]).empty
    imported = builtins.__import__

    def without_pandas(name: str, *rest: Any, **more: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(ClientError, match="Install the client extra"):
        to_frame([])


def test_the_types_are_those_of_the_contract() -> None:
    published = (REPOSITORY / OPENAPI).read_text("utf-8")
    kept = (REPOSITORY / MODELS).read_text("utf-8")
    assert client_models(published) == kept, "renew it: python -m checks.client_models"
    names = {re.sub(r"[^A-Za-z]", "", name) for name in json.loads(published)["components"]["schemas"]}
    assert {name for name in names if f"class {name}(" in kept} >= {"JobIn", "JobOut", "NeuronOut", "Problem"}


def test_the_example_of_the_documents_runs(
    url: str,
    body: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (REPOSITORY / "docs" / "client.md").read_text("utf-8")
    examples = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert examples
    (tmp_path / "api-key").write_text(f"{KEY}\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for example in examples:
        exec(example.replace("http://127.0.0.1:8000", url), names)  # noqa: S102 - our own
    printed = capsys.readouterr().out
    assert "succeeded" in printed
    assert "spiculated mass" in printed


def test_the_notebook_of_the_documents_runs(
    url: str, body: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = json.loads((REPOSITORY / "docs" / "examples" / "client.ipynb").read_text("utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells), "outputs are not kept"
    (tmp_path / "api-key").write_text(f"{KEY}\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells:
        exec("".join(cell["source"]).replace("http://127.0.0.1:8000", url), names)  # noqa: S102 - our own
    assert list(names["layers"]["layer"]) == ["blocks.1"]
    assert dict(names["categories"]) == {"mass margin": 2, "calcification distribution": 1}
    assert list(names["images"]["row"]) == [7, 3]
