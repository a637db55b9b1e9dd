"""Many at once, on the server as it is run: nobody is left without an answer, and what is not 503 is right."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from benchmarks.crowd import Answer, Crowd, large_concept_set, statuses
from benchmarks.listed import lists_of, register_listed
from service.db.resources import save_inspection
from service.db.session import Sessions, transaction
from service.domain.resources import ResourceKind
from tests.usecases.factories import queued_job, resource

MANY = 150
SLOW_READERS = 16
"""Twice as many as there are places."""

JOB: dict[str, Any] = {
    "target": "screening",
    "layers": ["blocks.0"],
    "concept_set": "bi-rads",
    "probe_set": "probes",
    "dissector": "reader",
}


@pytest.fixture
def crowd(database_url: str, broker_url: str, sessions: Sessions, tmp_path: Path) -> Iterator[Crowd]:
    """Clients of a server process with the settings that it has by default."""
    with transaction(sessions) as session:
        model = resource(session, ResourceKind.MODEL, "screening", checkpoint="/x", architecture="a", sha256="0")
        save_inspection(session, model.id, layers=[{"name": "blocks.0", "units": 8, "kind": "Conv2d"}])
        resource(session, ResourceKind.DISSECTOR, "reader", path="/x")
        resource(session, ResourceKind.PROBE_SET, "probes", images=120)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = {
        "DATABASE_URL": database_url,
        "BROKER_URL": broker_url,
        "API_KEY": "open sesame",
        "DATA_ROOTS": str(tmp_path),
    }
    server = subprocess.Popen([sys.executable, "-m", "api", "--port", str(port)], env=os.environ | settings)
    try:
        clients = Crowd(port, "open sesame", patience_s=120)
        _wait_for(clients)
        yield clients
    finally:
        server.terminate()
        assert server.wait(timeout=60) in {0, -15}


def test_every_list_of_the_contract_is_among_the_lists() -> None:
    contract = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())["paths"]
    listing = {path for path, calls in contract.items() if "limit" in parameters(calls.get("get", {}))}
    listing.remove("/search/neurons")  # it lists nothing unless it is told what to be near to
    paths = [path.partition("?")[0] for path in lists_of(uuid4())]
    assert len(paths) == len(listing)
    for template in listing:
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        assert any(re.fullmatch(pattern, path) for path in paths), template


def parameters(call: dict[str, Any]) -> set[str]:
    return {parameter["name"] for parameter in call.get("parameters", [])}


def test_bursts_of_every_list(crowd: Crowd, sessions: Sessions) -> None:
    lists = lists_of(register_listed(sessions))
    different = [f"/jobs?limit={number}" for number in range(1, MANY + 1)]
    equal = (*lists, "/health/ready", "/jobs?limit=1")

    async def scene() -> dict[str, list[Answer]]:
        found = {path: await crowd.all_at_once(path, MANY) for path in equal}
        for path, answers in found.items():
            assert statuses(answers) == {200: MANY}, f"equal reads of {path} are answered together: {answers[0].body!r}"
        together = await asyncio.gather(*(crowd.all_at_once(path, 40) for path in equal))
        for path, answers in zip(equal, together, strict=True):
            found[path] += answers
        for path, answer in zip(different, await asyncio.gather(*map(crowd.ask, different)), strict=True):
            found.setdefault(path, []).append(answer)
        return found

    answered = asyncio.run(scene())
    assert statuses(answered["/health/ready"]) == {200: MANY + 40}
    for path, answers in answered.items():
        assert set(statuses(answers)) <= {200, 503}, path
        right = asyncio.run(crowd.ask(path))
        assert right.status == 200
        for answer in answers:
            if answer.status == 200:
                assert answer.body == right.body
            else:
                assert answer.json()["type"] == "urn:mammodissect:problem:overloaded"


def test_equal_posts_make_one_job_and_all_are_told_of_it(crowd: Crowd) -> None:
    headers = ("Idempotency-Key: nightly", "Content-Type: application/json")
    answers = asyncio.run(crowd.all_at_once("/jobs", MANY, json.dumps(JOB).encode(), *headers))
    assert statuses(answers) == {202: MANY}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_streams_and_slow_clients_are_in_nobodys_way(crowd: Crowd, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session).id

    async def scene() -> None:
        large = json.dumps(large_concept_set("large")).encode()
        assert (await crowd.ask("/concept-sets", large, "Content-Type: application/json")).status == 201
        open_ones = [await crowd.open(crowd.head("GET", f"/jobs/{job}/events")) for _ in range(MANY)]
        firsts = await asyncio.gather(*(reader.readuntil(b"event: progress") for reader, _ in open_ones))
        assert all(b" 200 " in first for first in firsts)

        sending = crowd.head("POST", "/policies", "Content-Length: 1000") + b"{"
        open_ones += [await crowd.open(sending) for _ in range(MANY // 2)]
        open_ones += [await crowd.read_slowly(f"/concept-sets/large?reader={number}") for number in range(SLOW_READERS)]

        live = await crowd.all_at_once("/health/live", 20)
        ready = await crowd.all_at_once("/health/ready", 20)
        assert statuses(live + ready) == {200: 40}
        await _until_answered(crowd, "/jobs")
        for _, writer in open_ones:
            writer.close()

    asyncio.run(scene())


def test_others_are_answered_while_a_large_body_is_read(crowd: Crowd) -> None:
    """One after another, so that a server that reads it on its event loop answers two of them at most before."""
    many = b",".join([b'{"a":1}'] * 400_000)
    body = b'{"name": "p", "policy": {"rules": []}, "more": [' + many + b"]}"
    headers = ("Content-Type: application/json", f"Content-Length: {len(body)}")

    async def scene() -> tuple[bytes, list[Answer]]:
        reader, writer = await crowd.open(crowd.head("POST", "/policies", *headers) + body[:-1])
        await writer.drain()
        assert (await crowd.ask("/health/live")).status == 200

        writer.write(body[-1:])
        received = asyncio.create_task(reader.read())
        meanwhile: list[Answer] = []
        while not received.done():
            live = await crowd.ask("/health/live")
            if not received.done():
                meanwhile.append(live)
        writer.close()
        return received.result(), meanwhile

    refused, meanwhile = asyncio.run(scene())
    assert b" 422 " in refused.partition(b"\r\n")[0]
    assert statuses(meanwhile) == {200: len(meanwhile)}
    assert len(meanwhile) >= 4


async def _until_answered(crowd: Crowd, path: str) -> None:
    answer = await crowd.ask(path)
    while answer.status != 200:
        assert answer.status == 503
        answer = await crowd.ask(path)


def _wait_for(crowd: Crowd) -> None:
    until = time.monotonic() + 60
    while asyncio.run(crowd.ask("/health/ready")).status != 200:
        assert time.monotonic() < until, "the server did not start"
        time.sleep(0.1)
