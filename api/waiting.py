"""`Prefer: wait=N` (RFC 7240): an answer about a job that waits for the job's end, but not for longer than that.

Waiting takes no place of the gate, no thread and no connection of its own: it asks the look that serves event streams.
"""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Header, Response
from starlette.datastructures import Headers
from starlette.types import Message, Scope

from api.job_events import wait_for_end
from api.one_thread import Entrance, OneThreadRoute
from api.preferences import preferred_wait
from api.threads import Work
from service.errors import DissectError

LONGEST_WAIT_S = 30
"""What a caller that prefers more gets."""

_OF_CONNECTION = ("type", "asgi", "http_version", "scheme", "server", "client", "root_path")
_OF_BODY = frozenset({b"prefer", b"content-length", b"content-type", b"transfer-encoding", b"expect"})
"""What a request without a body leaves out, and the preference that has been met."""


async def prefers(
    response: Response,
    prefer: Annotated[
        list[str] | None,
        Header(
            description=f"`wait=N`: answer when the job has ended, or after N seconds, {LONGEST_WAIT_S} at most. "
            "`Preference-Applied` says how long the answer would have waited.",
        ),
    ] = None,
) -> None:
    """Say in the contract that a route waits, and in its answer for how long it would have."""
    seconds = preferred_wait(prefer or (), LONGEST_WAIT_S)
    if seconds is not None:
        response.headers["Preference-Applied"] = f"wait={seconds}"


class WaitingRoute(OneThreadRoute):
    """A route that reads a job or makes one, and waits for the job's end where the caller prefers that."""

    async def _read(self, entrance: Entrance, work: Work[list[Message]], scope: Scope) -> list[Message]:
        await _wait(scope, scope["path_params"]["job_id"])
        return await super()._read(entrance, work, scope)

    async def _complete(self, answer: list[Message], scope: Scope) -> list[Message]:
        """The answer to a change: 200 and the job as it has ended where it ends while the caller waits."""
        location = Headers(raw=answer[0]["headers"]).get("location")
        if location is None or not await _wait(scope, location.rpartition("/")[2]):
            return answer

        ended = await _read_job(scope, location)
        return _in_place_of(answer, ended) if ended[0]["status"] == HTTPStatus.OK else answer


async def _wait(scope: Scope, job_id: str) -> bool:
    """Wait as long as the request prefers; whether the job has ended. An unreachable database ends the wait."""
    seconds = preferred_wait(Headers(scope=scope).getlist("prefer"), LONGEST_WAIT_S)
    if not seconds:
        return False
    try:
        return await wait_for_end(scope["app"].state.job_look, UUID(job_id), seconds)
    except (ValueError, DissectError):
        return False


async def _read_job(scope: Scope, location: str) -> list[Message]:
    """The answer to the same caller's GET of a job: a request of its own, with a place of its own."""
    path = scope.get("root_path", "") + location
    request: Scope = {name: scope[name] for name in _OF_CONNECTION if name in scope}
    headers = [header for header in scope["headers"] if header[0] not in _OF_BODY]
    request.update(method="GET", path=path, raw_path=path.encode(), query_string=b"", headers=headers)
    answer: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        answer.append(message)

    await scope["app"](request, receive, send)
    return answer


def _in_place_of(answer: list[Message], ended: list[Message]) -> list[Message]:
    """What the second says, with the headers of the first."""
    length = [header for header in ended[0]["headers"] if header[0] == b"content-length"]
    headers = [header for header in answer[0]["headers"] if header[0] != b"content-length"]
    return [{**answer[0], "status": HTTPStatus.OK, "headers": [*headers, *length]}, *ended[1:]]
