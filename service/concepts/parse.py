"""Reading concept sets from .txt, .csv and .json, and from the entries of a request."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from service.concepts.text import clean, csv_rows, decode, invalid
from service.domain.concepts import Concept, ConceptSet
from service.domain.json_values import JsonObject, StoredJson
from service.domain.spelling import folded
from service.errors import InvalidConceptSet
from service.files import ANYWHERE, TooLarge

Format = Literal["txt", "csv", "json"]
Entry = str | JsonObject
"""A concept's text, or an object with `text` and any of the other fields of `Concept`."""

MAX_CONCEPTS = 20_000
MAX_BYTES = 64 << 20
FIELDS = ("text", "category", "broad_category", "mammographic", "watched", "synonyms")

_LINE_END = re.compile(r"\r\n|\n|\r")
_TRUTH = {"true": True, "false": False}
_FLAGS = ("mammographic", "watched")


def parse_concept_set(name: str, content: bytes | str, format: Format) -> ConceptSet:  # noqa: A002 - the caller's word
    """Read a concept set from the content of a file; docs/concept-sets.md describes the three formats.

    Raises InvalidConceptSet naming the line (JSON: the entry): no concept at all or more than 20,000, two that differ
    in case and blanks at most, control characters, more than 300 characters, text that is not UTF-8, an unknown column
    or key, a value of the wrong kind. In a set that says nothing of `watched`, the concepts that are not mammographic
    are watched.
    """
    return _concept_set(name, _READERS[format](decode(content)))


