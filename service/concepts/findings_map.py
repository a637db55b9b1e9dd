"""Reading maps from findings to concepts: from files, and those that come along with the software."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

from service.domain.findings_map import BUILTIN_PREFIX, MOST_STARS, STAR, FindingsMap
from service.domain.json_text import parse_json
from service.domain.spelling import folded
from service.errors import InvalidFindingsMap
from service.files import ANYWHERE, DataRoots, TooLarge, is_lasting, out_of_reach
from service.plain_yaml import parse_yaml
from service.tables.read import ENDINGS, read_table

BUILTIN_MAPS = ("cbis-ddsm", "cdd-cesm", "cmmd", "csaw-cc", "embed", "inbreast", "mias", "rsna", "vindr")
"""The data sets whose spellings of findings are known."""

MAX_BYTES = 4 << 20
MAX_ENTRIES = 5_000
MAX_PATTERNS = 200
"""Entries with a `*`: each of them is tried on each finding."""

MAX_CONCEPTS = 50
MAX_LENGTH = 300

_FIELD = "findings_map"
_DOCUMENTS = (".json", ".yaml", ".yml")
_FINDING, _CONCEPT = "finding", ("concept", "concepts")
_COLUMNS = "Use the columns finding and concept; several concepts are separated by |, and an empty cell means none."
_OBJECT = "Write an object of findings: each with a concept, a list of them, or null where it means none."

Entry = tuple[str, str, tuple[str, ...]]
"""Where it stands, as `row 3`; a finding; the concepts that it means."""


def is_builtin(source: str) -> bool:
    """Does it name a map that comes along?"""
    return source.startswith(BUILTIN_PREFIX)


@cache
def builtin_map(source: str) -> FindingsMap:
    """The map of `builtin:` and a data set's name. Raises InvalidFindingsMap."""
    name = source.removeprefix(BUILTIN_PREFIX)
    if name not in BUILTIN_MAPS:
        raise InvalidFindingsMap(
            f"There is no built-in map of findings '{name[:80]}'.",
            field=_FIELD,
            value=source,
            remedy=f"Built in: {', '.join(BUILTIN_PREFIX + known for known in BUILTIN_MAPS)}; or name a file.",
        )

    text = files("service.concepts").joinpath("data", "findings", f"{name}.csv").read_text("utf-8")
    rows = enumerate(csv.DictReader(io.StringIO(text)), start=1)
    return FindingsMap(source, _united(chain.from_iterable(_row_entries(number, row) for number, row in rows)))


def read_findings_map(path: Path, roots: DataRoots = ANYWHERE) -> FindingsMap:
    """The map in a .json or .yaml file or in a table (.csv, .tsv, .txt, .jsonl, .parquet, .xlsx).

    A table has the columns `finding` and `concept`, several concepts separated by `|`; JSON and YAML a list of such
    rows or an object. An empty concept says that the finding means none. A finding may hold `*` for any characters.
    Raises InvalidFindingsMap naming the place and a remedy; FileOutOfReach where the disk or the machine fails.
    """
    ending = path.suffix.lower()
    if ending in _DOCUMENTS:
        entries = _document_entries(_document(path, roots))
        return FindingsMap(str(path), _united(entries))
    if ending not in ENDINGS:
        known = sorted({*_DOCUMENTS, *ENDINGS})
        raise _invalid(f"The map cannot be a '{path.suffix[:20]}' file.", path, f"Use {', '.join(known)}.")

    with read_table(path, roots, field=_FIELD, error=InvalidFindingsMap, known=(_FINDING, *_CONCEPT)) as table:
        _check_columns(table.header, may_lack_concept=ending == ".jsonl")
        entries = chain.from_iterable(_row_entries(number, row) for number, row in table.rows)
        return FindingsMap(str(path), _united(entries), table.notes)


def _document(path: Path, roots: DataRoots) -> Any:
    try:
        content = roots.read(path, most=MAX_BYTES)
    except TooLarge:
        what, remedy = f"The map is larger than {MAX_BYTES >> 20} MiB.", "Is it a map of findings?"
        raise _invalid(what, path, remedy) from None
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach(_FIELD, error, field=_FIELD) from None
        what = f"The map of findings cannot be opened: {error.strerror}."
        raise _invalid(what, path, "Check its path and permissions.") from None

    if path.suffix.lower() == ".json":
        return parse_json(content, root=_FIELD)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _invalid("The map is not UTF-8 text.", path, "Save it with UTF-8 encoding.") from None
    return parse_yaml(text, _FIELD, remedy=_OBJECT, error=InvalidFindingsMap)


