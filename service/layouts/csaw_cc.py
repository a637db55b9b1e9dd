"""CSAW-CC: one row per image; prior exams of women who had cancer later are in it."""

from collections.abc import Iterable

from service.layouts.images import DescribedImage, DescribedImages
from service.layouts.source import Layout, Source
from service.layouts.tables import TableRow, TableShape
from service.layouts.values import age_band_of, side_of, whole

_SCREEN_DETECTED = "1"
_BOTH = frozenset({"both", "bilateral"})


def read(source: Source) -> Iterable[DescribedImage]:
    """Every image; a patient's images of one year are an exam.

    The finding `cancer` is there where the cancer of this breast was detected at this screening (`rad_timing` 1). Of
    the breast's earlier images nothing is known: the cancer may show already.
    """
    images = DescribedImages()
    for row in source.rows("images"):
        name = row.need("anon_filename")
        path = source.images.find((f"images/{name}", name))
        if path is None:
            source.lacks(row)
            continue

        image = images.of(path)
        patient, year = whole(row.need("anon_patientid")), row.get("exam_year")
        laterality = side_of(row.get("imagelaterality"))
        image.say(
            row,
            image_id=name.rsplit(".", 1)[0],
            patient_id=patient,
            exam_id=f"{patient}-{whole(year)}" if year else None,
            view=row.get("viewposition"),
            laterality=laterality,
        )
        image.stratum("exam_year", None if year is None else whole(year))
        findings = _findings(row, laterality)
        if findings is not None:
            image.find(findings)

        band = age_band_of(row.get("x_age"))
        image.stratum("age_band" if band else "x_age", band or row.get("x_age"))
        for column in ("x_case", "x_cancer_laterality", "rad_timing"):
            image.stratum(column, row.get(column))
        image.others_of(row)

    source.check_missing("images/<anon_filename>")
    return images


def _findings(row: TableRow, laterality: str | None) -> list[str] | None:
    has_cancer = row.flag("x_case")
    if has_cancer is None:
        return None
    if not has_cancer:
        return []

    cancer_side = (row.get("x_cancer_laterality") or "").casefold()
    known_side = cancer_side in _BOTH or side_of(cancer_side) is not None
    if not known_side:
        return None
    if cancer_side not in _BOTH and side_of(cancer_side) != laterality:
        return []
    return ["cancer"] if whole(row.get("rad_timing") or "") == _SCREEN_DETECTED else None


LAYOUT = Layout(
    name="csaw-cc",
    title="CSAW-CC",
    read=read,
    shapes=(
        TableShape(
            "images",
            ("CSAW-CC_breast_cancer_screening_data", "CSAW"),
            ("anon_patientid", "x_case", "x_cancer_laterality", "imagelaterality", "viewposition", "anon_filename"),
        ),
    ),
)
