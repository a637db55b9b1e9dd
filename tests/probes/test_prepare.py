from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from service.domain.preprocessing import MAMMO_CLIP, Preprocessing
from service.domain.probes import Box
from service.probes.decode import decode
from service.probes.pixels import DecodedImage
from service.probes.prepare import crop_to_breast, picture, prepare, to_eight_bit
from tests.probes.dicom_files import write_dicom

PLAIN = Preprocessing(height=2, width=2, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="none", scale="unit")


def dicom(values: Any, dtype: type = np.uint16) -> DecodedImage:
    return DecodedImage(np.asarray(values, dtype=dtype), from_dicom=True)


def raster(values: Any, dtype: type = np.uint8) -> DecodedImage:
    return DecodedImage(np.asarray(values, dtype=dtype), from_dicom=False)


def prepared(image: DecodedImage, contract: Preprocessing, box: Box | None = None) -> NDArray[np.float32]:
    return prepare(to_eight_bit(image), contract, box)


def framed(inner: Any, frame: int) -> NDArray[np.int64]:
    return np.pad(np.asarray(inner, dtype=np.int64), 5, constant_values=frame)


def test_unit_scale_divides_by_255_and_normalises_each_channel() -> None:
    contract = replace(PLAIN, mean=(0.0, 0.2, 0.5), std=(1.0, 0.5, 0.25))
    result = prepared(raster([[0, 51], [102, 255]]), contract)
    expected = [[[0.0, 0.2], [0.4, 1.0]], [[-0.4, 0.0], [0.4, 1.6]], [[-2.0, -1.2], [-0.4, 2.0]]]
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_min_max_stretches_each_image() -> None:
    contract = replace(PLAIN, scale="min_max", mean=(0.5,) * 3, std=(0.5,) * 3)
    result = prepared(raster([[10, 20], [15, 30]]), contract)
    np.testing.assert_allclose(result, [[[-1.0, 0.0], [-0.5, 1.0]]] * 3, atol=1e-6)


def test_sixteen_bits_become_eight_by_the_floor_of_the_stretched_value() -> None:
    image = to_eight_bit(raster([[100, 101], [300, 1120]], np.uint16))
    np.testing.assert_array_equal(image.pixels, [[0, 0], [50, 255]])  # 255 * 200 / 1020 = 50


def test_eight_bit_rasters_stay_as_they_are() -> None:
    image = to_eight_bit(raster([[3, 7], [9, 200]]))
    np.testing.assert_array_equal(image.pixels, [[3, 7], [9, 200]])
    assert (image.low, image.high) == (3, 200)


@pytest.mark.parametrize("frame", [0, 4095])
def test_the_border_of_a_dicom_image_neither_counts_nor_shows(frame: int) -> None:
    inner = [[1000, 1510], [2020, 3040]]
    image = dicom(framed(inner, frame))
    np.testing.assert_allclose(
        prepared(image, PLAIN), [np.array([[0, 63], [127, 255]]) / 255] * 3, atol=1e-6
    )  # 255 * 510 / 2040 = 63.75, 255 * 1020 / 2040 = 127.5
    patch = prepared(image, PLAIN, Box(left=4, top=5, width=2, height=2))
    np.testing.assert_allclose(patch[0], np.array([[255 if frame else 0, 0], [255 if frame else 0, 127]]) / 255)


def test_a_tiny_dicom_image_keeps_its_border() -> None:
    assert prepared(dicom(np.arange(100).reshape(10, 10)), PLAIN).shape == (3, 10, 10)
    assert prepared(dicom(np.arange(121).reshape(11, 11)), PLAIN).shape == (3, 1, 1)


def test_area_resizing_averages_and_none_keeps_the_size() -> None:
    values = [[0, 10, 200, 200], [20, 30, 200, 240], [0, 0, 40, 40], [0, 0, 80, 80]]
    shrunk = prepared(raster(values), replace(PLAIN, resize="area"))
    np.testing.assert_allclose(shrunk[0], np.array([[15, 210], [0, 60]]) / 255, atol=1e-6)
    assert prepared(raster(values), PLAIN).shape == (3, 4, 4)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    values = np.random.default_rng(1).integers(0, 256, (4, 6))
    contract = replace(PLAIN, resize="area", height=4, width=6)
    np.testing.assert_array_equal(prepared(raster(values), contract), prepared(raster(values), PLAIN))


