"""DICOM mammograms: grey frames of 8 to 16 bits, in any transfer syntax that the installed decoders know."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import UID, JPEGExtended12Bit

from service.domain.probes import FrameOfImage, ImageSize
from service.probes.decoders import dicom_facts, display
from service.probes.decoders.dicom_file import FUNCTIONAL_GROUPS, OVERLAY_BITS, DicomFile
from service.probes.decoders.dicom_frames import EXTENDED_OFFSETS, FramedPixelData
from service.probes.decoders.frames import encapsulated_frame, native_frame, native_values, only_frame
from service.probes.pixels import (
    MAX_FRAMES,
    CannotDecode,
    DecodedImage,
    Display,
    brightest,
    check_size,
    shown_frames,
    too_many_frames,
)

StoredPixels = NDArray[np.integer]

_FRAMES = "NumberOfFrames"
_SIZE: tuple[str, ...] = ("Rows", "Columns")
_COLOURS = frozenset(
    {
        "MONOCHROME1",
        "MONOCHROME2",
        "PALETTE COLOR",
        "RGB",
        "YBR_FULL",
        "YBR_FULL_422",
        "YBR_PARTIAL_422",
        "YBR_PARTIAL_420",
        "YBR_ICT",
        "YBR_RCT",
        "XYB",
    }
)
"""PS3.3, C.7.6.3.1.2. Other words in the file might be anything, also a name."""
_ELEMENTS: tuple[str | int, ...] = (
    *_SIZE,
    _FRAMES,
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


def dicom_size(file: BinaryIO) -> ImageSize:
    """Height, width and number of frames from the header alone. Raises CannotDecode."""
    header = DicomFile(file, (*_SIZE, _FRAMES), with_pixels=False)
    return ImageSize(header.number("Rows"), header.number("Columns"), _count_frames(header))


def decode_dicom(
    file: BinaryIO,
    *,
    with_display: bool = False,
    with_facts: bool = False,
    frame: FrameOfImage | None = None,
) -> DecodedImage:
    """Decode the stored values of a grey frame.

    MONOCHROME1 is inverted, and so is a negative rescale slope, so that denser tissue is always brighter. Signed values
    are shifted to start at zero, bits that overlays take are cleared. VOI windows and lookup tables are not applied:
    the preparation stretches the full stored range, or applies what is read of them here.
    with_display: read the window and the padding value as well. with_facts: read the padding value, and say what the
    header does.
    frame: what is shown where the file has several frames; a projection has the window of the middle one.
    Raises CannotDecode for anything else than such an image.
    """
    more: tuple[str, ...] = ()
    read_display: _ReadDisplay = _nothing
    if with_display:
        more, read_display = display.ELEMENTS, _display
    elif with_facts:
        more, read_display = (*display.ELEMENTS, *dicom_facts.ELEMENTS), _padding
    elements = (*_ELEMENTS, *more)

    if frame is not None:
        header = DicomFile(file, (*elements, *EXTENDED_OFFSETS, *FUNCTIONAL_GROUPS), with_pixels=False)
        count = _count_frames(header)
        if count > 1:
            return _decode_frames(header, count, frame, read_display, with_facts=with_facts)
        file.seek(0)

    dicom = DicomFile(file, elements, with_pixels=True)
    decoder = _decoder(dicom.syntax)
    dicom.pixel_data()
    shown_frames(_count_frames(dicom), frame)
    pixels = _pixel_module(dicom)
    _check_compression(dicom.syntax, is_encapsulated=dicom.is_pixel_data_encapsulated)

    if dicom.syntax.is_encapsulated:
        stored, precision = _decode_frame(decoder, dicom.syntax, only_frame(dicom), pixels)
    else:
        stored, precision = native_frame(dicom, pixels.height, pixels.width, pixels.allocated), None

    levels, bits, ends = _brought_to_levels(stored, pixels, precision)
    return DecodedImage(
        levels,
        from_dicom=True,
        display=read_display(dicom, pixels, bits),
        bits=bits,
        ends=ends,
        window=display.kind_of_window(dicom) if with_facts else "",
        said=dicom_facts.facts_of_header(dicom) if with_facts else None,
    )


def _decode_frames(
    header: DicomFile, count: int, frame: FrameOfImage, read_display: "_ReadDisplay", *, with_facts: bool
) -> DecodedImage:
    """One of several frames, or the projection of all."""
    decoder = _decoder(header.syntax)
    numbers = shown_frames(count, frame)
    middle = header.of_frame(numbers[len(numbers) // 2])
    pixels = _pixel_module(middle)

    data = FramedPixelData(header, count)
    _check_compression(header.syntax, is_encapsulated=data.is_encapsulated)
    depths = set()

    def levels_of_frames() -> Iterator[NDArray[np.uint8] | NDArray[np.uint16]]:
        for stored, precision in _stored_frames(decoder, header.syntax, data, numbers, pixels):
            levels, bits, _ = _brought_to_levels(stored, pixels, precision)
            depths.add(bits)
            yield levels

    projection = brightest(levels_of_frames())
    if len(depths) > 1:
        raise CannotDecode(
            "its frames need more or fewer bits than BitsStored (0028,0101) says", "Correct BitsStored (0028,0101)."
        )
    bits = depths.pop()
    window = ""
    if with_facts:
        window = display.kind_of_windows([display.kind_of_window(header.of_frame(number)) for number in numbers])
    return DecodedImage(
        projection, from_dicom=True, display=read_display(middle, pixels, bits), bits=bits, window=window
    )


def _stored_frames(
    decoder: Decoder, syntax: UID, data: FramedPixelData, numbers: Sequence[int], pixels: PixelModule
) -> Iterator[tuple[StoredPixels, int | None]]:
    """Each frame [H, W], and the precision of its codestream, where it has one."""
    if syntax.is_encapsulated:
        for encoded in data.encapsulated(numbers):
            yield _decode_frame(decoder, syntax, encoded, pixels)
        return

    size = pixels.height * pixels.width * pixels.allocated // 8
    if not syntax.is_little_endian and pixels.allocated == 8 and data.vr == "OW" and size % 2:
        raise CannotDecode("its frames begin in the middle of big endian words", _CONVERT)
    for number in numbers:
        values = native_values(
            data.native(number, size), size, pixels.allocated, syntax, signed=pixels.signed, vr=data.vr
        )
        yield values.reshape(pixels.height, pixels.width), None


def _count_frames(dicom: DicomFile) -> int:
    count = dicom.number_or(_FRAMES, 1)
    if count < 0:
        raise CannotDecode(f"NumberOfFrames (0028,0008) is {count}")
    if count > MAX_FRAMES:
        raise too_many_frames(count)
    return max(count, 1)


_ReadDisplay = Callable[[DicomFile, PixelModule, int], Display]


def _nothing(_dicom: DicomFile, _pixels: PixelModule, _bits: int) -> Display:
    return Display()


def _padding(dicom: DicomFile, pixels: PixelModule, bits: int) -> Display:
    try:
        return Display(padding=display.read_padding(dicom, _stored_values(pixels, bits)))
    except CannotDecode:  # it keeps nobody from the pixels
        return Display()


def _display(dicom: DicomFile, pixels: PixelModule, bits: int) -> Display:
    monochrome1 = dicom.text("PhotometricInterpretation") == "MONOCHROME1"
    levels = 1 << (8 if bits <= 8 else 16)
    return display.read_display(dicom, _stored_values(pixels, bits), levels, monochrome1=monochrome1)


def _decoder(syntax: UID) -> Decoder:
    """Raises CannotDecode when nothing here decodes the transfer syntax."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise CannotDecode(f"no decoder supports its transfer syntax {_named(syntax)}", _CONVERT) from None
    if not decoder.is_available:
        raise CannotDecode(f"the decoder for its transfer syntax {_named(syntax)} is not installed", _CONVERT)
    return decoder


