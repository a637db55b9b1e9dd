import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from service.domain.probes import ImageSize
from service.probes.decoders.formats import read_image, read_size
from service.probes.pixels import CannotDecode
from tests.probes.dicom_files import film, write_dicom

_META = 132


def pixels_of(path: Path) -> Any:
    with path.open("rb") as file:
        return read_image(file).pixels


def size_of(path: Path) -> ImageSize:
    with path.open("rb") as file:
        return read_size(file)


def refused(path: Path) -> CannotDecode:
    with path.open("rb") as file, pytest.raises(CannotDecode) as caught:
        read_image(file)
    words = f"{caught.value.reason} {caught.value.remedy}"
    assert "Error" not in words
    assert "Doe" not in words
    return caught.value


@pytest.mark.parametrize(
    "keyword",
    [
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PixelRepresentation",
    ],
)
def test_a_missing_element_is_named(tmp_path: Path, keyword: str) -> None:
    missing: dict[str, Any] = {keyword: None}
    problem = refused(write_dicom(tmp_path / "a.dcm", film(12), bits=12, **missing))
    assert f"it has no {keyword} (0028,0" in problem.reason
    assert keyword in problem.remedy


def test_without_what_has_a_default_it_decodes(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, HighBit=None)
    np.testing.assert_array_equal(pixels_of(path), film(12))


@pytest.mark.parametrize(
    ("tag", "vr", "value", "shown"),
    [
        ((0x0028, 0x1053), b"DS", b"1,0 ", "RescaleSlope (0028,1053) holds '1,0', which is not one number"),
        ((0x0028, 0x1053), b"DS", b"1\\2 ", "RescaleSlope (0028,1053) holds what is not one number"),
        ((0x0028, 0x1053), b"DS", b"Doe^Jane", "RescaleSlope (0028,1053) holds what is not one number"),
        ((0x0028, 0x0101), b"US", struct.pack("<HH", 12, 12), "BitsStored (0028,0101) holds"),
        ((0x0028, 0x0101), b"US", b"", "BitsStored (0028,0101) holds"),
        ((0x0028, 0x0101), b"LO", b"many", "BitsStored (0028,0101) holds what is not one number"),
        ((0x0028, 0x0008), b"IS", b"1.5 ", "NumberOfFrames (0028,0008) holds '1.5', which is not one number"),
    ],
)
def test_an_element_without_a_number_is_named(
    tmp_path: Path, tag: tuple[int, int], vr: bytes, value: bytes, shown: str
) -> None:
    keyword = {0x1053: "RescaleSlope", 0x0101: "BitsStored", 0x0008: "NumberOfFrames"}[tag[1]]
    missing: dict[str, Any] = {keyword: None} if keyword == "BitsStored" else {}
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, **missing)
    element = struct.pack("<HH2sH", *tag, vr, len(value)) + value
    data = path.read_bytes()
    later = min(place for place in (data.find(struct.pack("<HH", 0x28, 0x0102)), data.find(b"\xe0\x7f\x10\0")))
    earlier = data.find(struct.pack("<HH", 0x28, 0x0010))
    place = earlier if tag[1] == 0x0008 else data.find(b"\xe0\x7f\x10\0") if tag[1] == 0x1053 else later
    path.write_bytes(data[:place] + element + data[place:])
    assert shown in refused(path).reason


