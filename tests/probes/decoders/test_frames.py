import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from service.probes.decoders.formats import read_image
from service.probes.pixels import CannotDecode
from tests.probes.dicom_files import COMPRESSED, film, write_dicom

_CODESTREAMS = (JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)


def keyword(syntax: Any) -> str:
    return UID(syntax).keyword if isinstance(syntax, str) else ""


def write(folder: Path, syntax: UID) -> tuple[Path, bytes]:
    path = write_dicom(folder / "a.dcm", film(12), bits=12, syntax=syntax)
    return path, next(generate_frames(dcmread(path).PixelData, number_of_frames=1))


def with_frames(path: Path, *frames: bytes) -> Path:
    dataset = dcmread(path)
    dataset.PixelData = encapsulate(list(frames))
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


def pixels_of(path: Path) -> Any:
    with path.open("rb") as file:
        return read_image(file).pixels


def reason(path: Path) -> str:
    with path.open("rb") as file, pytest.raises(CannotDecode) as caught:
        read_image(file)
    return caught.value.reason


@pytest.mark.parametrize("syntax", _CODESTREAMS, ids=keyword)
@pytest.mark.parametrize("padding", [b"\0", b"\0" * 16, b"\xff" * 18, b"padding!" * 2000, b"\xff\xd8\xff\xc3" * 9])
def test_padding_behind_a_frame_changes_nothing(tmp_path: Path, syntax: UID, padding: bytes) -> None:
    path, frame = write(tmp_path, syntax)
    np.testing.assert_array_equal(pixels_of(with_frames(path, frame + padding)), film(12))


@pytest.mark.parametrize("padding", [16, 4096])
def test_zeros_behind_run_lengths_change_nothing(tmp_path: Path, padding: int) -> None:
    path, frame = write(tmp_path, RLELossless)
    np.testing.assert_array_equal(pixels_of(with_frames(path, frame + bytes(padding))), film(12))


@pytest.mark.parametrize("padding", [b"\0" * 2, b"\0" * 10_000, b"x" * 100])
def test_padding_behind_uncompressed_pixels_changes_nothing(tmp_path: Path, padding: bytes) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12)
    dataset = dcmread(path)
    dataset.PixelData = film(12).tobytes() + padding
    dataset.save_as(path)
    np.testing.assert_array_equal(pixels_of(path), film(12))


def test_two_uncompressed_frames_where_one_is_stated_are_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12)
    dataset = dcmread(path)
    dataset.PixelData = film(12).tobytes() * 2
    dataset.save_as(path)
    assert "more than one frame takes" in reason(path)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=keyword)
def test_two_compressed_frames_where_one_is_stated_are_refused(tmp_path: Path, syntax: UID) -> None:
    path, frame = write(tmp_path, syntax)
    assert "more than one frame" in reason(with_frames(path, frame, frame))


@pytest.mark.parametrize("syntax", _CODESTREAMS, ids=keyword)
@pytest.mark.parametrize(("rows", "columns"), [(48, 36), (47, 37), (37, 48), (9000, 8000)])
def test_a_frame_of_another_size_is_refused_before_it_is_decoded(
    tmp_path: Path, syntax: UID, rows: int, columns: int
) -> None:
    path, _ = write(tmp_path, syntax)
    dataset = dcmread(path)
    dataset.Rows, dataset.Columns = rows, columns
    dataset.save_as(path)
    assert f"its frame is 48 x 37 pixels, where Rows (0028,0010) and Columns (0028,0011) say {rows} x {columns}" in (
        reason(path)
    )


def changed(frame: bytes, marker: bytes, offset: int, value: bytes) -> bytes:
    place = frame.index(marker) + offset
    return frame[:place] + value + frame[place + len(value) :]


@pytest.mark.parametrize(
    ("syntax", "marker"), [(JPEGLosslessSV1, b"\xff\xc3"), (JPEGLSLossless, b"\xff\xf7")], ids=keyword
)
@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (5, b"\xff\xff\xff\xff", "65535 x 65535"),
        (9, b"\x03", "3 samples a pixel"),
        (4, b"\x18", "24 bits a sample"),
        (5, b"\0\0", "0 x 37"),
    ],
)
def test_the_header_of_a_jpeg_frame_is_compared(
    tmp_path: Path, syntax: UID, marker: bytes, offset: int, value: bytes, words: str
) -> None:
    path, frame = write(tmp_path, syntax)
    assert words in reason(with_frames(path, changed(frame, marker, offset, value)))


