"""The client before services and proxies that answer something else than they should."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cli.client import ServiceClient, ServiceError
from service.errors import DissectError, Unavailable

Answering = Callable[[int, str], ServiceClient]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A client of a server that gives the same answer to everything."""
    servers: list[ThreadingHTTPServer] = []

    def serve(status: int, body: str) -> ServiceClient:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return ServiceClient(f"http://127.0.0.1:{server.server_port}", "key")

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


HTML = "<html>Bad gateway</html>"


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (502, HTML, Unavailable, "not available at the moment: 502"),
        (503, '{"detail": "The database cannot be reached."}', Unavailable, "The database cannot be reached."),
        (503, "", Unavailable, "503"),
        (504, '["late"]', Unavailable, "504"),
        (404, '{"detail": "There is no audit 7."}', ServiceError, "There is no audit 7."),
        (404, HTML, ServiceError, "The service answered 404"),
        (500, '{"error": "other"}', ServiceError, "The service answered 500"),
        (302, "", ServiceError, "The service answered 302"),
        (200, HTML, ServiceError, "The answer to GET /audits/7 is not an answer of the service."),
        (200, "[]", ServiceError, "The answer to GET /audits/7 is not an answer of the service."),
    ],
)
def test_what_is_no_answer_of_the_service_is_an_error_in_words(
    answering: Answering, status: int, body: str, kind: type[DissectError], text: str
) -> None:
    with pytest.raises(kind) as error:
        answering(status, body).get("/audits/7")
    assert text in str(error.value)


def test_what_a_proxy_redirects_to_a_login_is_no_download(answering: Answering, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="302"):
        answering(302, HTML).download("/audits/7/report", tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_waiting_for_the_patches_of_a_probe_set_ends_with_their_number(answering: Answering) -> None:
    answering(200, '{"spec": {"images": 12}, "problem": null}').wait_for_images("probes")


def test_waiting_for_the_patches_of_a_probe_set_ends_with_the_problem(answering: Answering) -> None:
    client = answering(
        200, '{"spec": {"images": null}, "problem": {"detail": "Row 2 cannot be read.", "remedy": "Mend."}}'
    )
    with pytest.raises(ServiceError, match="Row 2") as failed:
        client.wait_for_images("probes")
    assert failed.value.remedy == "Mend."
