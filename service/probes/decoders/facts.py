"""What a file says of its image, and how the image uses its grey levels, for a check before any job."""

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.domain.probes import FrameOfImage
from service.probes.decoders.formats import decode_other, decompressed, in_plain_words
from service.probes.pixels import (
    DICOM,
    INTENTS,
    OTHER,
    PHOTOMETRICS,
    TIFF,
    CannotDecode,
    DecodedImage,
    ImageFacts,
    LevelFacts,
    check_size,
)

if TYPE_CHECKING:
    from service.probes.decoders.dicom_file import DicomFile

_MANY = 0.05
"""The share of pixels from which on a lowest or highest level may be padding."""

_SIDE_LOOKED_AT = 256
"""Of a larger image only every few rows and columns are counted: about so many."""

_GREATEST = 65_535
"""A greater number of a header is given as this one."""


def read_facts(file: BinaryIO, frame: FrameOfImage | None = None) -> ImageFacts:
    """Decode an image as a job does, and say what it is instead of giving its pixels.

    frame: what is decoded of several. Raises CannotDecode, with what the file says of its image all the same;
    CannotRead, MemoryError.
    """
    known: ImageFacts | None = None

    def facts(whole: BinaryIO) -> ImageFacts:
        nonlocal known
        content, form = decompressed(whole)
        known = _header_facts(content, form)
        content.seek(0)
        if form == DICOM:
            from service.probes.decoders.dicom import decode_dicom

            return _with_pixels(known, decode_dicom(content, with_padding=True, frame=frame))
        return _with_pixels(known, decode_other(content, form, frame))

    try:
        return in_plain_words(file, facts)
    except CannotDecode as refusal:
        refusal.facts = known
        raise


def _with_pixels(facts: ImageFacts | None, image: DecodedImage) -> ImageFacts:
    height, width = image.pixels.shape
    return replace(
        facts or ImageFacts(DICOM, 0, 0),
        height=height,
        width=width,
        bits=image.bits,
        samples=image.samples,
        coloured=image.coloured,
        levels=level_facts(image.pixels, image.display.padding),
    )


def level_facts(pixels: NDArray[np.uint8] | NDArray[np.uint16], padding: tuple[int, int] | None) -> LevelFacts:
    """How an image [H, W] uses its grey levels. padding: the lowest and highest level that is called so."""
    step = max(min(pixels.shape) // _SIDE_LOOKED_AT, 1)
    looked_at = pixels[::step, ::step]
    counts = np.bincount(looked_at.ravel())
    lowest = int(pixels.min())
    highest = int(pixels.max())

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


def _header_facts(file: BinaryIO, form: str) -> ImageFacts | None:
    """What the header says, as far as it can be read; None where it says nothing.

    Whatever is wrong with it is said when the image is decoded.
    """
    with suppress(Exception):
        if form == DICOM:
            return _dicom_facts(file)
        if form == TIFF:
            from service.probes.decoders.tiff import tiff_size

            height, width, frames = tiff_size(file)
            return ImageFacts(form, height, width, frames=frames)
    return None if form == DICOM else ImageFacts(form, 0, 0)


def _dicom_facts(file: BinaryIO) -> ImageFacts:
    from service.probes.decoders.dicom_file import DicomFile

    elements = (
        "PresentationIntentType",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
    )
    dicom = DicomFile(file, elements, with_pixels=False)

    height, width = _number(dicom, "Rows"), _number(dicom, "Columns")
    with_size = _is_a_size(height, width)
    samples = max(_number(dicom, "SamplesPerPixel"), 1)
    return ImageFacts(
        DICOM,
        height if with_size else 0,
        width if with_size else 0,
        frames=max(_number(dicom, "NumberOfFrames"), 1),
        samples=samples,
        coloured=samples > 1,
        stated_bits=min(_number(dicom, "BitsStored"), 255),
        allocated=min(_number(dicom, "BitsAllocated"), 255),
        photometric=_word(dicom, "PhotometricInterpretation", PHOTOMETRICS),
        intent=_word(dicom, "PresentationIntentType", INTENTS),
    )


def _number(dicom: "DicomFile", keyword: str) -> int:
    with suppress(CannotDecode):
        return min(max(dicom.number_or(keyword, 0), 0), _GREATEST)
    return 0


def _word(dicom: "DicomFile", keyword: str, known: tuple[str, ...]) -> str:
    """Only words that are known go out: what a header says may identify a patient."""
    try:
        word = dicom.text(keyword).upper() if dicom.has(keyword) else ""
    except CannotDecode:
        return OTHER
    return word if word in known else OTHER


def _is_a_size(height: int, width: int) -> bool:
    try:
        check_size(height, width)
    except CannotDecode:
        return False
    return True