@pytest.mark.parametrize("kept", ["prefix and meta", "meta"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_without_a_preamble_it_is_dicom_all_the_same(tmp_path: Path, kept: str, syntax: UID) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, syntax=syntax)
    path.write_bytes(path.read_bytes()[_META - 4 if kept == "prefix and meta" else _META :])
    np.testing.assert_array_equal(pixels_of(path), film(12))
    assert size_of(path) == ImageSize(*film(12).shape)


@pytest.mark.parametrize("kept", ["preamble", "prefix", "nothing"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_without_meta_information_its_first_element_says_how_it_is_written(
    tmp_path: Path, kept: str, syntax: UID
) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, syntax=syntax)
    data = path.read_bytes()
    start = data.find(b"\0\x08\0\x16" if syntax == ExplicitVRBigEndian else b"\x08\0\x16\0")
    before = {"preamble": data[:_META], "prefix": b"DICM", "nothing": b""}[kept]
    path.write_bytes(before + data[start:])
    np.testing.assert_array_equal(pixels_of(path), film(12))
    assert size_of(path) == ImageSize(*film(12).shape)


def test_compressed_pixels_without_meta_information_are_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, syntax=RLELossless)
    data = path.read_bytes()
    path.write_bytes(data[data.find(b"\x08\0\x16\0") :])
    problem = refused(path)
    assert "TransferSyntaxUID (0002,0010) is missing" in problem.reason
    assert "PS3.10" in problem.remedy


def test_a_missing_transfer_syntax_is_named(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12)
    dataset = dcmread(path)
    del dataset.file_meta.TransferSyntaxUID
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    assert "it has no TransferSyntaxUID (0002,0010)" in refused(path).reason


def transfer_syntax_element(syntax: str) -> bytes:
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    return struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", len(value)) + value


@pytest.mark.parametrize(
    ("syntax", "named"),
    [
        ("1.2.840.113619.5.2", "1.2.840.113619.5.2"),
        ("1.2.3.4.5.6", "1.2.3.4.5.6"),
        ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.110"),
        ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level (1.2.840.10008.1.2.4.100)"),
        ("1.2.840.10008.1.1", "Verification SOP Class (1.2.840.10008.1.1)"),
    ],
)
def test_a_transfer_syntax_that_nothing_decodes_is_named(tmp_path: Path, syntax: str, named: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12)
    known = transfer_syntax_element(ExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes().replace(known, transfer_syntax_element(syntax)))

    problem = refused(path)
    assert "no decoder supports its transfer syntax" in problem.reason
    assert named in problem.reason
    assert "Convert the image" in problem.remedy


def with_data_set(path: Path, data_set: bytes, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """A file with a sound meta header and these bytes for a data set."""
    write_dicom(path, film(12), bits=12, syntax=syntax)
    data = path.read_bytes()
    length = int.from_bytes(data[_META + 8 : _META + 12], "little")
    path.write_bytes(data[: _META + 12 + length] + data_set)
    return path


@pytest.mark.parametrize("length", [0x7FFFFFFE, 0xFFFFFFFE])
@pytest.mark.parametrize("tag", [(0x0009, 0x1010), (0x7FE0, 0x0010)])
def test_a_huge_length_takes_no_memory(tmp_path: Path, length: int, tag: tuple[int, int]) -> None:
    element = struct.pack("<HH2sHI", *tag, b"OB", 0, length) + b"few"
    assert refused(with_data_set(tmp_path / "a.dcm", element)).reason


@pytest.mark.parametrize("depth", [100, 100_000])
def test_sequences_nested_deep_are_an_error(tmp_path: Path, depth: int) -> None:
    sequence = struct.pack("<HH2sHI", 0x0009, 0x1010, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    assert refused(with_data_set(tmp_path / "a.dcm", (sequence + item) * depth)).reason


def test_deflated_data_are_inflated_as_far_as_an_image_can_need(tmp_path: Path) -> None:
    element = struct.pack("<HH2sHI", 0x0009, 0x1010, b"OB", 0, 0xFFFFFFFE)
    bomb = deflated(element, 300)
    path = with_data_set(tmp_path / "a.dcm", bomb, DeflatedExplicitVRLittleEndian)
    assert path.stat().st_size < 1 << 20
    # What stands before the size may be passed over, but not without end.
    assert "inflates to more than" in refused(path).reason
    with path.open("rb") as file, pytest.raises(CannotDecode, match="inflates to more than"):
        read_size(file)


def deflated(element: bytes, inflated_mb: int) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    megabyte = bytes(1 << 20)
    parts = [deflater.compress(element), *(deflater.compress(megabyte) for _ in range(inflated_mb))]
    return b"".join([*parts, deflater.flush()])


def test_the_size_of_a_deflated_image_needs_its_beginning_alone(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12, 900, 800), bits=12, syntax=DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert size_of(path) == ImageSize(900, 800)
    assert "cut short" in refused(path).reason


def test_deflated_data_that_are_damaged_are_named(tmp_path: Path) -> None:
    path = with_data_set(tmp_path / "a.dcm", b"\xff" * 100, DeflatedExplicitVRLittleEndian)
    assert refused(path).reason == "its deflated data are damaged"


def test_a_size_beyond_the_limit_is_refused_from_the_header(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, Rows=65_535, Columns=65_535)
    with path.open("rb") as file, pytest.raises(CannotDecode, match="65535 x 65535 pixels are more than"):
        read_size(file)


def test_an_empty_data_set_has_no_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    dataset = Dataset()
    dataset.PatientName = "Doe^Jane"
    write_dicom(path, film(12), bits=12)
    assert refused(with_data_set(path, b"")).reason.startswith("it has no pixel data (7FE0,0010)")
