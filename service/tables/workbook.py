"""Tables in .xlsx workbooks: the first visible sheet that holds anything, row by row."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from zipfile import ZipFile

from service.errors import DissectError
from service.tables import table as limits
from service.tables.cells import text_of_value
from service.tables.separated import without_nameless_end
from service.tables.sheet_scan import SheetFacts, check_archive, scan_parts
from service.tables.table import Complaints, RawTable, Row

MAX_CELLS = 100_000_000
_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"})


class Sheet:
    """One sheet of a workbook that is open."""

    def __init__(self, sheet: Any, facts: SheetFacts, complaints: Complaints) -> None:
        self.name = str(sheet.title)
        self.is_visible = sheet.sheet_state == "visible"
        self.facts = facts
        self._sheet = sheet
        self._complaints = complaints

    def rows(self) -> Iterator[tuple[int, list[object]]]:
        """The rows that hold anything, each with its number in the sheet; cells are text, numbers, dates or None.

        Raises the caller's error, with the cell, for a formula without a stored value, an error value, or merged cells.
        """
        self._check_formulas()
        if self.facts.merged_area is not None:
            raise self._complaints.table(
                f"has merged cells in sheet '{self.name}': {self.facts.merged_area}",
                "Split them, and write into each cell what it means; a table has one header row.",
            )

        for number, cells in enumerate(self._cells(), start=1):
            values = [self._value(cell) for cell in cells]
            if any(value is not None for value in values):
                yield number, values

    def is_empty(self) -> bool:
        """Does no cell hold anything but blanks?"""
        return all(_is_blank(cell.value) for cells in self._cells() for cell in cells)

    def _cells(self) -> Iterator[tuple[Any, ...]]:
        """The cells of each row up to its last one. Raises where there are more than MAX_CELLS."""
        self._sheet.reset_dimensions()
        rows = self._sheet.iter_rows()
        cells_left = MAX_CELLS
        while True:
            with _damage_told(self._complaints):
                cells = next(rows, None)
            if cells is None:
                return

            cells_left -= len(cells)
            if cells_left < 0:
                raise self._complaints.table(
                    f"has more than {MAX_CELLS:,} cells", "Delete empty columns, or save the sheet as .csv."
                )
            yield cells

    def _check_formulas(self) -> None:
        cell = self.facts.formula_without_value
        if cell is not None:
            raise self._complaints.table(
                f"has a formula without a stored value in cell {cell} of sheet '{self.name}'",
                "Open it in a spreadsheet program and save it, or paste the values over the formulas.",
            )

    def _value(self, cell: Any) -> object:
        value = cell.value
        if cell.data_type == "e" or (isinstance(value, str) and value in _ERRORS):
            raise self._complaints.table(
                f"has the error value {value} in cell {cell.coordinate} of sheet '{self.name}'",
                "Mend its formula, or clear the cell.",
            )
        return None if _is_blank(value) else value


def sheets_of(file: BinaryIO, complaints: Complaints) -> list[Sheet]:
    """All worksheets in their order. The file must stay open while they are read."""
    check_archive(file, complaints)
    with _damage_told(complaints):
        with ZipFile(file) as archive:
            facts = scan_parts(archive, complaints)

        import openpyxl

        file.seek(0)
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        # No public name says which part a sheet is.
        return [Sheet(sheet, facts.get(sheet._worksheet_path, SheetFacts()), complaints) for sheet in book.worksheets]


def workbook_table(file: BinaryIO, complaints: Complaints) -> RawTable:
    """The first visible sheet that holds anything; what is left out is in the notes."""
    sheets = sheets_of(file, complaints)
    sheet = next((sheet for sheet in sheets if sheet.is_visible and not sheet.is_empty()), None)
    if sheet is None:
        return RawTable((), iter(()))

    rows = sheet.rows()
    _, first = next(rows)
    names = [text_of_value(value, "", complaints).strip() if value is not None else "" for value in first]
    header = complaints.named(without_nameless_end(names))
    complaints.check_names(header)
    return RawTable(tuple(header), _rows(rows, header, complaints), _notes(sheet, sheets))


def _notes(sheet: Sheet, sheets: list[Sheet]) -> tuple[str, ...]:
    notes = []
    if len(sheets) > 1:
        others = ", ".join(f"'{other.name}'" for other in sheets if other is not sheet)
        notes.append(f"Sheet '{sheet.name}' is read; not read: {others}.")
    if sheet.facts.hidden_rows:
        notes.append(f"Sheet '{sheet.name}' has {sheet.facts.hidden_rows:,} hidden rows, which are read too.")
    return tuple(notes)


def _rows(rows: Iterator[tuple[int, list[object]]], header: list[str], complaints: Complaints) -> Iterator[Row]:
    for number, values in rows:
        beyond = next((at for at in range(len(header), len(values)) if values[at] is not None), None)
        if beyond is not None:
            cell = coordinate(number, beyond)
            raise complaints.header(
                f"has a column without a name, and cell {cell} stands in it",
                "Name each column once, in one header row at the top of the sheet.",
                cell,
            )

        row = dict.fromkeys(header, "")
        for at, value in enumerate(values[: len(header)]):
            if value is not None:
                row[header[at]] = text_of_value(value, f"cell {coordinate(number, at)}", complaints)
        if sum(map(len, row.values())) > limits.MAX_ROW_CHARACTERS:
            raise complaints.row_too_long()
        yield row


def coordinate(row: int, column: int) -> str:
    """A cell as spreadsheets name it: its row is counted from 1, its column from 0."""
    from openpyxl.utils import get_column_letter

    return f"{get_column_letter(column + 1)}{row}"


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


@contextmanager
def _damage_told(complaints: Complaints) -> Iterator[None]:
    """Whatever the library raises inside means that the workbook is damaged; what it warns of does not matter here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (DissectError, MemoryError, OSError):
        raise
    except Exception:
        raise complaints.table("is a damaged .xlsx file", "Save it again in a spreadsheet program.") from None
