"""Probe images with the places of their findings, as a network is shown both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.domain.preprocessing import Preprocessing
from service.domain.probes import FindingRegion, ProbeItem, ProbeSet
from service.errors import ImageChanged, UnreadableImage
from service.ports import PlacedImage, PlacesInInput
from service.probes.decode import decode
from service.probes.images import read_image
from service.probes.prepare import EightBitImage, border_of, facing, prepare
from service.probes.regions import Placement, Rectangle, placement

MOST_MASKS = 32
"""So many masks of an image are read."""

Mask = NDArray[np.bool_]


class _Unusable(Exception):
    """A place that cannot be used, and why."""


class PlacedImagesOnDisk:
    """See `PlacedImages`. Each image is opened below the probe set's roots whenever it is shown, and so are its masks.

    The image that was shown last stays decoded, for its next patch.
    """

    def __init__(self, probe_set: ProbeSet) -> None:
        self.items: Sequence[ProbeItem] = probe_set.items
        self._roots = probe_set.roots
        self._last: tuple[tuple[object, ...], EightBitImage] | None = None

    def show(self, index: int, contract: Preprocessing, findings: Mapping[str, Sequence[str]]) -> PlacedImage:
        """See `PlacedImages.show`. Raises also FileOutOfReach, where the disk or the machine fails."""
        item = self.items[index]
        image = self._decoded(item, contract)
        placed = placement(image, contract, item.box)
        array = prepare(image, contract, item.box)

        masks = _Masks(self, item, image)
        places: dict[str, PlacesInInput] = {}
        problems: list[str] = []
        for finding, names in findings.items():
            regions = [region for region in item.regions if region.finding in names]
            try:
                covered = _covered(regions, masks, placed, array.shape[1:])
            except _Unusable as reason:
                problems.append(str(reason))
                continue
            if covered is not None:
                places[finding] = PlacesInInput(covered, _turned(covered, placed))
            elif regions and item.box is None:
                problems.append(f"'{finding}' lies in what is cut off before the network sees the image")

        return PlacedImage(array, _faces(image, placed), places, tuple(dict.fromkeys(problems)))

    def outlines(self, index: int, contract: Preprocessing) -> list[tuple[str, Rectangle]]:
        """The findings of an image, each with the rectangle around a place of it, in fractions of the input.

        Places that cannot be used are left out. Raises what `show` raises.
        """
        item = self.items[index]
        image = self._decoded(item, contract)
        placed = placement(image, contract, item.box)
        height, width = prepare(image, contract, item.box).shape[1:]

        masks = _Masks(self, item, image)
        outlines = []
        for region in item.regions:
            try:
                rectangle = _around(region, masks, placed, (height, width))
            except _Unusable:
                continue
            if rectangle is not None:
                outlines.append((region.finding, _as_fractions(rectangle, height, width)))
        return outlines

    def mask(self, item: ProbeItem, path: Path) -> Mask:
        """A mask of an image, bool [H, W]. Raises UnreadableImage, FileOutOfReach."""
        return np.asarray(decode(path, row=item.row, roots=self._roots).pixels != 0)

    def _decoded(self, item: ProbeItem, contract: Preprocessing) -> EightBitImage:
        key = (item.path, item.frame, contract.window, contract.padding_as_air)
        if self._last is None or self._last[0] != key:
            self._last = key, read_image(item, self._roots, contract)
        return self._last[1]


class _Masks:
    """The masks of one image, each read once: several findings may have the same."""

    def __init__(self, images: PlacedImagesOnDisk, item: ProbeItem, image: EightBitImage) -> None:
        self._images = images
        self._item = item
        self.shape = image.pixels.shape
        self._read: dict[Path, Mask | None] = {}

    def of(self, region: FindingRegion, path: Path) -> Mask:
        """The mask, as large as the image. Raises _Unusable, FileOutOfReach."""
        if path not in self._read:
            if len(self._read) == MOST_MASKS:
                raise _Unusable(f"it has more than {MOST_MASKS} masks, and no more are read")
            self._read[path] = self._load(path)

        mask = self._read[path]
        if mask is None:
            raise _Unusable(f"the mask of '{region.finding}' cannot be read")
        if mask.shape != self.shape:
            own_height, own_width = mask.shape
            height, width = self.shape
            raise _Unusable(
                f"the mask of '{region.finding}' has {own_height} x {own_width} pixels, the image {height} x {width}"
            )
        return mask

    def _load(self, path: Path) -> Mask | None:
        try:
            return self._images.mask(self._item, path)
        except (UnreadableImage, ImageChanged):
            return None


def _covered(
    regions: Sequence[FindingRegion], masks: _Masks, placed: Placement, size: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """How much of each pixel of the input is in one of the regions; None where none of it is shown."""
    height, width = size
    covered = np.zeros((height, width), dtype=np.float32)
    for region in regions:
        of_region = _covered_by(region, masks, placed, height, width)
        if of_region is not None:
            np.maximum(covered, of_region, out=covered)
    return covered if covered.any() else None


def _covered_by(
    region: FindingRegion, masks: _Masks, placed: Placement, height: int, width: int
) -> NDArray[np.float32] | None:
    if region.mask is not None:
        mask = masks.of(region, region.mask)
        return placed.mask_to_input(mask, height=height, width=width)

    rectangle = _box_in_input(region, masks, placed)
    if rectangle is None:
        return None
    rows = _overlap(rectangle.top, rectangle.bottom, height)
    columns = _overlap(rectangle.left, rectangle.right, width)
    return np.outer(rows, columns)


def _box_in_input(region: FindingRegion, masks: _Masks, placed: Placement) -> Rectangle | None:
    box = region.box
    assert box is not None  # noqa: S101 - a region without a mask has a box
    height, width = masks.shape
    if box.left + box.width > width or box.top + box.height > height:
        raise _Unusable(
            f"the box of '{region.finding}' at {box.left}, {box.top} of {box.height} x {box.width} pixels "
            f"reaches beyond the image's {height} x {width}"
        )
    return placed.to_input(Rectangle.of(box))


def _around(region: FindingRegion, masks: _Masks, placed: Placement, size: tuple[int, int]) -> Rectangle | None:
    """The rectangle around what is shown of a region, in the input's pixels."""
    if region.mask is None:
        return _box_in_input(region, masks, placed)

    height, width = size
    covered = placed.mask_to_input(masks.of(region, region.mask), height=height, width=width)
    rows, columns = np.nonzero(covered)
    if not len(rows):
        return None
    return Rectangle(float(columns.min()), float(rows.min()), float(columns.max()) + 1, float(rows.max()) + 1)


def _as_fractions(rectangle: Rectangle, height: int, width: int) -> Rectangle:
    return Rectangle(rectangle.left / width, rectangle.top / height, rectangle.right / width, rectangle.bottom / height)


def _overlap(start: float, stop: float, pixels: int) -> NDArray[np.float32]:
    """How much of each pixel of an axis lies between two edges."""
    edges = np.arange(pixels + 1)
    return (np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start)).clip(min=0).astype(np.float32)


def _turned(covered: NDArray[np.float32], placed: Placement) -> NDArray[np.float32]:
    """Left to right within the image, whose place in the input stays."""
    columns = slice(int(placed.place.left), int(placed.place.right))
    turned = covered.copy()
    turned[:, columns] = covered[:, columns][:, ::-1]
    return turned


def _faces(image: EightBitImage, placed: Placement) -> Literal["left", "right"] | None:
    height, width = image.pixels.shape
    border = border_of(image)
    way = facing(image.pixels[border : height - border, border : width - border])
    if way is None or not placed.mirrored:
        return way
    return "left" if way == "right" else "right"
