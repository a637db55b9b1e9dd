"""What is wrong with a table, said by the file's reader, and the error that becomes of it."""

from pathlib import Path

from service.errors import InvalidCheckpoint

ONE_LENGTH = "Write lists of one length, a number for each unit."


class WrongTable(Exception):
    """A table that cannot be a target. detail and remedy: whole sentences. value: where in the table."""

    def __init__(self, detail: str, remedy: str, value: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy
        self.value = value

    def as_error(self, path: Path) -> InvalidCheckpoint:
        """The error for that file."""
        value = path if self.value is None else self.value
        return InvalidCheckpoint(self.detail, field="checkpoint", value=value, remedy=self.remedy)


def bad_cell(row: int, column: str, what: str, remedy: str) -> WrongTable:
    """A value that is not a number. row: counted from 1, without the header."""
    name = column[:120]
    return WrongTable(
        f"Row {row} of the table {what} in the column '{name}'.", remedy, value=f"row {row}, column '{name}'"
    )


def not_finite(row: int, column: str, number: float) -> WrongTable:
    """A NaN, an infinity, or what becomes one in 32 bits."""
    return bad_cell(
        row,
        column,
        f"has {number}",
        "Write a finite 32-bit number for every image and unit; delete the rows of images that have none.",
    )


def other_length(row: int, column: str, length: int, width: int) -> WrongTable:
    """A list that is longer or shorter than that of the first row."""
    return bad_cell(
        row,
        column,
        f"has a list of {length} numbers, not {width} as in the first row,",
        ONE_LENGTH,
    )


def no_number(row: int, column: str, text: str) -> WrongTable:
    """A text where a number belongs, or nothing."""
    if not text:
        return bad_cell(
            row, column, "has nothing", "Write a number for every image and unit; delete the rows of images without."
        )
    return bad_cell(
        row,
        column,
        f"has the text '{text[:60]}'",
        "Delete the column if it is not a unit. Numbers are written with a point, as 0.25 or 1e-3.",
    )
