"""A published data set, or a folder of DICOM files, read as the rows of a manifest."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from service.errors import InvalidInput, InvalidManifest
from service.files import ANYWHERE, DataRoots, is_lasting, out_of_reach
from service.layouts.catalogue import LAYOUTS, layout_named
from service.layouts.images import ImageFolder
from service.layouts.notes import Notes
from service.layouts.opening import open_tables
from service.layouts.pseudonyms import Pseudonyms
from service.layouts.source import HeaderReader, Layout, Source
from service.tables.table import Row, Table


@dataclass(frozen=True, slots=True)
class DataSetPlace:
    """A data set, and where its parts lie."""

    layout: str

    place: Path
    """Its folder, or its table."""

    root: Path | None = None
    """The folder that image paths begin in; None for the data set's own."""

    tables: tuple[Path, ...] = ()
    """Its tables, where they are not in its folder."""

    skip_missing: bool = False
    """Whether rows whose image is not there are left out."""


@dataclass(frozen=True, slots=True)
class LayoutRows:
    """A data set as a manifest."""

    rows: list[Row]

    folder: Path
    """What the images' paths are relative to."""

    notes: tuple[str, ...]
    """What was decided or left out, a sentence each."""


def read_layout(
    data_set: DataSetPlace,
    *,
    roots: DataRoots = ANYWHERE,
    read_header: HeaderReader | None = None,
    pseudonyms: Pseudonyms | None = None,
    check_wanted: Callable[[], None] = lambda: None,
    names_files: bool = True,
) -> LayoutRows:
    """The rows of a data set, one for each image.

    read_header: reads DICOM headers, which some layouts need; None where no image may be opened.
    pseudonyms: replace identifiers. check_wanted: called from time to time; may raise to stop.
    names_files: whether notes name files that were left out, whose paths may say who somebody is.
    Raises InvalidInput for an unknown layout and for one that needs headers where none may be read; InvalidManifest
    naming table, row and column; FileOutOfReach.
    """
    layout = layout_named(data_set.layout, field="layout")
    if layout.needs_headers and read_header is None:
        raise _needs_headers(layout)

    place = data_set.place
    folder = place if place.is_dir() else place.parent
    root = (data_set.root or folder).absolute()
    if not root.is_dir():
        raise InvalidInput(
            "The root is not a folder.", field="root", value=root, remedy="Name the folder that the images are in."
        )

    notes = Notes(names_files=names_files)
    try:
        tables = open_tables(layout, place, data_set.tables, roots, LAYOUTS.values())
        images = ImageFolder(root, roots, notes)
        notes.say(f"Read as the layout {layout.name}.")
        source = Source(
            layout.name, place, images, tables, roots, notes, read_header, data_set.skip_missing, check_wanted
        )
        _note_tables(source)
        rows = [image.as_row(images, notes) for image in layout.read(source)]
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach("data set", error, field="manifest", value=place) from None
        raise InvalidManifest(
            f"The data set cannot be read: {error.strerror}.",
            field="manifest",
            value=place,
            remedy="Check its path and permissions.",
        ) from None

    if not rows:
        raise InvalidManifest(
            f"No image of {layout.title} is there.",
            field="manifest",
            value=place,
            remedy="Name the folder that the data set was unpacked in, and its images' folder as root.",
        )
    if pseudonyms is not None:
        rows = pseudonyms.replaced(rows, notes)
    return LayoutRows(rows, root, notes.all())


def as_table(read: LayoutRows) -> Table:
    """The rows of a data set as a manifest is read."""
    header = tuple(dict.fromkeys(name for row in read.rows for name in row))
    return Table(header, enumerate(read.rows, start=1), read.notes, ExitStack())


def _note_tables(source: Source) -> None:
    for tables in source.tables.values():
        for table in tables:
            source.notes.say(f"Read {table.path.name}.")
            for note in table.notes:
                source.notes.say(f"{table.path.name}: {note}")


def _needs_headers(layout: Layout) -> InvalidInput:
    return InvalidInput(
        f"The layout {layout.name} needs the headers of all images, which are not opened at registration.",
        field="layout",
        value=layout.name,
        remedy=f"Run `mammodissect manifest --from {layout.name} FOLDER -o manifest.jsonl` and register that file "
        "without a layout.",
    )
