"""What a layout is, and what its module is given to read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from service.errors import InvalidManifest
from service.files import DataRoots
from service.layouts.images import DescribedImage, ImageFolder
from service.layouts.notes import Notes
from service.layouts.tables import SourceTable, TableRow, TableShape

NAMED_ROWS = 20
"""Rows that an error names at most."""


class ImageHeader(NamedTuple):
    """What the header of a DICOM image says of it, as far as it says it. Nothing in it identifies a person but ids."""

    image_id: str | None
    exam_id: str | None
    patient_id: str | None
    view: str | None
    laterality: str | None
    strata: dict[str, str]


class NoHeader(Exception):
    """A file is not an image with a DICOM header.

    reason: what is wrong with it, as in `is damaged`. is_dicom: whether it is a DICOM file at all.
    """

    def __init__(self, reason: str, *, is_dicom: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_dicom = is_dicom


HeaderReader = Callable[[BinaryIO], ImageHeader]
"""Reads the header of an open file, in several threads at once. Raises NoHeader, and the OSError of the system."""


@dataclass(slots=True)
class Source:
    """A data set as it lies on the disk."""

    layout: str
    place: Path
    """The folder, or the table, that was named."""

    images: ImageFolder
    tables: dict[str, list[SourceTable]]
    """By what the layout calls them."""

    roots: DataRoots
    notes: Notes
    read_header: HeaderReader | None
    skip_missing: bool
    check_wanted: Callable[[], None] = lambda: None
    """Called from time to time; may raise to stop."""

    _missing: dict[str, list[int]] = field(default_factory=dict)
    _missing_count: int = 0

    def rows(self, role: str) -> Iterable[TableRow]:
        """The rows of all tables of that role."""
        for table in self.tables.get(role, ()):
            yield from table.rows()

    def lacks(self, row: TableRow) -> None:
        """Note that the image of a row is not there."""
        if self._missing_count < NAMED_ROWS:
            self._missing.setdefault(row.table, []).append(row.number)
        self._missing_count += 1

    def check_missing(self, where: str) -> None:
        """Say which rows have no image. Raises InvalidManifest unless such rows are to be skipped.

        where: where images are looked for, as in `images/<study_id>/<image_id>.dicom`.
        """
        if not self._missing_count:
            return

        named = "; ".join(f"{', '.join(map(str, numbers))} of {table}" for table, numbers in self._missing.items())
        rows = f"row(s) {named}{', …' if self._missing_count > NAMED_ROWS else ''}"
        if self.skip_missing:
            self.notes.say(f"{self._missing_count:,} row(s) were left out, because their images are not there: {rows}.")
            return
        raise InvalidManifest(
            f"The images of {self._missing_count:,} row(s) are not there: {rows}. They are looked for below "
            f"{self.images.root}, as {where}.",
            field="root",
            value=self.images.root,
            remedy="Name the folder that the images are in as root, or run `mammodissect manifest` with "
            "--skip-missing to leave such rows out.",
        )


Reader = Callable[[Source], Iterable[DescribedImage]]


@dataclass(frozen=True, slots=True)
class Layout:
    """The tables and folders of one published data set."""

    name: str
    title: str
    read: Reader
    shapes: Sequence[TableShape] = ()

    is_list: bool = False
    """Whether its only table is a list that no reader of tables reads."""

    needs_headers: bool = False
    """Whether what a row needs is in the headers of images alone, which the API process does not open."""

    pseudonymised: bool = False
    """Whether identifiers are replaced unless that is declined."""
