"""Headers that were read already, so that a listing of many images goes on where a lost worker stopped."""

import gzip
import json
from collections.abc import Callable, Iterable
from threading import Lock
from typing import BinaryIO

from service.files import FileVersion
from service.layouts.pseudonyms import Pseudonym, Pseudonyms
from service.layouts.source import HeaderReader, ImageHeader, NoHeader

AT_ONCE = 4_096
"""Headers that are kept together."""


class RememberedHeaders:
    """Reads headers, but for those of files that were read before and have not changed since.

    Files are known by device, inode, size and times, never by name. Ids of headers are kept as pseudonyms wherever
    there is a key. Safe to use from several threads.

    keep: is given the headers that were read since it was called last, AT_ONCE of them; see `keep_read`.
    """

    def __init__(
        self,
        read_header: HeaderReader,
        pseudonyms: Pseudonyms | None,
        kept: Iterable[bytes],
        keep: Callable[[bytes], None],
    ) -> None:
        self._read_header = read_header
        self._pseudonyms = pseudonyms
        self._keep = keep
        self._known: dict[str, list[object]] = {}
        for part in kept:
            self._known |= json.loads(gzip.decompress(part))
        self._new: dict[str, list[object]] = {}
        self._lock = Lock()

    def __call__(self, file: BinaryIO) -> ImageHeader:
        """See `HeaderReader`."""
        version = "/".join(map(str, FileVersion.of(file)))
        entry = self._known.get(version)
        if entry is None:
            entry = self._read(file)
            with self._lock:
                self._new[version] = entry
        return self._decoded(entry)

    def keep_read(self) -> None:
        """Have headers kept, where there are enough new ones."""
        with self._lock:
            if len(self._new) < AT_ONCE:
                return
            new, self._new = self._new, {}
        self._keep(gzip.compress(json.dumps(new).encode(), mtime=0))

    def _read(self, file: BinaryIO) -> list[object]:
        try:
            header = self._read_header(file)
        except NoHeader as error:
            return [error.reason, error.is_dicom]
        if self._pseudonyms is not None:
            header = self._pseudonyms.of_header(header)
        return list(header)

    def _decoded(self, entry: list[object]) -> ImageHeader:
        """Raises NoHeader."""
        if len(entry) < len(ImageHeader._fields):
            raise NoHeader(str(entry[0]), is_dicom=bool(entry[1]))

        header = ImageHeader(*entry)  # type: ignore[arg-type]
        if self._pseudonyms is None:
            return header
        return header._replace(
            image_id=_as_pseudonym(header.image_id),
            exam_id=_as_pseudonym(header.exam_id),
            patient_id=_as_pseudonym(header.patient_id),
        )


def _as_pseudonym(identifier: str | None) -> str | None:
    return None if identifier is None else Pseudonym(identifier)
