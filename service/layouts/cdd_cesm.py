"""CDD-CESM: one row per image; `$` parts the findings of one, and the tags are findings, too."""

import json
from collections.abc import Iterable
from typing import Any

from service.domain.probes import Box
from service.layouts.images import DescribedImage, DescribedImages
from service.layouts.source import Layout, Source
from service.layouts.tables import TableRow, TableShape
from service.layouts.values import age_band_of, birads_of, box_of, density_of, is_plain_birads, side_of, whole

_NORMAL = "normal"
_LESION = "lesion"
"""The finding of a region: neither masks nor outlines say which of an image's findings they are of."""

_FOLDERS = {"CM": "Subtracted images of CDD-CESM/", "DM": "Low energy images of CDD-CESM/"}


def read(source: Source) -> Iterable[DescribedImage]:
    """Every image, with its findings and its tags as written; `Normal` means none."""
    images = DescribedImages()
    by_name: dict[str, DescribedImage] = {}
    for row in source.rows("images"):
        name = row.need("Image_name").strip()
        path = None
        written = row.get("path")
        if written is not None:
            path = source.images.find_rerooted(written)
        folder = _FOLDERS.get((row.get("Type") or "").upper(), "")
        path = path or source.images.find(f"{start}{name}.jpg" for start in (folder, "images/", ""))
        if path is None:
            source.lacks(row)
            continue

        image = by_name[name] = images.of(path)
        _describe(source, image, row, name)

    for row in source.rows("outlines"):
        outlined = by_name.get(row.need("#filename").rsplit(".", 1)[0])
        if outlined is not None:
            outlined.place([_LESION], box=_outlined(row))

    source.check_missing("Low energy images of CDD-CESM/<Image_name>.jpg, or as the column path has it")
    return images


def _describe(source: Source, image: DescribedImage, row: TableRow, name: str) -> None:
    patient = row.get("Patient_ID")
    image.say(
        row,
        image_id=name,
        patient_id=None if patient is None else whole(patient),
        view=row.get("View"),
        laterality=side_of(row.get("Side")),
    )
    image.stratum_of("density", row.get("Breast density (ACR)"), density_of)
    image.stratum_of("age_band", row.get("Age"), age_band_of)
    machine = row.get("Machine")
    image.stratum("device", None if machine is None else whole(machine))

    category = row.get("BIRADS")
    if category is not None:
        image.stratum("birads", birads_of(category.split("$")))
        if not is_plain_birads(category):
            image.stratum("BIRADS", category)

    findings, tags = row.get("Findings"), row.get("Tags")
    if findings is not None or tags is not None:
        report = [" ".join(part.split()) for part in (findings or "").split("$")]
        named = report + [" ".join(tag.split()) for tag in (tags or "").replace("$", ",").split(",")]
        image.find(part for part in named if part.casefold() != _NORMAL)
        image.say(row, text=". ".join(part for part in report if part) or None)

    mask = row.get("mask_path")
    if mask is not None and image.findings:
        place = source.images.find_rerooted(mask)
        if place is None:
            source.notes.tally("mask(s) are not there; their images have no region")
        else:
            image.place([_LESION], mask=place)

    image.stratum("Type", row.get("Type"))
    image.others_of(row)


def _outlined(row: TableRow) -> Box:
    """The box around an outline as the VGG Image Annotator writes it. Raises InvalidManifest for anything else."""
    try:
        shape: Any = dict(json.loads(row.need("region_shape_attributes")))
        if "all_points_x" in shape:
            columns, lines = shape["all_points_x"], shape["all_points_y"]
            edges = min(columns), min(lines), max(columns) + 1, max(lines) + 1
        elif "width" in shape:
            edges = shape["x"], shape["y"], shape["x"] + shape["width"], shape["y"] + shape["height"]
        else:
            across, down = (shape["r"],) * 2 if "r" in shape else (shape.get("rx", 0.5), shape.get("ry", 0.5))
            edges = shape["cx"] - across, shape["cy"] - down, shape["cx"] + across, shape["cy"] + down
        left, top, right, bottom = map(float, edges)
        box = box_of(max(left, 0), max(top, 0), right, bottom)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        box = None

    if box is None:
        raise row.wrong(
            "has an outline that cannot be read",
            "region_shape_attributes",
            "Write it as the VGG Image Annotator does, or leave the table out.",
        )
    return box


LAYOUT = Layout(
    name="cdd-cesm",
    title="CDD-CESM",
    read=read,
    shapes=(
        TableShape(
            "images",
            ("Radiology-manual-annotations", "labels", "Radiology"),
            ("Image_name", "Patient_ID", "Side", "View", "Findings"),
        ),
        TableShape(
            "outlines",
            ("Radiology_hand_drawn_segmentations",),
            ("#filename", "region_shape_attributes"),
            required=False,
        ),
    ),
)
