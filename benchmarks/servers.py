"""HTTP servers in processes of their own, for benchmarks to ask."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx


def bare_server(factory: str, settings: dict[str, str]) -> AbstractContextManager[httpx.Client]:
    """uvicorn with the application that `module:function` builds: the baseline."""
    return serving(["-m", "uvicorn", "--factory", factory, "--log-level", "critical"], settings)


@contextmanager
def serving(module: list[str], settings: dict[str, str]) -> Iterator[httpx.Client]:
    """A server process on a free port, and a client that keeps its connection."""
    port = _free_port()
    process = subprocess.Popen([sys.executable, *module, "--port", str(port)], env=os.environ | settings)
    headers = {"Authorization": "Bearer benchmark"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            _wait(client)
            yield client
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            client.get("/health/live")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the server did not start")
