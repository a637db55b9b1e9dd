"""Server-sent events: reading a stream, and following a job over as many streams as that takes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from client.answers import Answer


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `id` leads back to it; progress in between has none."""

    id: int | None
    kind: str
    data: Answer

    def as_json(self) -> Answer:
        """The event as a JSON object."""
        return {"id": self.id, "event": self.kind, "data": self.data}


@dataclass(slots=True)
class _Unfinished:
    """The fields of an event whose end has not come yet."""

    id: str | None = None
    kind: str = "message"
    data: list[str] = field(default_factory=list)


def events_in(parts: Iterable[bytes]) -> Iterator[Event]:
    """The events of a stream. One that is broken off at the end is none."""
    unfinished = _Unfinished()
    for line in _lines_in(parts):
        if not line:
            if unfinished.data:
                yield _event(unfinished)
            unfinished = _Unfinished()
            continue

        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "id":
                unfinished.id = value
            case "event":
                unfinished.kind = value
            case "data":
                unfinished.data.append(value)


def _lines_in(parts: Iterable[bytes]) -> Iterator[str]:
    # Not as str.splitlines does it: JSON may hold the other characters that end lines for it.
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def _event(unfinished: _Unfinished) -> Event:
    text = "\n".join(unfinished.data)
    try:
        data = json.loads(text)
    except ValueError:
        data = text

    number = unfinished.id
    known = number is not None and number.isdecimal()
    return Event(int(number) if known and number else None, unfinished.kind, data if isinstance(data, dict) else {})
