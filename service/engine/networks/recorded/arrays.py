"""Tables as NumPy writes them: one array with its images' names beside it, or several arrays in an archive.

Arrays are read by their headers, which are looked at before anything is allocated. Nothing pickled is read.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tokenize import TokenError
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.engine.networks.recorded.collecting import Collector
from service.engine.networks.recorded.columns import MOST_COLUMNS, Columns, NameColumn, checked_layer, kind_of
from service.engine.networks.recorded.faults import WrongTable
from service.engine.networks.recorded.table import (
    MOST_NAME_CHARACTERS,
    MOST_ROWS,
    Names,
    RecordedTable,
    check_names,
    check_size,
)

NPY_MAGIC = npy.MAGIC_PREFIX
DAMAGED_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What Python raises for an archive that is not what its directory says, or is encrypted."""

_PACKED_BY_NUMPY = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_BYTES_AT_ONCE = 1 << 24
_MOST_BYTES_OF_NAMES = 2 << 30
_LONGEST_HEADER = 10_000
"""Bytes, as NumPy has it; it looks only after it has read and decoded as many as the file claims."""

_MOST_ARRAYS = 4096
_PICKLED = "np.save('table.npy', np.asarray(array, dtype='float32'), allow_pickle=False)"


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What an array says of itself."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]

    @property
    def is_numbers(self) -> bool:
        """Has it real numbers?"""
        return self.dtype.kind in "fiub"

    @property
    def is_text(self) -> bool:
        """Has it texts, each as long as the longest?"""
        return self.dtype.kind in "US"

    @property
    def rows(self) -> int:
        """Its first axis."""
        return self.shape[0] if self.shape else 0

    @property
    def units(self) -> int:
        """Its second axis; an array of one axis has one unit."""
        return self.shape[1] if len(self.shape) == 2 else 1


def read_array(file: BinaryIO, names: Names, size: int) -> RecordedTable:
    """The table of a .npy file and its rows' names. size: of the file. Raises WrongTable."""
    header = _header(file, "The array")
    _check_numbers(header, "The array")
    if file.tell() + _bytes_of(header) != size:
        raise _damaged("The array")
    _check_count(names.values, header.rows, names.column.name)

    units = [str(unit) for unit in range(header.units)]
    collector = Collector(Columns((names.column,), tuple(units), ()))
    for first, numbers in _pieces(file, header):
        collector.take([names.values[first : first + len(numbers)]], numbers)
    return collector.table(file_format="npy", decided=())


def read_archive(archive: zipfile.ZipFile) -> RecordedTable:
    """The table of a .npz file: an array of texts names the images, each array of numbers is a layer.

    Raises WrongTable.
    """
    headers = _headers(archive)
    names = _names_in(archive, headers)
    layers = {name: header for name, header in headers.items() if header.is_numbers and kind_of(name) is None}
    if not layers:
        raise WrongTable(
            "The archive has no array of numbers.", "Save it with np.savez(path, image=paths, table=activations)."
        )

    units: list[str] = []
    for name, header in layers.items():
        _check_numbers(header, f"The array '{name[:120]}'")
        _check_count(names.values, header.rows, names.column.name)
        layer = checked_layer(name, name)
        units += [f"{layer}/{unit}" for unit in range(header.units)]
        check_size(header.rows, len(units))

    left_out = [name for name in headers if name not in layers and name != names.column.name]
    collector = Collector(Columns((names.column,), tuple(units), tuple(left_out)))
    whole = np.empty((len(names.values), len(units)), np.float32)
    start = 0
    for name, header in layers.items():
        with archive.open(f"{name}.npy") as member:
            _header(member, name)
            for first, numbers in _pieces(member, header):
                with np.errstate(over="ignore"):
                    whole[first : first + len(numbers), start : start + header.units] = numbers
        start += header.units
    collector.take([names.values], whole)
    return collector.table(file_format="npz", decided=())


def _headers(archive: zipfile.ZipFile) -> dict[str, ArrayHeader]:
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) > _MOST_ARRAYS:
        raise WrongTable(f"The archive has {len(members):,} arrays.", "Save one array for each layer.")

    headers = {}
    for info in members:
        name = info.filename.removesuffix(".npy")
        if info.compress_type not in _PACKED_BY_NUMPY:
            raise _damaged(f"The array '{name[:120]}'")
        with archive.open(info) as member:
            header = _header(member, f"The array '{name[:120]}'")
            place = member.tell()
        if place + _bytes_of(header) != info.file_size or name in headers:
            raise _damaged(f"The array '{name[:120]}'")
        headers[name] = header
    return headers


