"""Small DICOM mammograms written for the tests, in every transfer syntax that can be encoded here."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

COMPRESSED = (RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    *COMPRESSED,
)


def film(bits: int, height: int = 48, width: int = 37, seed: int = 3) -> NDArray[Any]:
    """Stored values over the full range of `bits`, uint8 or uint16 [height, width]."""
    values = np.random.default_rng(seed).integers(0, 1 << bits, (height, width))
    values[0, 0], values[-1, -1] = 0, (1 << bits) - 1
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def write_dicom(
    path: Path, stored: NDArray[Any], *, bits: int, syntax: UID = ExplicitVRLittleEndian, **elements: Any
) -> Path:
    """Write stored values [H, W] as a mammogram of one frame; `elements` replace or add elements, None drops one."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.PatientName = "Doe^Jane"
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 1 if stored.dtype.kind == "i" else 0
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    if syntax in {JPEGLossless, JPEGLosslessSV1}:
        dataset.PixelData = encapsulate([jpeg_lossless(stored, bits)])
        dataset["PixelData"].is_undefined_length = True
    elif syntax in COMPRESSED:
        dataset.compress(syntax, stored, generate_instance_uid=False)
    else:
        ordered = stored.byteswap() if syntax == ExplicitVRBigEndian else stored
        dataset.PixelData = ordered.tobytes() + b"\0" * (stored.nbytes % 2)
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated == 16 else "OB"
    for keyword in [keyword for keyword, value in elements.items() if value is None]:
        delattr(dataset, keyword)
    dataset.save_as(path, enforce_file_format=True)
    return path


def jpeg_lossless(values: NDArray[Any], bits: int, *, table_marker: bytes = b"\xff\xc4") -> bytes:
    """Lossless JPEG (ITU-T T.81 process 14, predictor 1) with a Huffman table of seventeen codes of five bits.

    Where the table's marker is broken, GDCM aborts.
    """
    height, width = values.shape
    wide = values.astype(np.int64)
    predicted = np.empty_like(wide)
    predicted[:, 1:] = wide[:, :-1]
    predicted[1:, 0] = wide[:-1, 0]
    predicted[0, 0] = 1 << (bits - 1)
    stream = []
    differences = (wide - predicted + 32767) % 65536 - 32767  # modulo 2^16, from -32767 to 32768
    for difference in differences.ravel().tolist():
        category = abs(difference).bit_length()
        stream.append(f"{category:05b}")
        if 0 < category < 16:
            low_bits = difference if difference > 0 else difference + (1 << category) - 1
            stream.append(f"{low_bits:0{category}b}")
    joined = "".join(stream)
    joined += "1" * (-len(joined) % 8)
    entropy = int(joined, 2).to_bytes(len(joined) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = bytes([bits]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([1, 1, 0x11, 0])
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))
    scan = bytes([1, 1, 0, 1, 0, 0])
    segments = [(b"\xff\xc3", frame), (table_marker, table), (b"\xff\xda", scan)]
    body = b"".join(marker + (len(content) + 2).to_bytes(2, "big") + content for marker, content in segments)
    return b"\xff\xd8" + body + entropy + b"\xff\xd9"


def write_crashing_dicom(path: Path) -> Path:
    """A sound data set whose frame makes its decoder abort."""
    stored = film(12)
    write_dicom(path, stored, bits=12, syntax=JPEGLossless)
    dataset = dcmread(path)
    dataset.PixelData = encapsulate([jpeg_lossless(stored, 12, table_marker=b"\0\xc4")])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path
