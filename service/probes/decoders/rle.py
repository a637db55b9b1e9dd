"""The header of a run-length encoded frame (DICOM PS3.5, annex G)."""

from itertools import pairwise
from struct import Struct

from service.probes.pixels import CannotDecode

_HEADER = Struct("<16I")  # number of segments, and where each of up to fifteen begins


def check_segments(frame: bytes, bytes_a_pixel: int) -> None:
    """Raises CannotDecode unless the frame has one segment for each byte of a pixel, in order and inside the frame."""
    if len(frame) < _HEADER.size:
        raise CannotDecode("its frame is cut short")

    segments, *starts = _HEADER.unpack_from(frame)
    if segments != bytes_a_pixel:
        raise CannotDecode(
            f"its frame has {segments} run-length segments, but {bytes_a_pixel} bytes a pixel need as many segments"
        )

    places = [*starts[:segments], len(frame)]
    in_order = all(start < end for start, end in pairwise(places))
    if places[0] != _HEADER.size or not in_order:
        raise CannotDecode("its frame is damaged or cut short")
