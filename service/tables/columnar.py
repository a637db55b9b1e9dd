"""Tables in parquet files, a batch of rows at a time."""

import math
from collections.abc import Iterator
from typing import Any, BinaryIO

from service.tables import table
from service.tables.cells import text_of_value
from service.tables.table import Complaints, RawTable, Row

_BATCH = 4_096
_MAX_SCHEMA_BYTES = 16 << 20
_DAMAGED = "is damaged, or is no parquet file"
_WRITE_AGAIN = "Write it again, or save it as .csv."


def parquet_table(file: BinaryIO, complaints: Complaints) -> RawTable:
    """The rows of a parquet file: what is null or NaN is absent, and columns that a writer adds as an index stay."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        source = parquet.ParquetFile(
            file,
            thrift_string_size_limit=_MAX_SCHEMA_BYTES,
            thrift_container_size_limit=1_000_000,
            page_checksum_verification=True,
        )
        _check_size(source.metadata, complaints)
        names = source.schema_arrow.names
        texts = [field.name for field in source.schema_arrow if pa.types.is_string(field.type)]
        # A dictionary stays one: a short file can stand for many copies of a long text.
        source = parquet.ParquetFile(file, read_dictionary=texts, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError, NotImplementedError):
        raise complaints.table(_DAMAGED, _WRITE_AGAIN) from None

    header = [name.strip() for name in names]
    complaints.check_names(header)
    return RawTable(tuple(header), _rows(source, header, complaints))


def _check_size(metadata: Any, complaints: Complaints) -> None:
    """Row groups are read whole, and say how many bytes they become."""
    groups = [metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)]
    if sum(groups) > table.MAX_BYTES or any(size < 0 for size in groups):
        raise complaints.file_too_large()
    if metadata.num_rows > table.MAX_ROWS:
        raise complaints.table(
            f"has {metadata.num_rows:,} rows; {table.MAX_ROWS:,} are the limit", "Split it, and use one part at a time."
        )


def _rows(source: Any, header: list[str], complaints: Complaints) -> Iterator[Row]:
    import pyarrow as pa

    try:
        for batch in source.iter_batches(batch_size=_BATCH, use_threads=False):
            columns = [column.to_pylist() for column in batch.columns]
            for values in zip(*columns, strict=True):
                yield _row(header, values, complaints)
    except (pa.ArrowException, UnicodeDecodeError, NotImplementedError):
        raise complaints.table(_DAMAGED, _WRITE_AGAIN) from None


def _row(header: list[str], values: tuple[object, ...], complaints: Complaints) -> Row:
    row = {}
    characters = 0
    for name, value in zip(header, values, strict=True):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        row[name] = text_of_value(value, name, complaints)
        characters += len(row[name])

    if characters > table.MAX_ROW_CHARACTERS:
        raise complaints.row_too_long()
    return row
