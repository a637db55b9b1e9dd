"""Small pictures of probe images for reports. Decoders open the files, so the API never draws any."""

from dataclasses import replace

from service.domain.preprocessing import Preprocessing
from service.domain.probes import Box, ImagePlace, ProbeSet
from service.errors import ImageChanged, UnreadableImage
from service.probes.images import read_image
from service.probes.opencv import cv2
from service.probes.prepare import EightBitImage, picture

SIDE = 160
"""Pixels of a thumbnail's longer side."""

_JPEG_QUALITY = 82


class Thumbnails:
    """Draws what the networks saw of an image, small; keeps the last image decoded, for its next patch.

    contract: how images reach the target.
    """

    def __init__(self, probe_set: ProbeSet, contract: Preprocessing) -> None:
        self._items = {(item.row, item.frame_number): item for item in probe_set.items}
        self._roots = probe_set.roots
        self._contract = contract
        self._last: tuple[ImagePlace, EightBitImage] | None = None

    def __call__(self, place: ImagePlace) -> bytes | None:
        """A JPEG at most SIDE pixels wide and high; None where the image is not there, not readable or not the same."""
        try:
            whole = self._decoded(replace(place, box=None))
        except (KeyError, UnreadableImage, ImageChanged):
            return None
        return _jpeg(whole, place.box, self._contract)

    def _decoded(self, whole: ImagePlace) -> EightBitImage:
        if self._last is None or self._last[0] != whole:
            item = self._items[whole.row, whole.frame]
            self._last = whole, read_image(item, self._roots, self._contract)
        return self._last[1]


def _jpeg(image: EightBitImage, box: Box | None, contract: Preprocessing) -> bytes | None:
    pixels = picture(image, box, contract)
    if not pixels.size:
        return None

    height, width = pixels.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
