"""Tables in parquet files, a batch of rows at a time."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from service.files import is_lasting
from service.tables import table
from service.tables.cells import text_of_value
from service.tables.parquet_pages import MOST_PAGE_BYTES, PagesOfGroup, pages_of_groups
from service.tables.table import Complaints, RawTable, Row
from service.tables.value_lengths import is_measurable, longest_value

_BATCH = 4_096
_BATCH_OF_PREFIXES = 16
_MAX_SCHEMA_BYTES = 16 << 20
_MAX_SCHEMA_ENTRIES = 1_000_000
_MAX_GROUPS = 20_000
_MAX_VALUES = 100_000_000
_MAX_PYTHON_BYTES = 64 << 20
_DAMAGED = "is damaged, or is not a parquet file"
_WRITE_AGAIN = "Write it again, or save it as .csv."


def parquet_table(file: BinaryIO, complaints: Complaints) -> RawTable:
    """The rows of a parquet file: what is null or NaN is absent, and columns that a writer adds as an index stay."""
    with _damage_told(complaints):
        source = _opened(file)
        _check_size(source.metadata, complaints)
        pages = pages_of_groups(file)
        if len(pages) != source.metadata.num_row_groups:
            raise complaints.table(_DAMAGED, _WRITE_AGAIN)
        _check_pages(pages, complaints)
        groups = _Groups.of(file, source, pages)
        schema = source.schema_arrow

    header = [name.strip() for name in schema.names]
    complaints.check_names(header)
    for name, kind in zip(header, schema.types, strict=True):
        if not is_measurable(kind):
            what = f"has the column '{name[:60]}', whose values are of the type {str(kind)[:60]}"
            raise complaints.header(what, "Write texts, numbers, dates, or lists of these.", name)
    return RawTable(tuple(header), _rows(groups, header, complaints))


def _opened(file: BinaryIO, dictionaries: Sequence[str] = ()) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(
        file,
        read_dictionary=list(dictionaries),
        thrift_string_size_limit=_MAX_SCHEMA_BYTES,
        thrift_container_size_limit=_MAX_SCHEMA_ENTRIES,
        page_checksum_verification=True,
    )


def _check_size(metadata: Any, complaints: Complaints) -> None:
    """Raise where the file says that it becomes too large."""
    if metadata.num_row_groups > _MAX_GROUPS:
        what = f"has {metadata.num_row_groups:,} row groups; {_MAX_GROUPS:,} are the limit"
        raise complaints.table(what, _WRITE_AGAIN)

    sizes = [metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)]
    if sum(sizes) > table.MAX_BYTES or min(sizes, default=0) < 0:
        raise complaints.file_too_large()
    if metadata.num_rows > table.MAX_ROWS:
        raise complaints.table(
            f"has {metadata.num_rows:,} rows; {table.MAX_ROWS:,} are the limit", "Split it, and use one part at a time."
        )


def _check_pages(pages: Sequence[PagesOfGroup], complaints: Complaints) -> None:
    """Raise where pages become larger than the file says."""
    if max((group.largest for group in pages), default=0) > MOST_PAGE_BYTES:
        what = f"has a page that becomes larger than {MOST_PAGE_BYTES >> 20} MiB when it is unpacked"
        raise complaints.table(what, "Write it again with smaller pages, or save it as .csv.")
    most_values = max((group.values for group in pages), default=0)
    if sum(group.bytes for group in pages) > table.MAX_BYTES or most_values > _MAX_VALUES:
        raise complaints.file_too_large()


@dataclass(frozen=True, slots=True)
class _Groups:
    """The file twice: a short file can stand for many copies of a long text, by its dictionary of texts."""

    pages: Sequence[PagesOfGroup]

    with_dictionaries: Any
    """Leaves all dictionaries as they are, so that it shows how long their texts are."""

    plain: Any
    """Leaves only those in lists: others would grow from batch to batch where texts are not a dictionary."""

    @classmethod
    def of(cls, file: BinaryIO, source: Any, pages: Sequence[PagesOfGroup]) -> "_Groups":
        leaves = [source.schema.column(index) for index in range(len(source.schema))]
        texts = [leaf for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        in_lists = [leaf.path for leaf in texts if leaf.max_repetition_level]
        return cls(pages, _opened(file, [leaf.path for leaf in texts]), _opened(file, in_lists))

    def batches(self, complaints: Complaints) -> Iterator[Any]:
        """Batches of rows, short ones where rows may be long."""
        for group, pages in enumerate(self.pages):
            # Arrow does not give values that share beginnings as dictionaries.
            source = self.plain if pages.shares_prefixes else self.with_dictionaries
            first = next(source.iter_batches(batch_size=1, row_groups=[group], use_threads=False), None)
            if first is None:
                continue

            size = _rows_at_once(first, complaints)
            if pages.shares_prefixes:  # any of them may be as long as a page, whatever the first one is
                size = min(size, max(1, table.MAX_BYTES // max(pages.largest, 1)), _BATCH_OF_PREFIXES)
            for batch in self.plain.iter_batches(batch_size=size, row_groups=[group], use_threads=False):
                step = _rows_at_once(batch, complaints)
                yield from (batch.slice(start, step) for start in range(0, batch.num_rows, step))


def _rows(groups: _Groups, header: list[str], complaints: Complaints) -> Iterator[Row]:
    with _damage_told(complaints):
        for batch in groups.batches(complaints):
            columns = [_values(column, name, complaints) for column, name in zip(batch.columns, header, strict=True)]
            for values in zip(*columns, strict=True):
                yield _row(header, values, complaints)


def _values(column: Any, name: str, complaints: Complaints) -> list[object]:
    try:
        values: list[object] = column.to_pylist()
    except OverflowError:  # Python's dates end in the year 9999
        what = f"has the column '{name[:60]}', which holds a date or time out of range"
        raise complaints.header(what, "Correct it, or write it as text.", name) from None
    return values


@contextmanager
def _damage_told(complaints: Complaints) -> Iterator[None]:
    """Whatever Arrow raises inside means that the file is damaged, unless the disk or the machine fails."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, NotImplementedError):
        raise complaints.table(_DAMAGED, _WRITE_AGAIN) from None
    except OSError as error:
        if not is_lasting(error):
            raise
        raise complaints.table(_DAMAGED, _WRITE_AGAIN) from None


def _rows_at_once(batch: Any, complaints: Complaints) -> int:
    """How many rows become Python's texts at a time: few where they may be long."""
    longest = sum(map(longest_value, batch.columns))
    if longest > _MAX_PYTHON_BYTES:
        raise complaints.row_too_long()
    return max(1, min(_BATCH, _MAX_PYTHON_BYTES // max(longest, 1)))


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
