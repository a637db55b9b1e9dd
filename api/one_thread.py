"""Routes that work on their request with one thread, from the first dependency to the end of the answer.

The body is read first, by the event loop, which costs neither a thread nor a connection. Then the request passes the
gate. On its thread an event loop of its own runs everything: dependencies, the route, the commit, the answer's making.
Back on the server's loop the answer goes out, as slowly as its reader may take it, and the place is free meanwhile.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, BinaryIO, ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import csv_lists, tags
from api.answers import FILE, Answers
from api.bodies import Bodies
from api.gate import LONG_PATIENCE_S, EqualReads, Gate
from api.json_requests import JsonRequest
from api.tags import Handler
from api.threads import Work
from api.trail import READING


class Entrance:
    """How requests come in: bodies are read, then the gate is passed. And how their answers go out."""

    def __init__(self, gate: Gate, *, bodies: Bodies, open_bodies: Bodies) -> None:
        """open_bodies: for callers that have shown no key."""
        self._gate = gate
        self._equal_reads: EqualReads[list[Message]] = EqualReads(gate)
        self._bodies = bodies
        self._open_bodies = open_bodies
        self.answers = Answers()

    def bodies_of(self, scope: Scope) -> Bodies:
        """Who reads the body of that request."""
        return self._bodies if "actor" in scope.get("state", {}) else self._open_bodies

    async def read(self, work: Work[list[Message]], scope: Scope, *, long: bool) -> list[Message]:
        """The answer to a request that only reads, which equal ones may have too. long: it may take seconds.

        Raises Overloaded.
        """
        target = tuple(scope.get(part) for part in ("method", "scheme", "root_path", "path", "query_string"))
        key = (*target, tuple(scope["headers"]))
        return await self._equal_reads.run(key, work, long=long)

    async def work_alone(self, work: Work[list[Message]]) -> list[Message]:
        """The answer to a request that shares it with nobody: it may change something, or ask for an open file.

        Raises Overloaded.
        """
        return await self._gate.run(work, long=True, patience_s=LONG_PATIENCE_S)


class OneThreadRoute(APIRoute):
    """A route that is worked on by one thread. Its dependencies are coroutines, which on that thread may block."""

    takes_long: ClassVar[bool] = False
    """Whether it may take seconds even where it only reads."""

    def __init__(self, path: str, endpoint: Callable[..., object], **options: Any) -> None:
        super().__init__(path, _without_another_thread(endpoint), **options)
        if self._item_of_list() is not None:
            self.openapi_extra = csv_lists.DESCRIPTION

    def get_route_handler(self) -> Callable[[Request], Coroutine[object, None, Response]]:
        """FastAPI's handler of a request, which reads JSON our way, lists as CSV, and tags results."""
        handle = super().get_route_handler()
        if self.body_field is not None:
            handle = _reading_json(handle)

        item = self._item_of_list()
        if item is not None:
            handle = csv_lists.with_csv(handle, item, _name_of_list(self.path))
        return tags.with_tag(handle)

    def _item_of_list(self) -> type[BaseModel] | None:
        return csv_lists.item_of(self.response_model) if READING & (self.methods or set()) else None

    def check_head(self, scope: Scope) -> None:
        """Raise for a request that may change something and can be refused before its body is read."""

    def check_body(self, scope: Scope, body: bytes) -> None:
        """Raise for such a request that can be refused before it takes a place."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises TooLarge, TooSlow, Overloaded and what the checks raise, each before anything was changed. An answer that
        was only read is made before Overloaded is raised, where there is no memory to send it from.
        """
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # which says what is allowed
            return

        work_on = super().handle
        entrance: Entrance = scope["app"].state.entrance
        if scope["method"] in READING:
            answer = await self._read(entrance, lambda: _collect(work_on, scope, b""), scope)
            await entrance.answers.send(answer, send, refusable=True)
            return

        self.check_head(scope)
        try:
            async with entrance.bodies_of(scope).read(scope, receive) as body:
                self.check_body(scope, body)
                answer = await entrance.work_alone(lambda: _collect(work_on, scope, body))
        except ClientDisconnect:
            return

        answer = await self._complete(answer, scope)
        await entrance.answers.send(answer, send, refusable=False)

    async def _read(self, entrance: Entrance, work: Work[list[Message]], scope: Scope) -> list[Message]:
        return await entrance.read(work, scope, long=self.takes_long)

    async def _complete(self, answer: list[Message], scope: Scope) -> list[Message]:  # noqa: ARG002 - for subclasses
        """What is sent in place of the answer to a request that may have changed something."""
        return answer


class LongReadingRoute(OneThreadRoute):
    """A route that may take seconds though it only reads."""

    takes_long = True


class FileRoute(OneThreadRoute):
    """A route that may take seconds, and whose answer may be an `OpenFileResponse`."""

    async def _read(self, entrance: Entrance, work: Work[list[Message]], scope: Scope) -> list[Message]:  # noqa: ARG002
        return await entrance.work_alone(work)


class OpenFileResponse(Response):
    """An open file as the answer of a `FileRoute`.

    It is read and sent after the request's thread and connection are free again.
    """

    def __init__(self, file: BinaryIO, *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Hand the file over."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": FILE, "file": self._file})


def check_threads(app: FastAPI, session: object) -> None:
    """Raise TypeError if a route could wait for a second thread, or use the session on the server's own loop."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if not isinstance(route, APIRoute):
            continue

        calls = _calls_of(context.dependant)
        if isinstance(route, OneThreadRoute):
            for call in calls:
                if not _is_coroutine(call):
                    raise TypeError(f"{call} of {context.path} is no coroutine: FastAPI would give it another thread.")
        elif session in calls:
            raise TypeError(f"{context.path} has a session: make its router with route_class=OneThreadRoute.")


async def _collect(work_on: ASGIApp, scope: Scope, body: bytes) -> list[Message]:
    answer: list[Message] = []
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await asyncio.Event().wait()  # nothing more comes, and nobody is told that the client has gone
        raise AssertionError

    async def send(message: Message) -> None:
        answer.append(message)

    await work_on(scope, receive, send)
    return answer


def _reading_json(handle: Handler) -> Handler:
    async def handle_json(request: Request) -> Response:
        return await handle(await JsonRequest.read(request))

    return handle_json


def _name_of_list(path: str) -> str:
    """The last word of a path that is no parameter."""
    return next(part for part in reversed(path.split("/")) if part and not part.startswith("{"))


def _without_another_thread(endpoint: Callable[..., object]) -> Callable[..., object]:
    """The endpoint as a coroutine, which FastAPI calls where it is."""
    if _is_coroutine(endpoint):
        return endpoint

    @wraps(endpoint)
    async def call(**values: object) -> object:
        return endpoint(**values)

    return call


def _calls_of(dependant: Dependant) -> list[object]:
    below = [call for dependency in dependant.dependencies for call in _calls_of(dependency)]
    return [dependant.call, *below]


def _is_coroutine(call: object) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(is_kind(function) for is_kind in kinds for function in (call, type(call).__call__))
