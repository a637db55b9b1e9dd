"""DICOM mammograms: one grey frame of 8 to 16 bits, in any transfer syntax that the installed decoders know."""

from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import UID, JPEGExtended12Bit

from service.probes.decoders import display
from service.probes.decoders.dicom_file import OVERLAY_BITS, DicomFile
from service.probes.decoders.frames import encapsulated_frame, native_frame
from service.probes.pixels import CannotDecode, DecodedImage, check_size

StoredPixels = NDArray[np.integer]

_SIZE: tuple[str, ...] = ("Rows", "Columns")
_ELEMENTS: tuple[str | int, ...] = (
    *_SIZE,
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    *OVERLAY_BITS,
    "PixelData",
)
_CONVERT = "Convert the image to another transfer syntax, for example Explicit VR Little Endian."
_INSTALL_EXTENDED = (
    "Install the extra (its decoder is GPL-3.0): pip install 'mammo-clip-dissect-service[jpeg-extended]'."
)


@dataclass(frozen=True, slots=True)
class PixelModule:
    """What the data set says of its pixels, once it is sure that they are one grey frame."""

    height: int
    width: int

    allocated: int
    """Bits that a pixel takes."""

    stored: int
    """Bits of a pixel that hold its value."""

    signed: bool
    inverted: bool

    overlay_bits: frozenset[int]
    """The bits of a pixel that overlays take."""


def dicom_size(file: BinaryIO) -> tuple[int, int]:
    """Height and width from the header alone. Raises CannotDecode."""
    header = DicomFile(file, _SIZE, with_pixels=False)
    return header.number("Rows"), header.number("Columns")


def decode_dicom(file: BinaryIO, *, with_display: bool = False) -> DecodedImage:
    """Decode the stored values of a single grey frame.

    MONOCHROME1 is inverted, and so is a negative rescale slope, so that denser tissue is always brighter. Signed values
    are shifted to start at zero, bits that overlays take are cleared. VOI windows and lookup tables are not applied:
    the preparation stretches the full stored range, or applies what is read of them here.
    with_display: read the window and the padding value as well.
    Raises CannotDecode for anything else than such an image.
    """
    elements = (*_ELEMENTS, *display.ELEMENTS) if with_display else _ELEMENTS
    dicom = DicomFile(file, elements, with_pixels=True)
    decoder = _decoder(dicom.syntax)
    pixels = _pixel_module(dicom)

    if dicom.syntax.is_encapsulated:
        stored, precision = _decode_frame(decoder, dicom, pixels)
    else:
        stored, precision = native_frame(dicom, pixels.height, pixels.width, pixels.allocated), None

    stored = _without_overlays(stored, pixels.overlay_bits)
    bits = _depth(int(stored.min()), int(stored.max()), pixels, precision)
    levels = _levels(stored, pixels, bits)
    if not with_display:
        return DecodedImage(levels, from_dicom=True)

    stored_of_level = _stored_values(pixels, bits)
    monochrome1 = dicom.text("PhotometricInterpretation") == "MONOCHROME1"
    shown = display.read_display(dicom, stored_of_level, np.iinfo(levels.dtype).max + 1, monochrome1=monochrome1)
    return DecodedImage(levels, from_dicom=True, display=shown)


