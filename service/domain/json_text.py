"""JSON that others sent: read within bounds, and free of what the database or another reader of JSON cannot take."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from service.errors import InvalidInput

MOST_DEPTH = 64
MOST_ITEMS = 1_000_000
LONGEST_INTEGER = 40

_MOST_BITS = 4 * LONGEST_INTEGER
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)  # possessive: it remembers no way back
_HALF = re.compile("[\ud800-\udfff]")
_UNDECODED = re.compile("[\udc80-\udcff]")
_UTF8 = "Send it in UTF-8. In PowerShell: `-ContentType 'application/json; charset=utf-8'`."


def parse_json(content: bytes, *, root: str = "body", takes_nul: bool = False) -> Any:
    """The value that the text stands for. root: what errors call the whole of it.

    takes_nul: the reader of the value looks after the character NUL itself.
    Raises InvalidInput naming the field, for text that is no JSON or no UTF-8, and for all that `check_values` refuses.
    """
    text, is_utf8 = _decoded(content.removeprefix(b"\xef\xbb\xbf"))
    _check_count(text, root)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_NoNumber)
    except json.JSONDecodeError as error:
        raise _no_json(error, root) from None
    except RecursionError:
        raise _too_deep(root) from None

    if not is_utf8:
        _name_undecoded(value, root)
    check_values(value, root, takes_nul=takes_nul)
    return value


def check_values(value: object, root: str, *, within: str = "", takes_nul: bool = False) -> None:
    """Raise InvalidInput naming the field for the first value that cannot be worked with.

    within: the field that holds the value, where it is a part of something larger.

    That is: nesting of more than 64 levels, more than a million values, a text with the character NUL or with half of a
    surrogate pair, an integer of more than 40 digits, NaN and infinities, and a key that one object has twice.
    """
    if not _is_sound(value):
        for place, item in _walk(value, root, within):
            _check(place, item, takes_nul)


class _NoNumber(str):
    """What stands where a number should, and is none that can be worked with."""


class _Repeating(dict[str, Any]):
    """An object in which a key stands twice."""

    key: str


def _decoded(content: bytes) -> tuple[str, bool]:
    """The text, and whether it is UTF-8. Bytes that are none stay in it, so that the field can be named they are in."""
    try:
        return content.decode(), True
    except UnicodeDecodeError:
        return content.decode(errors="surrogateescape"), False


def _name_undecoded(value: object, root: str) -> None:
    for place, item in _walk(value, root):
        if isinstance(item, str) and _UNDECODED.search(item):
            raise _unusable(place, "is not in UTF-8", _shown(item), _UTF8)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) == len(pairs):
        return whole
    repeating, seen = _Repeating(whole), set()
    for key, _ in pairs:
        if key in seen:
            repeating.key = key
        seen.add(key)
    return repeating


def _integer(digits: str) -> int | _NoNumber:
    return int(digits) if len(digits) <= LONGEST_INTEGER else _NoNumber(digits)


def _is_sound(value: object) -> bool:
    """Whether a value has none of the faults. It looks level by level, and at so many values at most."""
    level: list[Any] = [value]
    count = 0
    for _ in range(MOST_DEPTH + 1):
        count += len(level)
        if count > 2 * MOST_ITEMS or not all(map(_is_sound_alone, level)):  # keys are counted here, too
            return False

        below: list[Any] = []
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


def _walk(value: object, root: str, within: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with the name of its place, in order; nothing deeper than is permitted, and not too many."""
    left: list[tuple[str, Any, int]] = [(within, value, 0)]
    count = 0
    while left:
        place, item, depth = left.pop()
        count += 1
        if depth > MOST_DEPTH:
            raise _too_deep(root)
        if count > MOST_ITEMS:
            raise _too_many(root)
        yield place or root, item
        prefix = f"{place}." if place else ""
        if isinstance(item, dict):
            below = [(f"{prefix}{_shown(key)}", entry, depth + 1) for key, entry in item.items()]
            yield from ((name, key) for (name, _, _), key in zip(below, item, strict=True))
        elif isinstance(item, list):
            below = [(f"{prefix}{index}", entry, depth + 1) for index, entry in enumerate(item)]
        else:
            continue
        left.extend(reversed(below))


def _check(place: str, item: object, takes_nul: bool) -> None:
    if isinstance(item, _NoNumber):
        if item.lstrip("-").isdigit():
            raise _unusable(place, f"is an integer of {len(item)} digits", f"{item[:20]}…", "Write at most 40 digits.")
        raise _unusable(place, "is not a JSON number", str(item), "Write null for what is not known.")
    if isinstance(item, _Repeating):
        key = _shown(item.key)
        raise _unusable(place, f"has the key '{key}' twice", key, "Name each key once.")
    if isinstance(item, float) and not math.isfinite(item):
        raise _unusable(place, "is a number too large to hold", None, "Write a smaller number, or null.")
    if isinstance(item, int) and item.bit_length() > _MOST_BITS:
        raise _unusable(place, "is an integer of more than 40 digits", None, "Write at most 40 digits.")
    if isinstance(item, str):
        _check_text(place, item.replace("\0", "") if takes_nul else item)


def _check_text(place: str, text: str) -> None:
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
    text, place = error.doc, f"line {error.lineno}, column {error.colno}"
    if not text.strip():
        return InvalidInput(f"The {root} contains only blanks, no JSON.", field=root, remedy="Send a JSON object.")
    if error.pos >= len(text.rstrip()):
        detail, value = f"The {root} is not valid JSON: it ends too early.", None
        remedy = "Close every bracket, brace and quotation mark."
    else:
        value = _shown(text[error.pos])
        detail = f"The {root} is not valid JSON: {value!r} cannot stand at {place}."
        remedy = "Write names and texts in double quotes, a comma between two items, and no comma after the last."
    return InvalidInput(detail, field=root, value=value, remedy=remedy)


def _too_deep(root: str) -> InvalidInput:
    return InvalidInput(
        f"The {root} is nested more than {MOST_DEPTH} levels deep.", field=root, remedy="Send a flatter document."
    )


def _too_many(root: str) -> InvalidInput:
    return InvalidInput(f"The {root} holds more than {MOST_ITEMS:,} values.", field=root, remedy="Send less at a time.")


def _unusable(place: str, what: str, value: str | None, remedy: str) -> InvalidInput:
    return InvalidInput(f"{place} {what}.", field=place, value=value, remedy=remedy)


def _shown(text: object) -> str:
    """A text that can be sent, however odd it is, and short."""
    shown = str(text)
    shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
    shown = _UNDECODED.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", shown)
    return shown.replace("\0", "\\0").encode(errors="backslashreplace").decode()
