"""Joining a concept set with categories that lie in a table of their own."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import NamedTuple

from service.concepts.text import clean, csv_rows, decode, invalid
from service.domain.concepts import ConceptSet

_COLUMNS = ("text", "category", "broad_category")


class CategoryRow(NamedTuple):
    """One line of a category table. Nothing is trimmed: texts must equal the concepts' exactly."""

    text: str
    category: str
    broad_category: str


def with_categories(
    concept_set: ConceptSet, rows: Iterable[CategoryRow], *, control: Collection[str] = ()
) -> ConceptSet:
    """Give every concept that a row names that row's categories; the last row wins (Mammo-CLIP Dissect's join).

    Texts match when they are equal to the character; concepts that no row names stay as they are.
    control: broad categories of everyday concepts. Where there are any, the `mammographic` flag of the concepts that
    rows name follows from them, and everyday concepts are watched.
    """
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
    return ConceptSet(concept_set.name, tuple(concepts))


def parse_category_table(content: bytes | str) -> tuple[CategoryRow, ...]:
    """Rows of a CSV file with columns text, category, broad_category. Raises InvalidConceptSet naming the line."""
    (where, header), *body = list(csv_rows(decode(content))) or [("line 1", [])]
    if sorted(header) != sorted(_COLUMNS):
        raise invalid(where, "is not the header of a category table", f"Name the columns {', '.join(_COLUMNS)}.")

    rows = []
    for where, cells in body:
        if len(cells) != len(header):
            raise invalid(where, f"has {len(cells)} cells, not {len(header)}", "Give every row three cells.")
        rows.append(_row(where, **dict(zip(header, cells, strict=True))))
    return tuple(rows)


def parse_category_sheet(content: bytes | str, broad_category: str) -> tuple[CategoryRow, ...]:
    """Rows of a CSV sheet with a category at the head of each column and its concepts below, column after column.

    This is how the published table's spreadsheet saves, one file for each sheet; broad_category is the sheet's name.
    Raises InvalidConceptSet naming the line.
    """
    (where, header), *body = list(csv_rows(decode(content))) or [("line 1", [])]
    if not header:
        raise invalid(where, "holds no categories", "Save the sheet with its first row.")
    for where, cells in body:
        if any(cells[len(header) :]):
            raise invalid(where, "has more cells than there are categories", "Give every column a category.")

    rows = []
    for column, category in enumerate(header):
        for where, cells in body:
            if column < len(cells) and cells[column]:
                rows.append(_row(where, text=cells[column], category=category, broad_category=broad_category))
    return tuple(rows)


def _row(where: str, *, text: str, category: str, broad_category: str) -> CategoryRow:
    row = CategoryRow(text, category, broad_category)
    for value, field in zip(row, _COLUMNS, strict=True):
        clean(value, where, field)
    return row