def _decoder(syntax: UID) -> Decoder:
    """Raises CannotDecode when nothing here decodes the transfer syntax."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise CannotDecode(f"no decoder supports its transfer syntax {_named(syntax)}", _CONVERT) from None
    if not decoder.is_available:
        raise CannotDecode(f"the decoder for its transfer syntax {_named(syntax)} is not installed", _CONVERT)
    return decoder


def _named(syntax: UID) -> str:
    return str(syntax) if syntax.name == str(syntax) else f"{syntax.name} ({syntax})"


def _pixel_module(dicom: DicomFile) -> PixelModule:
    dicom.pixel_data()
    if dicom.number_or("NumberOfFrames", 1) not in {0, 1}:
        raise CannotDecode("it has more than one frame")

    photometric = dicom.text("PhotometricInterpretation")
    if photometric not in {"MONOCHROME1", "MONOCHROME2"} or dicom.number("SamplesPerPixel") != 1:
        raise CannotDecode("it is not MONOCHROME1 or MONOCHROME2 with one sample a pixel")

    height = dicom.number("Rows")
    width = dicom.number("Columns")
    check_size(height, width)

    allocated = dicom.number("BitsAllocated")
    stored = dicom.number("BitsStored")
    if allocated not in {8, 16} or not 8 <= stored <= allocated:
        raise CannotDecode(f"it stores {stored} bits in {allocated} a pixel, not 8 to 16 bits in 8 or 16")
    if dicom.number_or("HighBit", stored - 1) != stored - 1:
        raise CannotDecode("its pixels are not in the low bits")

    representation = dicom.number("PixelRepresentation")
    if representation not in {0, 1}:
        raise CannotDecode(f"PixelRepresentation (0028,0103) is {representation}, not 0 or 1")

    return PixelModule(
        height,
        width,
        allocated,
        stored,
        signed=representation == 1,
        inverted=(photometric == "MONOCHROME1") != (dicom.sign("RescaleSlope") < 0),
        overlay_bits=frozenset(dicom.number_or(tag, 0) for tag in OVERLAY_BITS),
    )


def _decode_frame(decoder: Decoder, dicom: DicomFile, pixels: PixelModule) -> tuple[StoredPixels, int | None]:
    """The decoded frame [H, W], and the precision of its codestream, which counts more than what the header says."""
    frame = encapsulated_frame(dicom, pixels.height, pixels.width, pixels.allocated)
    precision = frame.precision
    if dicom.syntax == JPEGExtended12Bit and (precision or 0) > 8 and "pylibjpeg" not in decoder.available_plugins:
        raise CannotDecode(f"lossy JPEG of {precision} bits needs the extra jpeg-extended", _INSTALL_EXTENDED)

    options: dict[str, Any] = {
        "rows": pixels.height,
        "columns": pixels.width,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_representation": int(pixels.signed),
        "pixel_keyword": "PixelData",
        "bits_allocated": pixels.allocated if precision is None else 8 * -(-precision // 8),
        "bits_stored": pixels.stored if precision is None else precision,
        "correct_unused_bits": False,
    }

    try:
        stored, _ = decoder.as_array(frame.encapsulated(), index=0, **options)
    except MemoryError:
        raise
    except Exception:  # the decoders raise whatever they like
        raise CannotDecode(
            f"its frame in {_named(dicom.syntax)} is damaged, of a kind that the installed decoders do not know, or "
            "takes more memory than allowed"
        ) from None

    return stored, precision


def _without_overlays(stored: StoredPixels, bits: frozenset[int]) -> StoredPixels:
    taken = sum(1 << bit for bit in bits if 8 <= bit < 8 * stored.itemsize)
    if not taken:
        return stored

    levels = _unsigned(stored)
    return (levels & levels.dtype.type(~taken & 0xFFFF)).view(stored.dtype)


def _levels(stored: StoredPixels, pixels: PixelModule, bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Levels from zero, brighter where denser."""
    top = (1 << bits) - 1

    levels = _unsigned(stored)
    level = levels.dtype.type
    if pixels.signed:
        # Modulo the depth, so that it does not matter whether the sign was extended to the bits above.
        levels = (levels + level(1 << (bits - 1))) & level(top)
    if pixels.inverted:
        levels = level(top) - levels

    return levels.astype(np.uint8, copy=False) if bits <= 8 else levels.astype(np.uint16, copy=False)


def _stored_values(pixels: PixelModule, bits: int) -> NDArray[np.int64]:
    """The stored value of each level, as `_levels` makes them."""
    values = np.arange(1 << bits, dtype=np.int64)
    if pixels.inverted:
        values = values[::-1]
    return values - (1 << (bits - 1)) if pixels.signed else values


def _unsigned(stored: StoredPixels) -> NDArray[np.uint8] | NDArray[np.uint16]:
    return stored.view(np.uint8) if stored.itemsize == 1 else stored.view(np.uint16)


def _depth(low: int, high: int, pixels: PixelModule, precision: int | None) -> int:
    """The bits that hold the values: those stated in the header, or in the codestream if these are not enough.

    Raises CannotDecode for values that the stated bits cannot hold.
    """
    if precision is None:
        if _fit(low, high, pixels.stored, signed=pixels.signed):
            return pixels.stored
        raise CannotDecode(
            f"its pixels have values from {low} to {high}, too many for the {pixels.stored} bits "
            "of BitsStored (0028,0101)",
            "Correct BitsStored (0028,0101) and HighBit (0028,0102).",
        )

    stated = min(pixels.stored, precision)
    return stated if _fit(low, high, stated, signed=pixels.signed) else precision


def _fit(low: int, high: int, bits: int, *, signed: bool) -> bool:
    if not signed:
        return high < 1 << bits

    half = 1 << (bits - 1)
    # Without a negative value, those of the upper half are negative ones whose sign was not extended.
    above = half if low < 0 else 2 * half
    return -half <= low and high < above
