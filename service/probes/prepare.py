"""From a decoded mammogram to a network's input, by the network's preprocessing contract."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain.preprocessing import PadSide, Preprocessing, Window
from service.domain.probes import Box
from service.probes.pixels import DecodedImage

_Depth = TypeVar("_Depth", bound=np.unsignedinteger)
_Value = TypeVar("_Value", np.uint8, np.float32)

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


def to_eight_bit(image: DecodedImage, *, window: Window = "stored", padding_as_air: bool = False) -> EightBitImage:
    """Reduce to 8 bits: floor(255 (v - low) / (high - low)), low and high taken inside the border of a DICOM image.

    Border values outside that range are clipped. An 8-bit PNG or JPEG stays as it is; other constant images become 0.
    window, padding_as_air: see `Preprocessing`; they need an image that was decoded with its display. Padding becomes
    0, and does not count for low and high: low is then the level 0, unless the image lies so far above it that this
    would take more than half of the 8 bits.
    """
    pixels = image.pixels
    if pixels.dtype == np.uint8 and not image.from_dicom:
        return EightBitImage(
            pixels.astype(np.uint8, copy=False), int(pixels.min()), int(pixels.max()), from_dicom=False
        )

    inner = _without_border(pixels) if image.from_dicom else pixels
    padding = image.display.padding if padding_as_air else None
    if window == "voi" and image.display.window is not None:
        return _shown_by_window(image, inner, image.display.window, padding)

    low, high = _range_of(inner, padding)
    levels = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=np.int64).clip(low, high) - low
    table = (levels * 255 // max(high - low, 1)).astype(np.uint8)
    if padding is not None:
        table[padding[0] : padding[1] + 1] = 0
    return EightBitImage(table[pixels], 0, 255 if high > low else 0, image.from_dicom)


def _range_of(pixels: NDArray[_Depth], padding: tuple[int, int] | None) -> tuple[int, int]:
    if padding is None:
        return int(pixels.min()), int(pixels.max())

    is_image = (pixels < padding[0]) | (pixels > padding[1])
    low = int(pixels.min(where=is_image, initial=np.iinfo(pixels.dtype).max))
    high = int(pixels.max(where=is_image, initial=0))
    if low > high:  # nothing but padding
        return 0, 0
    return (0 if 2 * low <= high else low), high


def _shown_by_window(
    image: DecodedImage, inner: NDArray[_Depth], window: NDArray[np.uint8], padding: tuple[int, int] | None
) -> EightBitImage:
    table = window
    if padding is not None:
        table = window.copy()
        table[padding[0] : padding[1] + 1] = 0
    shown = table[inner]
    return EightBitImage(table[image.pixels], int(shown.min()), int(shown.max()), image.from_dicom)


def prepare(image: EightBitImage, contract: Preprocessing, box: Box | None = None) -> NDArray[np.float32]:
    """The network's input, float32 [channels, height, width]; of the image's own size where that is not changed.

    Without a box: the frame of a DICOM image is cut off, then the air around the breast if the contract says so (DICOM
    only), then it is mirrored if it faces the wrong way, then resized. With a box: that rectangle is cut out, mirrored
    with its whole image and resized; its min-max scaling uses the range of the whole image, so that a patch of air
    stays dark. All channels are one image, each normalised by its own mean and std. A constant image scales to 0 under
    min-max, and padding is as dark as the darkest value that the scale gives.
    """
    pixels = _resize(shown_part(image, box, contract), contract)

    scaled = pixels.astype(np.float32)
    darkest = 0.0
    if contract.scale == "min_max":
        low, high = (int(pixels.min()), int(pixels.max())) if box is None else (image.low, image.high)
        scaled -= low
        scaled /= max(high - low, 1)
    else:
        scaled /= 255.0
        if contract.scale == "range":
            darkest = contract.range_low
            scaled *= contract.range_high - contract.range_low
            scaled += contract.range_low

    if contract.resize == "pad":
        scaled = _padded(scaled, contract.height, contract.width, contract.pad_side, darkest)

    mean = np.asarray(contract.mean, dtype=np.float32)[:, None, None]
    std = np.asarray(contract.std, dtype=np.float32)[:, None, None]
    return (scaled[None] - mean) / std


@dataclass(frozen=True, slots=True)
class ShownPart:
    """The rows and columns of an image that a network is shown, and whether they are mirrored."""

    rows: slice
    columns: slice
    mirrored: bool


def shown_part(image: EightBitImage, box: Box | None, contract: Preprocessing) -> NDArray[np.uint8]:
    """What a network sees of an image: uint8 [H, W], not yet resized. See `part_shown`."""
    part = part_shown(image, box, contract)
    pixels = image.pixels[part.rows, part.columns]
    return np.ascontiguousarray(pixels[:, ::-1]) if part.mirrored else pixels


def part_shown(image: EightBitImage, box: Box | None, contract: Preprocessing) -> ShownPart:
    """Which part of an image a network sees.

    The box, if there is one; else the whole image, of a DICOM image without its frame and, if asked for, without air.
    Either is mirrored where the whole image faces another way than the contract says.
    """
    height, width = image.pixels.shape
    border = border_of(image)
    whole = image.pixels[border : height - border, border : width - border]
    rows, columns = slice(border, height - border), slice(border, width - border)

    if box is not None:
        rows = slice(box.top, box.top + box.height)
        columns = slice(box.left, box.left + box.width)
    elif image.from_dicom and contract.crop_to_breast:
        breast_rows, breast_columns = breast_part(whole)
        rows = slice(border + breast_rows.start, border + breast_rows.stop)
        columns = slice(border + breast_columns.start, border + breast_columns.stop)

    turned = contract.orientation != "as_acquired" and facing(whole) not in {contract.orientation, None}
    return ShownPart(rows, columns, mirrored=turned)


def border_of(image: EightBitImage) -> int:
    """Pixels of each side that are the frame of an acquired image."""
    return BORDER if image.from_dicom and _has_border(image.pixels) else 0


def picture(image: EightBitImage, box: Box | None, contract: Preprocessing) -> NDArray[np.uint8]:
    """What a person is shown of an image: what the network sees, uint8, in full size and not squeezed."""
    pixels = shown_part(image, box, contract)
    if contract.resize != "pad":
        return pixels

    height, width = pixels.shape
    ratio = max(height / contract.height, width / contract.width)
    whole_height = max(round(contract.height * ratio), height)
    whole_width = max(round(contract.width * ratio), width)
    return _padded(pixels, whole_height, whole_width, contract.pad_side, 0)


def facing(pixels: NDArray[np.uint8]) -> Literal["left", "right"] | None:
    """Which way the breast faces: away from the half that is brighter in sum, where the chest wall is.

    None where both halves are equally bright.
    """
    half = pixels.shape[1] // 2
    if half == 0:
        return None

    left = int(pixels[:, :half].sum(dtype=np.int64))
    right = int(pixels[:, -half:].sum(dtype=np.int64))
    if left == right:
        return None
    return "right" if left > right else "left"


def crop_to_breast(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut to `breast_part`."""
    return pixels[breast_part(pixels)]


