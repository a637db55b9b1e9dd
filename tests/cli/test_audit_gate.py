"""`mammodissect audit` as a hospital's pipeline uses it: in a shell script, by its exit status and its files."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from cli.audit import exit_status, junit
from cli.client import ServiceClient
from cli.commands import app
from cli.up import StackInfo, running_stack
from service.exits import ExitStatus
from tests.cli.conftest import Done, Run
from tests.engine.small_networks import ARCHITECTURE, LAYERS
from tests.pipelines.small_jobs import write_folder

PIPELINE = """
"$1" -m cli.main audit --deployment "$2" --checkpoint "$3" --url "$4" --api-key-file "$5" \\
  --json audit.json --junit audit.xml --wait > gate.log 2>&1
case $? in
  0) echo deploy ;;
  1) echo stop ;;
  *) echo ask; cat gate.log ;;
esac
"""


def judged(verdict: str | None, *outcomes: str) -> dict[str, Any]:
    return {
        "id": "1",
        "deployment": "east",
        "created_at": "2026-01-01T00:00:00Z",
        "status": "error" if verdict is None else "judged",
        "verdict": verdict,
        "problem": {"detail": "The dissection failed."} if verdict is None else None,
        "outcomes": [
            {"rule": f"rule {number}", "kind": "stability", "stratum": "density=a", "outcome": outcome, "reason": "why"}
            for number, outcome in enumerate(outcomes)
        ]
        or None,
    }


@pytest.mark.parametrize(
    ("verdict", "strict", "status"),
    [
        ("pass", False, ExitStatus.OK),
        ("pass", True, ExitStatus.OK),
        ("warn", False, ExitStatus.OK),
        ("warn", True, ExitStatus.NO),
        ("fail", False, ExitStatus.NO),
        (None, False, ExitStatus.ERROR),
    ],
)
def test_the_exit_status_is_the_verdict(verdict: str | None, strict: bool, status: ExitStatus) -> None:
    assert exit_status(judged(verdict), strict=strict) is status


def test_junit_has_a_case_for_each_outcome() -> None:
    suite = ElementTree.fromstring(junit(judged("fail", "pass", "fail", "warn", "not-testable")))
    assert {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    assert [[child.tag for child in case] for case in suite] == [
        ["system-out"],
        ["failure"],
        ["system-out"],
        ["skipped"],
    ]
    error = ElementTree.fromstring(junit(judged(None)))
    assert error.find("testcase/error") is not None
    assert error.attrib["errors"] == "1"


@pytest.mark.parametrize(
    ("ended", "status"), [({}, ExitStatus.ERROR), ({"status": "running", "finished_at": None}, ExitStatus.OK)]
)
def test_without_waiting_it_is_an_error_that_the_audit_could_not_begin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ended: dict[str, Any], status: ExitStatus
) -> None:
    answer = {**judged(None), "target": "target@1", "policy": "lenient@1", "finished_at": "2026-01-01T00:00:01Z"}
    monkeypatch.setattr(ServiceClient, "post", lambda *_: {**answer, **ended})
    (tmp_path / "key").write_text("key")
    arguments = ["audit", "--deployment", "east", "--no-wait", "--api-key-file", str(tmp_path / "key")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status
    assert ("NO VERDICT: The dissection failed." in result.output) == (status is ExitStatus.ERROR)


AUTOENCODER = {"layer": "layer4", "checkpoint": "/models/sae.safetensors", "sha256": "0" * 64}
IN_USE = {
    "architecture": "timm/resnet18",
    "input": {"height": 96, "window": "voi"},
    "weights": "state_dict_ema",
    "autoencoder": AUTOENCODER,
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], IN_USE),
        (["--architecture", "timm/resnet18"], IN_USE),
        (["--input", "height=64"], {**IN_USE, "input": {"height": 64}}),
        (["--weights", "state_dict"], {**IN_USE, "weights": "state_dict"}),
        (["--architecture", "timm/resnet50"], {"architecture": "timm/resnet50"}),
        (
            ["--architecture", "timm/resnet50", "--input", "height=64", "--weights", "model"],
            {"architecture": "timm/resnet50", "input": {"height": 64}, "weights": "model"},
        ),
    ],
)
def test_a_candidate_is_read_as_the_version_in_use_unless_the_options_say_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], expected: dict[str, Any]
) -> None:
    spec = {**IN_USE, "autoencoder": {**AUTOENCODER, "described_by": "1" * 64}}
    answers = {"/deployments/east": {"target": "target@1"}, "/models/target@1": {"spec": spec}}
    posted: list[dict[str, Any]] = []

    def post(_: ServiceClient, __: str, body: dict[str, Any]) -> dict[str, Any]:
        posted.append(body["target"])
        return {**judged("pass"), "target": "target@2", "policy": "lenient@1", "finished_at": None}

    monkeypatch.setattr(ServiceClient, "get", lambda _, path: answers[unquote(path)])
    monkeypatch.setattr(ServiceClient, "post", post)
    (tmp_path / "key").write_text("key")
    command = ["audit", "--deployment", "east", "--checkpoint", "new.pth", "--no-wait"]
    result = CliRunner().invoke(app, [*command, "--api-key-file", str(tmp_path / "key"), *options])
    assert result.exit_code == 0, result.output
    assert posted == [{"checkpoint": "new.pth", "sha256": None, **expected}]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StackInfo, Path]]:
    """The whole service on this machine, and a folder with a network, a candidate that is broken, and images."""
    folder = write_folder(tmp_path_factory.mktemp("hospital"))
    (folder / "broken.safetensors").write_bytes(b"no weights")
    with running_stack(folder / "stack", 0) as info:
        client = ServiceClient(info.url, info.api_key)
        _deploy(client, folder)
        client.close()
        yield info, folder


def _deploy(client: ServiceClient, folder: Path) -> None:
    checkpoint = {"checkpoint": str(folder / "target.safetensors"), "architecture": ARCHITECTURE}
    client.post("/models", {"name": "target", **checkpoint})
    client.post("/dissectors", {"name": "reader", "path": str(folder / "dissector")})
    client.post("/probe-sets", {"name": "probes", "manifest": str(folder / "manifest.csv")})
    parts = {"target": "target", "dissector": "reader", "probe_set": "probes", "concept_set": "bi-rads"}
    job = client.post("/jobs", {**parts, "layers": list(LAYERS), "method": {"top_k": 4}})
    *_, ended = client.follow(job["id"])
    assert ended["status"] == "succeeded", ended["problem"]
    for name, not_testable in (("lenient", "pass"), ("severe", "fail")):
        rule = {"rule": "significant-share", "at_least": 0.1}
        client.post("/policies", {"name": name, "policy": {"rules": [rule], "not_testable": not_testable}})
        client.post("/deployments", {"name": name, "policy": name, "baseline": job["id"]})


def _pipeline(stack: tuple[StackInfo, Path], deployment: str, checkpoint: str) -> str:
    info, folder = stack
    arguments = (sys.executable, deployment, str(folder / checkpoint), info.url, str(info.api_key_file))
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = ["sh", "-c", PIPELINE, "pipeline", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_pipeline_deploys_what_passes_and_stops_what_fails(stack: tuple[StackInfo, Path]) -> None:
    _, folder = stack
    assert _pipeline(stack, "lenient", "target.safetensors") == "deploy\n"
    audit = json.loads((folder / "audit.json").read_text())
    assert (audit["verdict"], audit["facts"]["identical"]) == ("pass", True)
    assert _pipeline(stack, "severe", "target.safetensors") == "stop\n"
    assert json.loads((folder / "audit.json").read_text())["verdict"] == "fail"
    suite = ElementTree.parse(folder / "audit.xml").getroot()
    assert [case.get("name") for case in suite] == ["reproducibility", "significant-share"]


@pytest.mark.parametrize(
    ("source", "digest", "hint"),
    [
        ("s3://bucket/w.pt", [], "Give its sha256 as well"),
        ("ftp://host/w.pt", [], "ftp"),
        ("https://example.invalid/w.pt", ["--sha256", "0" * 64], "NO VERDICT"),
    ],
)
def test_a_candidate_that_is_a_source_is_fetched_or_refused_clearly(
    stack: tuple[StackInfo, Path], source: str, digest: list[str], hint: str
) -> None:
    info, _ = stack
    options = ["--checkpoint", source, *digest, "--url", info.url, "--api-key-file", str(info.api_key_file)]
    result = subprocess.run(
        [sys.executable, "-m", "cli.main", "audit", "--deployment", "lenient", *options],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == ExitStatus.ERROR, "no verdict is never a FAIL"
    assert hint in " ".join((result.stdout + result.stderr).split())
    assert "Traceback" not in result.stderr


def test_a_pipeline_asks_where_there_is_no_verdict(stack: tuple[StackInfo, Path]) -> None:
    printed = _pipeline(stack, "lenient", "broken.safetensors")
    assert printed.startswith("ask\n")
    assert "NO VERDICT" in printed
    printed = _pipeline(stack, "lenien", "target.safetensors")
    assert printed.startswith("ask\n")
    assert "Near matches: lenient" in printed


def test_nouns_and_verbs_wait_for_the_workers(stack: tuple[StackInfo, Path], run: Run) -> None:
    info, folder = stack
    where = ("--json", "--url", info.url, "--api-key-file", str(info.api_key_file))

    def registered(name: str, file: str) -> Done:
        checkpoint = ("--checkpoint", str(folder / file), "--architecture", ARCHITECTURE)
        return run("models", "register", name, *checkpoint, "--wait", *where)

    assert json.loads(registered("again", "target.safetensors").stdout)["state"] == "ready"
    refused = registered("broken", "broken.safetensors")
    assert (refused.status, refused.stdout) == (ExitStatus.ERROR, "")

    parts = ("--target", "again", "--dissector", "reader", "--probe-set", "probes", "--concept-set", "bi-rads")
    done = run("jobs", "submit", *parts, "--layers", ",".join(LAYERS), "--top-k", "4", "--wait", *where)
    assert done.status == ExitStatus.OK, done.stderr
    job = json.loads(done.stdout)
    assert (job["status"], job["target"]) == ("succeeded", "again@1")
    neurons = json.loads(run("neurons", "list", LAYERS[0], "--job", job["id"], "--all", *where).stdout)["items"]
    units = json.loads(run("layers", "list", "--job", job["id"], *where).stdout)["items"][0]["units"]
    assert len(neurons) == units

    audit = run("audits", "start", "severe", "--wait", *where)
    assert (audit.status, json.loads(audit.stdout)["verdict"]) == (ExitStatus.NO, "fail")
