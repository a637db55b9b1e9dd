"""Rows of a manifest that are about one image: merged into one item that knows what all of them say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from service.domain.probes import ProbeItem
from service.errors import InvalidManifest


class ManifestRow(NamedTuple):
    """A row as it was read."""

    item: ProbeItem
    """What the row says of its image."""

    has_id: bool
    """Whether the row itself gave the image's id."""

    file: tuple[int, int]
    """Device and number of the image's file."""


@dataclass(frozen=True, slots=True)
class MergedImages:
    """Images in the order of their first rows."""

    items: list[ProbeItem]
    """What is known of each image."""

    have_ids: list[bool]
    """Whether any of an image's rows gave the id, for each image."""

    later_rows: list[tuple[int, int]]
    """Every row that was merged, with the first row of its image, in order."""


def merge_rows(rows: Iterable[ManifestRow]) -> MergedImages:
    """Rows that name the same file, however the path is written or linked, become one image with all its findings.

    Hard links count as copies, which are files of their own. A field that one row leaves empty is taken from another.
    Raises InvalidManifest naming field and rows where two rows of an image contradict each other.
    """
    places = _Places()
    items: list[ProbeItem] = []
    have_ids: list[bool] = []
    repeated: dict[int, list[tuple[ProbeItem, bool]]] = {}
    later_rows = []

    for row in rows:
        place = places.of(row)
        if place == len(items):
            items.append(row.item)
            have_ids.append(row.has_id)
            continue

        repeated.setdefault(place, [(items[place], have_ids[place])]).append((row.item, row.has_id))
        later_rows.append((items[place].row, row.item.row))

    for place, rows_of_image in repeated.items():
        items[place] = _merged(rows_of_image)
        have_ids[place] = any(has_id for _, has_id in rows_of_image)

    return MergedImages(items, have_ids, later_rows)


class _Places:
    """Where the image of each row stands. Paths are resolved only where a file comes twice: that takes time."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._by_file: dict[tuple[int, int], int] = {}
        self._by_resolved: dict[Path, int] = {}

    def of(self, row: ManifestRow) -> int:
        """The place of the row's image; the next free one for an image that is new."""
        free = len(self._paths)
        place = self._by_file.setdefault(row.file, free)
        if place != free:
            self._by_resolved.setdefault(self._paths[place].resolve(), place)
            place = self._by_resolved.setdefault(row.item.path.resolve(), free)

        if place == free:
            self._paths.append(row.item.path)
        return place


def _merged(rows: Sequence[tuple[ProbeItem, bool]]) -> ProbeItem:
    """One item from the rows of an image, as the first of them has it where they say nothing else."""
    items = [item for item, _ in rows]
    first = items[0]
    ids = ((item.row, item.image_id if has_id else None) for item, has_id in rows)

    def agreed(field: str) -> str | None:
        return _agreed(field, [(item.row, getattr(item, field)) for item in items])

    return replace(
        first,
        exam_id=agreed("exam_id"),
        patient_id=agreed("patient_id"),
        view=agreed("view"),
        laterality=agreed("laterality"),
        text=agreed("text"),
        image_id=_agreed("image_id", ids) or first.image_id,
        findings=_united(items),
        regions=tuple(dict.fromkeys(region for item in items for region in item.regions)),
        strata=_agreed_strata(items),
    )


def _agreed(field: str, values: Iterable[tuple[int, str | None]]) -> str | None:
    """The value that the rows agree on, given as row and value; None where no row has one."""
    given = [(row, value) for row, value in values if value is not None]
    if not given:
        return None

    first_row, first_value = given[0]
    for row, value in given[1:]:
        if value != first_value:
            raise _contradiction(field, first_row, row)
    return first_value


def _agreed_strata(items: Sequence[ProbeItem]) -> Mapping[str, str]:
    if all(item.strata == items[0].strata for item in items[1:]):
        return items[0].strata

    strata = dict.fromkeys(name for item in items for name in item.strata)
    agreed = {}
    for name in strata:
        value = _agreed(name, [(item.row, item.strata.get(name)) for item in items])
        if value is not None:
            agreed[name] = value
    return agreed


def _united(items: Sequence[ProbeItem]) -> frozenset[str] | None:
    given = [(item.row, item.findings) for item in items if item.findings is not None]
    if not given:
        return None

    with_any = next((row for row, findings in given if findings), None)
    without = next((row for row, findings in given if not findings), None)
    if with_any is not None and without is not None:
        raise InvalidManifest(
            f"Rows {with_any} and {without} are about the same image; row {with_any} names findings, and the empty "
            f"cell of row {without} says that there are none.",
            field="findings",
            value=f"rows {with_any} and {without}",
            remedy="Delete the row without findings, or the findings of the other row.",
        )
    return frozenset[str]().union(*(findings for _, findings in given))


def _contradiction(field: str, first: int, second: int) -> InvalidManifest:
    return InvalidManifest(
        f"Rows {first} and {second} are about the same image, but differ in '{field}'.",
        field=field,
        value=f"rows {first} and {second}",
        remedy="Rows of one image may differ in their findings only: give them the same value, or leave it empty in "
        "all but one of them, or delete the column.",
    )