def test_bicubic_resizing_is_what_networks_are_trained_with() -> None:
    values = np.random.default_rng(3).integers(0, 256, (45, 30)).astype(np.uint8)
    contract = replace(PLAIN, resize="bicubic", height=16, width=12)
    result = prepared(raster(values), contract)

    by_pillow = np.asarray(Image.fromarray(values).resize((12, 16), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(result[0], by_pillow / 255, atol=1e-6)
    by_torchvision = resize(torch.from_numpy(values)[None], [16, 12], InterpolationMode.BICUBIC, antialias=True)
    np.testing.assert_allclose(result[0], by_torchvision[0].numpy() / 255, atol=1.1 / 255)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("right", [[0.2, 0.4, 0, 0], [0.6, 0.8, 0, 0]]),
        ("left", [[0, 0, 0.2, 0.4], [0, 0, 0.6, 0.8]]),
        ("both", [[0, 0.2, 0.4, 0], [0, 0.6, 0.8, 0]]),
    ],
)
def test_padding_keeps_the_shape_and_fills_with_air(side: Any, expected: Any) -> None:
    contract = replace(PLAIN, resize="pad", height=2, width=4, pad_side=side)
    result = prepared(raster([[51, 102], [153, 204]]), contract)
    np.testing.assert_allclose(result, [expected] * 3, atol=1e-6)


def test_padding_shrinks_a_wide_image_and_puts_air_above_and_below() -> None:
    contract = replace(PLAIN, resize="pad", height=4, width=2, pad_side="right")
    result = prepared(raster([[51, 51, 204, 204], [51, 51, 204, 204]]), contract)
    np.testing.assert_allclose(result[0], [[0.0, 0.0], [0.2, 0.8], [0.0, 0.0], [0.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("unit", [0.2, 1, 0]), ("min_max", [0, 1, 0]), ("range", [-0.6, 1, -1])],
)
def test_padding_is_as_dark_as_the_scale_gets(scale: Any, expected: list[float]) -> None:
    contract = replace(PLAIN, resize="pad", height=1, width=3, pad_side="right", scale=scale, range_low=-1)
    np.testing.assert_allclose(prepared(raster([[51, 255]]), contract)[0], [expected], atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 500), (500, 1), (7, 3), (3, 7), (1, 1)])
def test_padding_fits_images_of_any_shape(height: int, width: int) -> None:
    contract = replace(PLAIN, resize="pad", height=8, width=5)
    result = prepared(raster(np.full((height, width), 255)), contract)
    assert result.shape == (3, 8, 5)
    assert result.max() == 1


def test_a_range_is_what_black_and_white_become() -> None:
    contract = replace(PLAIN, scale="range", range_low=-2, range_high=8, mean=(1.0,) * 3, std=(2.0,) * 3)
    np.testing.assert_allclose(prepared(raster([[0, 51, 255]]), contract)[0], [[-1.5, -0.5, 3.5]], atol=1e-6)


def test_one_channel_is_the_plane() -> None:
    contract = replace(PLAIN, channels=1, mean=(0.25,), std=(0.5,))
    result = prepared(raster([[0, 51], [102, 255]]), contract)
    np.testing.assert_allclose(result, [[[-0.5, -0.1], [0.3, 1.5]]], atol=1e-6)


def test_breasts_are_mirrored_to_face_one_way() -> None:
    facing_right = [[200, 100, 0, 0], [250, 150, 50, 0]]
    mirrored = [row[::-1] for row in facing_right]
    for values in (facing_right, mirrored):
        expected_of: dict[Any, list[list[int]]] = {"left": mirrored, "right": facing_right, "as_acquired": values}
        for orientation, expected in expected_of.items():
            result = prepared(raster(values), replace(PLAIN, orientation=orientation))
            np.testing.assert_allclose(result[0], np.array(expected) / 255, atol=1e-6)


def test_a_patch_is_mirrored_with_its_whole_image() -> None:
    contract = replace(PLAIN, orientation="left")
    patch = Box(left=2, top=0, width=2, height=1)
    np.testing.assert_allclose(prepared(raster([[250, 240, 10, 20]]), contract, patch)[0], [[20 / 255, 10 / 255]])
    np.testing.assert_allclose(prepared(raster([[1, 2, 10, 20]]), contract, patch)[0], [[10 / 255, 20 / 255]])


def test_an_image_that_faces_neither_way_stays_as_it_is() -> None:
    images: list[Any] = [[[7, 9, 7]], [[5]], [[3, 3]]]
    for values in images:
        result = prepared(raster(values), replace(PLAIN, orientation="left"))
        np.testing.assert_allclose(result[0], np.array(values) / 255)


def test_pictures_show_what_the_network_sees_in_the_image_s_own_size() -> None:
    image = to_eight_bit(raster([[200, 10], [200, 10], [200, 10], [200, 10]]))
    contract = replace(PLAIN, resize="pad", height=16, width=16, pad_side="left", orientation="left")
    np.testing.assert_array_equal(picture(image, None, contract), [[0, 0, 10, 200]] * 4)
    np.testing.assert_array_equal(picture(image, None, PLAIN), image.pixels)


def breast() -> NDArray[np.uint8]:
    """Twenty rows of air with a bright breast in rows 4..15 and columns 0..7, and a label at the top right."""
    pixels = np.random.default_rng(5).integers(0, 41, (20, 20)).astype(np.uint8)
    pixels[4:16, 0:8] = np.random.default_rng(6).integers(100, 255, (12, 8))
    pixels[0:1, 15:19] = 255
    return pixels


