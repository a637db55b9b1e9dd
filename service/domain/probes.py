"""Probe sets: the images shown to target and dissector, and what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from service.domain.digests import digest_of
from service.files import ANYWHERE, DataRoots, FileVersion

ImageSize = tuple[int, int]
"""Height and width of a decoded image."""

NO_STRATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the pixels of the decoded image: left, top, width, height (stored)."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class FindingRegion:
    """Where a finding lies in its image, in the pixels of the stored image: a box, a mask, or both."""

    finding: str
    box: Box | None = None

    mask: Path | None = None
    """An image of the same size, in which the finding is what is not black."""


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """An image of a probe set by its manifest row, and where in it; box: None for the whole image."""

    row: int
    box: Box | None


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
    box: Box | None = None

    sha256: str | None = None
    """SHA-256 of the file's bytes (hex); None where nobody has read them. No part of the probe set's digest."""

    version: FileVersion | None = None
    """Version of the file when it was digested; None where another version could not be told from it."""


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

    roots: DataRoots = ANYWHERE
    """The folders that every image must be in at the moment when it is opened."""

    patches: PatchGrid | None = None
    """The grid by which the images are cut; None where they are shown whole.

    Where there is a grid, an item without a box is an image whose patches are not known, and is never shown.
    """

    def part(self, stratum: str, value: str) -> "ProbeSet":
        """The items with that value of the stratum, in order."""
        items = tuple(item for item in self.items if item.strata.get(stratum) == value)
        digest = digest_of({"of": self.digest, "stratum": stratum, "value": value})
        return replace(self, items=items, digest=digest)

    @property
    def findings(self) -> frozenset[str]:
        """Every finding that an item has."""
        return frozenset(finding for item in self.items for finding in item.findings or ())
