"""`mammodissect coverage | watch-list | compare` against a service over HTTP."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from pydantic import SecretStr

from api.app import create_app
from cli.questions import coverage
from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.neurons import LayerDissection
from service.errors import InvalidInput
from tests.api.test_comparisons import EVIDENCE, layer
from tests.usecases.factories import dissected_job, neuron

Ask = Callable[..., str]


@pytest.fixture
def ask(database_url: str, tmp_path: Path) -> Iterator[Ask]:
    """Run a command against a service on this database, and give back what it printed."""
    (tmp_path / "api-key").write_text("open sesame\n")
    settings = Settings(
        database_url=SecretStr(database_url),
        broker_url=SecretStr("redis://localhost:1"),
        api_key=SecretStr("open sesame"),
        data_roots="/",
    )
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = ["--url", f"http://127.0.0.1:{listening.getsockname()[1]}", "--api-key-file", str(tmp_path / "api-key")]
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()

        def run(*arguments: str) -> str:
            command = [sys.executable, "-m", "cli.main", *arguments, *where]
            wide = {**os.environ, "COLUMNS": "160"}
            return subprocess.run(command, env=wide, check=True, capture_output=True, text=True).stdout

        yield run
        server.should_exit = True
        thread.join()


def test_comparisons_say_what_was_gained_and_lost(ask: Ask, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        reference = dissected_job(session, [layer("blocks.0", 0, 0, 1)], evidence=EVIDENCE)
        tuned = dissected_job(session, [layer("blocks.0", 0, 1, 1)], model="tuned", evidence=EVIDENCE)
    printed = ask("compare", str(reference), str(tuned))
    assert "Comparison " in printed
    lines = [" ".join(line.replace("│", " ").split()) for line in printed.splitlines()]
    assert "mass margin 2 1 (-1, -3 to +1)" in lines
    assert "calcification distribution 1 2 (+1, -1 to +3)" in lines
    assert "share of labels changed 0.333 (noise 0) *" in lines


def test_coverage_and_watch_list_are_told(ask: Ask, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = str(dissected_job(session, [layer("blocks.0", 0, 2, 1)], evidence=EVIDENCE))
    printed = ask("coverage", job)
    assert "3 of 3 tested neurons have a significant label" in printed
    assert "skin thickening" in printed
    assert "not in the concept set" in printed
    printed = ask("watch-list", job)
    assert "1 of 3 live neurons respond to any of 1 watched concepts that could be looked for" in printed
    assert "red sports car" in printed


def test_without_evidence_it_is_said_why(ask: Ask, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        bare = str(dissected_job(session, [LayerDissection("blocks.0", (neuron(0, 1.0),))]))
    assert "No evidence was asked for" in ask("coverage", bare)
    assert "No evidence was asked for" in ask("watch-list", bare)


def test_a_key_that_cannot_be_read_says_where_it_is_kept(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="api-key in its data folder"):
        coverage("a job", api_key_file=tmp_path / "none")