def test_a_second_header_that_claims_a_giant_is_refused(tmp_path: Path) -> None:
    path, frame = write(tmp_path, JPEGLosslessSV1)
    place = frame.index(b"\xff\xda")
    header = frame[frame.index(b"\xff\xc3") :][:13]
    giant = header[:5] + b"\xff\xff\xff\xff" + header[9:]
    assert reason(with_frames(path, frame[:place] + giant + frame[place:])) == "its frame has two headers"


def test_a_frame_of_the_other_kind_of_jpeg_is_refused(tmp_path: Path) -> None:
    path, frame = write(tmp_path, JPEGLSLossless)
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.save_as(path)
    assert "not in the transfer syntax that it states" in reason(with_frames(path, frame))


def size_segment(**fields: int) -> bytes:
    values = {
        "x1": 37, "y1": 48, "x0": 0, "y0": 0,
        "tile_x": 37, "tile_y": 48, "tile_x0": 0, "tile_y0": 0,
    } | fields  # fmt: skip
    return struct.pack(">8I", *values.values())


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (6, size_segment(x1=0xFFFFFFFF, y1=0xFFFFFFFF), "tiles, more than 65535"),
        (6, size_segment(x1=60_000, y1=60_000, tile_x=60_000, tile_y=60_000), "its frame is 60000 x 60000"),
        (6, size_segment(tile_x=1, tile_y=1, x1=1000, y1=1000), "1000000 tiles, more than 65535"),
        (6, size_segment(tile_x=0), "damaged"),
        (6, size_segment(x0=40), "damaged"),
        (6, size_segment(tile_x0=1), "damaged"),
        (6, size_segment(tile_x=20), "cut short"),
        (38, b"\x40\x00", "16384 samples a pixel"),
        (40, b"\x25", "38 bits a sample"),
        (41, b"\x02", "sub-sampled"),
    ],
)
def test_the_header_of_a_jpeg_2000_codestream_is_compared(
    tmp_path: Path, offset: int, value: bytes, words: str
) -> None:
    path, frame = write(tmp_path, JPEG2000Lossless)
    assert words in reason(with_frames(path, changed(frame, b"\xff\x51", offset, value)))


def box(kind: bytes, content: bytes, *, long: bool = False, last: bool = False) -> bytes:
    if long:
        return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content
    return struct.pack(">I4s", 0 if last else len(content) + 8, kind) + content


@pytest.mark.parametrize("how", [{}, {"long": True}, {"last": True}])
def test_a_codestream_in_boxes_decodes(tmp_path: Path, how: dict[str, bool]) -> None:
    path, frame = write(tmp_path, JPEG2000Lossless)
    boxes = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + box(b"jp2h", bytes(30))
    np.testing.assert_array_equal(pixels_of(with_frames(path, boxes + box(b"jp2c", frame, **how))), film(12))


def test_the_codestream_in_boxes_is_compared_too(tmp_path: Path) -> None:
    path, frame = write(tmp_path, JPEG2000Lossless)
    giant = changed(frame, b"\xff\x51", 6, size_segment(x1=60_000, y1=60_000, tile_x=60_000, tile_y=60_000))
    assert "60000 x 60000" in reason(with_frames(path, box(b"jP  ", b"\r\n\x87\n") + box(b"jp2c", giant)))


@pytest.mark.parametrize("length", [2, 0x7FFFFFFF])
def test_boxes_that_lead_nowhere_are_refused(tmp_path: Path, length: int) -> None:
    path, _ = write(tmp_path, JPEG2000Lossless)
    boxes = box(b"jP  ", b"\r\n\x87\n") + struct.pack(">I4s", length, b"jp2h")
    assert reason(with_frames(path, boxes)) in {"its frame is damaged", "its frame is cut short"}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ((1, 64), "1 run-length segments"),
        ((15, 64), "15 run-length segments"),
        ((2, 64, 64), "damaged"),
        ((2, 64, 1 << 31), "damaged"),
        ((2, 0, 64), "damaged"),
    ],
)
def test_the_header_of_run_lengths_is_checked(tmp_path: Path, header: tuple[int, ...], words: str) -> None:
    path, frame = write(tmp_path, RLELossless)
    start = struct.pack("<16I", *header, *[0] * (16 - len(header)))
    assert words in reason(with_frames(path, start + frame[64:]))


def test_a_compressed_syntax_needs_items(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, syntax=ExplicitVRLittleEndian)
    data = path.read_bytes()
    old, new = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"
    path.write_bytes(data.replace(old, new))
    assert "not encapsulated" in reason(path)
