"""`mammodissect report` against a service that answers over a socket."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import uvicorn
from fastapi.testclient import TestClient

from tests.api.conftest import client, data_root, queue
from tests.api.test_reports import job, layers, probes
from tests.cli.test_main import Done, mammodissect
from tests.reports.page import Page

__all__ = ["client", "data_root", "job", "layers", "mammodissect", "probes", "queue"]


@pytest.fixture
def url(client: TestClient) -> Iterator[str]:
    """The application of `client` on a free port of 127.0.0.1."""
    server = uvicorn.Server(uvicorn.Config(client.app, host="127.0.0.1", port=0, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "api-key"
    path.write_text("open sesame\n")
    return path


def test_a_report_is_fetched(url: str, key: Path, job: UUID, tmp_path: Path, mammodissect: Callable[..., Done]) -> None:
    out = tmp_path / "report.html"
    done = mammodissect("report", "--job", str(job), "--url", url, "--api-key-file", str(key), "--out", str(out))
    assert done.status == 0, done.stderr
    assert Page(out.read_text()).rows["layers"]


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"job": str(uuid4())}, "There is no job"),
        ({"comparison": str(uuid4())}, "either --job or --comparison"),
        ({"out": "report.pdf"}, ".html or .json"),
        ({"out": "nowhere/report.html"}, "Check the folder and its permissions"),
        ({"api-key-file": "no-key"}, "The API key cannot be read"),
        ({"url": "http://127.0.0.1:9"}, "Is it running?"),
    ],
)
def test_what_is_wrong_is_one_line(
    url: str,
    key: Path,
    job: UUID,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mammodissect: Callable[..., Done],
    changes: dict[str, str],
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"job": str(job), "url": url, "api-key-file": str(key), "out": "report.html"} | changes
    done = mammodissect("report", *(part for name, value in options.items() for part in (f"--{name}", value)))
    assert (done.status, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert hint in done.stderr
    assert not list(tmp_path.glob("*.html"))
