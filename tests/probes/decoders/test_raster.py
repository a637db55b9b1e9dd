import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from service.domain.probes import ImageSize
from service.probes.decoders.formats import read_image, read_size
from service.probes.pixels import CannotDecode
from tests.probes.dicom_files import film

_SIGNATURE = 8
_HEADER_END = 33


def pixels_of(path: Path) -> Any:
    with path.open("rb") as file:
        return read_image(file).pixels


def reason(path: Path) -> str:
    with path.open("rb") as file, pytest.raises(CannotDecode) as caught:
        read_image(file)
    return caught.value.reason


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def inflating(megabytes: int) -> bytes:
    deflater = zlib.compressobj(9)
    parts = [deflater.compress(bytes(1 << 20)) for _ in range(megabytes)]
    return b"".join([*parts, deflater.flush()])


def png(folder: Path) -> tuple[Path, bytes]:
    path = folder / "a.png"
    cv2.imwrite(str(path), film(8))
    return path, path.read_bytes()


@pytest.mark.parametrize(
    ("kind", "head"),
    [(b"zTXt", b"words\0\0"), (b"iTXt", b"words\0\1\0\0\0"), (b"iCCP", b"profile\0\0")],
)
def test_what_does_not_make_pixels_is_not_inflated(tmp_path: Path, kind: bytes, head: bytes) -> None:
    path, data = png(tmp_path)
    path.write_bytes(data[:_HEADER_END] + chunk(kind, head + inflating(64)) * 20 + data[_HEADER_END:])
    np.testing.assert_array_equal(pixels_of(path), film(8))
    with path.open("rb") as file:
        assert read_size(file) == ImageSize(*film(8).shape)


def test_pixels_that_inflate_to_more_than_the_image_are_cut_off(tmp_path: Path) -> None:
    path, data = png(tmp_path)
    rows = b"".join(b"\0" + row.tobytes() for row in film(8))
    deflater = zlib.compressobj(9)
    parts = [deflater.compress(rows), *(deflater.compress(bytes(1 << 20)) for _ in range(200)), deflater.flush()]
    path.write_bytes(data[:_HEADER_END] + chunk(b"IDAT", b"".join(parts)) + chunk(b"IEND", b""))
    np.testing.assert_array_equal(pixels_of(path), film(8))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0\x0dIHDR",
        chunk(b"tEXt", b"first"),
        chunk(b"IHDR", struct.pack(">II5B", 0, 5, 8, 0, 0, 0, 0)),
        chunk(b"IHDR", struct.pack(">II5B", 60_000, 60_000, 8, 0, 0, 0, 0)),
        chunk(b"IHDR", struct.pack(">II5B", 5, 5, 8, 0, 0, 0, 0)),
        chunk(b"IHDR", struct.pack(">II5B", 5, 5, 8, 0, 0, 0, 0)) + b"\xff\xff\xff\xffIDAT",
        chunk(b"IHDR", struct.pack(">II5B", 5, 5, 8, 0, 0, 0, 0)) + chunk(b"IEND", b""),
    ],
)
def test_a_png_without_sound_chunks_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert reason(path)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_the_chunks_left_make_the_same_pixels(tmp_path: Path, mode: str) -> None:
    """Every kind of PNG, with a transparent colour, against OpenCV's reading of the whole file."""
    path = tmp_path / "a.png"
    image = Image.fromarray(film(16)) if mode == "I;16" else Image.fromarray(film(8)).convert(mode)
    options: dict[str, Any] = {"transparency": 3} if mode == "P" else {}
    image.save(path, **options)

    whole: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    grey = whole if whole.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(whole[..., :3]), cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(pixels_of(path), grey)


def test_the_frames_of_an_animation_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    first, second = Image.fromarray(film(8)), Image.fromarray(film(8, seed=4))
    first.save(path, save_all=True, append_images=[second])
    np.testing.assert_array_equal(pixels_of(path), film(8))


def jpeg(folder: Path) -> tuple[Path, bytes]:
    path = folder / "a.jpg"
    cv2.imwrite(str(path), film(8))
    return path, path.read_bytes()


def test_what_stands_behind_a_jpeg_changes_nothing(tmp_path: Path) -> None:
    path, data = jpeg(tmp_path)
    pixels = pixels_of(path)
    path.write_bytes(data + b"\xff\xd8\xff" + bytes(100))
    np.testing.assert_array_equal(pixels_of(path), pixels)


def test_a_picture_inside_the_camera_data_does_not_count(tmp_path: Path) -> None:
    path, data = jpeg(tmp_path)
    pixels = pixels_of(path)
    camera = data[:10_000]
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(camera) + 2) + camera + data[2:])
    np.testing.assert_array_equal(pixels_of(path), pixels)
    with path.open("rb") as file:
        assert read_size(file) == ImageSize(*pixels.shape)


@pytest.mark.parametrize(("offset", "value", "words"), [(4, b"\x0c", "12 bits"), (5, b"\xff" * 4, "pixels are more")])
def test_a_jpeg_header_beyond_the_limits_is_refused(tmp_path: Path, offset: int, value: bytes, words: str) -> None:
    path, data = jpeg(tmp_path)
    place = data.index(b"\xff\xc0") + offset
    path.write_bytes(data[:place] + value + data[place + len(value) :])
    assert words in reason(path)


def test_a_jpeg_with_a_second_header_is_refused(tmp_path: Path) -> None:
    path, data = jpeg(tmp_path)
    header = data[data.index(b"\xff\xc0") :][:13]
    place = data.index(b"\xff\xda")
    path.write_bytes(data[:place] + header[:5] + b"\xff" * 4 + header[9:] + data[place:])
    assert reason(path) == "its frame has two headers"
