"""What stands in one cell: a value as text, a list written as text."""

import datetime
import json
import math
import re
from decimal import Decimal

from service.tables.table import Complaints

JSON_COLUMNS = frozenset({"regions"})
"""Columns whose cells are JSON: a list of objects in them stays one."""

_ITEM = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ITEMS = re.compile(_ITEM)
_LIST = re.compile(rf"\[\s*(?:(?:{_ITEM})(?:\s*,\s*|\s+|\s*(?=\])))*\]")
_LIST_BEGINS = re.compile(r"\[\s*(?:['\"]|\]$)")
_ESCAPE = re.compile(r"\\(.)")


class NotReadable(ValueError):
    """A text begins as a list of texts and does not go on as one."""


def listed(text: str) -> tuple[str, ...] | None:
    """The texts of a list as Python, NumPy or JSON write it into a cell: `['mass', "asymmetry"]`; None for any other.

    What begins with a bracket and no quotation mark is a text of its own. Raises NotReadable for a list that does not
    end, or that holds something else than texts.
    """
    if not _LIST_BEGINS.match(text):
        return None
    if not _LIST.fullmatch(text):
        raise NotReadable

    return tuple(_ESCAPE.sub(r"\1", item[1:-1]).strip() for item in _ITEMS.findall(text))


def text_of_value(value: object, column: str, complaints: Complaints) -> str:
    """A value of JSON, a parquet file or a sheet as text: lists joined by `|`, dates as in ISO 8601."""
    if isinstance(value, list) and column.strip() in JSON_COLUMNS:
        value = _as_json(value, column, complaints)
    if isinstance(value, list):
        _check_flat(value, column, complaints)
        return "|".join(text_of_value(entry, column, complaints) for entry in value)

    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return _date(value)
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if not isinstance(value, str | int | float):
        what = "has a field that is neither text nor number nor a list of these"
        raise complaints.row(what, "Flatten it.", _quoted(column))
    if isinstance(value, float) and not math.isfinite(value):
        raise complaints.row(
            "holds NaN or Infinity, which is not a number", "Write null for what is not known.", _quoted(column)
        )

    text = value if isinstance(value, str) else json.dumps(value)
    if not complaints.wishes.as_written:
        text = text.strip()
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise complaints.row("holds half of a surrogate pair", "Write whole characters.", _quoted(column))
    return text


def _as_json(value: list[object], column: str, complaints: Complaints) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:  # parquet has dates, bytes and decimal numbers
        what = "has a list with something in it that JSON does not know"
        raise complaints.row(
            what, "Write texts, whole numbers, and lists and objects of these.", _quoted(column)
        ) from None


def _date(value: datetime.datetime | datetime.date | datetime.time) -> str:
    """A day without a time of day is that day alone: spreadsheets know no other days."""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat()


def _check_flat(values: list[object], column: str, complaints: Complaints) -> None:
    """Lists in a list are read as one list; what is deeper was hardly meant, and may be of any depth."""
    for value in values:
        if isinstance(value, list) and any(isinstance(entry, list) for entry in value):
            raise complaints.row("has lists nested more than two deep", "Flatten it.", _quoted(column))


def _quoted(column: str) -> str:
    return f"'{column}'"
