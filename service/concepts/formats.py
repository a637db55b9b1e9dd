"""The entries of concept files, by format: a list of lines, JSON or YAML, or a table."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from service.concepts.places import Entries, Entry
from service.concepts.text import invalid
from service.domain.json_values import StoredJson
from service.errors import InvalidConceptSet
from service.plain_yaml import parse_yaml
from service.tables.cells import NotReadable, listed
from service.tables.encodings import encoding_of
from service.tables.json_list import KeyTwice, without_repeats
from service.tables.read import table_of
from service.tables.table import Complaints, Table

COLUMNS = ("text", "category", "broad_category", "mammographic", "watched", "synonyms")
CODE_PREFIX = "code_"
NAME_PREFIX = "name_"

_LINE_END = re.compile(r"\r\n|\n|\r")
_TRUTH = {"true": True, "false": False}
_FLAGS = ("mammographic", "watched")
_COLUMNS_ARE = (
    f"Columns are {', '.join(COLUMNS)}, {CODE_PREFIX}<vocabulary> and {NAME_PREFIX}<language>; only text must be."
)
_LIST = "Write a list of texts."
_KEY_ONCE = "Write each key once."


def _decode(content: bytes) -> tuple[str, tuple[str, ...]]:
    """A file's text without a byte order mark, and a note unless it is UTF-8. Raises InvalidConceptSet."""
    complaints = Complaints("concepts", "concept set", InvalidConceptSet)
    with complaints.about_the_file():
        encoding, notes = encoding_of(io.BytesIO(content), complaints)
        return content.decode("utf-8-sig" if encoding == "utf-8" else encoding), notes


def _lines(content: bytes) -> Entries:
    text, notes = _decode(content)
    lines = enumerate(_LINE_END.split(text), start=1)
    return Entries(((f"line {number}", line) for number, line in lines if line.strip()), notes)


def _json(content: bytes) -> Entries:
    text, notes = _decode(content)
    try:
        entries = json.loads(text, object_pairs_hook=without_repeats)
    except KeyTwice as twice:
        raise InvalidConceptSet(
            f"The concept set has the key {_shown(twice)} twice in one object.", field="concepts", remedy=_KEY_ONCE
        ) from None
    except json.JSONDecodeError as error:
        raise invalid(
            f"line {error.lineno}", f"is not JSON ({error.msg})", "Write a list of texts or objects."
        ) from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets nested thousands deep
        entries = None
    return Entries(_listed_entries(entries, "JSON"), notes)


def _shown(twice: KeyTwice) -> str:
    return repr(str(twice)[:60])


def _json_lines(content: bytes) -> Entries:
    text, notes = _decode(content)
    return Entries(_entries_of_lines(text), notes)


def _entries_of_lines(text: str) -> Iterator[tuple[str, Entry]]:
    for number, line in enumerate(_LINE_END.split(text), start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line, object_pairs_hook=without_repeats)
            except KeyTwice as twice:
                raise invalid(f"line {number}", f"has the key {_shown(twice)} twice", _KEY_ONCE) from None
            except (ValueError, RecursionError):
                raise invalid(f"line {number}", "is not JSON", "Write one text or object a line.") from None


def _yaml(content: bytes) -> Entries:
    text, notes = _decode(content)
    remedy = "Write a list of texts, or of objects with the key text."
    entries = parse_yaml(text, "concepts", remedy=remedy, error=InvalidConceptSet)
    return Entries(_listed_entries([] if entries is None else entries, "YAML"), notes)


def _listed_entries(entries: object, language: str) -> Iterator[tuple[str, Entry]]:
    if not isinstance(entries, list):
        raise InvalidConceptSet(f"The concept set is not a {language} list.", field="concepts", remedy=_LIST)
    return ((f"entry {number}", entry) for number, entry in enumerate(entries, start=1))


def _table(ending: str, content: bytes) -> Entries:
    table = table_of(content, ending, field="concepts", noun="concept set", error=InvalidConceptSet, known=COLUMNS)
    if table.header:
        _check_columns(table.header)
    return Entries(_entries_of_rows(table), table.notes)


def _check_columns(header: Sequence[str]) -> None:
    if "text" not in header:
        found = ", ".join(name[:40] for name in header[:20])
        raise invalid(
            "header", f"has no column 'text'; its columns are {found}", "Name the column that holds the concepts text."
        )
    for column in header:
        if column not in COLUMNS and not column.startswith((CODE_PREFIX, NAME_PREFIX)):
            raise invalid("header", f"has the unknown column {column[:60]!r}", _COLUMNS_ARE)

    meanings = Counter(column.replace("_", "-") for column in header if column.startswith((CODE_PREFIX, NAME_PREFIX)))
    for meaning, columns in meanings.items():
        if columns > 1:
            raise invalid("header", f"has {columns} columns that mean '{meaning[:60]}'", "Keep one of them.")


def _entries_of_rows(table: Table) -> Iterator[tuple[str, Entry]]:
    # What is null in a parquet file is absent from a row, and its column is there all the same.
    flags = [field for field in _FLAGS if field in table.header]

    for number, cells in table.rows:
        where = f"row {number}"
        entry: StoredJson = {name: cells[name] for name in COLUMNS if name in cells and name not in _FLAGS}
        entry |= {field: _truth(cells.get(field, ""), field, where) for field in flags}

        entry["synonyms"] = _texts(cells.get("synonyms", ""), where)
        for field, prefix in (("codes", CODE_PREFIX), ("names", NAME_PREFIX)):
            words = _with_prefix(cells, prefix)
            if words:
                entry[field] = words
        yield where, entry


def _with_prefix(cells: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The filled cells of columns with the prefix, by what follows it: `code_bi_rads` is the code of `bi-rads`."""
    return {
        name.removeprefix(prefix).replace("_", "-"): value
        for name, value in cells.items()
        if name.startswith(prefix) and value
    }


def _truth(cell: str, field: str, where: str) -> bool | None:
    truth = cell.strip().lower()
    if truth and truth not in _TRUTH:
        raise invalid(where, f"has the {field} value {truth[:20]!r}", "Write true, false or nothing.")
    return _TRUTH.get(truth)


def _texts(cell: str, where: str) -> list[str]:
    try:
        texts = listed(cell)
    except NotReadable:
        what = "has synonyms that begin as a list and do not end as one"
        raise invalid(where, what, "Write ['lump', 'nodule'], or lump|nodule.") from None
    return cell.split("|") if texts is None else list(texts)


READERS: dict[str, Callable[[bytes], Entries]] = {
    "txt": _lines,
    "csv": partial(_table, ".csv"),
    "tsv": partial(_table, ".tsv"),
    "json": _json,
    "jsonl": _json_lines,
    "yaml": _yaml,
    "yml": _yaml,
    "parquet": partial(_table, ".parquet"),
    "xlsx": partial(_table, ".xlsx"),
}
