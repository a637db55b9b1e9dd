"""What of a DICOM header decides how an image is shown, against pydicom's own reading of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1

from service.errors import UnreadableImage
from service.probes.decode import decode
from service.probes.pixels import Display
from service.probes.prepare import to_eight_bit
from tests.probes.dicom_files import film, write_dicom

SIGNED = (film(12).astype(np.int32) - 2048).astype(np.int16)


def table(entries: NDArray[Any], *, first: int = 0, bits: int = 12, packed: bool = False) -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item.LUTData = entries.astype("<u1" if packed else "<u2").tobytes()
    item["LUTData"].VR = "OW"
    return [item]


def displayed(path: Path) -> NDArray[np.uint8]:
    image = decode(path, row=1, with_display=True)
    assert image.display.window is not None
    return to_eight_bit(image, window="voi").pixels


def by_pydicom(path: Path, lowest: float, highest: float) -> NDArray[np.float64]:
    dataset = dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    shown = (values - lowest) / (highest - lowest)
    return 255 * (1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 2000, "WindowWidth": 1500},
        {"WindowCenter": "1000.5", "WindowWidth": "1"},
        {"WindowCenter": [900, 3000], "WindowWidth": [200, 100]},
        {"WindowCenter": 2000, "WindowWidth": 1500, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 2000, "WindowWidth": 700, "VOILUTFunction": "SIGMOID"},
    ],
)
def test_windows_are_applied_as_pydicom_does(tmp_path: Path, photometric: str, elements: dict[str, Any]) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, PhotometricInterpretation=photometric, **elements)
    expected = by_pydicom(path, 0, 4095)
    assert np.ptp(expected) > 200
    np.testing.assert_allclose(displayed(path), expected, atol=1)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_window_counts_in_rescaled_values_of_signed_pixels(tmp_path: Path, syntax: Any) -> None:
    rescaled: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": 100, "WindowCenter": 300, "WindowWidth": 3000}
    path = write_dicom(tmp_path / "a.dcm", SIGNED, bits=12, syntax=syntax, **rescaled)
    np.testing.assert_allclose(displayed(path), by_pydicom(path, -2048 * 2 + 100, 2047 * 2 + 100), atol=1)


def test_a_window_of_compressed_pixels(tmp_path: Path) -> None:
    window: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 1500}
    plain = write_dicom(tmp_path / "a.dcm", film(12), bits=12, **window)
    compressed = write_dicom(tmp_path / "b.dcm", film(12), bits=12, syntax=JPEGLosslessSV1, **window)
    np.testing.assert_array_equal(displayed(compressed), displayed(plain))


@pytest.mark.parametrize("first", [0, 1000])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_lookup_table_counts_more_than_a_window(tmp_path: Path, first: int, syntax: Any) -> None:
    entries = (np.sqrt(np.arange(2000) / 1999) * 4095).astype(np.uint16)
    path = write_dicom(
        tmp_path / "a.dcm",
        film(12),
        bits=12,
        syntax=syntax,
        VOILUTSequence=table(entries, first=first),
        WindowCenter=100,
        WindowWidth=10,
    )
    np.testing.assert_allclose(displayed(path), by_pydicom(path, 0, 4095), atol=1)


def test_a_table_of_bytes_does_not_wrap_around(tmp_path: Path) -> None:
    entries = np.arange(256)
    path = write_dicom(
        tmp_path / "a.dcm", film(12), bits=12, VOILUTSequence=table(entries, bits=8, packed=True), WindowCenter=None
    )
    np.testing.assert_array_equal(displayed(path), np.minimum(film(12), 255))


def test_a_modality_table_comes_before_the_window(tmp_path: Path) -> None:
    inverse = table(4095 - np.arange(4096), bits=16)
    inverse[0].ModalityLUTType = "US"
    path = write_dicom(
        tmp_path / "a.dcm", film(12), bits=12, ModalityLUTSequence=inverse, WindowCenter=1000, WindowWidth=900
    )
    np.testing.assert_allclose(displayed(path), by_pydicom(path, 0, 65535), atol=1)


def test_an_image_without_window_is_shown_as_stored(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12)
    image = decode(path, row=1, with_display=True)
    assert image.display == Display()
    np.testing.assert_array_equal(to_eight_bit(image, window="voi").pixels, to_eight_bit(image).pixels)


def test_nothing_is_read_of_the_header_that_nobody_asked_for(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, WindowCenter=100, WindowWidth=0.5, PixelPaddingValue=3)
    assert decode(path, row=1).display == Display()


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"WindowCenter": 100, "WindowWidth": 0.5}, "its WindowWidth (0028,1051) is 0.5, which is too small"),
        ({"WindowCenter": 100, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"}, "is 0, which is too small"),
        (
            {"WindowCenter": 100, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
            "VOILUTFunction (0028,1056) is not LINEAR",
        ),
        ({"VOILUTSequence": table(np.arange(4), bits=3)}, "table of its VOILUT"),
        ({"PixelPaddingValue": [1, 2]}, "PixelPaddingValue (0028,0120) holds"),
    ],
)
def test_what_cannot_be_applied_is_an_unreadable_image(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, **elements)
    with pytest.raises(UnreadableImage) as caught:
        decode(path, row=1, with_display=True)
    assert reason in caught.value.detail
    decode(path, row=1)


def padded_film(value: int, bits: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Tissue of 309 to 2569 with padding on the right; where the padding is."""
    stored = np.random.default_rng(1).integers(309, 2570, (60, 40)).astype(np.uint16)
    stored[20, 10], stored[21, 11] = 309, 2569
    is_padding = np.zeros(stored.shape, dtype=bool)
    is_padding[:, 25:] = True
    stored[is_padding] = value
    return stored, is_padding


