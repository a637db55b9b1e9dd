"""The DICOM images below a folder, in order, by their headers."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from service.errors import InvalidManifest
from service.files import is_lasting
from service.layouts.source import ImageHeader, NoHeader, Source

MOST_FILES = 2_000_000


def dicom_images(folder: Path, source: Source) -> Iterator[tuple[Path, ImageHeader]]:
    """Every file below the folder with the header of a DICOM image, in the order of their paths.

    Links to folders are not followed. What is not an image is counted in the notes; a DICOM file that cannot be read,
    or that has the id of another image, is named there by its place in the root.
    """
    if source.read_header is None:
        raise ValueError("this layout needs a reader of headers")

    first_with_id: dict[str, int] = {}
    for number, path in enumerate(_files_below(folder), start=1):
        if number > MOST_FILES:
            raise InvalidManifest(
                f"The folder has more than {MOST_FILES:,} files.", field="manifest", remedy="Split the data set."
            )
        try:
            with source.roots.open(path) as file:
                header = source.read_header(_Bounded(file))  # type: ignore[arg-type]
        except NoHeader as error:
            _note(source, path, error)
            continue
        except OSError as error:
            if not is_lasting(error):
                raise
            _note(source, path, NoHeader(f"cannot be opened ({error.strerror})", is_dicom=True))
            continue

        if header.image_id is not None:
            first = first_with_id.setdefault(header.image_id, number)
            if first != number:
                source.notes.name("has the SOPInstanceUID of an earlier file", source.images.written(path))
                continue
        yield path, header


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


class _Bounded:
    """A file of which no read gives more than a header's element may have, whatever length it claims."""

    _MOST = 16 << 20

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. Raises NoHeader for more at once than any element of a header needs."""
        if size > self._MOST:
            raise NoHeader("has an element in its header that is longer than 16 MiB", is_dicom=True)
        return self._file.read(self._MOST if size < 0 else size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The present place."""
        return self._file.tell()


def _note(source: Source, path: Path, error: NoHeader) -> None:
    if error.is_dicom:
        source.notes.name(error.reason, source.images.written(path))
    else:
        source.notes.tally(f"file(s) were passed over, because each {error.reason}")
