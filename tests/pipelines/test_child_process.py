"""The computing child as its host sees it: answers, accidents, limits, cancel, and what becomes of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from service.config import Settings
from service.domain.jobs import Stage
from service.domain.work import Lease
from service.pipelines import messages
from service.pipelines.child_process import ChildProcess
from service.pipelines.confinement import child_environment
from tests.chaos.field import ROOT
from tests.pipelines.tiny_runner import UNUSABLE

RUNNER = "tests.pipelines.tiny_runner:open_runner"


def request(label: str) -> messages.Run:
    return messages.Run(Lease(uuid4(), uuid4(), Stage.PROBE, 0, label, 1, 1))


@contextmanager
def child(**settings: object) -> Iterator[ChildProcess]:
    process = ChildProcess(Settings(**settings), RUNNER)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        process.kill()


def ask(process: ChildProcess, what: messages.Run, *, unwanted: Callable[[], bool] = lambda: False) -> messages.Answer:
    return process.ask(what, on_progress=lambda _: None, unwanted=unwanted)


def failure(process: ChildProcess, label: str) -> messages.Failed:
    answer = ask(process, request(label))
    assert isinstance(answer, messages.Failed)
    return answer


def test_the_child_stays_alive_between_items_and_tells_of_progress() -> None:
    reported: list[int] = []
    with child() as process:
        answers = [process.ask(request("fine"), on_progress=reported.append, unwanted=lambda: False) for _ in range(2)]
        assert answers == [messages.Finished({"pid": process.pid})] * 2
        assert reported == [3, 3]


@pytest.mark.parametrize(
    ("label", "code", "lasting"),
    [
        ("wrong", "invalid-input", True),
        ("away", "unavailable", False),
        ("crash", "internal", True),
        ("memory", "out-of-memory", False),
        ("vanished", "artifact-lost", False),
        ("disk", "machine-trouble", False),
        ("files", "machine-trouble", False),
        ("forbidden", "internal", True),
        ("image", "file-out-of-reach", False),
        ("lost", "artifact-lost", False),
    ],
)
def test_errors_are_answers(label: str, code: str, lasting: bool) -> None:
    with child() as process:
        answer = failure(process, label)
        assert (answer.problem["code"], answer.lasting, answer.cancelled) == (code, lasting, False)
        assert "secret" not in str(answer)
        assert ask(process, request("fine")) == messages.Finished({"pid": process.pid}), "and the child lives on"


def test_trouble_of_the_machine_is_named() -> None:
    with child() as process:
        problem = failure(process, "disk").problem
    assert "Input/output error" in problem["detail"]
    assert "disks" in problem["remedy"]


def test_a_wrong_setting_is_no_fault_of_the_job() -> None:
    with child(device="cuda:99") as process:
        answer = failure(process, "fine")
        assert (answer.problem["field"], answer.lasting) == ("device", False)


def test_a_child_that_dies_is_an_accident_and_another_takes_its_place() -> None:
    with child() as process:
        answer = failure(process, "die")
        assert (answer.problem["code"], answer.lasting) == ("worker-crashed", False)
        assert ask(process, request("fine")) == messages.Finished({"pid": process.pid})
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        psutil.Process(process.pid).wait(10)
        assert ask(process, request("fine")) == messages.Finished({"pid": process.pid}), "killed while it was idle"


def test_an_item_that_takes_too_long_is_ended() -> None:
    with child(item_time_limit_s=1.0) as process:
        ask(process, request("fine"))
        assert failure(process, "stuck").problem["code"] == "time-limit"


def test_an_item_that_takes_too_much_memory_is_ended() -> None:
    with child(memory_limit_mb=300) as process:
        assert failure(process, "hoard").problem["code"] == "memory-limit"


@pytest.mark.parametrize(("label", "survives"), [("batches", True), ("stuck", False)])
def test_what_is_not_wanted_any_more_is_stopped(label: str, survives: bool) -> None:
    with child() as process:
        ask(process, request("fine"))
        before, begun = process.pid, time.monotonic()
        answer = ask(process, request(label), unwanted=lambda: time.monotonic() - begun > 0.3)
        assert isinstance(answer, messages.Failed)
        assert answer.cancelled
        assert (process.pid == before) is survives, "one that reaches the end of its batch keeps its networks"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_tells_the_host_to_stop_does_not_stop_the_child(number: signal.Signals) -> None:
    """Ctrl-C and systemd send it to both, and the item in hand has its grace."""
    with child() as process:
        ask(process, request("fine"))
        pid = process.pid
        sent: list[signal.Signals] = []

        def signal_once() -> bool:
            if not sent:
                assert pid is not None
                os.kill(pid, number)
                sent.append(number)
            return False

        assert ask(process, request("short"), unwanted=signal_once) == messages.Finished({"pid": pid})
        assert sent


SECRETS = {
    "api_key": "key-of-the-api",
    "api_keys": "ward=key-of-the-ward",
    "signing_key": "/keys/signing.pem",
    "broker_url": "redis://:key-of-the-broker@host/0",
    "service_database_url": "postgresql+psycopg://other:key-of-the-login@host/db",
    "mlflow_webhook_secret": "key-of-the-registry",
    "smtp_password": "key-of-the-mail",
    "smtp_user": "key-of-the-user",
}


def test_the_child_gets_no_secret_that_it_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        **SECRETS,
        "pgpassword": "key-of-the-owner",
        "aws_secret_access_key": "key-of-the-store",
    }.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://service@/db")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with child(data_roots="/data", max_file_gb=3) as process:
        answer = ask(process, request("given"))
        assert isinstance(answer, messages.Finished)
        seen = str(answer) + str(psutil.Process(process.pid).cmdline())
    assert not [value for value in SECRETS.values() if value in seen]
    assert "key-of-" not in seen
    result: Mapping[str, Any] = answer.result
    settings, environment = result["settings"], result["environment"]
    assert settings["database_url"] == "postgresql+psycopg://service@/db"
    assert (settings["data_roots"], settings["max_file_gb"]) == ("/data", 3)
    assert not set(map(str.upper, Settings.model_fields)) & set(environment)
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "file:///artifacts"])
def test_the_object_stores_credentials_go_where_there_is_one(url: str) -> None:
    environment = child_environment(Settings(artifacts_url=url), {"AWS_SECRET_ACCESS_KEY": "x", "API_KEY": "y"})
    assert ("AWS_SECRET_ACCESS_KEY" in environment) is url.startswith("s3:")
    assert "API_KEY" not in environment


def test_the_child_is_limited() -> None:
    with child(device="cpu", memory_limit_mb=1000) as process:
        answer = ask(process, request("given"))
    assert isinstance(answer, messages.Finished)
    result: Mapping[str, Any] = answer.result
    limits = result["limits"]
    assert limits["core"] == [0, 0]
    assert limits["data"] == [(1000 << 20) + (4 << 30)] * 2
    assert limits["files"][1] <= 4096
    assert 4096 <= limits["processes"][1] < 1 << 20


def test_memory_that_grows_faster_than_it_is_watched_is_refused() -> None:
    with child(device="cpu", memory_limit_mb=100) as process:
        assert failure(process, "burst").problem["code"] in {"out-of-memory", "memory-limit"}


def test_memory_that_torch_is_refused_is_no_lasting_error() -> None:
    """Its allocator says so with a RuntimeError, like anything else that goes wrong in torch."""
    with child(device="cpu", memory_limit_mb=4000) as process:
        answer = failure(process, "tensors")
        assert (answer.problem["code"], answer.lasting) == ("out-of-memory", False)


@pytest.mark.parametrize("label", ["pickle", "nonsense", "flood", "half a message"])
def test_what_the_child_says_never_runs_in_the_host(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.pipelines.child_process._SILENCE_S", 1)
    process = ChildProcess(Settings(), RUNNER, variables={"TINY_PLACE": str(tmp_path / "ran")})
    try:
        answer = failure(process, label)
    finally:
        process.kill()
    assert (answer.problem["code"], answer.lasting) == ("worker-crashed", False)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("label", UNUSABLE)
def test_a_result_that_the_host_would_refuse_is_an_error_of_the_item(label: str) -> None:
    with child() as process:
        answer = failure(process, label)
        assert (answer.problem["code"], answer.lasting) == ("internal", True)
        assert ask(process, request("fine")) == messages.Finished({"pid": process.pid}), "and the child lives on"


def test_names_of_a_hostile_file_fit_into_the_database_and_a_message() -> None:
    with child() as process:
        answer = failure(process, "strange")
    assert answer.problem["detail"].startswith("a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}")
    assert len(answer.problem["detail"]) == 4000


VISIBLE = """
import ctypes, os, sys
from service.exits import run_service
from service.pipelines import child
from tests.pipelines import tiny_runner