def breast_part(pixels: NDArray[np.uint8]) -> tuple[slice, slice]:
    """The longest run of columns that vary, and in them that of rows that vary; values up to 40 count as 0.

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
    return rows, columns


def _without_border(pixels: NDArray[_Depth]) -> NDArray[_Depth]:
    return pixels[BORDER:-BORDER, BORDER:-BORDER] if _has_border(pixels) else pixels


def _has_border(pixels: NDArray[np.generic]) -> bool:
    return bool(min(pixels.shape) > 2 * BORDER)


def _middle(length: int) -> slice:
    reach = int(length * 0.4)
    centre = length // 2
    return slice(centre - reach, centre + reach) if reach else slice(None)


def _longest_run(varies: NDArray[np.bool_]) -> slice:
    bounded = np.concatenate(([False], varies, [False])).astype(np.int8)
    edges = np.flatnonzero(np.diff(bounded))
    if not edges.size:
        return slice(0, len(varies))

    starts = edges[::2]
    stops = edges[1::2]
    longest = int(np.argmax(stops - starts))
    return slice(int(starts[longest]), int(stops[longest]))


def _resize(pixels: NDArray[np.uint8], contract: Preprocessing) -> NDArray[np.uint8]:
    height, width = resized(pixels.shape[0], pixels.shape[1], contract)
    if pixels.shape == (height, width):
        return pixels

    if contract.resize == "bicubic":
        from PIL import Image

        grey = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(grey.resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)

    from service.probes.opencv import cv2

    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def resized(height: int, width: int, contract: Preprocessing) -> tuple[int, int]:
    """Height and width that a part of that size is resized to, before anything is padded."""
    match contract.resize:
        case "none":
            return height, width
        case "pad":
            return _fitted(height, width, contract)
    return contract.height, contract.width


def _fitted(height: int, width: int, contract: Preprocessing) -> tuple[int, int]:
    """The largest size of the same shape that fits into the contract's."""
    ratio = min(contract.height / height, contract.width / width)
    fitted_height = min(max(round(height * ratio), 1), contract.height)
    fitted_width = min(max(round(width * ratio), 1), contract.width)
    return fitted_height, fitted_width


def _padded(pixels: NDArray[_Value], height: int, width: int, side: PadSide, darkest: float) -> NDArray[_Value]:
    own_height, own_width = pixels.shape
    left, top = padding_before(height - own_height, width - own_width, side)

    padded = np.full((height, width), darkest, dtype=pixels.dtype)
    padded[top : top + own_height, left : left + own_width] = pixels
    return padded


def padding_before(spare_rows: int, spare_columns: int, side: PadSide) -> tuple[int, int]:
    """How many columns are left of the image and how many rows are above it."""
    return {"left": spare_columns, "right": 0, "both": spare_columns // 2}[side], spare_rows // 2
