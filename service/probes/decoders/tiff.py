"""TIFF files: grey images of 8 to 16 bits, or colour of 8, in strips or tiles, uncompressed or as libtiff knows it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from service.domain.probes import FrameOfImage, ImageSize
from service.probes.decoders.raster import has_colours, luma
from service.probes.pixels import (
    MAX_FRAMES,
    MAX_PIXELS,
    CannotDecode,
    DecodedImage,
    brightest,
    check_size,
    shown_frames,
    too_many_frames,
)

_BITS, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_WHITE_IS_ZERO = 0
_EIGHT_BITS = {"1", "L", "LA"}
_SIXTEEN_BITS = {"I;16", "I;16B", "I;16L"}
_COLOUR = {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_SIGNED = "I"

# Pillow turns an image as its tag says; what is turned back has the rows and columns of the file.
_TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def tiff_size(file: BinaryIO) -> ImageSize:
    """Height, width and number of pages from the directories alone. Raises CannotDecode."""
    with _opened(file) as image:
        height, width = _stored_size(image)
        return ImageSize(height, width, _count_pages(image))


def decode_tiff(file: BinaryIO, frame: FrameOfImage | None = None) -> DecodedImage:
    """Decode a page; colour becomes luma as in a PNG, signed values are shifted to start at zero, alpha is ignored.

    frame: which page is taken where there are several. An orientation tag is ignored: boxes and sizes count the stored
    rows and columns. Raises CannotDecode when the file is damaged, cut short, too large or of another kind.
    """
    with _opened(file) as image:
        count = _count_pages(image)
        pages = shown_frames(count, frame)
        coloured = False

        def greys() -> Iterator[NDArray[np.uint8] | NDArray[np.uint16]]:
            nonlocal coloured
            for number in pages:
                grey, has_colour = _page(image, number)
                coloured = coloured or has_colour
                yield grey

        pixels = brightest(greys())
        bits = min(max(image.tag_v2.get(_BITS, (1,))), 16)
    return DecodedImage(pixels, from_dicom=False, bits=bits, samples=len(image.getbands()), coloured=coloured)


@contextmanager
def _opened(file: BinaryIO) -> Iterator[TiffImagePlugin.TiffImageFile]:
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=["TIFF"])
        except Image.DecompressionBombError:
            raise CannotDecode(f"it has more than {MAX_PIXELS} pixels") from None
        except UnidentifiedImageError:
            raise CannotDecode(
                "its TIFF directory is damaged, or its pixels are of a kind that the decoder does not know",
                "Save it as grey TIFF or PNG of 8 or 16 bits.",
            ) from None

        if not isinstance(image, TiffImagePlugin.TiffImageFile):
            raise CannotDecode("its TIFF directory is damaged")
        yield image


def _count_pages(image: TiffImagePlugin.TiffImageFile) -> int:
    """How many there are. Raises CannotDecode for too many, and for pages that differ in size or kind."""
    height, width = _stored_size(image)
    check_size(height, width)
    first = _stored_size(image), image.mode

    count = 1
    while True:
        try:
            image.seek(count)
        except EOFError:
            break
        count += 1
        if count > MAX_FRAMES:
            raise too_many_frames(count)
        if (_stored_size(image), image.mode) != first:
            raise CannotDecode("its pages differ in size or kind", "Save the page that is meant as a file of its own.")

    image.seek(0)
    return count


def _stored_size(image: TiffImagePlugin.TiffImageFile) -> tuple[int, int]:
    """Height and width as stored: Pillow gives those of the image turned upright."""
    width, height = image.size
    turned = image.tag_v2.get(_ORIENTATION, 1) in {5, 6, 7, 8}
    return (width, height) if turned else (height, width)


def _page(image: TiffImagePlugin.TiffImageFile, number: int) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], bool]:
    """A page in grey, and whether it has colours."""
    image.seek(number)
    mode = image.mode
    bits = image.tag_v2.get(_BITS, (1,))
    orientation = image.tag_v2.get(_ORIENTATION, 1)
    is_white_zero = image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    _check_kind(mode, bits)

    upright: Image.Image = image
    image.load()
    if orientation in _TURN_BACK:
        upright = image.transpose(_TURN_BACK[orientation])

    grey: NDArray[np.uint8] | NDArray[np.uint16]
    coloured = False
    if mode in _COLOUR:
        colours = np.asarray(upright.convert("RGB"))
        coloured = has_colours(colours)
        grey = luma(colours[:, :, ::-1])
    elif mode == _SIGNED:
        grey = (np.asarray(upright) + (1 << 15)).astype(np.uint16)
    elif mode in _SIXTEEN_BITS:
        levels = np.asarray(upright).astype(np.uint16)
        # Pillow inverts images of 8 bits alone.
        grey = (1 << max(bits)) - 1 - levels if is_white_zero else levels
    else:
        grey = np.asarray(upright.convert("L"), dtype=np.uint8)
    return grey, coloured


def _check_kind(mode: str, bits: tuple[int, ...]) -> None:
    depth = max(bits)
    if mode in _COLOUR and depth > 8:
        raise CannotDecode(f"its pixels are colour of {depth} bits", "Save it as grey TIFF or PNG of 16 bits.")
    is_known = mode in _EIGHT_BITS | _SIXTEEN_BITS | _COLOUR | {_SIGNED}
    if not is_known or depth > 16:
        raise CannotDecode(f"its pixels have {depth} bits, not 8 to 16", "Save it as grey TIFF or PNG of 16 bits.")