def _document_entries(document: object) -> Iterator[Entry]:
    if isinstance(document, Mapping):
        for number, (finding, concepts) in enumerate(document.items(), start=1):
            where = f"entry {number}"
            yield where, _text(finding, where, _FINDING), _concepts(concepts, where)
        return

    if not isinstance(document, list):
        raise InvalidFindingsMap("The map of findings is neither an object nor a list.", field=_FIELD, remedy=_OBJECT)
    for number, row in enumerate(document, start=1):
        if not isinstance(row, Mapping):
            raise _invalid(f"Row {number} is not an object.", f"row {number}", _COLUMNS)
        _check_columns(tuple(map(str, row)))
        yield from _row_entries(number, row)


def _row_entries(number: int, row: Mapping[str, object]) -> Iterator[Entry]:
    where = f"row {number}"
    concepts = next((row[name] for name in _CONCEPT if row.get(name) is not None), None)
    yield where, _text(row.get(_FINDING), where, _FINDING), _concepts(concepts, where)


def _check_columns(header: tuple[str, ...], *, may_lack_concept: bool = False) -> None:
    """may_lack_concept: a column that is null in the first row is not in the header."""
    unknown = [name for name in header if name not in {_FINDING, *_CONCEPT}]
    missing = [name for name in (_FINDING, _CONCEPT[0]) if name not in header]
    if may_lack_concept or _CONCEPT[1] in header:
        missing = [name for name in missing if name != _CONCEPT[0]]

    if unknown or missing or set(_CONCEPT) <= set(header):
        found = ", ".join(name[:40] for name in header[:20]) or "none"
        what = f"The columns of the map are {found}"
        if missing:
            what += f"; there is no column {' and no column '.join(missing)}"
        raise InvalidFindingsMap(f"{what}.", field=_FIELD, value="header", remedy=_COLUMNS)


def _concepts(value: object, where: str) -> tuple[str, ...]:
    parts = value if isinstance(value, list | tuple) else [] if value is None else [value]
    texts = [text for part in parts for text in _parts(part, where)]
    if len(texts) > MAX_CONCEPTS:
        raise _invalid(
            f"The {where} of the map names {len(texts)} concepts.", where, f"Name {MAX_CONCEPTS} at most for a finding."
        )
    return tuple(dict.fromkeys(texts))


def _parts(value: object, where: str) -> list[str]:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        what = f"The {where} of the map has a concept that is not text, in the column 'concept'."
        raise _invalid(what, where, "Write texts, and quote words such as yes and no.")
    parts = (part.strip() for part in str(value).split("|"))
    return [_checked(part, where, "concept") for part in parts if part]


def _text(value: object, where: str, column: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        what = f"The {where} of the map has no text in the column '{column}'."
        raise _invalid(what, where, "Name a finding as the manifest writes it; quote words such as yes and no.")

    finding = _checked(value.strip(), where, column)
    if "|" in finding:
        what = f"The {where} of the map holds a | in the column '{column}'."
        raise _invalid(what, where, "Give each finding a row of its own.")
    if finding.count(STAR) > MOST_STARS or not finding.strip(f"{STAR} "):
        what = f"The {where} of the map has the pattern '{finding[:40]}' in the column '{column}'."
        raise _invalid(what, where, f"Use {MOST_STARS} stars at most, and some characters beside them.")
    return finding


def _checked(text: str, where: str, column: str) -> str:
    if len(text) > MAX_LENGTH:
        what = f"The {where} of the map has {len(text)} characters in the column '{column}'."
        raise _invalid(what, where, f"Use {MAX_LENGTH} at most.")
    if any(character < " " or character == "\x7f" for character in text):
        what = f"The {where} of the map holds a control character in the column '{column}'."
        raise _invalid(what, where, "Remove it.")
    return text


def _united(entries: Iterable[Entry]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Rows about one finding together, in the order of their first rows. None may say that there is no concept."""
    rows: dict[str, tuple[str, str, dict[str, None]]] = {}

    for where, finding, concepts in entries:
        first_place, _, known = rows.setdefault(folded(finding), (where, finding, {}))
        if first_place != where and bool(known) != bool(concepts):
            what = (
                f"The {first_place} and the {where} of the map are about '{finding[:80]}', and one of them says that "
            )
            raise _invalid(f"{what}it means no concept.", where, "Delete one of the two.")

        known.update(dict.fromkeys(concepts))
        if len(rows) > MAX_ENTRIES:
            what = f"The map has more than {MAX_ENTRIES:,} findings."
            raise _invalid(what, where, "Use * in findings that mean the same concept.")

    patterns = [finding for finding in rows if STAR in finding]
    if len(patterns) > MAX_PATTERNS:
        what = f"The map has {len(patterns):,} findings with a *."
        raise _invalid(what, patterns[MAX_PATTERNS], f"Use {MAX_PATTERNS} at most, and write the others in full.")
    if not rows:
        raise InvalidFindingsMap("The map of findings is empty.", field=_FIELD, remedy=_COLUMNS)
    return tuple((finding, tuple(concepts)) for _, finding, concepts in rows.values())


def _invalid(what: str, value: object, remedy: str) -> InvalidFindingsMap:
    return InvalidFindingsMap(what, field=_FIELD, value=value, remedy=remedy)
