"""What a worker's host process and its computing child say to each other, over one connection.

The host sends Run and may send Cancel while it waits; the child answers ItemProgress any number of times, then
Finished or Failed. Everything is small: pictures and tensors never travel.

The child opens files that others wrote, so the host trusts nothing that it says: what the child sends is JSON within
bounds, never a pickle, which would run in the host whatever it asks for. What the host sends are pickles.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from service.domain.json_text import parse_json
from service.domain.json_values import JsonObject, StoredJson
from service.domain.work import AnyLease
from service.errors import InvalidInput, ProblemFields, storable

MOST_BYTES = 64 << 20
"""Of one answer. Those of the largest jobs have a few megabytes."""

_LONGEST_TEXT = 4000
_MOST_DONE = 2**31


@dataclass(frozen=True, slots=True)
class Run:
    """Do a work item."""

    lease: AnyLease


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop what you do, within one batch."""


@dataclass(frozen=True, slots=True)
class ItemProgress:
    """So many of the item's units of work are done."""

    done: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The request is done; a work item's result is small JSON."""

    result: JsonObject


@dataclass(frozen=True, slots=True)
class Failed:
    """The request met an error."""

    problem: ProblemFields

    lasting: bool
    """Whether trying again would meet the error again."""

    cancelled: bool = False
    """Whether the host asked for it."""


Answer = Finished | Failed


def encode(message: ItemProgress | Answer) -> bytes:
    """The bytes that the child sends. Raises ValueError, TypeError or RecursionError for a result that is not JSON."""
    match message:
        case ItemProgress(done):
            value: StoredJson = {"done": done}
        case Finished(result):
            value = {"result": dict(result)}
        case Failed(problem, lasting, cancelled):
            shortened = {name: storable(str(text)[:_LONGEST_TEXT]) for name, text in problem.items()}
            value = {"problem": shortened, "lasting": lasting, "cancelled": cancelled}

    return json.dumps(value, allow_nan=False).encode()


def decode(content: bytes) -> ItemProgress | Answer:
    """What the child said. Raises InvalidInput for anything that no child of ours says."""
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"The computing child's answer has more than {MOST_BYTES:,} bytes.", field="answer")
    match parse_json(content, root="answer"):
        case {"done": done, **others} if not others and type(done) is int and 0 <= done < _MOST_DONE:
            return ItemProgress(done)
        case {"result": dict(result), **others} if not others:
            return Finished(result)
        case {"problem": dict(problem), "lasting": bool(lasting), "cancelled": bool(cancelled), **others} if not others:
            if _is_problem(problem):
                return Failed(cast("ProblemFields", problem), lasting, cancelled)
    raise InvalidInput("The computing child's answer cannot be understood.", field="answer")


def _is_problem(problem: Mapping[str, object]) -> bool:
    return {"code", "title", "detail"} <= set(problem) and all(isinstance(text, str) for text in problem.values())
