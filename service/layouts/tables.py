"""The tables of a data set: found in its folder, told apart by their columns, read row by row."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from service.errors import InvalidInput, InvalidManifest
from service.files import DataRoots
from service.layouts.values import flag_of, known
from service.tables.read import ENDINGS, read_table
from service.tables.table import Row, Table

_MOST_ENTRIES = 20_000
"""Of a folder and its subfolders that are looked through for tables."""


@lru_cache(maxsize=4_096)
def column_key(name: str) -> str:
    """The form in which two spellings of a column are the same: `breast_density` and `Breast density`."""
    return "".join(character for character in name.casefold() if character.isalnum())


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table that a data set has, known by its columns."""

    role: str
    """What the layout calls it."""

    stems: tuple[str, ...]
    """Its file's published name without suffix, or the beginnings of several."""

    needs: tuple[str, ...]
    """Columns without which it is not this table."""

    required: bool = True
    many: bool = False
    """Whether a data set has several."""

    def missing(self, header: Sequence[str]) -> list[str]:
        """The needed columns that a header lacks."""
        have = {column_key(name) for name in header}
        return [name for name in self.needs if column_key(name) not in have]

    def is_named(self, path: Path) -> bool:
        """Does a file have the published name, or one that begins like it?"""
        stem = column_key(path.stem)
        return any(stem.startswith(column_key(name)) for name in self.stems)


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table of a data set."""

    path: Path
    header: tuple[str, ...]
    notes: tuple[str, ...]
    roots: DataRoots
    shapes: tuple[TableShape, ...] = ()

    def rows(self) -> Iterator["TableRow"]:
        """Every row. Raises InvalidManifest naming table and row."""
        columns = {column_key(name): name for name in self.header}
        with open_table(self.path, self.roots, self.shapes) as table:
            for number, fields in table.rows:
                yield TableRow(self.path.name, number, fields, columns)

    def has(self, column: str) -> bool:
        """Does it have that column, however it is spelled?"""
        return column_key(column) in {column_key(name) for name in self.header}


@dataclass(slots=True)
class TableRow:
    """A row of a data set's table, whose cells are asked for by the published names of their columns."""

    table: str
    number: int
    fields: Row
    columns: dict[str, str]
    asked: set[str] = field(default_factory=set)

    def get(self, column: str) -> str | None:
        """What the cell says; None where it says nothing, or there is no such column."""
        name = self.columns.get(column_key(column))
        if name is None:
            return None
        self.asked.add(name)
        return known(self.fields.get(name))

    def need(self, column: str) -> str:
        """What the cell says. Raises InvalidManifest where it is empty."""
        value = self.get(column)
        if value is None:
            raise self.wrong(f"has nothing in '{column}'", column, "Complete the cell, or delete the row.")
        return value

    def flag(self, column: str) -> bool | None:
        """Whether the cell says 1 or 0; None where it says nothing. Raises InvalidManifest for anything else."""
        text = self.get(column)
        if text is None:
            return None
        flag = flag_of(text)
        if flag is None:
            raise self.wrong(f"says neither 1 nor 0 in '{column}'", column, "Write 1 or 0, or nothing.")
        return flag

    def others(self) -> Iterator[tuple[str, str]]:
        """The columns that nobody has asked for, as written, with what they say."""
        for name, text in self.fields.items():
            value = None if name in self.asked else known(text)
            if value is not None:
                yield name, value

    @property
    def place(self) -> str:
        """The row as it reads in a sentence."""
        return f"row {self.number} of {self.table}"

    def wrong(self, what: str, column: str, remedy: str) -> InvalidManifest:
        """The error about this row; `what` as in `has no side`."""
        return InvalidManifest(
            f"{self.place[0].upper()}{self.place[1:]} {what}.",
            field=column,
            value=f"row {self.number}",
            remedy=remedy,
        )


def open_table(path: Path, roots: DataRoots, shapes: Sequence[TableShape] = ()) -> Table:
    """The table in a file; the caller closes it. shapes: those that it may have. Raises InvalidManifest."""
    columns = {column for shape in shapes for column in shape.needs}
    return read_table(path, roots, field="manifest", error=InvalidManifest, noun=f"table {path.name}", known=columns)


def source_table(path: Path, roots: DataRoots, shapes: Sequence[TableShape]) -> SourceTable:
    """A table's header and what was decided to read it. shapes: those that it may have. Raises InvalidManifest."""
    with open_table(path, roots, shapes) as table:
        return SourceTable(path, table.header, table.notes, roots, tuple(shapes))


def tables_below(folder: Path) -> list[Path]:
    """The tables in a folder and in its subfolders, in order; where there are many files, those that come first."""
    found: list[Path] = []
    waiting = [folder]
    left = _MOST_ENTRIES

    for place in waiting:
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return sorted(found)
                    if entry.is_dir(follow_symlinks=False):
                        if place == folder:
                            waiting.append(Path(entry.path))
                    elif Path(entry.name).suffix.lower() in ENDINGS:
                        found.append(Path(entry.path))
        except OSError:
            continue
    return sorted(found)


def source_table_or_none(path: Path, roots: DataRoots, shapes: Sequence[TableShape]) -> SourceTable | None:
    """As `source_table`; None for a file that is not a table."""
    try:
        return source_table(path, roots, shapes)
    except InvalidInput:
        return None
