"""INbreast: one row per image; the file's name begins with the table's; findings are in one XML file per image."""

import os
import plistlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from service.domain.probes import Box
from service.errors import InvalidManifest
from service.files import is_lasting, out_of_reach
from service.layouts.images import IMAGE_SUFFIXES, DescribedImage, DescribedImages
from service.layouts.source import Layout, Source
from service.layouts.tables import TableRow, TableShape
from service.layouts.values import age_band_of, box_of, category_of, density_of, is_plain_birads, side_of, whole

_IMAGES = "AllDICOMs"
_ANNOTATIONS = "AllXML"
_MOST_ANNOTATION_BYTES = 32 << 20
_POINT = re.compile(r"\(\s*(-?\d+\.?\d*)\s*,\s*(-?\d+\.?\d*)\s*\)")
_MARKED = ("Mass", "Micros", "Distortion", "Asymmetry")
"""Columns of the full table that have an X where the image shows it."""


def read(source: Source) -> Iterable[DescribedImage]:
    """Every image, its patient by the file's name.

    Findings are the regions' names in its XML file, and the marked columns where the table has them; without both
    nothing is known of them.
    """
    files = _image_files(source)
    images = DescribedImages()
    for row in source.rows("images"):
        number = _number_in(whole(row.need("File Name")))
        path = files.get(number)
        if path is None:
            source.lacks(row)
            continue

        image = images.of(path)
        _describe(image, row, number, path)
        _find(source, image, row, number)
        image.others_of(row)

    source.check_missing("AllDICOMs/<File Name>_<patient>_MG_<side>_<view>_ANON.dcm")
    return images


def _image_files(source: Source) -> dict[str, Path]:
    """The image files by the numbers that their names begin with."""
    root = source.images.root
    folder = next(place for place in (root / _IMAGES, root) if place.is_dir())
    files: dict[str, Path] = {}

    for name in sorted(entry.name for entry in os.scandir(folder)):
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES or not source.images.is_file(folder / name):
            continue
        if _number_in(name) in files:
            source.notes.tally("image file(s) were passed over, because another one begins with the same number")
        else:
            files[_number_in(name)] = folder / name
    return files


def _number_in(name: str) -> str:
    return re.split(r"[_.]", name, maxsplit=1)[0]


def _describe(image: DescribedImage, row: TableRow, number: str, path: Path) -> None:
    _, patient, _, side, view = (path.stem.split("_") + [""] * 5)[:5]
    laterality = side_of(row.get("Laterality")) or side_of(side)
    if side_of(side) is not None and laterality != side_of(side):
        raise row.wrong("names another side than the image's file name", "Laterality", "Correct the row.")

    date = row.get("Acquisition date")
    patient_id = row.get("Patient ID") or patient or None
    image.say(
        row,
        image_id=number,
        patient_id=patient_id,
        exam_id=f"{patient_id}-{whole(date)}" if patient_id and date else None,
        view=row.get("View") or ("MLO" if view == "ML" else view or None),
        laterality=laterality,
    )

    image.stratum_of("density", row.get("ACR"), density_of)
    image.stratum_of("age_band", row.get("Patient age"), age_band_of)
    category = row.get("Bi-Rads")
    image.stratum_of("birads", category, category_of)
    if category is not None and not is_plain_birads(category):
        image.stratum("Bi-Rads", category)


def _find(source: Source, image: DescribedImage, row: TableRow, number: str) -> None:
    annotations = source.images.root / _ANNOTATIONS
    if annotations.is_dir():
        image.find([])
        for finding, box in _regions(source, annotations / f"{number}.xml", row):
            image.find([finding])
            image.place([finding], box=box)

    if "Mass" in row.fields or "Micros" in row.fields:
        image.find(column for column in _MARKED if (row.get(column) or "").casefold() == "x")


def _regions(source: Source, path: Path, row: TableRow) -> Iterator[tuple[str, Box]]:
    """Name and box of every region of an image; none where it has no file. Raises InvalidManifest for a damaged one."""
    try:
        if not source.images.is_file(path):
            return
        content = source.roots.read(path, most=_MOST_ANNOTATION_BYTES)
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach("annotation", error, field="annotation") from None
        raise _damaged(row) from None

    try:
        document: Any = plistlib.loads(content, fmt=plistlib.FMT_XML)
        regions = [region for entry in document["Images"] for region in entry["ROIs"]]
        named = [(str(region["Name"]).strip(), list(region["Point_px"])) for region in regions]
    except Exception:  # an XML parser and a property list have many ways to be wrong
        raise _damaged(row) from None

    for name, points in named:
        box = _around(points)
        if box is None or not name:
            raise _damaged(row)
        yield name, box


def _around(points: list[object]) -> Box | None:
    matches = [_POINT.fullmatch(str(point).strip()) for point in points]
    places = [(float(match[1]), float(match[2])) for match in matches if match is not None]
    if not places or len(places) < len(points):
        return None
    columns, rows = [column for column, _ in places], [row for _, row in places]
    # A region of one point is the pixel that it is in.
    return box_of(min(columns), min(rows), max(*columns, min(columns) + 1), max(*rows, min(rows) + 1))


def _damaged(row: TableRow) -> InvalidManifest:
    return row.wrong(
        "is about an image whose XML file cannot be read as INbreast writes it",
        _ANNOTATIONS,
        f"Copy {_ANNOTATIONS} again from the data set, or remove the folder to read the data set without regions.",
    )


LAYOUT = Layout(
    name="inbreast",
    title="INbreast",
    read=read,
    shapes=(TableShape("images", ("INbreast",), ("File Name", "Laterality", "View", "ACR", "Bi-Rads")),),
)
