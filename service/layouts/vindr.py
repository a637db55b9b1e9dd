"""VinDr-Mammo: one row per finding, and one per image; exams are studies, patients are not known."""

from collections.abc import Iterable

from service.layouts.images import DescribedImage, DescribedImages
from service.layouts.source import Layout, Source
from service.layouts.tables import TableRow, TableShape
from service.layouts.values import box_of, box_within, category_of, density_of, number_of
from service.tables.cells import listed

_NO_FINDING = "no finding"
_PLACE = "images/{study}/{image}.dicom"


def read(source: Source) -> Iterable[DescribedImage]:
    """Every image; its findings are the categories of all its rows, `No Finding` beside others counts for nothing."""
    images = DescribedImages()
    for row in source.rows("breasts"):
        _describe(source, images, row)
    for row in source.rows("findings"):
        image = _describe(source, images, row)
        if image is not None:
            _add_finding(image, row)

    source.check_missing(_PLACE.format(study="<study_id>", image="<image_id>"))
    return images


def _describe(source: Source, images: DescribedImages, row: TableRow) -> DescribedImage | None:
    study, image_id = row.need("study_id"), row.need("image_id")
    place = _PLACE.format(study=study, image=image_id)
    path = source.images.find((place, place.removeprefix("images/"), f"{image_id}.dicom"))
    if path is None:
        source.lacks(row)
        return None

    image = images.of(path)
    view, laterality = row.get("view_position"), row.get("laterality")
    image.say(row, image_id=image_id, exam_id=study, view=view, laterality=laterality)
    image.stratum_of("density", row.get("breast_density"), density_of)
    image.stratum_of("birads", row.get("breast_birads"), category_of)
    image.stratum("split", row.get("split"))

    for column in ("finding_categories", "xmin", "ymin", "xmax", "ymax"):
        row.get(column)
    image.others_of(row)
    return image


def _add_finding(image: DescribedImage, row: TableRow) -> None:
    text = row.need("finding_categories")
    try:
        categories = listed(text)
    except ValueError:
        raise row.wrong("has findings that are not a list", "finding_categories", "Write them as ['Mass'].") from None

    findings = [name for name in categories or (text,) if name.casefold() != _NO_FINDING]
    image.find(findings)

    edges = [number_of(row.get(edge)) for edge in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = edges
    if left is None and top is None and right is None and bottom is None:
        return

    box = None
    if left is not None and top is not None and right is not None and bottom is not None:
        box = box_of(left, top, right, bottom)
    box = box_within(box, number_of(row.get("height")), number_of(row.get("width")))
    if box is None:
        raise row.wrong(
            "has a box that is incomplete, empty, or reaches outside the image",
            "xmin",
            "Correct xmin, ymin, xmax, ymax (pixels of the original image), or leave all four empty.",
        )
    image.place(findings, box=box)


LAYOUT = Layout(
    name="vindr",
    title="VinDr-Mammo",
    read=read,
    shapes=(
        TableShape("findings", ("finding_annotations",), ("study_id", "image_id", "finding_categories")),
        TableShape(
            "breasts",
            ("breast-level_annotations",),
            ("study_id", "image_id", "breast_birads", "breast_density"),
            required=False,
        ),
    ),
)
