"""The DICOM images below a folder, in order, by their headers."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from service.errors import InvalidManifest, storable
from service.files import is_lasting
from service.layouts.source import ImageHeader, NoHeader, Source

MOST_FILES = 2_000_000

_THREADS = 4
_AT_ONCE = 256
"""Files whose headers are asked for together."""


def dicom_images(folder: Path, source: Source) -> Iterator[tuple[Path, ImageHeader]]:
    """Every file below the folder with the header of a DICOM image, in the order of their paths.

    Links to folders are not followed. What is not an image is counted in the notes; a DICOM file that cannot be read,
    or that has the id of another image, is named there by its place in the root.
    """
    first_with_id: dict[str, int] = {}
    for number, (path, header) in enumerate(_headers(folder, source), start=1):
        source.check_wanted()
        if number > MOST_FILES:
            raise InvalidManifest(
                f"The folder has more than {MOST_FILES:,} files.", field="manifest", remedy="Split the data set."
            )
        if isinstance(header, NoHeader):
            _note(source, path, header)
            continue

        if header.image_id is not None:
            first = first_with_id.setdefault(header.image_id, number)
            if first != number:
                source.notes.name("has the SOPInstanceUID of an earlier file", source.images.written(path))
                continue
        yield path, header


def _headers(folder: Path, source: Source) -> Iterator[tuple[Path, ImageHeader | NoHeader]]:
    """Every file below the folder and its header, several read at a time, in the order of their paths."""
    files = _files_below(folder)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="header") as threads:
        while paths := list(islice(files, _AT_ONCE)):
            yield from zip(paths, threads.map(partial(_header_of, source), paths), strict=True)


def _header_of(source: Source, path: Path) -> ImageHeader | NoHeader:
    """Raises the OSError of a disk or machine that fails."""
    if source.read_header is None:
        raise ValueError("this layout needs a reader of headers")

    written = source.images.written(path)
    if storable(written) != written:
        return NoHeader("has a name that is not UTF-8", is_dicom=False)
    try:
        with source.roots.open(path) as file:
            return source.read_header(file)
    except NoHeader as error:
        return error
    except OSError as error:
        if not is_lasting(error):
            raise
        return NoHeader(f"cannot be opened ({error.strerror})", is_dicom=True)


def _files_below(folder: Path) -> Iterator[Path]:
    """All files, depth first, in the order of their names."""
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            if not is_lasting(error) or place == folder:
                raise
            continue

        yield from (Path(entry.path) for entry in entries if not entry.is_dir(follow_symlinks=False))
        waiting += [Path(entry.path) for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]


def _note(source: Source, path: Path, error: NoHeader) -> None:
    if error.is_dicom:
        source.notes.name(error.reason, source.images.written(path))
    else:
        source.notes.tally(f"file(s) were passed over, because each {error.reason}")
