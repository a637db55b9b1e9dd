"""Which row of a table is about which image of a probe set."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.probes import ProbeItem
from service.domain.table_targets import TableUse, without_patches
from service.engine.networks.recorded.table import Names, RecordedTable, plain_path
from service.errors import InvalidActivations

_ROWS_NAMED = 10
_NONE = -1


@dataclass(frozen=True, slots=True)
class Match:
    """The rows of a table by the items of a probe set."""

    way: str
    """What of the image was compared: `path`, `file name` or `image_id`."""

    column: str
    """What it was compared with."""

    rows: NDArray[np.int64]
    """The row of each item, -1 where there is none."""

    ambiguous: int
    """Items without a row whose file name others have, too."""

    @property
    def missing(self) -> NDArray[np.int64]:
        """Places of the items without a row."""
        places: NDArray[np.int64] = np.flatnonzero(self.rows == _NONE)
        return places

    def use_of(self, table: RecordedTable) -> TableUse:
        """What a manifest says of it."""
        used = len(np.unique(self.rows[self.rows != _NONE]))
        return TableUse(
            matched_by=self.way,
            named_by=self.column,
            images_without_row=len(self.missing),
            rows_unused=len(table.values) - used,
        )


def match_rows(table: RecordedTable, items: Sequence[ProbeItem]) -> Match:
    """Find the rows in the way that finds the most; of several, the first of path, file name and id.

    A path counts as the manifest writes it, or whole; a file name where no other image and no other row has it.
    Raises InvalidInput for patches, InvalidActivations where no item has a row.
    """
    if any(item.box is not None for item in items):
        raise without_patches("probe_set", "patches")

    best: Match | None = None
    for match in _matches(table, items):
        if best is None or len(match.missing) < len(best.missing):
            best = match
        if not len(best.missing):
            break

    assert best is not None  # noqa: S101 - a table without names is not read
    if len(best.missing) == len(items):
        columns = ", ".join(f"'{names.column.name}'" for names in table.names)
        raise InvalidActivations(
            f"No row of the table names an image of the probe set: {columns} was compared with the images' paths as "
            "the manifest writes them, file names and ids.",
            field="target",
            value=columns,
            remedy="Name the images in the table as the manifest does, and register it again; or choose the probe set "
            "that it was made from.",
        )
    return best


def check_all_have_rows(match: Match, items: Sequence[ProbeItem]) -> None:
    """Raise InvalidActivations for items without a row."""
    missing = match.missing
    if not len(missing):
        return

    rows = ", ".join(str(items[place].row) for place in missing[:_ROWS_NAMED])
    more = ", ..." if len(missing) > _ROWS_NAMED else ""
    shared = f" The file names of {match.ambiguous:,} of them stand for several images." if match.ambiguous else ""
    raise InvalidActivations(
        f"The table has no row for {len(missing):,} of {len(items):,} images: those of manifest rows {rows}{more}. "
        f"Rows were looked for by the images' {match.way}, as '{match.column}' has it.{shared}",
        field="target",
        value=f"manifest rows {rows}{more}",
        remedy="Add their rows to the table, named as the manifest writes the images, and register it again; or "
        "register the manifest with `on_unreadable` `skip`, which leaves such images out and counts them.",
    )


def _matches(table: RecordedTable, items: Sequence[ProbeItem]) -> Iterator[Match]:
    paths = [names for names in table.names if names.column.kind == "image"]
    ids = [names for names in table.names if names.column.kind == "image_id"]
    yield from (match for names in paths for match in (_by_path(names, items), _by_file_name(names, items)))
    yield from (_by_id(names, items) for names in (*ids, *paths))
    yield from (match for names in ids for match in (_by_path(names, items), _by_file_name(names, items)))


def _by_path(names: Names, items: Sequence[ProbeItem]) -> Match:
    row_of = {plain_path(name): row for row, name in enumerate(names.values)}
    rows = []
    for item in items:
        row = None if item.written is None else row_of.get(plain_path(item.written))
        rows.append(row_of.get(str(item.path), _NONE) if row is None else row)
    return _match("path", names, _of_one_item(rows))


def _by_file_name(names: Names, items: Sequence[ProbeItem]) -> Match:
    files = [_file_name(name) for name in names.values]
    times = Counter(files)
    row_of = {file: row for row, file in enumerate(files) if times[file] == 1}

    items_of = Counter(item.path.name for item in items)
    rows = [row_of.get(item.path.name, _NONE) if items_of[item.path.name] == 1 else _NONE for item in items]
    ambiguous = sum(items_of[item.path.name] > 1 or times[item.path.name] > 1 for item in items)
    return _match("file name", names, rows, ambiguous)


def _by_id(names: Names, items: Sequence[ProbeItem]) -> Match:
    times = Counter(names.values)
    row_of = {name: row for row, name in enumerate(names.values) if times[name] == 1}
    return _match("image_id", names, [row_of.get(item.image_id, _NONE) for item in items])


def _of_one_item(rows: list[int]) -> list[int]:
    """A row that several items of one file claim, as the frames of a film, is of none of them."""
    times = Counter(rows)
    return [row if times[row] == 1 else _NONE for row in rows]


def _match(way: str, names: Names, rows: list[int], ambiguous: int = 0) -> Match:
    return Match(way, names.column.name, np.array(rows, np.int64), ambiguous)


def _file_name(path: str) -> str:
    return plain_path(path).rpartition("/")[2]
