"""Small programs in place of API and worker, and `python -m tests.embedded.stand_in up DIR PORT API WORKER`."""

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cli.embedded.supervisor import Program

SLEEP = [sys.executable, "-c", "import time; time.sleep(1e9)"]


class _Handler(BaseHTTPRequestHandler):
    """Ready at once; /environment tells what it was given."""

    def do_GET(self) -> None:
        body = json.dumps({"ready": True} if self.path == "/health/ready" else dict(os.environ)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port: str) -> None:
    HTTPServer(("127.0.0.1", int(port)), _Handler).serve_forever()


def wait(_: str) -> None:
    signal.pause()


def die(_: str) -> None:
    sys.exit(3)


def refuse_to_end(_: str) -> None:
    """Ignore SIGTERM, and have a child that does too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(SLEEP)
    sys.stderr.write(f"child {child.pid}\n")
    signal.pause()


def program(name: str, role: str, port: int = 0) -> Program:
    return Program(name, (sys.executable, "-m", "tests.embedded.stand_in", role, str(port)))


def main() -> None:
    roles = {"serve": serve, "wait": wait, "die": die, "refuse": refuse_to_end}
    if sys.argv[1] != "up":
        roles[sys.argv[1]](sys.argv[2])
        return
    from cli.up import run_stack
    from service.errors import DissectError

    _, _, directory, number, api, worker = sys.argv
    try:
        run_stack(
            Path(directory), int(number), programs=lambda port: [program("api", api, port), program("worker", worker)]
        )
    except DissectError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
