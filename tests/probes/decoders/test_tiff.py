from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.domain.probes import FrameOfImage, ImageSize
from service.probes.decoders.formats import read_image, read_size
from service.probes.pixels import CannotDecode
from tests.probes.dicom_files import film
from tests.probes.raster_files import write_tiff


def pixels_of(path: Path, frame: FrameOfImage | None = None) -> NDArray[Any]:
    with path.open("rb") as file:
        image = read_image(file, frame=frame)
    assert not image.from_dicom
    return image.pixels


def size_of(path: Path) -> ImageSize:
    with path.open("rb") as file:
        return read_size(file)


def reason(path: Path, frame: FrameOfImage | None = None) -> str:
    with pytest.raises(CannotDecode) as refused:
        pixels_of(path, frame)
    return f"{refused.value.reason}. {refused.value.remedy}"


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("deflated", [False, True])
def test_grey_pixels_in_strips_and_tiles_are_as_stored(
    tmp_path: Path, bits: int, order: Literal["<", ">"], tile: int | None, deflated: bool
) -> None:
    path = write_tiff(tmp_path / "a.tif", film(bits), order=order, tile=tile, deflated=deflated)
    np.testing.assert_array_equal(pixels_of(path), film(bits))
    assert pixels_of(path).dtype == film(bits).dtype
    assert size_of(path) == ImageSize(48, 37)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("bits", [8, 16])
def test_what_libtiff_compresses_is_read(tmp_path: Path, compression: str, bits: int) -> None:
    Image.fromarray(film(bits)).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.tif"), film(bits))


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_where_white_is_zero_the_image_is_inverted(tmp_path: Path, bits: int, deflated: bool) -> None:
    path = write_tiff(tmp_path / "a.tif", film(bits), photometric=0, deflated=deflated)
    np.testing.assert_array_equal(pixels_of(path), (1 << bits) - 1 - film(bits))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_tag_does_not_count(tmp_path: Path, orientation: int) -> None:
    path = write_tiff(tmp_path / "a.tif", film(16), orientation=orientation)
    np.testing.assert_array_equal(pixels_of(path), film(16))
    assert size_of(path) == ImageSize(48, 37)


def test_signed_values_start_at_zero(tmp_path: Path) -> None:
    stored = (film(16).astype(np.int32) - (1 << 15)).astype(np.int16)
    path = write_tiff(tmp_path / "a.tif", stored, sample_format=2)
    np.testing.assert_array_equal(pixels_of(path), film(16))


def test_colour_becomes_luma_as_in_a_png(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for name in ("a.tif", "a.png"):
        Image.fromarray(colour).save(tmp_path / name)
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.tif"), pixels_of(tmp_path / "a.png"))


def test_several_pages_need_to_be_chosen_from(tmp_path: Path) -> None:
    pages = [film(16, seed=seed) for seed in range(3)]
    path = write_tiff(tmp_path / "a.tif", *pages)
    assert size_of(path) == ImageSize(48, 37, 3)
    assert "3 frames" in reason(path)
    assert "`frames`: middle, all or projection" in reason(path)
    np.testing.assert_array_equal(pixels_of(path, "middle"), pages[1])
    np.testing.assert_array_equal(pixels_of(path, 3), pages[2])
    np.testing.assert_array_equal(pixels_of(path, "projection"), np.max(pages, axis=0))
    assert "fewer than when they were counted" in reason(path, 4)


def test_pages_of_several_sizes_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", film(16), film(16, 24, 18))
    assert "differ in size" in reason(path, "middle")


def test_pages_that_lead_back_to_the_first_end(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", film(16), film(16))
    data = bytearray(path.read_bytes())
    data[-4:] = data[4:8]
    path.write_bytes(data)
    assert size_of(path).frames == 2


def test_floats_are_refused_with_their_depth(tmp_path: Path) -> None:
    Image.fromarray(film(8).astype(np.float32)).save(tmp_path / "a.tif")
    assert "32 bits" in reason(tmp_path / "a.tif")


def test_colour_of_16_bits_would_lose_half_of_them(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", film(16))
    with Image.open(path) as image:
        assert image.mode == "I;16"
    import cv2

    cv2.imwrite(str(tmp_path / "b.tif"), np.dstack([film(16)] * 3))
    assert "colour of 16 bits" in reason(tmp_path / "b.tif")


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_a_file_cut_short_is_refused(tmp_path: Path, compression: str | None) -> None:
    """Its directory stands in front of its pixels."""
    path = tmp_path / "a.tif"
    Image.fromarray(film(16, 200, 200)).save(path, compression=compression, big_tiff=False)
    data = path.read_bytes()
    pixels_of(path)
    path.write_bytes(data[: len(data) * 2 // 3])
    assert reason(path)


def test_an_image_with_too_many_pixels_is_refused_by_its_directory(tmp_path: Path) -> None:
    for side, deflated in ((9_000, False), (40_000, True)):
        path = write_tiff(tmp_path / "a.tif", film(8), deflated=deflated)
        data = path.read_bytes()
        path.write_bytes(
            data.replace((48).to_bytes(4, "little"), side.to_bytes(4, "little")).replace(
                (37).to_bytes(4, "little"), side.to_bytes(4, "little")
            )
        )
        assert "more than 80000000" in reason(path)