def test_the_crop_keeps_the_breast_and_drops_air_and_label() -> None:
    pixels = breast()
    np.testing.assert_array_equal(crop_to_breast(pixels), pixels[4:16, 0:8])


def test_the_crop_takes_the_longest_run_of_columns_and_rows_that_vary() -> None:
    pixels = np.zeros((10, 10), dtype=np.uint8)
    pixels[5, 1] = 200
    pixels[3:6, 4:8] = [[60, 70, 80, 90], [90, 80, 70, 60], [50, 50, 60, 60]]
    np.testing.assert_array_equal(crop_to_breast(pixels), pixels[3:6, 4:8])


@pytest.mark.parametrize("value", [0, 40, 41, 255])
def test_the_crop_of_a_constant_image_is_the_image(value: int) -> None:
    for shape in ((1, 1), (2, 3), (20, 30)):
        assert crop_to_breast(np.full(shape, value, dtype=np.uint8)).shape == shape


def test_only_dicom_images_are_cropped_to_the_breast() -> None:
    contract = replace(PLAIN, crop_to_breast=True)
    assert prepared(raster(breast()), contract).shape == (3, 20, 20)
    assert prepared(dicom(framed(breast(), 0)), contract).shape == (3, 12, 8)
    assert prepared(dicom(framed(breast(), 0)), PLAIN).shape == (3, 20, 20)
    whole_patch = Box(left=0, top=0, width=30, height=30)
    assert prepared(dicom(framed(breast(), 0)), contract, whole_patch).shape == (3, 30, 30)


def test_a_patch_is_scaled_by_the_range_of_its_whole_image() -> None:
    contract = replace(PLAIN, scale="min_max")
    image = raster([[10, 12, 110, 60], [10, 12, 110, 60]])
    np.testing.assert_allclose(prepared(image, contract, Box(0, 0, 2, 2))[0], [[0, 0.02], [0, 0.02]], atol=1e-6)
    np.testing.assert_allclose(prepared(image, contract, Box(2, 0, 2, 2))[0], [[1, 0.5], [1, 0.5]], atol=1e-6)


@pytest.mark.parametrize("from_dicom", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("box", [None, Box(3, 3, 8, 8)])
def test_constant_images_are_zero_under_min_max(from_dicom: bool, dtype: type, value: int, box: Box | None) -> None:
    image = DecodedImage(np.full((30, 20), value, dtype=dtype), from_dicom)
    contract = Preprocessing(height=6, width=4, mean=(0.5,) * 3, std=(0.25,) * 3, crop_to_breast=True, scale="min_max")
    np.testing.assert_array_equal(prepared(image, contract, box), np.full((3, 6, 4), -2.0))


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 40), width=st.integers(1, 40), dicom_file=st.booleans())
def test_any_image_is_prepared_finite_in_the_stated_range_and_twice_the_same(
    seed: int, height: int, width: int, dicom_file: bool
) -> None:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, generator.integers(1, 65536), (height, width)).astype(np.uint16)
    before = pixels.copy()
    contract = replace(MAMMO_CLIP, height=12, width=9)
    first, second = (prepared(DecodedImage(pixels, dicom_file), contract) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert first.shape == (3, 12, 9)
    unscaled = first * MAMMO_CLIP.std[0] + MAMMO_CLIP.mean[0]
    assert unscaled.min() >= -1e-6
    assert unscaled.max() <= 1 + 1e-6
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(pixels, before)


def test_a_dicom_file_and_the_png_prepared_from_it_give_the_same_input(tmp_path: Path) -> None:
    contract = replace(MAMMO_CLIP, height=15, width=9)
    generator = np.random.default_rng(8)
    stored = np.full((60, 50), 4000) - generator.integers(0, 20, (60, 50))
    stored[15:50, 5:30] -= generator.integers(1500, 3000, (35, 25))
    film = write_dicom(tmp_path / "a.dcm", stored.astype(np.uint16), bits=12, PhotometricInterpretation="MONOCHROME1")
    from_dicom = prepared(decode(film, row=1), contract)
    grey = from_dicom[0] * np.float32(MAMMO_CLIP.std[0]) + np.float32(MAMMO_CLIP.mean[0])
    as_is = prepared(decode(film, row=1), replace(contract, scale="unit", mean=(0.0,) * 3, std=(1.0,) * 3))
    cv2.imwrite(str(tmp_path / "a.png"), np.rint(as_is[0] * 255).astype(np.uint8))
    from_png = prepared(decode(tmp_path / "a.png", row=1), contract)
    assert from_png.tobytes() == from_dicom.tobytes()
    assert grey.min() == pytest.approx(0, abs=1e-6)
    assert grey.max() == pytest.approx(1, abs=1e-6)
