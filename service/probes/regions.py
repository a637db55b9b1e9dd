"""Where findings lie in what a network is shown: from the stored image's pixels to the input's, and back.

Coordinates count from the upper left corner of the first pixel, so that a box of all pixels is the whole image. Both
ways of resizing keep corners on corners.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.domain.preprocessing import Preprocessing
from service.domain.probes import Box
from service.probes.opencv import cv2
from service.probes.prepare import EightBitImage, padding_before, part_shown, resized


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle with edges between the pixels, or within one."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, box: Box) -> Self:
        """The edges of a box of pixels."""
        return cls(box.left, box.top, box.left + box.width, box.top + box.height)

    def within(self, other: "Rectangle") -> "Rectangle | None":
        """The part of it that lies in another; None where they have no pixels in common."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Rectangle(left, top, right, bottom) if left < right and top < bottom else None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a part of a stored image lies in a network's input."""

    part: Rectangle
    """What of the stored image is shown."""

    mirrored: bool
    """Is left right?"""

    place: Rectangle
    """Where in the input that part is; the rest is air."""

    def to_input(self, region: Rectangle) -> Rectangle | None:
        """A region of the stored image in the input's pixels; None where nothing of it is shown."""
        shown = region.within(self.part)
        if shown is None:
            return None
        return _moved(self._mirrored(shown, self.part), self.part, self.place)

    def to_stored(self, region: Rectangle) -> Rectangle | None:
        """A region of the input in the stored image's pixels; None where it is nothing but air around the image."""
        shown = region.within(self.place)
        if shown is None:
            return None
        return self._mirrored(_moved(shown, self.place, self.part), self.part)

    def mask_to_input(self, mask: NDArray[np.generic], *, height: int, width: int) -> NDArray[np.float32]:
        """How much of each pixel of the input, 0 to 1, is in a mask of the stored image: float32 [height, width].

        mask: what is not 0 is in it; as large as the stored image.
        """
        rows = slice(int(self.part.top), int(self.part.bottom))
        columns = slice(int(self.part.left), int(self.part.right))
        part = (mask[rows, columns] != 0).astype(np.float32)
        if self.mirrored:
            part = np.ascontiguousarray(part[:, ::-1])

        left, top, right, bottom = (
            int(edge) for edge in (self.place.left, self.place.top, self.place.right, self.place.bottom)
        )
        covered = np.zeros((height, width), dtype=np.float32)
        covered[top:bottom, left:right] = cv2.resize(part, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        return covered

    def _mirrored(self, region: Rectangle, part: Rectangle) -> Rectangle:
        if not self.mirrored:
            return region
        turn = part.left + part.right
        return Rectangle(turn - region.right, region.top, turn - region.left, region.bottom)


def placement(image: EightBitImage, contract: Preprocessing, box: Box | None = None) -> Placement:
    """Where `prepare` puts an image, or a patch of it."""
    shown = part_shown(image, box, contract)
    part = Rectangle(shown.columns.start, shown.rows.start, shown.columns.stop, shown.rows.stop)

    own_height = shown.rows.stop - shown.rows.start
    own_width = shown.columns.stop - shown.columns.start
    height, width = resized(own_height, own_width, contract)

    left = top = 0
    if contract.resize == "pad":
        left, top = padding_before(contract.height - height, contract.width - width, contract.pad_side)
    return Placement(part, shown.mirrored, Rectangle(left, top, left + width, top + height))


def _moved(region: Rectangle, source: Rectangle, target: Rectangle) -> Rectangle:
    across = (target.right - target.left) / (source.right - source.left)
    down = (target.bottom - target.top) / (source.bottom - source.top)
    return Rectangle(
        target.left + (region.left - source.left) * across,
        target.top + (region.top - source.top) * down,
        target.left + (region.right - source.left) * across,
        target.top + (region.bottom - source.top) * down,
    )
