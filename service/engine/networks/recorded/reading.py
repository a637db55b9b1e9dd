"""Opening a table: which format it has its content says, and its digest is that of the bytes that were read."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from service.domain.digests import digest_of_open_file
from service.domain.table_targets import ids_beside
from service.engine.networks.opening import errors_of_system
from service.engine.networks.recorded.arrays import DAMAGED_ARCHIVE, NPY_MAGIC, read_archive, read_array
from service.engine.networks.recorded.columns import NameColumn
from service.engine.networks.recorded.faults import WrongTable
from service.engine.networks.recorded.parquet_tables import MAGIC as PARQUET_MAGIC
from service.engine.networks.recorded.parquet_tables import read_parquet
from service.engine.networks.recorded.table import Names, RecordedTable
from service.engine.networks.recorded.text_tables import read_names, read_rows
from service.errors import DigestMismatch
from service.files import DataRoots, FileVersion, WrittenMeanwhile

_ZIP = b"PK\x03\x04"
_WORKBOOK = "xl/workbook.xml"
_NO_TABLES = {
    b"\x80": "a Python pickle, which runs code when it is opened",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file",
    b"ARROW1": "an Arrow file",
}
_FORMATS = "a .csv, .tsv, .json, .jsonl, .xlsx, .parquet, .npy or .npz file"


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A table and the digests of what it was read from."""

    table: RecordedTable
    sha256: str

    ids_digest: str | None
    """Of the file with the names of its rows, where that is another one."""


def read_recorded(
    path: Path, *, sha256: str | None = None, ids_digest: str | None = None, roots: DataRoots
) -> RecordedFile:
    """Read a table and check all of it.

    sha256, ids_digest: the digests that the file, and the one beside it that names its rows, must have.
    Raises InvalidCheckpoint, UnsafeCheckpoint, DigestMismatch, FileOutOfReach.
    """
    with _blaming(path), roots.open(path) as file, _digested(file) as digest:
        if sha256 is not None:
            _check_digest("table", sha256, digest, path)
        table, ids = _read(file, path, roots)

    if ids_digest is not None:
        _check_digest("file with the names of the table's rows", ids_digest, ids, path)
    return RecordedFile(table, digest, ids)


def _read(file: BinaryIO, path: Path, roots: DataRoots) -> tuple[RecordedTable, str | None]:
    head = file.read(16)
    file.seek(0)
    for magic, what in _NO_TABLES.items():
        if head.startswith(magic):
            raise WrongTable(f"The file is {what}; it is not a table.", f"Save its numbers as {_FORMATS}.")

    if head.startswith(NPY_MAGIC):
        names, digest = _names_beside(path, roots)
        return read_array(file, names, os.fstat(file.fileno()).st_size), digest
    if head.startswith(PARQUET_MAGIC):
        return read_parquet(file), None
    if head.startswith(_ZIP):
        return _read_zip(file), None
    return read_rows(file, _ending_of(head, path)), None


def _read_zip(file: BinaryIO) -> RecordedTable:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if _WORKBOOK in names:
                return read_rows(file, ".xlsx")
            if names and all(name.endswith(".npy") for name in names):
                return read_archive(archive)
    except DAMAGED_ARCHIVE as error:
        raise WrongTable(
            "The file is damaged: it begins as an archive and cannot be read.", "Fetch it again."
        ) from error
    raise WrongTable(
        "The file is an archive, but neither one of arrays (.npz) nor a workbook (.xlsx).",
        f"Give {_FORMATS}. Weights of a network are registered with the architecture that they belong to.",
    )


def _ending_of(head: bytes, path: Path) -> str:
    """What the format of a text would be called; fetched files have no names."""
    ending = path.suffix.lower()
    if ending in {".csv", ".tsv", ".txt", ".json", ".jsonl"}:
        return ending
    first = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")[:1]
    return {"[": ".json", "{": ".jsonl"}.get(first, ".csv")


def _names_beside(path: Path, roots: DataRoots) -> tuple[Names, str]:
    """The names of an array's rows, and the digest of the file that has them."""
    beside = ids_beside(path)
    there = [place for place in beside if place.is_file()]
    if len(there) != 1:
        which = "several files name its rows" if there else "no file beside it names its rows"
        expected = " or ".join(place.name for place in beside) or "a file beside it"
        raise WrongTable(
            f"The table is an array without texts, and {which}.",
            f"Put {expected} there, with the path, file name or id of one image a line, in the order of the rows; "
            "or save both in one file: np.savez('table.npz', image=np.array(paths, dtype=str), table=activations).",
        )

    [place] = there
    with roots.open(place) as file, _digested(file) as digest:
        column, values = read_names(file, place.suffix.lower())
    return Names(NameColumn(place.name, column), values), digest


@contextmanager
def _digested(file: BinaryIO) -> Iterator[str]:
    """The digest of an open file that is read inside. Raises WrittenMeanwhile where these may be other bytes."""
    before = FileVersion.of(file)
    yield digest_of_open_file(file)
    if FileVersion.of(file).content != before.content:
        raise WrittenMeanwhile


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Errors of the system and of the table become ours, about that file."""
    with errors_of_system(path, "table"):
        try:
            yield
        except WrongTable as fault:
            raise fault.as_error(path) from fault


def _check_digest(noun: str, promised: str, digest: str | None, path: Path) -> None:
    if promised.lower() == digest:
        return
    what = "is not there" if digest is None else f"has the SHA-256 {digest}"
    raise DigestMismatch(
        f"The {noun} {what}; the expected SHA-256 is {promised}.",
        field="checkpoint",
        value=path,
        remedy="Put the registered files back, or register the table again: it becomes a new version.",
    )