def _check_compression(syntax: UID, *, is_encapsulated: bool) -> None:
    if is_encapsulated == syntax.is_encapsulated:
        return
    if is_encapsulated:
        raise CannotDecode(
            f"its pixel data are encapsulated, as compressed ones are, but TransferSyntaxUID (0002,0010) is missing or "
            f"says {syntax.name}",
            "Correct TransferSyntaxUID (0002,0010), or export the image again as a DICOM file (PS3.10).",
        )
    raise CannotDecode(f"its pixel data are not encapsulated, as {syntax.name} needs them")


def _named(syntax: UID) -> str:
    return str(syntax) if syntax.name == str(syntax) else f"{syntax.name} ({syntax})"


def _pixel_module(dicom: DicomFile) -> PixelModule:
    photometric = dicom.text("PhotometricInterpretation")
    samples = dicom.number("SamplesPerPixel")
    if photometric not in {"MONOCHROME1", "MONOCHROME2"} or samples != 1:
        named = photometric if photometric in _COLOURS else "of another kind"
        raise CannotDecode(
            f"PhotometricInterpretation (0028,0004) is {named} with {samples} samples a pixel (0028,0002): "
            "it is not MONOCHROME1 or MONOCHROME2 with one",
            "Export the image as MONOCHROME2, or as grey PNG.",
        )

    height = dicom.number("Rows")
    width = dicom.number("Columns")
    check_size(height, width)

    allocated = dicom.number("BitsAllocated")
    stored = dicom.number("BitsStored")
    if allocated not in {8, 16} or not 8 <= stored <= allocated:
        raise CannotDecode(
            f"it stores {stored} bits (BitsStored (0028,0101)) in {allocated} a pixel (BitsAllocated (0028,0100)), not "
            "8 to 16 bits in 8 or 16",
            "Export the image with 8 or 16 bits allocated.",
        )
    if dicom.number_or("HighBit", stored - 1) != stored - 1:
        raise CannotDecode(
            "its pixels are not in the low bits, where HighBit (0028,0102) is BitsStored (0028,0101) - 1",
            "Export the image again with its values in the low bits.",
        )

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


def _decode_frame(decoder: Decoder, syntax: UID, data: bytes, pixels: PixelModule) -> tuple[StoredPixels, int | None]:
    """The decoded frame [H, W], and the precision of its codestream, which counts more than what the header says."""
    frame = encapsulated_frame(data, syntax, pixels.height, pixels.width, pixels.allocated)
    precision = frame.precision
    if syntax == JPEGExtended12Bit and (precision or 0) > 8 and "pylibjpeg" not in decoder.available_plugins:
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
            f"its frame in {_named(syntax)} is damaged, of a kind that the installed decoders do not know, or "
            "takes more memory than allowed"
        ) from None

    return stored, precision


def _brought_to_levels(
    stored: StoredPixels, pixels: PixelModule, precision: int | None
) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int, tuple[int, int] | None]:
    """Levels from zero, brighter where denser; the bits that hold them; the lowest and the highest, where known."""
    stored = _without_overlays(stored, pixels.overlay_bits)
    low, high = int(stored.min()), int(stored.max())
    bits = _depth(low, high, pixels, precision)
    return _levels(stored, pixels, bits), bits, _ends(low, high, pixels, bits)


def _ends(low: int, high: int, pixels: PixelModule, bits: int) -> tuple[int, int] | None:
    """The lowest and the highest level; None for signed values, whose order levels need not have."""
    top = (1 << bits) - 1
    if pixels.signed or high > top:
        return None
    return (top - high, top - low) if pixels.inverted else (low, high)


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
