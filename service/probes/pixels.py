"""A decoded mammogram: what the decoders give and the preparation takes."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.probes import FrameOfImage

MAX_PIXELS = 80_000_000
"""Larger images are refused before they are decoded; a digitised film has about 30 million pixels."""

MAX_FRAMES = 1_000
"""Of an image; a tomosynthesis has about a hundred."""


@dataclass(frozen=True, slots=True)
class LevelFacts:
    """How the grey levels of a decoded image are used. Shares count every few pixels of a large image."""

    lowest: int
    highest: int

    padding: float | None
    """The share of pixels that hold what the header calls padding; None where it calls nothing so."""

    flat: float
    """The share of pixels that hold the lowest level, or the highest, whichever is more."""

    kept: float
    """The share of the levels' range that is left without padding.

    Padding is what the header calls so, and a lowest or highest level that many pixels hold.
    """


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a file says of its image, and what decoding it has shown."""

    form: str
    """One of FORMS."""

    height: int
    width: int

    frames: int = 1

    samples: int = 1
    """Of a pixel: 3 or 4 for colour."""

    coloured: bool = False
    """Whether the samples of a pixel differ anywhere, so that the image has colours indeed."""

    stated_bits: int = 0
    """Bits of a pixel that hold its value, as the header says; 0 where it does not."""

    bits: int = 0
    """The same as the pixels are; 0 where they were not decoded."""

    allocated: int = 0
    """Bits that a pixel takes; 0 where that is not said."""

    photometric: str = ""
    """One of PHOTOMETRICS."""

    intent: str = ""
    """One of INTENTS."""

    window: str = ""
    """One of WINDOWS; of what is shown of several frames."""

    levels: LevelFacts | None = None
    """None where the image cannot be decoded."""


DICOM, PNG, JPEG, PGM, TIFF = FORMS = ("DICOM", "PNG", "JPEG", "PGM", "TIFF")
OTHER = "other"

PHOTOMETRICS = (
    "",
    "MONOCHROME1",
    "MONOCHROME2",
    "PALETTE COLOR",
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
    "YBR_RCT",
    OTHER,
)
"""What a header may say of the meaning of its pixels; empty where it says nothing."""

INTENTS = ("", "FOR PRESENTATION", "FOR PROCESSING", OTHER)
"""What a header may say of what its image is for; empty where it says nothing."""


WINDOW, TABLE, NO_WINDOW, SOME_FRAMES, UNUSABLE = "window", "table", "neither", "some frames", "unusable"

WINDOWS = ("", WINDOW, TABLE, NO_WINDOW, SOME_FRAMES, UNUSABLE)
"""What a DICOM header may have to say how grey levels are to be shown: a VOI window, a lookup table, or neither.

Some frames: others have neither. Unusable: it cannot be applied. Empty for files without such a header.
"""


class CannotDecode(Exception):
    """Why an image cannot be decoded.

    reason: goes on after "The image of manifest row 7 cannot be read: ". It holds no text from the file, whose headers
    may identify a patient; numbers and transfer syntaxes may stand in it.
    remedy: what to do about it, where more can be said than to replace the file.
    facts: what the file says of its image all the same; only where facts were asked for.
    """

    def __init__(self, reason: str, remedy: str = "", facts: ImageFacts | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.facts = facts


class CannotRead(Exception):
    """The disk or the machine fails while a file is read; of the file that says nothing.

    number: the `errno` of the system.
    """

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


@dataclass(frozen=True, slots=True)
class Display:
    """What a DICOM header says of how the levels of its image are to be shown."""

    window: NDArray[np.uint8] | None = None
    """By its window or VOI lookup table, what each level is shown as, bright where the breast absorbs.

    uint8 [256] for an 8-bit image, [65536] for one of 16 bits. None where the header has neither.
    """

    padding: tuple[int, int] | None = None
    """The lowest and the highest level of pixels that are no part of the image; None where there are none."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """One grey image in full size and depth, bright where the breast absorbs (MONOCHROME1 is already inverted)."""

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    """uint8 or uint16 [H, W]."""

    from_dicom: bool
    """Whether it is an acquired image with its frame and air, not one that somebody prepared."""

    display: Display = Display()
    """Empty unless it was asked for."""

    bits: int = 0
    """Bits that hold a value; 0 where nothing says it. This and what follows stays within the decoder's process."""

    samples: int = 1
    """See `ImageFacts`."""

    coloured: bool = False
    """See `ImageFacts`."""

    ends: tuple[int, int] | None = None
    """The lowest and the highest level; None where they are not known without looking at the pixels again."""

    window: str = ""
    """See `ImageFacts`; empty unless facts were asked for."""

    said: ImageFacts | None = None
    """What the header of a DICOM file of one frame says; None unless it was asked for."""


def check_size(height: int, width: int) -> None:
    """Raises CannotDecode for an image without pixels or with more than MAX_PIXELS."""
    if height < 1 or width < 1:
        raise CannotDecode("it has no pixels")
    if height * width > MAX_PIXELS:
        raise CannotDecode(f"{height} x {width} pixels are more than {MAX_PIXELS}")


def shown_frames(count: int, frame: FrameOfImage | None) -> Sequence[int]:
    """Which of so many frames are shown, counted from 0. Raises CannotDecode.

    frame: one of them, counted from 1; the middle one, of two the later; all for the projection. None where there may
    only be one.
    """
    if count > MAX_FRAMES:
        raise too_many_frames(count)
    if count == 1 and not isinstance(frame, int):
        return [0]

    match frame:
        case None:
            raise CannotDecode(
                f"it has {count} frames, more than one frame",
                "Register the probe set with `frames`: middle, all or projection.",
            )
        case "middle":
            return [count // 2]
        case "projection":
            return range(count)
    if not 1 <= frame <= count:
        raise CannotDecode(f"it has {count} frames, fewer than when they were counted")
    return [frame - 1]


def too_many_frames(count: int) -> CannotDecode:
    """What to raise for more than MAX_FRAMES."""
    return CannotDecode(f"it has {count} frames, more than {MAX_FRAMES:,}")


def brightest(
    frames: Iterable[NDArray[np.uint8] | NDArray[np.uint16]],
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The maximum intensity projection of frames: of each pixel the brightest value. One frame is as it is."""
    projection = None
    for pixels in frames:
        if projection is None:
            projection = pixels
        elif pixels.dtype == projection.dtype:
            projection = np.maximum(projection, pixels)
        else:
            raise CannotDecode("its frames differ in depth")

    if projection is None:
        raise CannotDecode("it has no frames")
    return projection
