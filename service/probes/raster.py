"""PNG and JPEG, 8 and 16 bit, grey or colour, as one grey image."""

from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from service.probes.opencv import cv2
from service.probes.pixels import CannotDecode, DecodedImage, check_size


def raster_size(file: BinaryIO) -> tuple[int, int]:
    """Height and width from the header alone."""
    with Image.open(file) as image:
        width, height = image.size
    return height, width


def decode_raster(file: BinaryIO) -> DecodedImage:
    """Decode a PNG or JPEG; colour becomes luma 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), alpha is ignored.

    An orientation tag is ignored too: boxes and sizes count the stored rows and columns.
    Raises CannotDecode when the file is damaged or cut short.
    """
    check_size(*raster_size(file))
    file.seek(0)
    pixels: Any = cv2.imdecode(np.frombuffer(file.read(), dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise CannotDecode("the file is damaged or cut short")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY)
    return DecodedImage(pixels, from_dicom=False)
