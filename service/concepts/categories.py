"""Joining a concept set with categories that lie in a table of their own."""

import io
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from service.concepts.places import read_content
from service.concepts.text import clean, invalid
from service.domain.concepts import ConceptSet
from service.domain.specs import CategoriesSpec
from service.errors import InvalidConceptSet, InvalidInput
from service.files import ANYWHERE, DataRoots
from service.tables.cells import text_of_value
from service.tables.read import table_of
from service.tables.table import Complaints, Wishes
from service.tables.workbook import Sheet, coordinate, sheets_of

MAX_ROWS = 100_000
LISTED = 200
"""So many texts of a kind are listed in `CategoriesSpec`."""

_FIELD = "categories"
_NOUN = "table of categories"
_COLUMNS = ("text", "category", "broad_category")


class CategoryRow(NamedTuple):
    """One line of a category table. Nothing is trimmed: texts must equal the concepts' exactly."""

    text: str
    category: str
    broad_category: str


class CategoryTable(NamedTuple):
    """The rows in the table's order, and what was decided where it was read."""

    rows: tuple[CategoryRow, ...]
    notes: tuple[str, ...] = ()


def with_categories(
    concept_set: ConceptSet, rows: Iterable[CategoryRow], *, control: Collection[str] = ()
) -> ConceptSet:
    """Give every concept that a row names that row's categories; the last row wins (Mammo-CLIP Dissect's join).

    Texts match when they are equal to the character; concepts that no row names stay as they are.
    control: broad categories of everyday concepts. Where there are any, the `mammographic` flag of the concepts that
    rows name follows from them, and everyday concepts bear the mark `watched`. Raises InvalidConceptSet for one that
    no row has.
    """
    rows = tuple(rows)
    _check_control(rows, control)
    row_of = {row.text: row for row in rows}

    concepts = []
    for concept in concept_set.concepts:
        row = row_of.get(concept.text)
        if row is None:
            concepts.append(concept)
            continue

        mammographic = row.broad_category not in control if control else concept.mammographic
        categorised = replace(
            concept,
            category=row.category,
            broad_category=row.broad_category,
            mammographic=mammographic,
            watched=concept.watched or row.broad_category in control,
        )
        concepts.append(categorised)
    return replace(concept_set, concepts=tuple(concepts))


def fit_of(concept_set: ConceptSet, rows: Iterable[CategoryRow]) -> CategoriesSpec:
    """Which concepts stand in several places of the table, which in none, and what else the table holds."""
    places: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        place = f"{row.broad_category} / {row.category}"
        # A place that comes again is the last one, whose categories the concept has.
        places[row.text].pop(place, None)
        places[row.text][place] = None

    texts = set(concept_set.texts)
    several = [text for text in concept_set.texts if len(places.get(text, ())) > 1]
    without = [text for text in concept_set.texts if text not in places]
    unused = [text for text in places if text not in texts]
    return {
        "several": [{"text": text, "places": list(places[text])[-LISTED:]} for text in several[:LISTED]],
        "several_concepts": len(several),
        "without": without[:LISTED],
        "without_concepts": len(without),
        "unused": unused[:LISTED],
        "unused_texts": len(unused),
    }


def parse_categories(content: bytes, ending: str) -> CategoryTable:
    """The rows of a workbook or of a table with the columns text, category and broad_category.

    A workbook may have a sheet for each broad category instead, with a category at the head of each column and its
    concepts below: it is walked sheet by sheet, and each sheet column by column. Hidden sheets count.
    Raises InvalidConceptSet naming the row or the cell.
    """
    if ending == ".xlsx":
        complaints = Complaints(_FIELD, _NOUN, InvalidConceptSet, Wishes(as_written=True))
        sheets = [sheet for sheet in sheets_of(io.BytesIO(content), complaints) if not sheet.is_empty()]
        if sheets and not _is_table(sheets[0]):
            rows = tuple(row for sheet in sheets for row in _rows_of_sheet(sheet, complaints))
            names = ", ".join(f"'{sheet.name}'" for sheet in sheets)
            return CategoryTable(_limited(rows), (f"The categories are those of the sheets {names}.",))

    table = table_of(
        content, ending, field=_FIELD, noun=_NOUN, error=InvalidConceptSet, known=_COLUMNS, as_written=True
    )
    if sorted(table.header) != sorted(_COLUMNS):
        found = ", ".join(name[:40] for name in table.header[:20]) or "none"
        raise invalid(
            "the header",
            f"is not that of a {_NOUN}: its columns are {found}",
            f"Name the columns {', '.join(_COLUMNS)}, or use a workbook with a sheet for each broad category.",
            _FIELD,
        )
    rows = tuple(
        _row(f"row {number}", **{name: cells.get(name, "") for name in _COLUMNS}) for number, cells in table.rows
    )
    return CategoryTable(_limited(rows), table.notes)


