"""From a decoded mammogram to a network's input, by the network's preprocessing contract."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain.preprocessing import Preprocessing
from service.domain.probes import Box
from service.probes.pixels import DecodedImage

_Depth = TypeVar("_Depth", bound=np.unsignedinteger)

BORDER = 5
"""Pixels cut from each side of an acquired image: scanners and detectors leave a frame there."""

_AIR = 40
"""Eight-bit values up to this count as air when the breast is looked for."""


@dataclass(frozen=True, slots=True)
class EightBitImage:
    """A decoded image reduced to 8 bits: uint8 [H, W], and the least and greatest value of the whole image."""

    pixels: NDArray[np.uint8]
    low: int
    high: int
    from_dicom: bool


def to_eight_bit(image: DecodedImage) -> EightBitImage:
    """Reduce to 8 bits: floor(255 (v - low) / (high - low)), low and high taken inside the border of a DICOM image.

    Border values outside that range are clipped. An 8-bit PNG or JPEG stays as it is; other constant images become 0.
    """
    pixels = image.pixels
    if pixels.dtype == np.uint8 and not image.from_dicom:
        return EightBitImage(
            pixels.astype(np.uint8, copy=False), int(pixels.min()), int(pixels.max()), from_dicom=False
        )

    inner = _without_border(pixels) if image.from_dicom else pixels
    low = int(inner.min())
    high = int(inner.max())
    levels = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=np.int64).clip(low, high) - low
    table = (levels * 255 // max(high - low, 1)).astype(np.uint8)
    return EightBitImage(table[pixels], 0, 255 if high > low else 0, image.from_dicom)


def prepare(image: EightBitImage, contract: Preprocessing, box: Box | None = None) -> NDArray[np.float32]:
    """The network's input, float32 [3, height, width] ([3, H, W] of the image where the contract does not resize).

    Without a box: the frame of a DICOM image is cut off, then the air around the breast if the contract says so (DICOM
    only), then it is resized. With a box: that rectangle is cut out and resized; its min-max scaling uses the range of
    the whole image, so that a patch of air stays dark. The three channels are one image, each normalised by its own
    mean and std. A constant image scales to 0 under min-max.
    """
    pixels = shown_part(image, box, to_breast=contract.crop_to_breast)
    if contract.resize == "area" and pixels.shape != (contract.height, contract.width):
        pixels = _resize(pixels, contract.height, contract.width)

    scaled = pixels.astype(np.float32)
    if contract.scale == "unit":
        scaled /= 255.0
    else:
        low, high = (int(pixels.min()), int(pixels.max())) if box is None else (image.low, image.high)
        scaled -= low
        scaled /= max(high - low, 1)

    mean = np.asarray(contract.mean, dtype=np.float32)[:, None, None]
    std = np.asarray(contract.std, dtype=np.float32)[:, None, None]
    return (scaled[None] - mean) / std


def shown_part(image: EightBitImage, box: Box | None, *, to_breast: bool) -> NDArray[np.uint8]:
    """What a network sees of an image: uint8 [H, W], not yet resized.

    The box, if there is one; else the whole image, of a DICOM image without its frame and, if asked for, without air.
    """
    if box is not None:
        return image.pixels[box.top : box.top + box.height, box.left : box.left + box.width]
    if not image.from_dicom:
        return image.pixels

    pixels = _without_border(image.pixels)
    return crop_to_breast(pixels) if to_breast else pixels


def crop_to_breast(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut to the longest run of columns that vary and then of rows that vary; values up to 40 count as 0.

    Columns are judged on the middle 80 % of the rows, rows on the middle 80 % of the columns that are left, so that
    markers at the edge do not count. The first of equally long runs is taken; where nothing varies, nothing is cut.
    (The published preparation of Mammo-CLIP's PNGs, MICCAI 2024.)
    """
    tissue = np.where(pixels > _AIR, pixels, 0).astype(np.uint8)

    middle_rows = tissue[_middle(tissue.shape[0])]
    columns = _longest_run(np.ptp(middle_rows, axis=0) > 0)
    tissue = tissue[:, columns]

    middle_columns = tissue[:, _middle(tissue.shape[1])]
    rows = _longest_run(np.ptp(middle_columns, axis=1) > 0)
    return pixels[rows, columns]


def _without_border(pixels: NDArray[_Depth]) -> NDArray[_Depth]:
    if min(pixels.shape) <= 2 * BORDER:
        return pixels
    return pixels[BORDER:-BORDER, BORDER:-BORDER]


def _middle(length: int) -> slice:
    reach = int(length * 0.4)
    centre = length // 2
    return slice(centre - reach, centre + reach) if reach else slice(None)


def _longest_run(varies: NDArray[np.bool_]) -> slice:
    bounded = np.concatenate(([False], varies, [False])).astype(np.int8)
    edges = np.flatnonzero(np.diff(bounded))
    if not edges.size:
        return slice(None)

    starts = edges[::2]
    stops = edges[1::2]
    longest = int(np.argmax(stops - starts))
    return slice(int(starts[longest]), int(stops[longest]))


def _resize(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    from service.probes.opencv import cv2

    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
