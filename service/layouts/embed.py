"""EMBED Open Data: a table of images and a table of findings, joined by exam and side."""

import json
import sys
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from service.domain.probes import Box
from service.layouts.images import DescribedImage, DescribedImages
from service.layouts.source import Layout, Source
from service.layouts.tables import TableRow, TableShape
from service.layouts.values import age_band_of, birads_of, box_of, box_within, density_of, number_of, side_of, whole

_ASSESSMENTS = {"A": "0", "N": "1", "B": "2", "P": "3", "S": "4", "M": "5", "K": "6"}
_FLAGS = ("mass", "asymmetry", "arch_distortion", "calc")
_CODES = ("massshape", "massmargin", "massdens", "calcfind", "calcdistri", "otherfind", "implanfind")
_KEPT = (
    "study_date_anon", "StudyDescription", "SeriesDescription", "FinalImageType", "num_roi", "SRC_DST", "match_level",
    "cohort_num", "PatientSex", "BreastImplantPresent", "PartialView", "ImplantDisplaced", "Modality",
    "DetectorType",
)  # fmt: skip
"""Columns of the table of images that become strata; the others are its whole DICOM header."""

_REGION = "ROI"
"""The finding of a region: the tables do not say which of an exam's findings a region is of."""


def read(source: Source) -> Iterable[DescribedImage]:
    """Every plain two-dimensional view (`FinalImageType` 2D, no `spot_mag`), with what its exam has on its side.

    A finding is a flag that is set (`mass`), or a column with a code of it (`massshape I`). The side B, and none, mean
    both. Of an exam without a row in the table of findings nothing is known.
    """
    by_exam: dict[str, list[_ExamRow]] = {}
    for row in source.rows("findings"):
        by_exam.setdefault(whole(row.need("acc_anon")), []).append(_exam_row(row))

    images = DescribedImages()
    for row in source.rows("images"):
        if row.get("FinalImageType") not in {None, "2D"} or row.flag("spot_mag"):
            source.notes.tally("image(s) were left out that are not plain views (FinalImageType not 2D, or spot_mag)")
            continue

        written = row.need("anon_dicom_path")
        path = source.images.find_rerooted(written)
        if path is None:
            source.lacks(row)
            continue

        image = images.of(path)
        _describe(image, row, PurePosixPath(written.replace("\\", "/")).stem)
        _place(image, row)
        _join(image, side_of(row.get("ImageLateralityFinal")), by_exam.get(whole(row.need("acc_anon"))))

    source.check_missing("the end of anon_dicom_path")
    return images


def _describe(image: DescribedImage, row: TableRow, image_id: str) -> None:
    image.say(
        row,
        image_id=image_id,
        patient_id=whole(row.need("empi_anon")),
        exam_id=whole(row.need("acc_anon")),
        view=row.get("ViewPosition"),
        laterality=side_of(row.get("ImageLateralityFinal")),
    )
    image.stratum("manufacturer", row.get("Manufacturer"))
    image.stratum("device", row.get("ManufacturerModelName"))
    image.stratum("presentation", row.get("PresentationIntentType"))
    for column in _KEPT:
        image.stratum(column, row.get(column))


def _place(image: DescribedImage, row: TableRow) -> None:
    """The regions, whose corners are written row before column. Raises InvalidManifest for one that is not a box."""
    text = row.get("ROI_coords")
    if text is None:
        return

    height, width = number_of(row.get("Rows")), number_of(row.get("Columns"))
    for corners in _listed(text, row):
        box = _box(corners, height, width)
        if box is None:
            raise _no_box(row)
        image.place([_REGION], box=box)


def _listed(text: str, row: TableRow) -> list[object]:
    try:
        # The files write tuples, lists, and one region without a list around it.
        listed = json.loads(text.replace("(", "[").replace(")", "]").replace(",]", "]"))
    except (ValueError, RecursionError):
        raise _no_box(row) from None
    if not isinstance(listed, list):
        raise _no_box(row)
    return [listed] if listed and not isinstance(listed[0], list) else listed


def _box(corners: object, height: float | None, width: float | None) -> Box | None:
    if not isinstance(corners, list) or len(corners) != 4:
        return None
    if not all(isinstance(corner, int | float) and not isinstance(corner, bool) for corner in corners):
        return None
    top, left, bottom, right = corners
    return box_within(box_of(left, top, right, bottom), height, width)


def _no_box(row: TableRow) -> Exception:
    return row.wrong(
        "has regions that are not boxes inside the image",
        "ROI_coords",
        "Write a list of [top, left, bottom, right] in pixels of the image, or [].",
    )


class _ExamRow(NamedTuple):
    """What a row of the table of findings says; its other hundred columns are not held."""

    side: str | None
    """None for both."""

    findings: tuple[str, ...]
    assessment: str | None
    strata: tuple[tuple[str, str | None], ...]


def _exam_row(row: TableRow) -> _ExamRow:
    assessment = row.get("asses")
    strata = {
        "density": row.get("tissueden"),
        "age_band": row.get("age_at_study"),
        "desc": row.get("desc"),
        "path_severity": row.get("path_severity"),
    }
    findings = tuple(map(sys.intern, _findings(row)))
    return _ExamRow(side_of(row.get("side")), findings, assessment, tuple(strata.items()))


def _join(image: DescribedImage, side: str | None, rows: list[_ExamRow] | None) -> None:
    """What the table of findings says of the exam and the image's side."""
    if rows is None:
        return

    image.find([])
    assessments = []
    for row in rows:
        of_exam = dict(row.strata)
        image.stratum_of("density", of_exam.pop("density"), density_of)
        image.stratum_of("age_band", of_exam.pop("age_band"), age_band_of)
        if row.side is not None and side is not None and row.side != side:
            continue

        image.find(row.findings)
        image.stratum("asses", row.assessment)
        assessments.append(_ASSESSMENTS.get((row.assessment or "").upper()))
        for name, value in of_exam.items():
            image.stratum(name, value)
    image.stratum("birads", birads_of(assessments))


def _findings(row: TableRow) -> list[str]:
    flagged = [flag for flag in _FLAGS if row.flag(flag)]
    coded = []
    for column in _CODES:
        codes = (row.get(column) or "").split(",")
        coded += [f"{column} {whole(code.strip())}" for code in codes if code.strip()]
    return flagged + coded


LAYOUT = Layout(
    name="embed",
    title="EMBED Open Data",
    read=read,
    shapes=(
        TableShape(
            "images",
            ("EMBED_OpenData_metadata", "metadata"),
            ("empi_anon", "acc_anon", "anon_dicom_path", "ImageLateralityFinal", "ViewPosition"),
        ),
        TableShape(
            "findings",
            ("EMBED_OpenData_clinical", "clinical"),
            ("acc_anon", "side", "asses", "tissueden"),
        ),
    ),
)
