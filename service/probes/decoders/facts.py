"""What a file says of its image, and how the image uses its grey levels, for a check before any job."""

from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.domain.probes import FrameOfImage
from service.probes.decoders.formats import decode_other, decompressed, in_plain_words
from service.probes.pixels import DICOM, TIFF, CannotDecode, DecodedImage, ImageFacts, LevelFacts

_MANY = 0.05
"""The share of pixels from which on a lowest or highest level may be padding."""

_SIDE_LOOKED_AT = 256
"""Of a larger image only every few rows and columns are counted: about so many."""


def read_facts(file: BinaryIO, frame: FrameOfImage | None = None) -> ImageFacts:
    """Decode an image as a job does, and say what it is instead of giving its pixels.

    frame: what is decoded of several. Raises CannotDecode, with what the file says of its image all the same;
    CannotRead, MemoryError.
    """
    content, form = file, DICOM

    def decode(whole: BinaryIO) -> DecodedImage:
        nonlocal content, form
        content, form = decompressed(whole)
        if form == DICOM:
            from service.probes.decoders.dicom import decode_dicom

            return decode_dicom(content, with_facts=True, frame=frame)
        return decode_other(content, form, frame)

    try:
        image = in_plain_words(file, decode)
    except CannotDecode as refusal:
        refusal.facts = _said_of(content, form)
        raise
    return _with_pixels(image.said or _said_of(content, form), image)


def _with_pixels(said: ImageFacts | None, image: DecodedImage) -> ImageFacts:
    height, width = image.pixels.shape
    return replace(
        said or ImageFacts(DICOM, 0, 0),
        height=height,
        width=width,
        bits=image.bits,
        samples=image.samples,
        coloured=image.coloured,
        window=image.window,
        levels=level_facts(image.pixels, image.display.padding, image.ends),
    )


def level_facts(
    pixels: NDArray[np.uint8] | NDArray[np.uint16],
    padding: tuple[int, int] | None,
    ends: tuple[int, int] | None = None,
) -> LevelFacts:
    """How an image [H, W] uses its grey levels.

    padding: the lowest and highest level that is called so. ends: the lowest and highest level of all, where they are
    known.
    """
    step = max(min(pixels.shape) // _SIDE_LOOKED_AT, 1)
    looked_at = pixels[::step, ::step]
    counts = np.bincount(looked_at.ravel())
    lowest, highest = ends or (int(pixels.min()), int(pixels.max()))

    shares = np.zeros(highest + 1)
    shares[: len(counts)] = counts / looked_at.size
    flat = float(max(shares[lowest], shares[highest]))

    is_padding = np.zeros(highest + 1, dtype=bool)
    for level in (lowest, highest):
        is_padding[level] = shares[level] >= _MANY
    padding_share = None
    if padding is not None:
        called_so = slice(padding[0], padding[1] + 1)
        padding_share = float(shares[called_so].sum())
        is_padding[called_so] = padding_share > 0

    return LevelFacts(lowest, highest, padding_share, flat, _kept(shares, is_padding, highest - lowest))


def _kept(shares: NDArray[np.float64], is_padding: NDArray[np.bool_], whole_range: int) -> float:
    rest = np.flatnonzero((shares > 0) & ~is_padding)
    if rest.size < 2 or whole_range == 0:
        return 1.0
    return float(rest[-1] - rest[0]) / whole_range


def _said_of(file: BinaryIO, form: str) -> ImageFacts | None:
    """What the header says, as far as it can be read; None where it says nothing."""
    with suppress(Exception):
        file.seek(0)
        if form == DICOM:
            from service.probes.decoders.dicom_facts import ELEMENTS, facts_of_header
            from service.probes.decoders.dicom_file import DicomFile

            return facts_of_header(DicomFile(file, ELEMENTS, with_pixels=False))
        if form == TIFF:
            from service.probes.decoders.tiff import tiff_size

            height, width, frames = tiff_size(file)
            return ImageFacts(form, height, width, frames=frames)
    return None if form == DICOM else ImageFacts(form, 0, 0)
