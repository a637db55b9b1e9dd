"""Files with several frames, for example a tomosynthesis."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, encapsulate_extended, get_frame
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from service.domain.probes import FrameOfImage, ImageSize
from service.probes.decoders.formats import read_image, read_size
from service.probes.pixels import CannotDecode, DecodedImage
from tests.probes.dicom_files import film, jpeg_lossless, write_dicom

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
ENCAPSULATED = (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)
SLICES = np.stack([film(12, seed=seed) for seed in range(4)])


def write_slices(path: Path, slices: NDArray[Any], *, bits: int = 12, syntax: UID, **elements: Any) -> Path:
    """Write stored values [N, H, W] as frames."""
    if syntax in NATIVE:
        return write_dicom(path, slices, bits=bits, syntax=syntax, NumberOfFrames=str(len(slices)), **elements)

    frames = []
    for number, stored in enumerate(slices):
        if syntax == JPEGLosslessSV1:
            frames.append(jpeg_lossless(stored, bits))
        else:
            single = write_dicom(path.with_suffix(f".{number}"), stored, bits=bits, syntax=syntax)
            frames.append(get_frame(dcmread(single).PixelData, 0, number_of_frames=1))
    return with_frames(path, slices[0], frames, bits=bits, syntax=syntax, **elements)


def with_frames(
    path: Path, stored: NDArray[Any], frames: list[bytes], *, bits: int, syntax: UID, **elements: Any
) -> Path:
    write_dicom(path, stored, bits=bits, syntax=RLELossless, **elements)
    dataset = dcmread(path)
    dataset.NumberOfFrames = str(len(frames))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


def image_of(path: Path, frame: FrameOfImage | None, *, with_display: bool = False) -> DecodedImage:
    with path.open("rb") as file:
        return read_image(file, frame=frame, with_display=with_display)


def reason(path: Path, frame: FrameOfImage | None) -> str:
    with pytest.raises(CannotDecode) as refused:
        image_of(path, frame)
    return f"{refused.value.reason}. {refused.value.remedy}"


@pytest.mark.parametrize("syntax", [*NATIVE, *ENCAPSULATED])
def test_frames_are_the_slices_in_every_syntax(tmp_path: Path, syntax: UID) -> None:
    path = write_slices(tmp_path / "a.dcm", SLICES, syntax=syntax)
    for number, stored in enumerate(SLICES, start=1):
        np.testing.assert_array_equal(image_of(path, number).pixels, stored)
    np.testing.assert_array_equal(image_of(path, "middle").pixels, SLICES[2])
    np.testing.assert_array_equal(image_of(path, "projection").pixels, SLICES.max(axis=0))

    with path.open("rb") as file:
        assert read_size(file) == ImageSize(48, 37, 4)
    assert "it has 4 frames, more than one frame" in reason(path, None)
    assert "`frames`: middle, all or projection" in reason(path, None)
    assert "fewer than when they were counted" in reason(path, 5)


@pytest.mark.parametrize("frame", ["middle", "projection", 1, None])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_single_frame_is_what_it_was(tmp_path: Path, frame: FrameOfImage | None, syntax: UID) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, syntax=syntax)
    np.testing.assert_array_equal(image_of(path, frame).pixels, film(12))


def test_the_projection_is_the_densest_tissue_whichever_way_values_go(tmp_path: Path) -> None:
    inverted = write_slices(
        tmp_path / "a.dcm", SLICES, syntax=ExplicitVRLittleEndian, PhotometricInterpretation="MONOCHROME1"
    )
    np.testing.assert_array_equal(image_of(inverted, "projection").pixels, 4095 - SLICES.min(axis=0))

    signed = write_slices(tmp_path / "b.dcm", SLICES.astype(np.int16) - 2048, syntax=ExplicitVRLittleEndian)
    np.testing.assert_array_equal(image_of(signed, "projection").pixels, SLICES.max(axis=0))


def test_an_extended_offset_table_and_fragments_are_followed(tmp_path: Path) -> None:
    frames = [jpeg_lossless(stored, 12) for stored in SLICES]
    path = with_frames(tmp_path / "a.dcm", SLICES[0], frames, bits=12, syntax=JPEGLosslessSV1)
    dataset = dcmread(path)
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    np.testing.assert_array_equal(image_of(path, 3).pixels, SLICES[2])

    dataset.PixelData = encapsulate(frames, fragments_per_frame=2, has_bot=False)
    del dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    np.testing.assert_array_equal(image_of(path, 3).pixels, SLICES[2])
    np.testing.assert_array_equal(image_of(path, "projection").pixels, SLICES.max(axis=0))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_frames_that_are_not_there_are_named(tmp_path: Path, syntax: UID) -> None:
    path = write_slices(tmp_path / "a.dcm", SLICES, syntax=syntax)
    dataset = dcmread(path)
    dataset.NumberOfFrames = "6"
    dataset.save_as(path)
    for frame in (6, "projection"):
        assert any(words in reason(path, frame) for words in ("end before frame", "damaged or cut short"))


@pytest.mark.parametrize("part", [0.5, 0.9])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless])
def test_a_file_cut_short_is_refused(tmp_path: Path, syntax: UID, part: float) -> None:
    path = write_slices(tmp_path / "a.dcm", SLICES, syntax=syntax)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    assert "cut short" in reason(path, 4)


@pytest.mark.parametrize(("frames", "why"), [("1001", "more than 1,000"), ("-2", "is -2"), ("two", "not one number")])
def test_a_number_of_frames_that_cannot_be_is_refused(tmp_path: Path, frames: str, why: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12)
    data = path.read_bytes()
    element = b"\x28\0\x08\0IS" + (4).to_bytes(2, "little") + frames.encode().ljust(4)
    place = data.find(b"\x28\0\x10\0")
    path.write_bytes(data[:place] + element + data[place:])
    for frame in (None, "projection"):
        assert why in reason(path, frame)


def test_a_window_of_the_functional_groups_is_that_of_the_frame(tmp_path: Path) -> None:
    def window(centre: float) -> Dataset:
        item, group = Dataset(), Dataset()
        item.WindowCenter, item.WindowWidth = centre, 100
        group.FrameVOILUTSequence = [item]
        return group

    path = write_slices(tmp_path / "a.dcm", SLICES, syntax=ExplicitVRLittleEndian)
    dataset = dcmread(path)
    dataset.SharedFunctionalGroupsSequence = [window(1000)]
    dataset.PerFrameFunctionalGroupsSequence = [Dataset(), Dataset(), window(3000), Dataset()]
    dataset.save_as(path)

    def half_way(frame: FrameOfImage) -> int:
        shown = image_of(path, frame, with_display=True).display.window
        assert shown is not None
        return int(np.searchsorted(shown, 128))

    assert [half_way(frame) for frame in (1, 3, "middle", "projection")] == [1000, 3000, 3000, 3000]


def test_a_negative_slope_of_the_functional_groups_inverts(tmp_path: Path) -> None:
    slope, group = Dataset(), Dataset()
    slope.RescaleSlope, slope.RescaleIntercept = "-1", "0"
    group.PixelValueTransformationSequence = [slope]
    path = write_slices(tmp_path / "a.dcm", SLICES, syntax=ExplicitVRLittleEndian)
    dataset = dcmread(path)
    dataset.SharedFunctionalGroupsSequence = [group]
    dataset.save_as(path)
    np.testing.assert_array_equal(image_of(path, 1).pixels, 4095 - SLICES[0])


def test_frames_may_be_compressed_with_gzip(tmp_path: Path) -> None:
    path = write_slices(tmp_path / "a.dcm", SLICES, syntax=ImplicitVRLittleEndian)
    path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(image_of(path, "projection").pixels, SLICES.max(axis=0))


@pytest.mark.parametrize(
    ("elements", "named"),
    [
        ({"PhotometricInterpretation": "YBR_FULL_422", "SamplesPerPixel": 3}, "(0028,0004) is YBR_FULL_422"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "(0028,0004) is PALETTE COLOR"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "RGB with 3 samples a pixel (0028,0002)"),
        ({"PhotometricInterpretation": "DOE JANE"}, "(0028,0004) is of another kind"),
        ({"BitsStored": 7}, "BitsStored (0028,0101)"),
        ({"HighBit": 15}, "HighBit (0028,0102)"),
    ],
)
def test_pixels_of_another_kind_are_refused_with_their_element(
    tmp_path: Path, elements: dict[str, Any], named: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, **elements)
    assert named in reason(path, None)
    assert "Export" in reason(path, None)
