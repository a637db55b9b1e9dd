"""What a check names images for, on files of our own in every kind."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGLossless, JPEGLSLossless

from service.domain.checks import Reason, SetCheck, count_of, rows_of
from service.domain.probes import Box, FindingRegion, Frames
from service.errors import FileOutOfReach
from service.files import ANYWHERE, DataRoots
from service.probes.checking.look import is_unreadable, look_at
from service.probes.checking.tally import tally
from service.probes.checking.whole import check_images
from service.probes.manifest import read_manifest
from tests.probes.dicom_files import film, write_crashing_dicom, write_dicom

Write = Callable[[Path], Any]


def mammogram(bits: int = 12) -> NDArray[Any]:
    """Half of it air, the rest of all levels."""
    pixels = film(bits, 120, 110)
    pixels[:, :50] = 0
    return pixels


def dicom(*, bits: int = 12, stored: NDArray[Any] | None = None, **elements: Any) -> Write:
    def write(path: Path) -> None:
        write_dicom(path, mammogram(bits) if stored is None else stored, bits=bits, **elements)

    return write


def png(pixels: NDArray[Any]) -> Write:
    return lambda path: Image.fromarray(pixels).save(path, format="PNG")


def jpeg(pixels: NDArray[Any]) -> Write:
    return lambda path: Image.fromarray(pixels).save(path, format="JPEG", quality=95)


def tiff(*pages: NDArray[Any]) -> Write:
    def write(path: Path) -> None:
        first, *others = map(Image.fromarray, pages)
        first.save(path, format="TIFF", save_all=True, append_images=others)

    return write


def pgm(pixels: NDArray[Any]) -> Write:
    height, width = pixels.shape
    return lambda path: path.write_bytes(b"P5 %d %d 1023\n" % (width, height) + pixels.astype(">u2").tobytes())


def gzipped(write: Write) -> Write:
    def compressed(path: Path) -> None:
        write(path)
        path.write_bytes(gzip.compress(path.read_bytes()))

    return compressed


def padded(value: int = 65_535, share: float = 0.3) -> NDArray[Any]:
    pixels = mammogram(12) + np.uint16(300)
    pixels[: int(120 * share)] = value
    return pixels


def in_colour(pixels: NDArray[Any], *, red: int = 0) -> NDArray[Any]:
    grey = (pixels >> 4).astype(np.uint8)
    colours = np.stack([grey, grey, grey], axis=-1)
    colours[:20, :20, 0] += np.uint8(red)
    return colours


def check(folder: Path, *files: Write, columns: str = "", cells: list[str] | None = None) -> SetCheck:
    """Check files that are written one after another. cells: of the further columns, for each file."""
    rows = []
    for number, write in enumerate(files):
        write(folder / f"{number}.bin")
        rows.append(f"{number}.bin" + (f",{cells[number]}" if cells else ""))
    header = f"image,{columns}" if columns else "image"
    (folder / "m.csv").write_text("\n".join([header, *rows, ""]))
    return check_images(read_manifest(folder / "m.csv", name="m"))


def private(path: Path) -> None:
    """In a transfer syntax of a vendor's own."""
    dicom()(path)
    content = path.read_bytes()
    stated = b"1.2.840.10008.1.2.1\0"
    assert stated in content
    path.write_bytes(content.replace(stated, b"1.2.840.113619.5.2\0\0"))


FINE = dicom()