def categorised(
    concept_set: ConceptSet, path: Path | None, roots: DataRoots = ANYWHERE, *, control: Collection[str] = ()
) -> tuple[ConceptSet, CategoriesSpec | None]:
    """The concept set with the categories of a file, and how that file fits it; as it is where there is no file.

    Raises InvalidConceptSet naming the place, and for a broad category of control that the file has not; InvalidInput
    for control without a file; FileOutOfReach where the disk or the machine fails.
    """
    if path is None:
        if control:
            raise InvalidInput(
                "Broad categories are named as everyday ones, but no table has them.",
                field="control",
                value=list(control),
                remedy="Name a table of categories, or give each concept `mammographic` and leave control out.",
            )
        return concept_set, None

    table = parse_categories(read_content(path, roots, _FIELD), path.suffix.lower())
    joined = with_categories(concept_set, table.rows, control=control)
    return replace(joined, notes=(*joined.notes, *table.notes)), fit_of(joined, table.rows)


def _check_control(rows: tuple[CategoryRow, ...], control: Collection[str]) -> None:
    known = dict.fromkeys(row.broad_category for row in rows)
    for name in control:
        if name not in known:
            raise InvalidConceptSet(
                f"The table of categories has no broad category '{name[:60]}'.",
                field="control",
                value=name,
                remedy=f"It has {', '.join(repr(known_name) for known_name in list(known)[:20])}.",
            )


def _is_table(sheet: Sheet) -> bool:
    _, first = next(sheet.rows())
    names = {value.strip() for value in first if isinstance(value, str)}
    return set(_COLUMNS) <= names


def _rows_of_sheet(sheet: Sheet, complaints: Complaints) -> Iterator[CategoryRow]:
    (header_row, header), *body = _limited_rows(sheet)
    categories = [None if value is None else text_of_value(value, "", complaints) for value in header]

    for number, cells in body:
        for column, value in enumerate(cells):
            if value is not None and (column >= len(categories) or categories[column] is None):
                raise invalid(
                    f"cell {coordinate(number, column)} of sheet '{sheet.name}'",
                    f"has no category above it in row {header_row}",
                    "Give every column a category, in one header row at the top of the sheet.",
                    _FIELD,
                )

    for column, category in enumerate(categories):
        for number, cells in body:
            value = cells[column] if column < len(cells) else None
            if category is not None and value is not None:
                where = f"cell {coordinate(number, column)} of sheet '{sheet.name}'"
                yield _row(where, text_of_value(value, where, complaints), category, sheet.name)


def _limited_rows(sheet: Sheet) -> Iterator[tuple[int, list[object]]]:
    texts = 0
    for number, cells in sheet.rows():
        texts += sum(value is not None for value in cells)
        _check_number(texts)
        yield number, cells


def _limited(rows: tuple[CategoryRow, ...]) -> tuple[CategoryRow, ...]:
    _check_number(len(rows))
    return rows


def _check_number(texts: int) -> None:
    if texts > MAX_ROWS:
        raise InvalidConceptSet(
            f"The {_NOUN} has more than {MAX_ROWS:,} texts.",
            field=_FIELD,
            remedy="Leave out those that are not concepts.",
        )


def _row(where: str, text: str, category: str, broad_category: str) -> CategoryRow:
    row = CategoryRow(text, category, broad_category)
    for value, field in zip(row, _COLUMNS, strict=True):
        clean(value, where, field)
    return row