def read_concept_set(path: Path, name: str | None = None) -> ConceptSet:
    """Read a .txt, .csv or .json file; the set is named after the file unless a name is given.

    Raises InvalidConceptSet as `parse_concept_set` does, and for a file that cannot be opened or has another ending.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in _READERS:
        raise InvalidConceptSet(
            f"A concept set cannot be a '{path.suffix}' file.", field="concepts", remedy="Use .txt, .csv or .json."
        )

    try:
        content = ANYWHERE.read(path, most=MAX_BYTES)
    except TooLarge:
        raise InvalidConceptSet(
            f"The file is larger than {MAX_BYTES >> 20} MiB.", field="concepts", remedy="Is it a concept set?"
        ) from None
    except OSError as error:
        raise InvalidConceptSet(
            f"The concept set cannot be opened: {error.strerror}.",
            field="concepts",
            remedy="Check its path and permissions.",
        ) from None

    return _concept_set(name or path.stem, _READERS[ending](decode(content)))


def concept_set_from_entries(name: str, entries: Iterable[Entry]) -> ConceptSet:
    """A concept set from a list of texts or objects. Raises InvalidConceptSet naming the entry, counted from 1."""
    return _concept_set(name, _numbered(entries))


def _concept_set(name: str, entries: Iterable[tuple[str, Entry]]) -> ConceptSet:
    places: dict[str, tuple[str, str]] = {}
    concepts = []
    says_watched = False

    for where, entry in entries:
        concept = _concept(where, entry)
        says_watched |= isinstance(entry, Mapping) and "watched" in entry

        first_place, first_text = places.setdefault(folded(concept.text), (where, concept.text))
        if first_place != where:
            how = "" if first_text == concept.text else " but for case or blanks"
            raise invalid(where, f"repeats '{concept.text}' of {first_place}{how}", "Name each concept once.")

        concepts.append(concept)
        if len(concepts) > MAX_CONCEPTS:
            raise invalid(where, f"is beyond the limit of {MAX_CONCEPTS:,} concepts", "Split the concept set.")

    if not concepts:
        raise InvalidConceptSet("The concept set is empty.", field="concepts", remedy="Write one concept a line.")
    if not says_watched:
        concepts = [replace(concept, watched=concept.mammographic is False) for concept in concepts]
    return ConceptSet(name, tuple(concepts))


def _concept(where: str, entry: object) -> Concept:
    if isinstance(entry, str):
        entry = {"text": entry}
    if not isinstance(entry, Mapping):
        raise invalid(where, "is neither a text nor an object", "Write a text, or an object with the key text.")

    unknown = [str(key) for key in entry if key not in FIELDS]
    if unknown:
        raise invalid(where, f"has the unknown key {unknown[0][:60]!r}", f"Keys are {', '.join(FIELDS)}.")

    text = _text(entry, "text", where)
    if text is None:
        raise invalid(where, "has no text", "Give every concept a text, or delete the entry.")

    return Concept(
        text=text,
        category=_text(entry, "category", where),
        broad_category=_text(entry, "broad_category", where),
        mammographic=_flag(entry, "mammographic", where),
        watched=_flag(entry, "watched", where) or False,
        synonyms=_synonyms(entry.get("synonyms") or (), where),
    )


def _text(entry: JsonObject, field: str, where: str) -> str | None:
    value = entry.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(where, f"has a {field} that is not a text", "Write it as text.")
    return clean(value, where, field) or None


def _flag(entry: JsonObject, field: str, where: str) -> bool | None:
    value = entry.get(field)
    if value is not None and not isinstance(value, bool):
        raise invalid(where, f"has a {field} value that is neither true nor false", "Write true, false or nothing.")
    return value


def _synonyms(values: object, where: str) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise invalid(where, "has synonyms that are not a list of texts", "Write a list of texts.")

    cleaned = [clean(value, where, "synonym") for value in values]
    return tuple(dict.fromkeys(synonym for synonym in cleaned if synonym))


def _numbered(entries: Iterable[Entry]) -> Iterator[tuple[str, Entry]]:
    return ((f"entry {number}", entry) for number, entry in enumerate(entries, start=1))


def _txt_entries(text: str) -> Iterator[tuple[str, Entry]]:
    for number, line in enumerate(_LINE_END.split(text), start=1):
        if line.strip():
            yield f"line {number}", line


def _csv_entries(text: str) -> Iterator[tuple[str, Entry]]:
    rows = csv_rows(text)
    where, cells = next(rows, ("line 1", []))
    header = [cell.strip() for cell in cells]

    for column in header:
        if column not in FIELDS or header.count(column) > 1:
            what = "has the column {!r} twice" if column in FIELDS else "has the unknown column {!r}"
            raise invalid(
                where,
                what.format(column[:60]),
                f"Columns are {', '.join(FIELDS)}, separated by commas; only text must be.",
            )

    if cells and "text" not in header:
        raise invalid(where, "has no column 'text'", "Name the column that holds the concepts text.")

    for where, cells in rows:
        if len(cells) != len(header):
            raise invalid(
                where,
                f"has {len(cells)} cells where the header has {len(header)}",
                "Give every row one cell a column, and quote cells that hold commas.",
            )
        yield where, _csv_entry(where, dict(zip(header, cells, strict=True)))


def _csv_entry(where: str, cells: dict[str, str]) -> Entry:
    entry: StoredJson = {**cells}
    for field in _FLAGS:
        if field not in cells:
            continue
        truth = cells[field].strip().lower()
        if truth and truth not in _TRUTH:
            raise invalid(where, f"has the {field} value {truth[:20]!r}", "Write true, false or nothing.")
        entry[field] = _TRUTH.get(truth)

    entry["synonyms"] = cells.get("synonyms", "").split("|")
    return entry


def _json_entries(text: str) -> Iterator[tuple[str, Entry]]:
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise invalid(
            f"line {error.lineno}", f"is not JSON ({error.msg})", "Write a list of texts or objects."
        ) from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets nested thousands deep
        entries = None

    if not isinstance(entries, list):
        raise InvalidConceptSet(
            "The concept set is not a JSON list.", field="concepts", remedy="Write a list of texts."
        )
    return _numbered(entries)


_READERS: dict[str, Callable[[str], Iterator[tuple[str, Entry]]]] = {
    "txt": _txt_entries,
    "csv": _csv_entries,
    "json": _json_entries,
}
