"""CMMD: one row per breast and abnormality; side and view of an image are in its DICOM header alone."""

from collections.abc import Iterable
from pathlib import Path

from service.layouts.dicom_files import dicom_images
from service.layouts.images import DescribedImage, DescribedImages
from service.layouts.source import Layout, Source
from service.layouts.tables import TableRow, TableShape
from service.layouts.values import age_band_of, side_of

_TYPES = {"both": ("mass", "calcification")}


def read(source: Source) -> Iterable[DescribedImage]:
    """Every image of every patient of the table, joined by patient and side.

    `both` means mass and calcification. A finding is the abnormality (`mass`), and it behind its classification
    (`Malignant mass`). Of a breast that the table does not have, nothing is known.
    """
    by_patient: dict[str, list[TableRow]] = {}
    for row in source.rows("breasts"):
        by_patient.setdefault(row.need("ID1"), []).append(row)

    images = DescribedImages()
    for patient, rows in by_patient.items():
        folder = _folder_of(source, patient)
        if folder is None:
            source.lacks(rows[0])
            continue

        for path, header in dicom_images(folder, source):
            image = images.of(path)
            series = path.relative_to(folder).with_suffix("").as_posix().replace("/", "-")
            image.say(
                rows[0],
                image_id=header.image_id or f"{patient}-{series}",
                patient_id=patient,
                exam_id=header.exam_id,
                view=header.view,
                laterality=header.laterality,
            )
            for name, value in header.strata.items():
                image.stratum(name, value)
            _describe(image, [row for row in rows if side_of(row.need("LeftRight")) == header.laterality])

    source.check_missing("CMMD/<ID1>/<date>/<series>/1-1.dcm")
    return images


def _describe(image: DescribedImage, rows: list[TableRow]) -> None:
    """What the table says of the breast that the image shows."""
    for row in rows:
        abnormality = row.need("abnormality")
        kinds = _TYPES.get(abnormality.casefold(), (abnormality,))
        classification = row.get("classification")
        image.find(kinds)
        if classification is not None:
            image.find(f"{classification} {kind}" for kind in kinds)

        if not image.has("age_band"):
            image.stratum_of("age_band", row.get("Age"), age_band_of)
        row.get("Age")
        row.get("ID1")
        image.others_of(row)


def _folder_of(source: Source, patient: str) -> Path | None:
    for start in ("", "CMMD"):
        folder = source.images.root / start / patient
        if "/" not in patient and folder.is_dir():
            return folder
    return None


LAYOUT = Layout(
    name="cmmd",
    title="CMMD",
    read=read,
    shapes=(
        TableShape(
            "breasts",
            ("CMMD_clinicaldata",),
            ("ID1", "LeftRight", "abnormality", "classification"),
        ),
    ),
    needs_headers=True,
)
