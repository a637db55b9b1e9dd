"""JSON that others sent: read within bounds, and free of what the database or another reader of JSON cannot take."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from service.errors import InvalidInput

MOST_DEPTH = 64
MOST_ITEMS = 1_000_000
LONGEST_INTEGER = 40

_MOST_BITS = 4 * LONGEST_INTEGER
# Possessive: it remembers no way back. A string without its end is one, too, else it would be sought from every quote.
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_HALF = re.compile("[\ud800-\udfff]")
_UNDECODED = re.compile("[\udc80-\udcff]")
_UTF8 = "Send it in UTF-8. In PowerShell: `-ContentType 'application/json; charset=utf-8'`."


def parse_json(content: bytes, *, root: str = "body", bounds_only: bool = False) -> object:
    """The value that the text stands for. root: what errors call the whole of it.

    bounds_only: refuse nothing but what is no JSON, is nested too deeply or has too many values, for a reader that uses
    few fields and checks them itself. Bytes that are no UTF-8 then stay in texts as halves of surrogate pairs, and a
    number that cannot be worked with is an object of a type that no check takes.
    Raises InvalidInput naming the field, for text that is no JSON or no UTF-8, and for all that `check_values` refuses.
    """
    text, is_utf8 = _decoded(content.removeprefix(b"\xef\xbb\xbf"))
    _check_count(text, root)

    try:
        value: object = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_NoNumber)
    except json.JSONDecodeError as error:
        raise _no_json(error, root) from None
    except RecursionError:
        raise _too_deep(root) from None

    if bounds_only:
        _check_bounds(value, root)
        return value

    if not is_utf8:
        _name_undecoded(value, root)
    check_values(value, root)
    return value


def check_values(value: object, root: str, *, within: str = "") -> None:
    """Raise InvalidInput naming the field for the first value that cannot be worked with.

    within: the field that holds the value, where it is a part of something larger.

    That is: nesting of more than 64 levels, more than a million values, a text with the character NUL or with half of a
    surrogate pair, an integer of more than 40 digits, NaN and infinities, and a key that one object has twice.
    """
    if not _is_sound(value):
        place = _Place(root, within)
        for item in _walk(value, place):
            _check(place, item)


def _check_bounds(value: object, root: str) -> None:
    if not _is_sound(value):
        for _ in _walk(value, _Place(root)):  # refuses what is beyond the bounds
            pass


@dataclass(frozen=True, slots=True)
class _NoNumber:
    """What stands where a number should, and is none that can be worked with."""

    text: str

    def __str__(self) -> str:
        return self.text


class _Repeating(dict[str, object]):
    """An object in which a key stands twice."""

    key: str


@dataclass(slots=True)
class _Place:
    """Where in a document a value stands."""

    root: str
    within: str = ""
    steps: list[object] = field(default_factory=list)

    def __str__(self) -> str:
        steps = [self.within] if self.within else []
        steps += map(_shown, self.steps)
        return ".".join(steps) or self.root


def _decoded(content: bytes) -> tuple[str, bool]:
    """The text, and whether it is UTF-8. Bytes that are none stay in it, so that the field can be named they are in."""
    try:
        return content.decode(), True
    except UnicodeDecodeError:
        return content.decode(errors="surrogateescape"), False


def _name_undecoded(value: object, root: str) -> None:
    place = _Place(root)
    for item in _walk(value, place):
        if isinstance(item, str) and _UNDECODED.search(item):
            raise _unusable(place, "is not in UTF-8", _shown(item), _UTF8)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    json_object = dict(pairs)
    if len(json_object) == len(pairs):
        return json_object

    repeating = _Repeating(json_object)
    seen = set()
    for key, _ in pairs:
        if key in seen:
            repeating.key = key
        seen.add(key)
    return repeating


def _integer(digits: str) -> int | _NoNumber:
    return int(digits) if len(digits) <= LONGEST_INTEGER else _NoNumber(digits)


def _is_sound(value: object) -> bool:
    """Whether a value has none of the faults. It looks level by level, and at so many values at most."""
    level: list[object] = [value]
    count = 0
    for _ in range(MOST_DEPTH + 1):
        count += len(level)
        if count > 2 * MOST_ITEMS or not all(map(_is_sound_alone, level)):  # keys are counted here, too
            return False

        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below += item
                below += item.values()
            elif isinstance(item, list):
                below += item
        if not below:
            return True
        level = below
    return False


def _is_sound_alone(item: Any) -> bool:
    kind = type(item)
    if kind is str:
        return _is_storable(item)
    if kind is float:
        return math.isfinite(item)
    if kind is int:
        return bool(item.bit_length() <= _MOST_BITS)
    return kind is not _NoNumber and kind is not _Repeating


def _walk(value: object, place: _Place) -> Iterator[object]:
    """Every value in order, and the keys of an object behind it; nothing deeper than is permitted, and not too many.

    place: leads to whatever was yielded last. Names are made only where somebody asks, as they may be long.
    """
    yield value
    levels = [_entries(value)] if isinstance(value, dict | list) else []
    count = 1
    while levels:
        entry = next(levels[-1], None)
        del place.steps[len(levels) - 1 :]
        if entry is None:
            levels.pop()
            continue

        step, item, is_key = entry
        place.steps.append(step)
        if not is_key:
            count += 1
            if len(levels) > MOST_DEPTH:
                raise _too_deep(place.root)
            if count > MOST_ITEMS:
                raise _too_many(place.root)
            if isinstance(item, dict | list):
                levels.append(_entries(item))
        yield item


def _entries(value: dict[object, object] | list[object]) -> Iterator[tuple[object, object, bool]]:
    """The steps that lead into a value, each with what is there, and whether that is the step's own key."""
    if isinstance(value, dict):
        yield from ((key, key, True) for key in value)
        yield from ((key, item, False) for key, item in value.items())
    else:
        yield from ((index, item, False) for index, item in enumerate(value))


