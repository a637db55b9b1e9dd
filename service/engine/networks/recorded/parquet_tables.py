"""Tables in parquet files: columns keep their types, and a column of lists of numbers is a layer."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.engine.networks.recorded.collecting import Collector
from service.engine.networks.recorded.columns import sort_columns
from service.engine.networks.recorded.faults import WrongTable, bad_cell, no_number, other_length
from service.engine.networks.recorded.lists import UnitColumn, with_units_of_lists
from service.engine.networks.recorded.table import RecordedTable, check_size

MAGIC = b"PAR1"
_MOST_SCHEMA_BYTES = 16 << 20
_MOST_ROW_GROUP_BYTES = 2 << 30
_NUMBERS_AT_ONCE = 1 << 20
_WRITE_AGAIN = "Write it again, or fetch it again."


def read_parquet(file: BinaryIO) -> RecordedTable:
    """The table of a parquet file. Raises WrongTable."""
    import pyarrow as pa

    try:
        return _read(file)
    except (pa.ArrowException, NotImplementedError, ValueError, OverflowError) as error:
        raise _damaged() from error
    except OSError as error:
        if error.errno is not None:
            raise
        # Without a number of the system it is Arrow that cannot unpack what it has read.
        raise _damaged() from error


def _read(file: BinaryIO) -> RecordedTable:
    import pyarrow as pa

    source = _opened(file, [])
    _check_metadata(source.metadata)
    types = {field.name: field.type for field in source.schema_arrow}
    if len(types) != len(source.schema_arrow.names):
        raise WrongTable("The table has two columns of one name.", "Name each column once.")

    columns = sort_columns(list(types), lambda name: _is_text(types[name]))
    for name in columns.units:
        _check_type(name, types[name])
    names = [column.name for column in columns.names]
    for name in names:
        _check_names(name, types[name])

    # A dictionary stays one: a short file can stand for many copies of a long text.
    source = _opened(file, [name for name in names if pa.types.is_string(types[name])])
    units = _widths(source, columns.units, types)
    flat = with_units_of_lists(columns, units)
    collector = Collector(flat)

    at_once = max(1, _NUMBERS_AT_ONCE // len(flat.units))
    wanted = [*names, *columns.units]
    for batch in source.iter_batches(batch_size=at_once, columns=wanted, use_threads=False):
        texts = [_texts(batch.column(name)) for name in names]
        numbers = np.empty((batch.num_rows, len(flat.units)), np.float64)
        start = 0
        for unit in units:
            width = unit.width or 1
            numbers[:, start : start + width] = _numbers(batch.column(unit.name), unit, collector.rows)
            start += width
        collector.take(texts, numbers)
    return collector.table(file_format="parquet", decided=())


def _opened(file: BinaryIO, dictionaries: Sequence[str]) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(
        file,
        read_dictionary=list(dictionaries),
        thrift_string_size_limit=_MOST_SCHEMA_BYTES,
        thrift_container_size_limit=1_000_000,
        page_checksum_verification=True,
    )


def _check_metadata(metadata: Any) -> None:
    sizes = [metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)]
    if any(size < 0 for size in sizes):
        raise _damaged()
    if any(size > _MOST_ROW_GROUP_BYTES for size in sizes):
        raise WrongTable(
            "A row group of the table has more than 2 GB.", "Write it with smaller row groups, of 10,000 rows or so."
        )
    check_size(metadata.num_rows, 1)


def _check_type(name: str, kind: Any) -> None:
    if _is_number(kind) or (_is_list(kind) and _is_number(kind.value_type)):
        return
    raise WrongTable(
        f"The column '{name[:120]}' of the table has the type {str(kind)[:60]}, not numbers.",
        "Delete the column if it is not a unit; else write it as float32.",
        value=f"column '{name[:120]}'",
    )


def _check_names(name: str, kind: Any) -> None:
    import pyarrow as pa

    if pa.types.is_nested(kind):
        raise WrongTable(
            f"The column '{name[:120]}' of the table has the type {str(kind)[:60]}; it cannot name images.",
            "Write the images' paths, file names or ids as texts, one for each row.",
            value=f"column '{name[:120]}'",
        )


def _widths(source: Any, names: Sequence[str], types: dict[str, Any]) -> list[UnitColumn]:
    """Each column with the length of its lists: as its type says, else that of its first list."""
    import pyarrow as pa

    unknown = [name for name in names if _is_list(types[name]) and not pa.types.is_fixed_size_list(types[name])]
    widths: dict[str, int | None] = {
        name: types[name].list_size if pa.types.is_fixed_size_list(types[name]) else None for name in names
    }
    first = next(source.iter_batches(batch_size=1, columns=unknown, use_threads=False), None) if unknown else None
    for name in unknown:
        value = None if first is None or not first.num_rows else first.column(name)[0].as_py()
        widths[name] = len(value or ())

    return [UnitColumn(name, width) for name, width in widths.items()]


def _texts(column: Any) -> list[str]:
    return [_text(value).strip() for value in column.to_pylist()]


def _text(value: object) -> str:
    if value is None:
        return ""
    # Spark and others write texts without saying that they are.
    return value.decode() if isinstance(value, bytes) else str(value)


def _numbers(column: Any, unit: UnitColumn, done: int) -> NDArray[np.float64]:
    """float64 [rows, numbers of the unit's column]."""
    import pyarrow as pa

    if column.null_count:
        row = int(np.asarray(column.is_null()).argmax())
        raise no_number(done + row + 1, unit.name, "")
    if unit.width is None:
        return _as_floats(column)[:, None]

    if not pa.types.is_fixed_size_list(column.type):
        lengths = np.diff(np.asarray(column.offsets))
        wrong = (lengths != unit.width).nonzero()[0]
        if len(wrong):
            row = int(wrong[0])
            raise other_length(done + row + 1, unit.name, int(lengths[row]), unit.width)

    flat = column.flatten()
    if flat.null_count:
        row = int(np.asarray(flat.is_null()).argmax()) // unit.width
        raise bad_cell(done + row + 1, unit.name, "has nothing in a list", "Write a number for every image and unit.")
    return _as_floats(flat).reshape(-1, unit.width)


def _as_floats(column: Any) -> NDArray[np.float64]:
    import pyarrow as pa

    narrow = column.cast(pa.float32()) if pa.types.is_float16(column.type) else column
    if pa.types.is_boolean(column.type):
        narrow = column.cast(pa.int8())
    floats: NDArray[np.float64] = narrow.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return floats


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    is_dictionary = pa.types.is_dictionary(kind)
    value = kind.value_type if is_dictionary else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value))


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return any(check(kind) for check in (types.is_floating, types.is_integer, types.is_boolean, types.is_decimal))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return any(check(kind) for check in (types.is_list, types.is_large_list, types.is_fixed_size_list))


def _damaged() -> WrongTable:
    return WrongTable("The table is damaged, or is not a parquet file.", _WRITE_AGAIN)
