"""What a decoder process says of an image instead of giving its pixels."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, Sequence
from pydicom.uid import JPEGLSLossless

from service.probes.decoders.facts import level_facts, read_facts
from service.probes.decoders.formats import read_image
from service.probes.pixels import CannotDecode, ImageFacts, LevelFacts
from tests.probes.dicom_files import film, write_dicom


def facts_of(path: Path, **options: Any) -> ImageFacts:
    with path.open("rb") as file:
        return read_facts(file, **options)


def test_levels_are_counted() -> None:
    pixels = np.array([[0, 0, 0, 0, 0], [10, 20, 30, 40, 100]], dtype=np.uint16)
    assert level_facts(pixels, None) == LevelFacts(0, 100, None, 0.5, 0.3), "0 and 100 may be padding"
    assert level_facts(pixels, (0, 10)) == LevelFacts(0, 100, 0.6, 0.5, 0.2)
    assert level_facts(pixels, (11, 19)) == LevelFacts(0, 100, 0.0, 0.5, 0.3), "nothing is padding"
    assert level_facts(pixels, (200, 300)) == LevelFacts(0, 100, 0.0, 0.5, 0.3)
    constant = np.full((2, 2), 7, dtype=np.uint8)
    assert level_facts(constant, None) == LevelFacts(7, 7, None, 1.0, 1.0)


def test_the_ends_of_a_large_image_are_those_of_all_its_pixels() -> None:
    pixels = np.full((1024, 1024), 500, dtype=np.uint16)
    pixels[1, 1], pixels[3, 5] = 3, 4_000
    facts = level_facts(pixels, None)
    assert (facts.lowest, facts.highest) == (3, 4_000)
    assert facts == level_facts(pixels, None, (3, 4_000))


KINDS: dict[str, dict[str, Any]] = {
    "unsigned": {},
    "inverted": {"PhotometricInterpretation": "MONOCHROME1"},
    "inverted by its slope": {"RescaleSlope": "-1", "RescaleIntercept": "0"},
    "JPEG-LS": {"syntax": JPEGLSLossless},
    "signed": {"signed": True},
    "signed and inverted": {"signed": True, "PhotometricInterpretation": "MONOCHROME1"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_ends_are_those_of_the_decoded_image(tmp_path: Path, kind: str) -> None:
    elements = dict(KINDS[kind])
    stored = film(12, 40, 30)[3:, 2:] // 2 + 5
    if elements.pop("signed", False):
        stored = stored.astype(np.int16) - 700
    path = write_dicom(tmp_path / "a.dcm", stored, bits=12, **elements)
    with path.open("rb") as file:
        pixels = read_image(file).pixels
    facts = facts_of(path)
    assert facts.levels is not None
    assert (facts.levels.lowest, facts.levels.highest) == (pixels.min(), pixels.max())
    assert facts.levels == level_facts(pixels, None)


def test_what_the_header_says_is_said_of_sound_and_of_refused_images(tmp_path: Path) -> None:
    said: dict[str, Any] = {"PresentationIntentType": "FOR PROCESSING", "PhotometricInterpretation": "MONOCHROME1"}
    sound = facts_of(write_dicom(tmp_path / "a.dcm", film(12, 40, 30), bits=12, **said))
    assert (sound.intent, sound.photometric) == ("FOR PROCESSING", "MONOCHROME1")
    assert (sound.height, sound.width, sound.frames, sound.samples) == (40, 30, 1, 1)
    assert (sound.stated_bits, sound.bits, sound.allocated) == (12, 12, 16)

    without_pixels = write_dicom(tmp_path / "b.dcm", film(12, 40, 30), bits=12, PixelData=None, **said)
    for path in (without_pixels, compressed(without_pixels)):
        with pytest.raises(CannotDecode, match="no pixel data") as refused:
            facts_of(path)
        facts = refused.value.facts
        assert facts is not None
        assert facts.levels is None
        assert (facts.intent, facts.photometric, facts.height, facts.width) == ("FOR PROCESSING", "MONOCHROME1", 40, 30)


def test_words_and_numbers_of_a_header_that_cannot_be_are_not_passed_on(tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "PresentationIntentType": "MRS DOE",
        "PhotometricInterpretation": "JANE",
        "NumberOfFrames": "999999",
    }
    path = write_dicom(tmp_path / "a.dcm", film(12, 40, 30), bits=12, **odd)
    with pytest.raises(CannotDecode) as refused:
        facts_of(path)
    facts = refused.value.facts
    assert facts is not None
    assert (facts.intent, facts.photometric, facts.frames) == ("other", "other", 65_535)


def test_several_frames_are_counted_whichever_is_decoded(tmp_path: Path) -> None:
    frames = np.stack([film(12, 40, 30) // part for part in (1, 2, 3)])
    path = write_dicom(tmp_path / "a.dcm", frames, bits=12, NumberOfFrames=3)
    facts = facts_of(path, frame="middle")
    assert facts.frames == 3
    assert facts.levels == level_facts(frames[1], None)


def table_of(*entries: int) -> Sequence:
    table = Dataset()
    table.LUTDescriptor = [len(entries), 0, 12]
    table.LUTData = np.array(entries, dtype="<u2").tobytes()
    table["LUTData"].VR = "OW"
    return Sequence([table])


@pytest.mark.parametrize(
    ("elements", "window"),
    [
        ({}, "neither"),
        ({"WindowCenter": "100"}, "neither"),
        ({"WindowCenter": "100", "WindowWidth": "50"}, "window"),
        ({"WindowCenter": ["100", "200"], "WindowWidth": ["50", "60"]}, "window"),
        ({"WindowCenter": "100", "WindowWidth": "0"}, "unusable"),
        ({"WindowCenter": "100", "WindowWidth": "50", "VOILUTFunction": "CURVED"}, "unusable"),
        ({"VOILUTSequence": table_of(0, 100, 4095)}, "table"),
        ({"VOILUTSequence": table_of(0, 100, 4095), "WindowCenter": "9", "WindowWidth": "0"}, "table"),
    ],
)
def test_whether_a_header_has_a_window(tmp_path: Path, elements: dict[str, Any], window: str) -> None:
    assert facts_of(write_dicom(tmp_path / "a.dcm", film(12, 40, 30), bits=12, **elements)).window == window


def test_windows_are_looked_for_frame_by_frame(tmp_path: Path) -> None:
    frames = np.stack([film(12, 40, 30)] * 3)
    groups = [Dataset() for _ in frames]
    for group in groups[:2]:
        window = Dataset()
        window.WindowCenter, window.WindowWidth = "100", "50"
        group.FrameVOILUTSequence = Sequence([window])
    elements: dict[str, Any] = {"NumberOfFrames": 3, "PerFrameFunctionalGroupsSequence": Sequence(groups)}
    path = write_dicom(tmp_path / "a.dcm", frames, bits=12, **elements)

    assert facts_of(path, frame="middle").window == "window"
    assert facts_of(path, frame="projection").window == "some frames"
    assert facts_of(path, frame=3).window == "neither"


def test_files_whose_headers_say_little_have_their_form_alone(tmp_path: Path) -> None:
    for number, form in enumerate(("PNG", "JPEG", "TIFF")):
        path = tmp_path / str(number)
        Image.fromarray(film(8, 40, 30)).save(path, format=form)
        for file in (path, compressed(path)):
            facts = facts_of(file)
            assert (facts.form, facts.height, facts.width, facts.bits, facts.photometric) == (form, 40, 30, 8, "")

    damaged = tmp_path / "damaged"
    damaged.write_bytes((tmp_path / "0").read_bytes()[:60])
    with pytest.raises(CannotDecode) as refused:
        facts_of(damaged)
    assert refused.value.facts == ImageFacts("PNG", 0, 0)


def compressed(path: Path) -> Path:
    result = path.with_name(f"{path.name}.gz")
    result.write_bytes(gzip.compress(path.read_bytes()))
    return result
