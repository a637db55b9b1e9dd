"""The cell of a manifest that says where in an image its findings are."""

import json
import sys
from pathlib import Path
from typing import Any

from service.domain.probes import Box, FindingRegion
from service.errors import InvalidManifest

MOST_REGIONS = 1_000
MOST_PIXELS = 1 << 20
"""No side of an image, and so no edge of a box, is as long."""

_EXAMPLE = '[{"finding": "mass", "box": [left, top, width, height]}]'


def read_regions(text: str, folder: Path, row: int) -> tuple[FindingRegion, ...]:
    """The regions that a cell lists as JSON; none for an empty cell.

    folder: what the paths of masks are relative to. Raises InvalidManifest naming the row.
    """
    if not text:
        return ()

    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong(row, "are not JSON") from None

    if not isinstance(entries, list):
        raise _wrong(row, "are not a list")
    if len(entries) > MOST_REGIONS:
        raise _wrong(row, f"are more than {MOST_REGIONS:,}")
    return tuple(_region(entry, folder, row) for entry in entries)


def _region(entry: Any, folder: Path, row: int) -> FindingRegion:
    if not isinstance(entry, dict) or set(entry) not in ({"finding", "box"}, {"finding", "mask"}):
        raise _wrong(row, "need a finding and either a box or a mask each, and nothing else")

    finding = entry["finding"]
    if not isinstance(finding, str) or not finding.strip():
        raise _wrong(row, "have a finding that is not a text")
    finding = sys.intern(finding.strip())

    if "box" in entry:
        return FindingRegion(finding, box=_box(entry["box"], row))

    mask = entry["mask"]
    if not isinstance(mask, str) or not mask.strip() or "\0" in mask:
        raise _wrong(row, "have a mask that is not a path")
    return FindingRegion(finding, mask=folder / mask.strip())


def _box(numbers: Any, row: int) -> Box:
    are_numbers = isinstance(numbers, list) and all(type(number) is int for number in numbers)
    if not are_numbers or len(numbers) != 4:
        raise _wrong(row, "have a box that is not four whole numbers: left, top, width, height")

    left, top, width, height = numbers
    if left < 0 or top < 0 or width < 1 or height < 1 or left + width > MOST_PIXELS or top + height > MOST_PIXELS:
        raise _wrong(row, "have a box that begins before the image, or is empty, or ends beyond any image")
    return Box(left, top, width, height)


def _wrong(row: int, what: str) -> InvalidManifest:
    return InvalidManifest(
        f"The regions of row {row} {what}.",
        field="regions",
        value=f"row {row}",
        remedy=f'Write them as {_EXAMPLE}, in pixels of the stored image, or with "mask": path instead of the box.',
    )