@pytest.mark.parametrize(("value", "bits"), [(65535, 16), (4095, 12), (0, 12)])
def test_padding_as_air_gives_tissue_the_levels_that_it_has_without(tmp_path: Path, value: int, bits: int) -> None:
    stored, is_padding = padded_film(value, bits)
    path = write_dicom(tmp_path / "a.dcm", stored, bits=bits, PixelPaddingValue=value)
    without = write_dicom(tmp_path / "b.dcm", np.where(is_padding, 0, stored).astype(np.uint16), bits=12)

    shown = to_eight_bit(decode(path, row=1, with_display=True), padding_as_air=True)
    expected = to_eight_bit(decode(without, row=1))
    np.testing.assert_array_equal(shown.pixels, expected.pixels)
    assert (shown.low, shown.high) == (expected.low, expected.high)


def test_padding_of_inverted_and_of_signed_images(tmp_path: Path) -> None:
    stored, is_padding = padded_film(0, 12)
    film_like = np.where(is_padding, 0, 4095 - stored).astype(np.uint16)
    inverted: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0}
    path = write_dicom(tmp_path / "a.dcm", film_like, bits=12, **inverted)
    expected = to_eight_bit(decode(write_dicom(tmp_path / "b.dcm", stored, bits=12), row=1))
    shown = to_eight_bit(decode(path, row=1, with_display=True), padding_as_air=True)
    np.testing.assert_array_equal(shown.pixels, expected.pixels)

    signed = np.where(is_padding, -32768, stored.astype(np.int32)).astype(np.int16)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian):
        path = write_dicom(tmp_path / "c.dcm", signed, bits=16, syntax=syntax, PixelPaddingValue=-32768)
        shown = to_eight_bit(decode(path, row=1, with_display=True), padding_as_air=True)
        stretched = (stored.astype(np.int64) - 309) * 255 // (2569 - 309)
        np.testing.assert_array_equal(shown.pixels, np.where(is_padding, 0, stretched))


def test_padding_in_a_range_and_with_a_window(tmp_path: Path) -> None:
    stored, is_padding = padded_film(4000, 12)
    stored[0:5, 30:] = 4095
    ranged: dict[str, Any] = {
        "PixelPaddingValue": 4095,
        "PixelPaddingRangeLimit": 3900,
        "WindowCenter": 1000,
        "WindowWidth": 2000,
    }
    path = write_dicom(tmp_path / "a.dcm", stored, bits=12, **ranged)
    image = decode(path, row=1, with_display=True)
    assert image.display.padding == (3900, 4095)
    shown = to_eight_bit(image, window="voi", padding_as_air=True).pixels
    np.testing.assert_array_equal(shown, np.where(is_padding, 0, displayed(path)))


def test_padding_that_no_pixel_can_have_changes_nothing(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, PixelPaddingValue=65535)
    image = decode(path, row=1, with_display=True)
    assert image.display.padding is None


def test_an_image_of_padding_alone_is_air(tmp_path: Path) -> None:
    stored = np.full((30, 20), 4095, dtype=np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored, bits=12, PixelPaddingValue=4095)
    shown = to_eight_bit(decode(path, row=1, with_display=True), padding_as_air=True)
    assert not shown.pixels.any()