def _names_in(archive: zipfile.ZipFile, headers: dict[str, ArrayHeader]) -> Names:
    texts = [name for name, header in headers.items() if header.is_text]
    known = [name for name in headers if kind_of(name) is not None]
    chosen = known or texts
    # Paths go before ids, as in other tables.
    chosen.sort(key=lambda name: kind_of(name) != "image")
    if not chosen or (not known and len(texts) > 1):
        raise WrongTable(
            "No array of the archive is known to name the images.",
            "Save it with an array of texts called `image` (paths or file names) or `image_id`: "
            "np.savez(path, image=np.array(paths, dtype=str), table=activations).",
        )

    name = chosen[0]
    header = headers[name]
    whose = f"The array '{name[:120]}'"
    if len(header.shape) != 1 or not (header.is_text or header.dtype.kind in "iu"):
        raise WrongTable(
            f"{whose} is of the type {header.dtype} and has the shape {list(header.shape)}; it cannot name images.",
            "Save the images' paths or ids as np.array(paths, dtype=str), one for each row.",
        )
    is_too_long = header.dtype.itemsize > 4 * MOST_NAME_CHARACTERS or _bytes_of(header) > _MOST_BYTES_OF_NAMES
    if header.rows > MOST_ROWS or is_too_long:
        raise WrongTable(f"{whose} is larger than names are.", "Save one path, file name or id for each row.")

    with archive.open(f"{name}.npy") as member:
        _header(member, whose)
        values = np.frombuffer(_read_exactly(member, _bytes_of(header), whose), header.dtype)
    column = NameColumn(name, kind_of(name) or "image")
    return Names(column, tuple(_as_texts(values, whose)))


def _as_texts(values: NDArray[Any], whose: str) -> Iterator[str]:
    try:
        for value in values.tolist():
            text = value.decode() if isinstance(value, bytes) else str(value)
            yield text.strip()
    except ValueError:  # of bytes that are not UTF-8, or of numbers that are no characters
        raise WrongTable(f"{whose} is not valid text.", "Save it as np.array(paths, dtype=str).") from None


def _header(file: BinaryIO | IO[bytes], whose: str) -> ArrayHeader:
    try:
        version = npy.read_magic(file)
        read, digits = (npy.read_array_header_1_0, 2) if version == (1, 0) else (npy.read_array_header_2_0, 4)
        start = file.tell()
        if int.from_bytes(file.read(digits), "little") > _LONGEST_HEADER:
            raise _damaged(whose)

        file.seek(start)
        shape, is_fortran, dtype = read(file)
    except (ValueError, TypeError, SyntaxError, TokenError, OverflowError, MemoryError, RecursionError):
        raise _damaged(whose) from None

    if dtype.hasobject:
        raise WrongTable(
            f"{whose} holds Python objects, which NumPy pickles: reading them would run code.",
            f"Save numbers or texts alone: {_PICKLED}.",
        )
    if any(size < 0 for size in shape) or not dtype.itemsize:
        raise _damaged(whose)
    return ArrayHeader(tuple(int(size) for size in shape), bool(is_fortran), dtype)


def _check_numbers(header: ArrayHeader, whose: str) -> None:
    if not header.is_numbers:
        raise WrongTable(f"{whose} is of the type {header.dtype}, not real numbers.", f"Save {_PICKLED}.")
    if len(header.shape) not in {1, 2}:
        raise WrongTable(
            f"{whose} has the shape {list(header.shape)}, not [images, units].",
            "Pool it before it is saved, for example array.mean(axis=(2, 3)) of [images, units, height, width].",
        )
    if 0 in header.shape:
        raise WrongTable(f"{whose} is empty: its shape is {list(header.shape)}.", "Save a row for each image.")
    if header.units > MOST_COLUMNS:
        raise WrongTable(f"{whose} has {header.units:,} units.", f"Keep to {MOST_COLUMNS:,} units a table.")
    check_size(header.rows, header.units)


def _check_count(names: Sequence[str], rows: int, named_by: str) -> None:
    if len(names) != rows:
        raise WrongTable(
            f"'{named_by[:120]}' names {len(names):,} images, but the array has {rows:,} rows.",
            "Write one name for each row, in the order of the rows.",
            value=f"{len(names)} names, {rows} rows",
        )
    check_names(named_by, names)


def _pieces(file: BinaryIO | IO[bytes], header: ArrayHeader) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """An array from the place where its header ends, some rows at a time, as float32 [rows, units]."""
    if header.is_fortran and len(header.shape) == 2:
        yield 0, _by_columns(file, header)
        return

    row_bytes = header.units * header.dtype.itemsize
    at_once = max(1, _BYTES_AT_ONCE // row_bytes)
    for first in range(0, header.rows, at_once):
        count = min(at_once, header.rows - first)
        values = np.frombuffer(_read_exactly(file, count * row_bytes, "The array"), header.dtype)
        yield first, _narrow(values.reshape(count, header.units))


def _by_columns(file: BinaryIO | IO[bytes], header: ArrayHeader) -> NDArray[np.float32]:
    whole = np.empty((header.rows, header.units), np.float32)
    for unit in range(header.units):
        column = _read_exactly(file, header.rows * header.dtype.itemsize, "The array")
        whole[:, unit] = _narrow(np.frombuffer(column, header.dtype))
    return whole


def _narrow(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _read_exactly(file: BinaryIO | IO[bytes], size: int, whose: str) -> bytes:
    try:
        content = file.read(size)
    except DAMAGED_ARCHIVE:
        raise _damaged(whose) from None
    if len(content) != size:
        raise _damaged(whose)
    return content


def _bytes_of(header: ArrayHeader) -> int:
    count = 1
    for size in header.shape:
        count *= size
    return count * header.dtype.itemsize


def _damaged(whose: str) -> WrongTable:
    return WrongTable(f"{whose} is damaged, or is not one that NumPy wrote.", "Save it again, or fetch it again.")
