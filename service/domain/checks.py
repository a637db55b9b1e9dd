"""What a check before any job finds of a probe set's images (database and wire format)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NotRequired, TypedDict

WHATEVER_THE_REASON = "Replace the file, delete the row, or let the probe set skip unreadable images."
"""What helps against an image that cannot be read."""

ROWS_NAMED = 100
"""Rows that are named for each reason: a probe set may have a million."""

VALUES_NAMED = 100
"""Values that are counted one by one, the most frequent first."""

IMAGES_AT_ONCE = 256
"""Images of one work item."""


class Reason(StrEnum):
    """Why an image is named by a check, in the order in which it names them."""

    UNREADABLE = "unreadable"
    """It cannot be decoded."""

    CONTRADICTORY = "contradictory"
    """It has the same bytes as another image, of which the manifest says something else."""

    SAME_BYTES = "same-bytes"
    """It has the same bytes as another image."""

    FOR_PROCESSING = "for-processing"
    """It is a raw image (FOR PROCESSING), not one for presentation."""

    WIDE_PADDING = "wide-padding"
    """Padding or one end of its grey levels takes most pixels, or most of the range of grey levels."""

    CONSTANT = "constant"
    """All its pixels are equal."""

    TINY = "tiny"

    SEVERAL_FRAMES = "several-frames"

    UNUSUAL_BITS = "unusual-bits"
    """The bits of its pixels are unusual, or not those that its header says."""

    COLOUR = "colour"
    """It has colours, not greys alone."""

    REGION_OUTSIDE = "region-outside"
    """A box or mask of a finding does not fit into it."""


WIDE_SHARE = 0.8
"""From this share of the pixels on, padding is wide. Mammograms have 0.3 to 0.75 of air."""

SQUEEZED_SHARE = 0.5
"""Padding that leaves less of the grey levels than this is wide, too."""

TINY_SIDE = 100
"""Pixels: an image with a shorter side is tiny."""

USUAL_BITS = (8, 10, 12, 14, 16)

THRESHOLDS: dict[str, object] = {
    "wide_share": WIDE_SHARE,
    "squeezed_share": SQUEEZED_SHARE,
    "tiny_side": TINY_SIDE,
    "usual_bits": list(USUAL_BITS),
}


class NamedRow(TypedDict):
    """An image that is named for a reason."""

    row: int
    """Of the manifest."""

    why: str
    remedy: NotRequired[str]


class NamedRows(TypedDict):
    """The images that are named for a reason."""

    count: int

    rows: list[NamedRow]
    """The first ROWS_NAMED of them."""


class ReasonEntry(NamedRows):
    """The same, with the reason."""

    reason: str
    """See `Reason`."""


class ValueCount(TypedDict):
    """A value, and how many images have it."""

    value: str
    images: int


class CountedValues(TypedDict):
    """What images have of one thing."""

    distinct: int
    """How many different values there are."""

    without: int
    """Images of which nothing is known."""

    values: list[ValueCount]
    """The VALUES_NAMED most frequent."""


class Units(TypedDict):
    """What counts as independent; see `ImageGroups`."""

    unit: str
    count: int

    largest: int
    """Images of the largest of them."""


class CheckedFindings(TypedDict):
    """What the manifest says of findings."""

    named: CountedValues
    """By name. `without`: images of which the manifest says that they have none."""

    unknown: int
    """Images of whose findings nothing is known."""


class ShardCheck(TypedDict):
    """What the images of one work item are."""

    images: int
    unreadable: int

    named: dict[str, NamedRows]
    """By reason."""

    seen: dict[str, dict[str, int]]
    """How many images have which size, form and so on: see `SEEN`."""

    fingerprints: str
    """Of each image's file (32 bytes; zeros where it cannot be opened), in base64. Equal files have equal ones."""


SEEN = ("sizes", "forms", "frames", "bits", "photometrics", "intents", "windows")
"""What is counted of the files themselves. Windows: `window`, `table` or `neither`, `some frames`, `unusable`."""


class SetCheck(TypedDict):
    """What a probe set's images are."""

    images: int
    readable: int
    unreadable: int

    merged_rows: int
    """See `ProbeSet`."""

    reasons: list[ReasonEntry]
    """Only those that any image is named for."""

    rows_named: int
    """How many rows are named for each, at most."""

    exams: int | None
    """None where the manifest names none."""

    patients: int | None
    """None where the manifest names none."""

    independent: Units
    findings: CheckedFindings

    manifest: dict[str, CountedValues]
    """By column: view, laterality, and every stratum such as density and device."""

    files: dict[str, CountedValues]
    """By what is counted: see `SEEN`."""

    thresholds: dict[str, object]
    """See THRESHOLDS."""


def counts_of_windows(check: SetCheck) -> dict[str, int] | None:
    """How many images have which VOI window, and how many no DICOM header (`no header`).

    None for a check of a release that did not count them.
    """
    counted = check["files"].get("windows")
    if counted is None:
        return None
    counts = {entry["value"]: entry["images"] for entry in counted["values"]}
    # What cannot be read has no window, and is named as unreadable.
    without = counted["without"] - check["unreadable"]
    return counts | {"no header": without} if without > 0 else counts


def warning_of_windows(counts: Mapping[str, int], asked_by: str) -> str | None:
    """What is to be known of the images that are not shown through a VOI window; None where all are.

    asked_by: whose input has the window `voi`.
    """
    images = sum(counts.values())
    as_stored = sum(counts.get(kind, 0) for kind in ("neither", "no header"))
    said = []
    if as_stored:
        shown = "have neither a VOI window nor a table and are shown as stored"
        said.append(f"{as_stored:,} of its {images:,} images {shown}")
    if some := counts.get("some frames", 0):
        said.append(f"in {some:,} only some frames have one")
    if unusable := counts.get("unusable", 0):
        said.append(f"in {unusable:,} it cannot be applied, so that they cannot be read")
    if not said:
        return None
    return f"The window of the {asked_by} is `voi`. By the check of the probe set, {'; '.join(said)}."


def count_of(check: SetCheck, reason: Reason) -> int:
    """How many images are named for a reason."""
    return next((entry["count"] for entry in check["reasons"] if entry["reason"] == reason), 0)


def rows_of(check: SetCheck, reason: Reason) -> list[NamedRow]:
    """The images that are named for a reason, as far as they are listed."""
    return next((entry["rows"] for entry in check["reasons"] if entry["reason"] == reason), [])
