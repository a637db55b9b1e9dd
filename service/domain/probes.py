"""Probe sets: the images shown to target and dissector, and what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from service.domain.digests import digest_of
from service.domain.findings_map import FindingsMap
from service.files import ANYWHERE, DataRoots, FileVersion

Frames = Literal["middle", "all", "projection"]
"""What is taken of an image with several frames, for example a tomosynthesis.

`middle`: one frame; `all`: each as an image of its own; `projection`: of each pixel the brightest value of all frames.
"""

FrameOfImage = int | Literal["middle", "projection"]
"""What an item shows of several frames: one, counted from 1, or what `Frames` says."""


class ImageSize(NamedTuple):
    """Height and width of a decoded image, and how many frames its file has."""

    height: int
    width: int
    frames: int = 1


NO_STRATA: Mapping[str, str] = MappingProxyType({})

Where = Mapping[str, tuple[str, ...]]
"""Values of `view`, `laterality` and strata that images are chosen by: in each column they have one of its values."""

_PLAIN_COLUMNS = ("view", "laterality")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the pixels of the decoded image: left, top, width, height (stored)."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class FindingRegion:
    """Where a finding lies in its image, in the pixels of the stored image: a box or a mask."""

    finding: str
    box: Box | None = None

    mask: Path | None = None
    """An image of the same size, in which the finding is what is not black."""


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """An image of a probe set by its manifest row, and where in it (stored)."""

    row: int

    box: Box | None
    """None for the whole image."""

    frame: int | None = None
    """The frame, where each of several is an image of its own."""


@dataclass(frozen=True, slots=True)
class ProbeItem:
    """One image of a probe set, or one patch of an image (then `box` says where)."""

    image_id: str
    path: Path

    row: int
    """Data row of the manifest, counted from 1; the first one where several rows are about the image.

    Errors name the image by it, never by a patient's identifier.
    """

    exam_id: str | None = None
    patient_id: str | None = None
    view: str | None = None
    laterality: str | None = None
    text: str | None = None

    findings: frozenset[str] | None = None
    """None where the manifest knows nothing; empty where it says there are none."""

    regions: tuple[FindingRegion, ...] = ()
    """Where findings lie, as far as the manifest says so."""

    strata: Mapping[str, str] = field(default_factory=lambda: NO_STRATA)

    frame: FrameOfImage | None = None
    """What is shown of several frames; None where an image may have one only."""

    box: Box | None = None

    sha256: str | None = None
    """SHA-256 of the file's bytes (hex); None where nobody has read them. No part of the probe set's digest."""

    version: FileVersion | None = None
    """Version of the file when it was digested; None where another version could not be told from it."""

    written: str | None = None
    """The image's path as the manifest has it, by which tables of activations may name it."""

    @property
    def frame_number(self) -> int | None:
        """The frame, where each of several is an item of its own."""
        return self.frame if isinstance(self.frame, int) else None

    def value_in(self, column: str) -> str | None:
        """What the manifest says of the image in `view`, `laterality` or a stratum; None where it says nothing."""
        if column == "view":
            return self.view
        if column == "laterality":
            return self.laterality
        return self.strata.get(column)


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """Cut every image into square patches: side `size` and step `stride`, in pixels of the decoded image."""

    size: int
    stride: int


@dataclass(frozen=True)
class ProbeSet:
    """Items in manifest order and the digest of everything that decides their pixels and labels."""

    name: str
    items: tuple[ProbeItem, ...]
    digest: str

    on_unreadable: Literal["fail", "skip"] = "fail"
    """`fail` stops a job at the first image that cannot be decoded; `skip` leaves it out and counts it."""

    merged_rows: int = 0
    """How many rows of the whole manifest are about an image of an earlier row, and were merged with that one."""

    table_notes: tuple[str, ...] = ()
    """What was decided for the user where the manifest was read, a sentence each; empty for the usual."""

    independent: str | None = None
    """What was chosen to count as independent: `patient`, `exam`, `image` or a column; part of `digest` where given."""

    grouping: Mapping[str, str] = field(default_factory=dict)
    """Columns that were taken for `patient_id` and `exam_id`, by these; part of `digest` where there are any."""

    warnings: tuple[str, ...] = ()
    """What of that choice makes evidence look better than it is, a sentence each."""

    whole: str | None = None
    """Digest of the probe set that this one is a part of; None where it is a whole one."""

    where: Where = field(default_factory=dict)
    """By which values its images were chosen; empty for a whole one."""

    roots: DataRoots = ANYWHERE
    """The folders that every image must be in at the moment when it is opened."""

    patches: PatchGrid | None = None
    """The grid by which the images are cut; None where they are shown whole.

    Where there is a grid, an item without a box is an image whose patches are not known, and is never shown.
    """

    frames: Frames | None = None
    """What is taken of images with several frames; None where there may be none such.

    With `all`, an item without a frame is an image whose frames are not known, and is never shown.
    """

    findings_map: FindingsMap | None = None
    """What the findings mean, where somebody says it. No part of `digest`."""

    @property
    def is_cut(self) -> bool:
        """Are the items known only once the images' sizes and frames are?"""
        return self.patches is not None or self.frames == "all"

    def is_uncut(self, item: ProbeItem) -> bool:
        """Is an item an image whose patches or frames are not known?"""
        return (self.patches is not None and item.box is None) or (self.frames == "all" and item.frame is None)

    def part(self, where: Where) -> "ProbeSet":
        """The items that have one of the given values in each of the columns, in order.

        Its digest is that of earlier releases where there is one column with one value.
        """
        stored = stored_where(where)
        items = tuple(item for item in self.items if _fits(item, stored))

        content: dict[str, object] = {"of": self.digest, "where": stored}
        single = only_value(stored)
        if single is not None:
            stratum, value = single
            content = {"of": self.digest, "stratum": stratum, "value": value}

        kept = {column: tuple(values) for column, values in stored.items()}
        return replace(self, items=items, digest=digest_of(content), whole=self.digest, where=kept)

    @property
    def columns(self) -> dict[str, list[str]]:
        """Every column that images can be chosen by, with its values, both in order."""
        values: dict[str, set[str]] = {}
        for item in self.items:
            for column in (*_PLAIN_COLUMNS, *item.strata):
                value = item.value_in(column)
                if value is not None:
                    values.setdefault(column, set()).add(value)
        return {column: sorted(values[column]) for column in sorted(values)}

    @property
    def findings(self) -> frozenset[str]:
        """Every finding that an item has."""
        return frozenset(finding for item in self.items for finding in item.findings or ())


def stored_where(where: Where) -> dict[str, list[str]]:
    """The columns in order, with their values in order, each once."""
    return {column: sorted(set(where[column])) for column in sorted(where)}


def only_value(where: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """Column and value where there are no others, as in every part of earlier releases; else None."""
    if len(where) != 1:
        return None
    [(column, values)] = where.items()
    return (column, values[0]) if len(values) == 1 else None


def where_in_words(where: Mapping[str, Sequence[str]]) -> str:
    """As `density C or D, view CC`, columns in order."""
    return ", ".join(f"{column} {' or '.join(where[column])}" for column in sorted(where))


def _fits(item: ProbeItem, where: Mapping[str, Sequence[str]]) -> bool:
    return all(item.value_in(column) in values for column, values in where.items())
