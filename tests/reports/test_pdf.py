"""Reports as PDF."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import BoundedSemaphore, Thread

import pytest

from service.errors import Conflict, Overloaded, TooLarge
from service.reports import pdf
from service.reports.pdf import draw_pdf

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A web server on the loopback: its address, and what it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


def test_a_page_becomes_a_pdf_with_its_pictures() -> None:
    plain, pictured = (draw_pdf(f"<h1>Neuron 7</h1>{picture}") for picture in ("", f'<img src="{PIXEL}">'))
    assert plain.startswith(b"%PDF-")
    assert pictured.count(b"/Image") > plain.count(b"/Image")


def test_nothing_is_fetched_but_what_is_embedded(asked: tuple[str, list[str]], tmp_path: Path) -> None:
    address, paths = asked
    secret = tmp_path / "secret.css"
    secret.write_text(f"h1 {{ content: url({address}/leak) }}")
    page = f"""<link rel="stylesheet" href="{address}/a.css"><link rel="stylesheet" href="{secret.as_uri()}">
    <style>@import url("{address}/b.css"); h1 {{ background: url({address}/c.png) }}</style>
    <h1>Neuron 7</h1><img src="{address}/d.png"><object data="{address}/e.svg"></object>
    <svg><image href="{address}/f.png"/></svg><a rel="attachment" href="{address}/g">g</a>"""
    assert draw_pdf(page).startswith(b"%PDF-")
    assert paths == []


def test_a_page_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "TIME_S", 0.01)
    with pytest.raises(TooLarge) as error:
        draw_pdf("<h1>Neuron 7</h1>")
    assert error.value.field == "format"


def test_a_page_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MEMORY_BYTES", 1 << 25)
    with pytest.raises((TooLarge, Conflict)):
        draw_pdf("<h1>Neuron 7</h1>")


def test_who_has_no_weasyprint_is_told_what_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "find_spec", lambda _: None)
    with pytest.raises(Conflict) as error:
        draw_pdf("<h1>Neuron 7</h1>")
    assert "HTML" in str(error.value.remedy)


def test_not_too_many_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = BoundedSemaphore(1)
    taken.acquire()
    monkeypatch.setattr(pdf, "_drawings", taken)
    monkeypatch.setattr(pdf, "_PATIENCE_S", 0.01)
    with pytest.raises(Overloaded):
        draw_pdf("<h1>Neuron 7</h1>")


def test_whoever_asks_for_a_pdf_loads_neither_weasyprint_nor_a_decoder() -> None:
    program = "import sys, service.reports.pdf; print(*sorted({'PIL', 'weasyprint'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