def look():
    print(os.spawnvp(os.P_WAIT, "grep", ["grep", "-aqs", "KEY=secret", f"/proc/{os.getpid()}/environ"]), flush=True)

if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a program begins that no other user has started
look()
"""
SERVICE = VISIBLE + 'run_service("worker", look)'


def test_no_other_process_reads_the_keys_of_a_service() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVICE],
        cwd=ROOT,
        env={**os.environ, "KEY": "secret"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    seen, hidden = map(int, done.stdout.split())
    assert (seen, hidden != 0) == (0, True), done.stderr


def test_no_process_that_the_child_starts_reads_its_environment() -> None:
    host_end, child_end = Pipe()
    command = [sys.executable, "-c", VISIBLE + "child.main()", str(child_end.fileno())]
    environment = {**os.environ, "KEY": "secret"}
    with (
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, pass_fds=[child_end.fileno()]
        ) as process,
        host_end,
    ):
        child_end.close()
        host_end.send((Settings(device="cpu"), RUNNER))
        host_end.send(request("status of a reader"))
        assert host_end.poll(60)
        answer = messages.decode(host_end.recv_bytes())
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n", "it begins visible"

    assert isinstance(answer, messages.Finished)
    assert answer.result["value"] != 0


HOST = f"""
import sys, time
from service.config import Settings
from service.pipelines.child_process import ChildProcess
from service.pipelines.confinement import child_environment
from tests.pipelines.test_child_process import request
process = ChildProcess(Settings(), {RUNNER!r})
process.ask(request("fine"), on_progress=lambda _: None, unwanted=lambda: False)
print(process.pid, flush=True)
process.ask(request("stuck"), on_progress=lambda _: None, unwanted=lambda: False)
"""


def test_the_child_dies_with_its_host() -> None:
    with subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True, cwd=ROOT) as host:
        assert host.stdout is not None
        pid = int(host.stdout.readline())
        orphan = psutil.Process(pid)
        host.kill()
        orphan.wait(10)
        assert not psutil.pid_exists(pid)