def _check(place: _Place, item: object) -> None:
    if isinstance(item, _NoNumber):
        digits = item.text.lstrip("-")
        if digits.isdigit():
            raise _unusable(
                place, f"is an integer of {len(digits)} digits", f"{item.text[:20]}…", "Write at most 40 digits."
            )
        raise _unusable(place, "is not a JSON number", str(item), "Write null for what is not known.")
    if isinstance(item, _Repeating):
        key = _shown(item.key)
        raise _unusable(place, f"has the key '{key}' twice", key, "Name each key once.")
    if isinstance(item, float) and not math.isfinite(item):
        raise _unusable(place, "is a number too large to hold", None, "Write a smaller number, or null.")
    if isinstance(item, int) and item.bit_length() > _MOST_BITS:
        raise _unusable(place, "is an integer of more than 40 digits", None, "Write at most 40 digits.")
    if isinstance(item, str):
        _check_text(place, item)


def _check_text(place: _Place, text: str) -> None:
    if "\0" in text:
        raise _unusable(
            place, "holds the character NUL, which the database does not store", _shown(text), "Leave it out."
        )
    if _HALF.search(text):
        raise _unusable(place, "holds half of a surrogate pair", _shown(text), "Write whole characters.")


def _is_storable(text: str) -> bool:
    return "\0" not in text and (text.isascii() or _HALF.search(text) is None)


def _check_count(text: str, root: str) -> None:
    def count(part: str) -> int:
        return sum(map(part.count, ",[{"))

    if count(text) > MOST_ITEMS and count(_STRINGS.sub("", text)) > MOST_ITEMS:
        raise _too_many(root)


def _no_json(error: json.JSONDecodeError, root: str) -> InvalidInput:
    text = error.doc
    if not text.strip():
        return InvalidInput(f"The {root} contains only blanks, no JSON.", field=root, remedy="Send a JSON object.")

    if error.pos >= len(text.rstrip()):
        value = None
        detail = f"The {root} is not valid JSON: it ends too early."
        remedy = "Close every bracket, brace and quotation mark."
    else:
        value = _shown(text[error.pos])
        place = f"line {error.lineno}, column {error.colno}"
        detail = f"The {root} is not valid JSON: {value!r} cannot stand at {place}."
        remedy = "Write names and texts in double quotes, a comma between two items, and no comma after the last."
    return InvalidInput(detail, field=root, value=value, remedy=remedy)


def _too_deep(root: str) -> InvalidInput:
    return InvalidInput(
        f"The {root} is nested more than {MOST_DEPTH} levels deep.", field=root, remedy="Send a flatter document."
    )


def _too_many(root: str) -> InvalidInput:
    return InvalidInput(f"The {root} holds more than {MOST_ITEMS:,} values.", field=root, remedy="Send less at a time.")


def _unusable(place: _Place, what: str, value: str | None, remedy: str) -> InvalidInput:
    return InvalidInput(f"{place} {what}.", field=str(place), value=value, remedy=remedy)


def _shown(text: object) -> str:
    """A text that can be sent, however odd it is, and short."""
    shown = str(text)
    shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
    shown = _UNDECODED.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", shown)
    return shown.replace("\0", "\\0").encode(errors="backslashreplace").decode()