VARIANTS: dict[str, tuple[Write, set[Reason], str]] = {
    "twelve bits": (FINE, set(), ""),
    "as JPEG-LS": (dicom(syntax=JPEGLSLossless), set(), ""),
    "as JPEG 2000": (dicom(syntax=JPEG2000Lossless), set(), ""),
    "as lossless JPEG": (dicom(syntax=JPEGLossless), set(), ""),
    "for presentation": (dicom(PresentationIntentType="FOR PRESENTATION"), set(), ""),
    "raw": (dicom(PresentationIntentType="FOR PROCESSING"), {Reason.FOR_PROCESSING}, "FOR PROCESSING"),
    "signed with padding": (
        dicom(stored=(mammogram(12).astype(np.int16) - 2048), PixelPaddingValue=-2048),
        set(),
        "",
    ),
    "padding above all": (dicom(bits=16, stored=padded(), PixelPaddingValue=65_535), {Reason.WIDE_PADDING}, "6.3% of"),
    "padding that nobody calls so": (dicom(bits=16, stored=padded()), {Reason.WIDE_PADDING}, "as of padding, leaves"),
    "padding over most of it": (
        dicom(bits=16, stored=padded(4_500, 0.9), PixelPaddingValue=4_500),
        {Reason.WIDE_PADDING},
        "90% of its pixels are padding",
    ),
    "padding that is air": (dicom(PixelPaddingValue=0), set(), ""),
    "a padding value that is none": (dicom(PixelPaddingValue=None), set(), ""),
    "nothing but air": (png(np.pad(mammogram(12), 80)), {Reason.WIDE_PADDING}, "one end of its grey levels"),
    "constant": (dicom(stored=np.full((120, 110), 7, np.uint16)), {Reason.CONSTANT}, "all its pixels are equal"),
    "a black PNG": (png(np.zeros((120, 110), np.uint8)), {Reason.CONSTANT}, "equal"),
    "tiny": (png(mammogram(8)[:60]), {Reason.TINY}, "60 x 110 pixels"),
    "eleven bits": (dicom(bits=11, stored=mammogram(10)), {Reason.UNUSUAL_BITS}, "it stores 11 bits a pixel"),
    "grey as colour": (png(in_colour(mammogram())), set(), ""),
    "grey JPEG as colour": (jpeg(in_colour(mammogram())), set(), ""),
    "a TIFF": (tiff(mammogram()), set(), ""),
    "a TIFF in colour": (tiff(in_colour(mammogram(), red=40)), {Reason.COLOUR}, "only the luma"),
    "a TIFF of two pages": (
        tiff(mammogram(), mammogram()),
        {Reason.UNREADABLE, Reason.SEVERAL_FRAMES},
        "it has 2 frames, more than one frame",
    ),
    "a PGM of ten bits": (pgm(mammogram(10)), set(), ""),
    "a raw image, compressed with gzip": (
        gzipped(dicom(PresentationIntentType="FOR PROCESSING")),
        {Reason.FOR_PROCESSING},
        "raw",
    ),
    "in colour": (png(in_colour(mammogram(), red=40)), {Reason.COLOUR}, "only the luma is shown"),
    "no image": (
        lambda path: path.write_text("hello"),
        {Reason.UNREADABLE},
        "it is not a DICOM, PNG, JPEG, PGM or TIFF file",
    ),
    "empty": (
        lambda path: path.write_bytes(b""),
        {Reason.UNREADABLE},
        "it is not a DICOM, PNG, JPEG, PGM or TIFF file",
    ),
    "without BitsStored": (dicom(BitsStored=None), {Reason.UNREADABLE}, "it has no BitsStored (0028,0101)"),
    "a private syntax": (private, {Reason.UNREADABLE}, "no decoder supports its transfer syntax 1.2.840.113619.5.2"),
    "several frames": (dicom(NumberOfFrames=3), {Reason.UNREADABLE, Reason.SEVERAL_FRAMES}, "it has 3 frames"),
    "DICOM in colour": (
        dicom(SamplesPerPixel=3, PhotometricInterpretation="RGB"),
        {Reason.UNREADABLE, Reason.COLOUR},
        "3 samples a pixel (RGB)",
    ),
    "a crashing decoder": (write_crashing_dicom, {Reason.UNREADABLE}, ""),
    "raw and damaged": (
        dicom(PresentationIntentType="FOR PROCESSING", PixelData=None),
        {Reason.UNREADABLE, Reason.FOR_PROCESSING},
        "no pixel data",
    ),
}


@pytest.mark.proves("image", "{}")
@pytest.mark.parametrize("kind", VARIANTS)
def test_an_image_is_named_by_its_row_for_what_it_is(tmp_path: Path, kind: str) -> None:
    write, reasons, words = VARIANTS[kind]
    found = check(tmp_path, FINE, write)
    named = {Reason(entry["reason"]) for entry in found["reasons"]} - {Reason.SAME_BYTES}
    assert named == reasons
    for reason in reasons:
        assert [row["row"] for row in rows_of(found, reason)] == [2]
    said = " ".join(row["why"] for reason in reasons for row in rows_of(found, reason))
    assert words in said
    assert "bin" not in said, "files are not named"
    assert found["unreadable"] == (Reason.UNREADABLE in reasons)
    assert found["readable"] + found["unreadable"] == found["images"] == 2


