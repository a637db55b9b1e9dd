"""The tables that a layout needs, out of a folder or those that were named."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from service.errors import InvalidManifest
from service.files import DataRoots
from service.layouts.source import Layout
from service.layouts.tables import SourceTable, TableShape, source_table, source_table_or_none, tables_below

_NAMED_COLUMNS = 40
_NAMED_TABLES = 10


def open_tables(
    layout: Layout, place: Path, named: Sequence[Path], roots: DataRoots, layouts: Iterable[Layout]
) -> dict[str, list[SourceTable]]:
    """The tables of a layout by their roles: those that were named, else those in the folder.

    place: the folder, or a table. layouts: all that there are, one of which may fit a table better.
    Raises InvalidManifest naming the columns that were found and those that are missing.
    """
    if not layout.shapes:
        return {}
    if layout.is_list:
        return _open_list(layout, place, named, roots)

    given = list(named) or ([place] if place.is_file() else [])
    if given:
        tables = _sorted_by_role(layout, given, roots, layouts)
    else:
        tables = _found_below(layout, place, roots)

    missing = [shape for shape in layout.shapes if shape.required and not tables[shape.role]]
    if given and missing and place.is_file():
        # The other tables of the data set mostly lie beside the one that was named.
        beside = _found_below(layout, place.parent, roots)
        tables |= {shape.role: beside[shape.role] for shape in layout.shapes if not tables[shape.role]}
        missing = [shape for shape in missing if not tables[shape.role]]
    if missing:
        raise _without(layout, missing[0], place, roots, layouts, looked=not given)
    return tables


def _open_list(layout: Layout, place: Path, named: Sequence[Path], roots: DataRoots) -> dict[str, list[SourceTable]]:
    (shape,) = layout.shapes
    given = named[0] if named else place
    if given.is_dir():
        candidates = sorted(path for path in given.iterdir() if path.is_file() and shape.is_named(path))
        given = candidates[0] if candidates else given / f"{shape.stems[0]}.txt"
    if not given.is_file():
        raise _no_table(layout, shape, place)
    return {shape.role: [SourceTable(given, (), (), roots)]}


def _sorted_by_role(
    layout: Layout, given: Sequence[Path], roots: DataRoots, layouts: Iterable[Layout]
) -> dict[str, list[SourceTable]]:
    tables: dict[str, list[SourceTable]] = {shape.role: [] for shape in layout.shapes}
    for path in given:
        table = source_table(path, roots, layout.shapes)
        shape = _shape_of(layout, table)
        if shape is None:
            raise _another_table(layout, table, layouts)
        if tables[shape.role] and not shape.many:
            raise InvalidManifest(
                f"{tables[shape.role][0].path.name} and {path.name} are the same table of {layout.title}.",
                field="manifest",
                value=path,
                remedy="Name each table once.",
            )
        tables[shape.role].append(table)
    return tables


def _found_below(layout: Layout, folder: Path, roots: DataRoots) -> dict[str, list[SourceTable]]:
    """First those with the published name; a role that none has goes to any table with its columns."""
    tables: dict[str, list[SourceTable]] = {shape.role: [] for shape in layout.shapes}
    paths = tables_below(folder)
    named = [path for path in paths if any(shape.is_named(path) for shape in layout.shapes)]
    others = [path for path in paths if path not in set(named)]

    for path in (*named, *others):
        if all(tables[shape.role] and not shape.many for shape in layout.shapes):
            break
        if path not in named and all(tables[shape.role] for shape in layout.shapes if shape.required):
            break

        table = source_table_or_none(path, roots, layout.shapes)
        if table is None:
            continue
        shape = _shape_of(layout, table)
        if shape is not None and (shape.many or not tables[shape.role]):
            tables[shape.role].append(table)
    return tables


def _shape_of(layout: Layout, table: SourceTable) -> TableShape | None:
    return next((shape for shape in layout.shapes if not shape.missing(table.header)), None)


def _without(
    layout: Layout,
    shape: TableShape,
    place: Path,
    roots: DataRoots,
    layouts: Iterable[Layout],
    *,
    looked: bool,
) -> InvalidManifest:
    """The error about a role that no table has; in a folder, about the table that comes nearest."""
    if looked:
        paths = tables_below(place)
        nearest = [path for path in paths if shape.is_named(path)] or paths[:1]
        for path in nearest:
            table = source_table_or_none(path, roots, layout.shapes)
            if table is not None and _shape_of(layout, table) is None:
                return _another_table(layout, table, layouts)
    return _no_table(layout, shape, place)


def _no_table(layout: Layout, shape: TableShape, place: Path) -> InvalidManifest:
    folder = place if place.is_dir() else place.parent
    present = [path.name for path in tables_below(folder)][:_NAMED_TABLES]
    tables = f"The tables there are {', '.join(present)}." if present else "There is no table in it."
    columns = f" with the columns {', '.join(shape.needs)}" if shape.needs else ""
    return InvalidManifest(
        f"The folder has no table {shape.stems[0]} of {layout.title}. {tables}",
        field="manifest",
        value=place,
        remedy=f"Name the folder or file with {shape.stems[0]}{columns}; with `mammodissect manifest`, each table that "
        "lies elsewhere as --table.",
    )


def _another_table(layout: Layout, table: SourceTable, layouts: Iterable[Layout]) -> InvalidManifest:
    shape = min(layout.shapes, key=lambda shape: len(shape.missing(table.header)) / max(len(shape.needs), 1))
    missing = shape.missing(table.header)
    columns = ", ".join(table.header[:_NAMED_COLUMNS]) + (", …" if len(table.header) > _NAMED_COLUMNS else "")

    better = [other for other in layouts if other.name != layout.name and _fits(other, table)]
    if better:
        remedy = f"It has the columns of {better[0].title}: use the layout {better[0].name}."
    else:
        remedy = f"Name the table {shape.stems[0]} of {layout.title} as it was published."
    return InvalidManifest(
        f"{table.path.name} is not the table {shape.stems[0]} of {layout.title}: it lacks the column(s) "
        f"{', '.join(missing)}. It has {columns}.",
        field="manifest",
        value=table.path.name,
        remedy=remedy,
    )


def _fits(layout: Layout, table: SourceTable) -> bool:
    return not layout.is_list and any(shape.needs and not shape.missing(table.header) for shape in layout.shapes)
