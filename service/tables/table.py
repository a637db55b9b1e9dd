"""What a table is, how much of it is taken, and what is said of one that cannot be read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from service.errors import InvalidInput
from service.files import is_lasting, out_of_reach

Row = dict[str, str]
"""Field name -> text without blanks around it. A field that the table says nothing about is absent."""

MAX_ROWS = 2_000_000
MAX_BYTES = 1 << 30
MAX_ROW_CHARACTERS = 1 << 20
MAX_COLUMNS = 1_000

_LONGEST_NAME = 60
"""Characters of a column's name that are repeated in a problem."""


@dataclass
class Table:
    """A table whose file stays open until the last row is read, or the `with` that holds the table ends."""

    header: tuple[str, ...]
    """The columns' names; of JSON, the names of the first row's fields, and later rows may have others."""

    rows: Iterator[tuple[int, Row]]
    """The rows with their numbers, counted from 1 without the header and without empty rows.

    Raises the error that the caller named, with the row, and FileOutOfReach where the disk or the machine fails.
    """

    notes: tuple[str, ...]
    """What was decided for the user, a sentence each: the separator, the encoding, the sheet. Empty for the usual."""

    open_file: ExitStack = field(repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open_file.close()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller wants of a table."""

    known: frozenset[str] = frozenset()
    """Names of columns that the caller looks for."""

    as_written: bool = False
    """Cells keep the blanks around their texts."""

    most_columns: int | None = None
    """None for MAX_COLUMNS."""

    nameless_first: str | None = None
    """What a first column without a name is called; None where every column needs a name."""


@dataclass(frozen=True, slots=True)
class RawTable:
    """What the reader of one format gives: rows in their order, empty ones too."""

    header: tuple[str, ...]
    rows: Iterator[Row]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Complaints:
    """Builds the errors about one table: its field, its noun and its kind of error are the caller's."""

    field: str
    noun: str
    error: type[InvalidInput]

    wishes: Wishes = Wishes()

    rows_before: int = 0
    """How many rows that are not empty stand before the one that is being read."""

    @property
    def columns_allowed(self) -> int:
        """How many columns the table may have."""
        return MAX_COLUMNS if self.wishes.most_columns is None else self.wishes.most_columns

    @contextmanager
    def about_the_file(self) -> Iterator[None]:
        """Say what is wrong with the file where the system, or its encoding, fails inside."""
        try:
            yield
        except UnicodeDecodeError:
            raise self.table(
                "is not text of the encoding that it begins with", "Save it with UTF-8 encoding."
            ) from None
        except OSError as error:
            if not is_lasting(error):
                raise out_of_reach(self.noun, error, field=self.field) from None
            why = error.strerror or "it is damaged"
            raise self.table(f"cannot be opened: {why}", "Check its path and permissions.") from None

    def table(self, what: str, remedy: str) -> InvalidInput:
        """The error about the table as a whole; `what` as in `is not a list`."""
        return self.error(f"The {self.noun} {what}.", field=self.field, remedy=remedy)

    def header(self, what: str, remedy: str, value: object = None) -> InvalidInput:
        """The error about the names of the columns; `what` as in `has a column twice`."""
        return self.error(f"The header {what}.", field="header", value=value, remedy=remedy)

    def row(self, what: str, remedy: str, column: str | None = None) -> InvalidInput:
        """The error about the row that is being read; `what` as in `is too long`. column: as it is shown."""
        number = self.rows_before + 1
        place = f"row {number}" if column is None else f"row {number}, {column[:_LONGEST_NAME]}"
        return self.error(f"Row {number} {what}.", field=self.field, value=place, remedy=remedy)

    def row_too_long(self) -> InvalidInput:
        """The error about a row of more than MAX_ROW_CHARACTERS."""
        what = f"is longer than {MAX_ROW_CHARACTERS:,} characters"
        return self.row(what, "Shorten its texts; check for an unclosed quotation mark.")

    def file_too_large(self) -> InvalidInput:
        """The error about a file of more than MAX_BYTES."""
        return self.table(f"is larger than {MAX_BYTES >> 20:,} MiB", "Split it, and use one part at a time.")

    def named(self, names: list[str]) -> list[str]:
        """The columns' names, with one for the first where it needs none."""
        if len(names) > 1 and not names[0] and self.wishes.nameless_first is not None:
            return [self.wishes.nameless_first, *names[1:]]
        return names

    def check_names(self, names: Sequence[str]) -> None:
        """Raise the error about columns that are too many, have no name, or share one."""
        if len(names) > self.columns_allowed:
            raise self.header(f"has {len(names):,} columns", f"Keep to {self.columns_allowed:,} columns.", len(names))

        for name, times in Counter(names).items():
            if not name:
                raise self.header("has a column without a name", "Name each column once.", name)
            if "\0" in name:
                raise self.header("holds a NUL character", "Save the file as UTF-8 text.")
            if times > 1:
                shown = name[:_LONGEST_NAME]
                raise self.header(f"has the column '{shown}' twice", "Name each column once.", shown)
