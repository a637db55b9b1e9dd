import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.domain.probes import ImageSize
from service.probes.decoders import gzipped
from service.probes.decoders.formats import read_image, read_size
from service.probes.pixels import CannotDecode
from tests.probes.dicom_files import film, write_dicom
from tests.probes.raster_files import write_tiff


def pgm(stored: NDArray[Any], *, white: int | None = None, plain: bool = False, comment: str = "") -> bytes:
    height, width = stored.shape
    white = white or np.iinfo(stored.dtype).max
    head = f"P{2 if plain else 5}\n{comment}{width} {height}\n{white}\n".encode()
    if plain:
        return head + "\n".join(" ".join(map(str, row)) for row in stored.tolist()).encode()
    return head + stored.astype(stored.dtype.newbyteorder(">")).tobytes()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def pixels_of(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        image = read_image(file)
    return image.pixels


def size_of(path: Path) -> ImageSize:
    with path.open("rb") as file:
        return read_size(file)


def reason(path: Path) -> str:
    with pytest.raises(CannotDecode) as refused:
        pixels_of(path)
    return refused.value.reason


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_values_are_as_stored(tmp_path: Path, bits: int, plain: bool) -> None:
    path = written(tmp_path / "a.pgm", pgm(film(bits), plain=plain, white=(1 << bits) - 1))
    np.testing.assert_array_equal(pixels_of(path), film(bits))
    assert pixels_of(path).dtype == film(bits).dtype
    assert size_of(path) == ImageSize(48, 37)


def test_an_image_of_8_bits_is_that_of_another_reader(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pgm", pgm(film(8)))
    with Image.open(path) as image:
        np.testing.assert_array_equal(pixels_of(path), np.asarray(image))


@pytest.mark.parametrize(
    "head",
    [
        b"P5\n# by hand\n3 2\n255\n",
        b"P5 3 2 255 ",
        b"P5\n3 # columns\n2\n# rows follow\n255\n",
        b"P5#x\n3\t2\r\n255\n",
    ],
)
def test_comments_and_blanks_stand_anywhere_in_a_header(tmp_path: Path, head: bytes) -> None:
    path = written(tmp_path / "a.pgm", head + bytes([10, 13, 32, 35, 0, 255]))
    np.testing.assert_array_equal(pixels_of(path), [[10, 13, 32], [35, 0, 255]])


def test_comments_stand_between_plain_values(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pgm", b"P2\n3 2\n4095\n1 2 3 # first row 9 9\n4\n5 4000")
    np.testing.assert_array_equal(pixels_of(path), [[1, 2, 3], [4, 5, 4000]])


@pytest.mark.parametrize("plain", [False, True])
def test_white_is_255_in_8_bits(tmp_path: Path, plain: bool) -> None:
    path = written(tmp_path / "a.pgm", pgm(np.array([[0, 50, 100]], dtype=np.uint8), white=100, plain=plain))
    np.testing.assert_array_equal(pixels_of(path), [[0, 128, 255]])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"P5\n3 2\n255\n12345", "cut short"),
        (b"P5\n3 2\n65535\n12345678901", "cut short"),
        (b"P2\n3 2\n255\n1 2 3 4 5", "cut short"),
        (b"P2\n3 2\n255\n1 2 3 4 5 x", "not numbers"),
        (b"P2\n3 2\n255\n1 2 3 4 5 -6", "not numbers"),
        (b"P2\n3 2\n255\n1 2 3 4 5 256", "above 255"),
        (b"P5\n2 1\n100\n\x65\0", "above 100"),
        (b"P5\n3 2\n0\n123456", "not from 1 to 65535"),
        (b"P5\n3 2\n65536\n123456", "not from 1 to 65535"),
        (b"P5\n3 2\n", "header is damaged"),
        (b"P5\n-3 2\n255\n123456", "header is damaged"),
        (b"P5\n0 2\n255\n", "no pixels"),
        (b"P5\n99999 99999\n255\n", "more than 80000000"),
        (b"P2\n99999999 99999999\n255\n1", "more than 80000000"),
        (b"P6\n1 1\n255\n123", "a PPM file, not a PGM"),
        (b"P4\n8 1\n\xff", "a PBM file, not a PGM"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, data: bytes, why: str) -> None:
    assert why in reason(written(tmp_path / "a.pgm", data))


def test_whatever_gzip_has_compressed_is_that_file(tmp_path: Path) -> None:
    files = [
        write_dicom(tmp_path / "a.dcm", film(12), bits=12),
        write_tiff(tmp_path / "a.tif", film(12), deflated=True),
        written(tmp_path / "a.pgm", pgm(film(12))),
    ]
    Image.fromarray(film(8)).save(tmp_path / "a.png")
    Image.fromarray(film(8)).save(tmp_path / "a.jpg")
    for path in [*files, tmp_path / "a.png", tmp_path / "a.jpg"]:
        compressed = written(tmp_path / "any name", gzip.compress(path.read_bytes()))
        np.testing.assert_array_equal(pixels_of(compressed), pixels_of(path))
        assert size_of(compressed) == size_of(path)


@pytest.mark.parametrize("cut", [5, 40, -6])
def test_gzip_data_cut_short_are_refused(tmp_path: Path, cut: int) -> None:
    assert "damaged or cut short" in reason(written(tmp_path / "a.pgm.gz", gzip.compress(pgm(film(8)))[:cut]))


def test_changed_gzip_data_are_refused(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(pgm(film(8)), compresslevel=0))
    data[100] ^= 1
    assert "damaged or cut short" in reason(written(tmp_path / "a.pgm.gz", bytes(data)))


def test_what_inflates_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzipped, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(gzipped, "_STEP", 1 << 16)
    path = written(tmp_path / "a.pgm.gz", gzip.compress(pgm(film(8)) + bytes(2 << 20)))
    assert "inflates to more than 1 MB" in reason(path)


def test_gzip_in_gzip_is_refused(tmp_path: Path) -> None:
    assert "twice" in reason(written(tmp_path / "a.gz", gzip.compress(gzip.compress(pgm(film(8))))))


def test_a_preamble_may_look_like_another_format(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12)
    for start in (b"II*\0", b"\x1f\x8b\x08\0"):
        data = bytearray(path.read_bytes())
        data[:4] = start
        np.testing.assert_array_equal(pixels_of(written(tmp_path / "b.dcm", bytes(data))), film(12))
