"""PNG and JPEG files, 8 and 16 bit, grey or colour, as one grey image."""

from typing import Any, BinaryIO

import numpy as np

from service.probes.decoders.jpeg import jpeg_size, whole_frame
from service.probes.decoders.png import pixel_chunks
from service.probes.opencv import cv2
from service.probes.pixels import CannotDecode, DecodedImage, check_size

_ROWS_AT_ONCE = 256
_ROWS_LOOKED_AT = 4


def decode_png(file: BinaryIO) -> DecodedImage:
    """Decode a PNG; colour becomes luma 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), alpha is ignored.

    Raises CannotDecode when the file is damaged, cut short or too large.
    """
    return _grey(pixel_chunks(file))


def decode_jpeg(file: BinaryIO) -> DecodedImage:
    """Decode a JPEG; colour becomes luma as in a PNG.

    An orientation tag is ignored: boxes and sizes count the stored rows and columns.
    Raises CannotDecode when the file is damaged, cut short or too large.
    """
    check_size(*jpeg_size(file))

    file.seek(0)
    frame = whole_frame(file.read())
    check_size(frame.header.height, frame.header.width)
    if frame.header.precision != 8:
        raise CannotDecode(f"its JPEG has {frame.header.precision} bits a sample, not 8")
    return _grey(frame.data)


def _grey(encoded: bytes) -> DecodedImage:
    pixels: Any = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise CannotDecode("the file is damaged or cut short")
    if pixels.ndim == 2:
        return DecodedImage(pixels, from_dicom=False, bits=8 * pixels.itemsize)
    return DecodedImage(
        luma(pixels),
        from_dicom=False,
        bits=8 * pixels.itemsize,
        samples=pixels.shape[2],
        coloured=has_colours(pixels),
    )


def has_colours(pixels: Any) -> bool:
    """Do red, green and blue of pixels [H, W, 3 or 4] differ anywhere? Every fourth row is looked at."""
    rows = pixels[::_ROWS_LOOKED_AT]
    return not (np.array_equal(rows[..., 0], rows[..., 1]) and np.array_equal(rows[..., 1], rows[..., 2]))


def luma(pixels: Any) -> Any:
    """Blue, green, red [H, W, 3 or 4] as grey (ITU-R BT.601).

    Some rows at a time: a copy of all without their alpha would be as large as the image.
    """
    grey = np.empty(pixels.shape[:2], dtype=pixels.dtype)
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        grey[rows] = cv2.cvtColor(pixels[rows, :, :3], cv2.COLOR_BGR2GRAY)
    return grey