def test_what_the_header_says_too_little_of_is_read_by_the_codestream(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        write_dicom(path, mammogram(14), bits=14, syntax=JPEGLSLossless)
        from pydicom import dcmread

        dataset = dcmread(path)
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.save_as(path)

    found = check(tmp_path, write)
    assert "is 12, but its codestream has 14 bits" in rows_of(found, Reason.UNUSUAL_BITS)[0]["why"]
    assert found["files"]["bits"]["values"] == [{"value": "14", "images": 1}]


def test_the_manifest_says_what_a_png_cannot(tmp_path: Path) -> None:
    found = check(
        tmp_path,
        png(mammogram(8)),
        dicom(PresentationIntentType="FOR PRESENTATION"),
        columns="presentation",
        cells=["for processing", "FOR PROCESSING"],
    )
    assert [row["row"] for row in rows_of(found, Reason.FOR_PROCESSING)] == [1], "a header counts more"


def test_copies_and_what_contradicts_them(tmp_path: Path) -> None:
    other = png(mammogram(8))
    found = check(
        tmp_path,
        FINE,
        other,
        FINE,
        other,
        FINE,
        columns="laterality,findings",
        cells=["L,mass", "R,", ",mass", "R,cyst", "R,mass"],
    )
    assert [(row["row"], row["why"][-5:]) for row in rows_of(found, Reason.SAME_BYTES)] == [
        (3, "row 1"),
        (4, "row 2"),
        (5, "row 1"),
    ]
    assert [row["why"] for row in rows_of(found, Reason.CONTRADICTORY)] == [
        "it has the same bytes as row 2, but differs in findings",
        "it has the same bytes as row 1, but differs in laterality",
    ]
    assert found["independent"] == {"unit": "image", "count": 2, "largest": 3}


def test_files_that_cannot_be_read_are_no_copies_of_each_other(tmp_path: Path) -> None:
    found = check(tmp_path, FINE, FINE, FINE)
    for number in range(3):
        (tmp_path / f"{number}.bin").unlink()
    probe_set = read_manifest_of_gone_files(tmp_path)
    gone = tally(probe_set, [look_at(probe_set.items, ANYWHERE, lambda _: None)])
    assert count_of(gone, Reason.SAME_BYTES) == 0
    assert count_of(gone, Reason.UNREADABLE) == 3
    assert count_of(found, Reason.SAME_BYTES) == 2


def read_manifest_of_gone_files(folder: Path) -> Any:
    for number in range(3):
        (folder / f"{number}.bin").write_bytes(b"x")
    probe_set = read_manifest(folder / "m.csv", name="m")
    for number in range(3):
        (folder / f"{number}.bin").unlink()
    return probe_set


def test_what_the_manifest_says_is_counted(tmp_path: Path) -> None:
    found = check(
        tmp_path,
        *[png(mammogram(8) + np.uint8(number)) for number in range(4)],
        columns="patient_id,exam_id,view,density,device,findings",
        cells=["a,1,CC,B,x,mass|cyst", "a,1,MLO,B,x,mass", "a,2,CC,C,,", "b,3,,B,y,"],
    )
    assert (found["patients"], found["exams"]) == (2, 3)
    assert found["independent"] == {"unit": "patient", "count": 2, "largest": 3}
    assert found["manifest"]["view"] == {
        "distinct": 2,
        "without": 1,
        "values": [{"value": "CC", "images": 2}, {"value": "MLO", "images": 1}],
    }
    assert found["manifest"]["density"]["values"][0] == {"value": "B", "images": 3}
    assert found["manifest"]["device"]["without"] == 1
    assert found["findings"]["named"]["values"] == [{"value": "mass", "images": 2}, {"value": "cyst", "images": 1}]
    assert (found["findings"]["named"]["without"], found["findings"]["unknown"]) == (2, 0)
    assert found["files"]["sizes"]["values"] == [{"value": "120 x 110", "images": 4}]
    assert found["files"]["forms"]["values"] == [{"value": "PNG", "images": 4}]


def test_a_column_that_may_hold_identifiers_is_counted_and_not_shown(tmp_path: Path) -> None:
    found = check(
        tmp_path,
        *[png(mammogram(8) + np.uint8(number)) for number in range(25)],
        columns="accession,site",
        cells=[f"secret{number},{'n' if number % 2 else 's'}" for number in range(25)],
    )
    assert found["manifest"]["accession"] == {"distinct": 25, "without": 0, "values": []}
    assert "secret" not in json.dumps(found)
    assert found["manifest"]["site"]["distinct"] == 2


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    report = "no suspicious finding " * 1000
    cells = [f"{report},{report}", f"{report},"]
    found = check(tmp_path, FINE, png(mammogram(8)), columns="report,findings", cells=cells)
    assert found["manifest"]["report"]["values"] == [{"value": report[:200] + "\N{HORIZONTAL ELLIPSIS}", "images": 2}]
    assert len(found["findings"]["named"]["values"][0]["value"]) == 201


def test_shards_add_up_to_the_whole_and_rows_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = [png(mammogram(8)[:50] + np.uint8(number % 3)) for number in range(7)]
    whole = check(tmp_path, *tiny, FINE, lambda path: path.write_text("no"))
    probe_set = read_manifest(tmp_path / "m.csv", name="m")
    spans = [probe_set.items[:4], probe_set.items[4:5], probe_set.items[5:]]
    shards = [look_at(span, ANYWHERE, lambda _: None) for span in spans]
    assert tally(probe_set, shards) == whole
    assert tally(probe_set, json.loads(json.dumps(shards))) == whole
    with pytest.raises(ValueError, match="not those"):
        tally(probe_set, shards[:2])

    monkeypatch.setattr("service.probes.checking.look.ROWS_NAMED", 2)
    monkeypatch.setattr("service.probes.checking.tally.ROWS_NAMED", 3)
    shards = [look_at(span, ANYWHERE, lambda _: None) for span in spans]
    entry = next(entry for entry in tally(probe_set, shards)["reasons"] if entry["reason"] == Reason.TINY)
    assert (entry["count"], len(entry["rows"])) == (7, 3)


def test_progress_ends_with_all_and_may_stop_it(tmp_path: Path) -> None:
    check(tmp_path, FINE, FINE)
    probe_set = read_manifest(tmp_path / "m.csv", name="m")
    told: list[int] = []
    look_at(probe_set.items, ANYWHERE, told.append)
    assert told[-1] == 2

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_at(probe_set.items, ANYWHERE, stop)


def test_what_lies_outside_the_roots_is_unreadable_and_trouble_of_the_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(tmp_path, FINE)
    item = read_manifest(tmp_path / "m.csv", name="m").items[0]
    (tmp_path / "inside").mkdir()
    elsewhere = DataRoots.of([tmp_path / "inside"])
    shard = look_at([item], elsewhere, lambda _: None)
    assert shard["named"]["unreadable"]["rows"][0]["why"] == "it lies outside the data roots"
    assert is_unreadable(item, elsewhere)
    assert not is_unreadable(item, ANYWHERE)

    def broken(*_: Any, **__: Any) -> Any:
        raise FileOutOfReach("The image of manifest row 1 cannot be read now: Input/output error.")

    monkeypatch.setattr("service.probes.checking.look.look_into", broken)
    with pytest.raises(FileOutOfReach):
        look_at([item], ANYWHERE, lambda _: None)


@pytest.mark.parametrize("frames", ["middle", "all", "projection"])
def test_where_the_set_says_what_to_take_of_several_frames_they_are_decoded(tmp_path: Path, frames: Frames) -> None:
    three = np.stack([mammogram(), mammogram() // 2, mammogram() // 3])
    write_dicom(tmp_path / "a.dcm", three, bits=12, NumberOfFrames=3)
    (tmp_path / "m.csv").write_text("image\na.dcm\n")
    found = check_images(read_manifest(tmp_path / "m.csv", name="m", frames=frames))
    assert found["reasons"] == []
    assert found["files"]["frames"]["values"] == [{"value": "3", "images": 1}]


REGIONS: dict[str, tuple[FindingRegion, str]] = {
    "a box inside": (FindingRegion("mass", Box(0, 0, 110, 120)), ""),
    "a box too far right": (FindingRegion("mass", Box(60, 0, 51, 10)), "60, 0 of 10 x 51 pixels reaches beyond"),
    "a box too far down": (FindingRegion("mass", Box(0, 120, 1, 1)), "reaches beyond its 120 x 110 pixels"),
    "a mask": (FindingRegion("mass", mask=Path("mask.png")), ""),
    "a mask of another size": (FindingRegion("mass", mask=Path("small.png")), "has 60 x 110 pixels, not its 120"),
    "no mask": (FindingRegion("mass", mask=Path("none.png")), "cannot be read"),
}


@pytest.mark.parametrize("kind", REGIONS)
def test_regions_are_held_to_the_size_of_their_image(tmp_path: Path, kind: str) -> None:
    region, words = REGIONS[kind]
    png(mammogram(8))(tmp_path / "mask.png")
    png(mammogram(8)[:60])(tmp_path / "small.png")
    check(tmp_path, FINE)
    if region.mask is not None:
        region = replace(region, mask=tmp_path / region.mask)
    probe_set = read_manifest(tmp_path / "m.csv", name="m")
    item = replace(probe_set.items[0], regions=(FindingRegion("mass", Box(1, 1, 2, 2)), region))
    found = check_images(replace(probe_set, items=(item,)))
    rows = rows_of(found, Reason.REGION_OUTSIDE)
    assert len(rows) == bool(words)
    assert all(words in row["why"] for row in rows)
