"""DICOM mammograms: one grey frame of 8 to 16 bits, in any transfer syntax that the installed decoders know."""

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from service.probes.pixels import CannotDecode, DecodedImage, check_size

_SIZE_TAGS = ["Rows", "Columns"]
_PIXEL_TAGS = [
    *_SIZE_TAGS,
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "PixelData",
]
_END_OF_IMAGE = b"\xff\xd9"
_PADDING = 16


def dicom_size(file: BinaryIO) -> tuple[int, int]:
    """Height and width from the header alone."""
    header = dcmread(file, stop_before_pixels=True, specific_tags=list(_SIZE_TAGS))
    return int(header.Rows), int(header.Columns)


def decode_dicom(file: BinaryIO) -> DecodedImage:
    """Decode the stored values of a single grey frame.

    MONOCHROME1 is inverted, and so is a negative rescale slope, so that denser tissue is always brighter. Signed values
    are shifted to start at zero, bits above the stored ones are cleared. VOI windows and lookup tables are not applied:
    the preparation stretches the full stored range. Raises CannotDecode for anything else than such an image.
    """
    dataset = dcmread(file, specific_tags=list(_PIXEL_TAGS))
    bits = _check(dataset)
    stored: NDArray[np.generic] = dataset.pixel_array
    if stored.shape != (dataset.Rows, dataset.Columns):
        raise CannotDecode("the pixel data do not fit the stated rows and columns")
    values = stored.astype(np.int32)
    if dataset.PixelRepresentation == 1:
        values += 1 << (bits - 1)
    top = (1 << bits) - 1
    values &= top
    falling = float(dataset.get("RescaleSlope") or 1) < 0
    if (dataset.PhotometricInterpretation == "MONOCHROME1") != falling:
        values = top - values
    pixels = values.astype(np.uint8) if bits == 8 else values.astype(np.uint16)
    return DecodedImage(pixels, from_dicom=True)


def _check(dataset: Dataset) -> int:
    """The number of stored bits, once it is sure that the data set is one grey frame that can be read."""
    if "PixelData" not in dataset:
        raise CannotDecode("it has no pixel data")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise CannotDecode("it has more than one frame")
    if dataset.PhotometricInterpretation not in {"MONOCHROME1", "MONOCHROME2"} or dataset.SamplesPerPixel != 1:
        raise CannotDecode("it is not MONOCHROME1 or MONOCHROME2")
    bits = int(dataset.BitsStored)
    if not 8 <= bits <= 16 or dataset.BitsAllocated not in {8, 16}:
        raise CannotDecode(f"it stores {bits} bits a pixel, not 8 to 16")
    if int(dataset.get("HighBit", bits - 1)) != bits - 1:
        raise CannotDecode("its pixels are not in the low bits")
    check_size(int(dataset.Rows), int(dataset.Columns))
    _check_end(dataset)
    return bits


def _check_end(dataset: Dataset) -> None:
    """The JPEG and JPEG-LS decoders fill in what a frame without its end-of-image marker lacks, and say nothing."""
    if dataset.file_meta.TransferSyntaxUID in {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes}:
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        if _END_OF_IMAGE not in frame[-_PADDING:]:
            raise CannotDecode("its frame is cut short")
