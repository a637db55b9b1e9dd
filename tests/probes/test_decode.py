import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from service.domain.probes import ImageSize
from service.errors import UnreadableImage
from service.probes.decode import decode, image_size
from service.probes.decoders import dicom
from service.probes.pixels import CannotDecode
from tests.probes.dicom_files import COMPRESSED, SYNTAXES, film, write_dicom


def pixels_of(path: Path) -> NDArray[Any]:
    return decode(path, row=7).pixels


def write_image(path: Path, pixels: NDArray[Any]) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: UID(syntax).keyword)
def test_every_transfer_syntax_gives_the_stored_values(tmp_path: Path, syntax: UID, bits: int) -> None:
    stored = film(bits)
    image = decode(write_dicom(tmp_path / "a.dcm", stored, bits=bits, syntax=syntax), row=1)
    assert image.pixels.dtype == stored.dtype
    assert image.from_dicom
    np.testing.assert_array_equal(image.pixels, stored)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1, JPEGLSLossless])
@pytest.mark.parametrize("bits", [8, 12, 14, 16])
def test_monochrome1_is_inverted_at_its_depth(tmp_path: Path, bits: int, syntax: UID) -> None:
    stored = film(bits)
    path = write_dicom(tmp_path / "a.dcm", stored, bits=bits, syntax=syntax, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(pixels_of(path), (1 << bits) - 1 - stored.astype(int))


def test_a_negative_slope_inverts_like_monochrome1_and_both_cancel(tmp_path: Path) -> None:
    stored = film(12)
    falling = write_dicom(tmp_path / "a.dcm", stored, bits=12, RescaleSlope="-1", RescaleIntercept="4095")
    np.testing.assert_array_equal(pixels_of(falling), 4095 - stored.astype(int))
    both = write_dicom(
        tmp_path / "b.dcm",
        stored,
        bits=12,
        RescaleSlope="-1",
        RescaleIntercept="4095",
        PhotometricInterpretation="MONOCHROME1",
    )
    np.testing.assert_array_equal(pixels_of(both), stored)


def test_signed_values_are_shifted_to_start_at_zero(tmp_path: Path) -> None:
    stored = np.array([[-2048, -1], [0, 2047]], dtype=np.int16)
    np.testing.assert_array_equal(
        pixels_of(write_dicom(tmp_path / "a.dcm", stored, bits=12)), [[0, 2047], [2048, 4095]]
    )


def test_bits_that_overlays_take_are_cleared(tmp_path: Path) -> None:
    stored = np.array([[0x1005, 0x8000], [0x0FFF, 0x9001]], dtype=np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored, bits=12)
    dataset = dcmread(path)
    for group, bit in ((0x6000, 12), (0x6002, 15)):
        dataset.add_new((group, 0x0100), "US", 16)
        dataset.add_new((group, 0x0102), "US", bit)
    dataset.save_as(path)
    np.testing.assert_array_equal(pixels_of(path), [[5, 0], [0xFFF, 1]])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_values_beyond_the_stored_bits_are_not_wrapped(tmp_path: Path, syntax: UID) -> None:
    path = write_dicom(tmp_path / "Doe-Jane.dcm", film(14), bits=14, syntax=syntax, BitsStored=14)
    with_elements(path, BitsStored=12, HighBit=11)
    assert "values from 0 to 16383, too many for the 12 bits of BitsStored (0028,0101)" in unreadable(path)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize(("stated", "allocated"), [(12, 16), (16, 16), (8, 8)])
def test_the_precision_of_the_codestream_counts(tmp_path: Path, syntax: UID, stated: int, allocated: int) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(14), bits=14, syntax=syntax)
    with_elements(path, BitsStored=stated, HighBit=stated - 1, BitsAllocated=allocated)
    np.testing.assert_array_equal(pixels_of(path), film(14))

    with_elements(path, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(pixels_of(path), (1 << 14) - 1 - film(14).astype(int))


@pytest.mark.parametrize("values", [[[-2049, 0]], [[-1, 2048]], [[0, 4096]]])
def test_signed_values_beyond_the_stored_bits_are_not_wrapped(tmp_path: Path, values: list[list[int]]) -> None:
    path = write_dicom(tmp_path / "Doe-Jane.dcm", np.array(values, dtype=np.int16), bits=12)
    assert "too many for the 12 bits" in unreadable(path)


def test_signs_that_were_not_extended_are_understood(tmp_path: Path) -> None:
    stored = np.array([[0x800, 0xFFF], [0, 0x7FF]], dtype=np.int16)
    np.testing.assert_array_equal(
        pixels_of(write_dicom(tmp_path / "a.dcm", stored, bits=12)), [[0, 2047], [2048, 4095]]
    )


def test_lossy_jpeg_of_twelve_bits_decodes() -> None:
    path = Path(str(get_testdata_file("JPGExtended.dcm", download=False)))
    assert image_size(path, row=1) == ImageSize(*pixels_of(path).shape) == ImageSize(1024, 256)
    assert pixels_of(path).max() > 255


def test_lossy_jpeg_of_twelve_bits_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutExtra:
        is_available = True
        available_plugins = ("gdcm",)

    monkeypatch.setattr(dicom, "get_decoder", lambda _: WithoutExtra())
    path = Path(str(get_testdata_file("JPGExtended.dcm", download=False)))
    with path.open("rb") as file, pytest.raises(CannotDecode, match="12 bits needs the extra jpeg-extended") as caught:
        dicom.decode_dicom(file)
    assert "pip install 'mammo-clip-dissect-service[jpeg-extended]'" in caught.value.remedy


def test_lossy_jpeg_of_eight_bits_decodes(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    path = write_dicom(tmp_path / "a.dcm", ramp, bits=8, syntax=RLELossless)
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.save_as(path)
    encoded = cv2.imencode(".jpg", ramp)[1].tobytes()
    np.testing.assert_allclose(pixels_of(with_frame(path, encoded)).astype(int), ramp, atol=6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_png_keeps_every_value(tmp_path: Path, dtype: type) -> None:
    stored = film(8 * np.dtype(dtype).itemsize)
    path = write_image(tmp_path / "a.png", stored)
    assert not decode(path, row=1).from_dicom
    assert pixels_of(path).dtype == dtype
    np.testing.assert_array_equal(pixels_of(path), stored)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
def test_equal_colour_channels_are_the_grey_image_and_alpha_is_ignored(
    tmp_path: Path, dtype: type, channels: int
) -> None:
    stored = film(8 * np.dtype(dtype).itemsize)
    colour = np.repeat(stored[..., None], channels, axis=2)
    if channels == 4:
        colour[..., 3] = 9
    np.testing.assert_array_equal(pixels_of(write_image(tmp_path / "a.png", colour)), stored)


@pytest.mark.parametrize(("blue_green_red", "grey"), [((0, 0, 255), 76), ((0, 255, 0), 150), ((255, 0, 0), 29)])
def test_colour_becomes_bt_601_luma(tmp_path: Path, blue_green_red: tuple[int, int, int], grey: int) -> None:
    colour = np.full((4, 4, 3), blue_green_red, dtype=np.uint8)
    np.testing.assert_array_equal(pixels_of(write_image(tmp_path / "a.png", colour)), grey)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_decodes_to_within_its_loss(tmp_path: Path, channels: int) -> None:
    ramp = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    stored = ramp if channels == 1 else np.repeat(ramp[..., None], 3, axis=2)
    decoded = pixels_of(write_image(tmp_path / "a.jpeg", stored))
    assert decoded.dtype == np.uint8
    np.testing.assert_allclose(decoded.astype(int), ramp, atol=6)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_size_is_read_from_the_header_alone(tmp_path: Path, name: str) -> None:
    whole = write_image(tmp_path / name, film(8, 300, 200)).read_bytes()
    head = tmp_path / "head"
    head.write_bytes(whole[: len(whole) // 10])
    assert image_size(head, row=1) == ImageSize(300, 200)


def test_size_of_a_dicom_is_read_from_the_header_alone(tmp_path: Path) -> None:
    whole = write_dicom(tmp_path / "a.dcm", film(12, 30, 20), bits=12).read_bytes()
    head = tmp_path / "head.dcm"
    head.write_bytes(whole[:-500])
    assert image_size(head, row=1) == ImageSize(30, 20)


def huge_png() -> bytes:
    header = struct.pack(">II5B", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))


def unreadable(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(path, row=7)
    problem = caught.value
    assert problem.field == "image"
    assert problem.value == "row 7"
    assert "row 7" in problem.detail
    assert problem.remedy
    everything = f"{problem} {problem.as_problem()}"
    assert path.stem not in everything
    assert "Doe" not in everything
    assert problem.__cause__ is None
    assert problem.__suppress_context__
    return problem.detail


@pytest.mark.parametrize("name", ["Doe-Jane.png", "Doe-Jane.jpg"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_raster_is_unreadable(tmp_path: Path, name: str, share: float) -> None:
    path = write_image(tmp_path / name, film(8, 300, 200))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    unreadable(path)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: UID(syntax).keyword)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_dicom_is_unreadable(tmp_path: Path, syntax: UID, share: float) -> None:
    path = write_dicom(tmp_path / "Doe-Jane.dcm", film(12, 96, 80), bits=12, syntax=syntax)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    unreadable(path)


def encoded_frame(path: Path) -> bytes:
    return next(generate_frames(dcmread(path).PixelData, number_of_frames=1))


def with_elements(path: Path, **elements: Any) -> Path:
    dataset = dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def with_frame(path: Path, frame: bytes) -> Path:
    dataset = dcmread(path)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda syntax: UID(syntax).keyword)
@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_frame_cut_short_in_a_sound_file_is_unreadable(tmp_path: Path, syntax: UID, share: float) -> None:
    path = write_dicom(tmp_path / "Doe-Jane.dcm", film(12, 96, 80), bits=12, syntax=syntax)
    frame = encoded_frame(path)
    unreadable(with_frame(path, frame[: int(len(frame) * share)]))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1])
def test_a_frame_with_noise_in_it_is_unreadable(tmp_path: Path, syntax: UID) -> None:
    path = write_dicom(tmp_path / "Doe-Jane.dcm", film(12, 96, 80), bits=12, syntax=syntax)
    frame = bytearray(encoded_frame(path))
    middle = len(frame) // 2
    frame[middle : middle + 300] = np.random.default_rng(0).integers(0, 255, 300, dtype=np.uint8).tobytes()
    unreadable(with_frame(path, bytes(frame)))


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"PixelData": None}, "no pixel data"),
        ({"NumberOfFrames": "2"}, "more than one frame"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not MONOCHROME1 or MONOCHROME2"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "not MONOCHROME1 or MONOCHROME2"),
        ({"BitsStored": 6, "HighBit": 5}, "6 bits"),
        ({"HighBit": 15}, "low bits"),
        ({"Rows": 60_000, "Columns": 60_000}, "more than"),
        ({"Rows": 0}, "no pixels"),
        ({"Rows": 60}, "3552 bytes where 60 x 37 pixels of 16 bits take 4440"),
        ({"PixelRepresentation": 2}, "PixelRepresentation (0028,0103) is 2"),
    ],
)
def test_other_dicom_objects_are_unreadable(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    assert reason in unreadable(write_dicom(tmp_path / "Doe-Jane.dcm", film(12), bits=12, **elements))


def test_other_files_are_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "Doe-Jane.png"
    assert "missing" in unreadable(path)
    for content in (b"", b"GIF89a", b"\0" * 200):
        path.write_bytes(content)
        assert "not a DICOM, PNG, JPEG, PGM or TIFF file" in unreadable(path)
    path.write_bytes(huge_png())
    unreadable(path)
