"""Phantoms as a probe set on disk: PNG files and a manifest."""

import csv
import json
from pathlib import Path

from service.errors import InvalidInput
from service.probes.opencv import cv2
from service.probes.phantoms.parallel import generate_in_processes
from service.probes.phantoms.phantom import DEFAULT_SIZE, Phantom, generate_range

MANIFEST_COLUMNS = (
    "image",
    "image_id",
    "exam_id",
    "patient_id",
    "view",
    "laterality",
    "density",
    "findings",
    "text",
    "regions",
)


def write_phantoms(
    directory: Path, count: int, seed: int, size: tuple[int, int] = DEFAULT_SIZE, *, in_processes: bool = False
) -> Path:
    """Write the first `count` phantoms of a series as 8-bit PNGs with `manifest.csv` beside them; returns its path.

    size: height and width in pixels. in_processes: draw on every core, as `generate_in_processes` does. The manifest is
    written last, so a folder with a manifest is complete.
    Raises InvalidInput when count is not positive or the size is too small to draw a breast in.
    """
    if count < 1:
        raise InvalidInput("The number of phantoms must be at least 1.", field="count", value=count)
    if min(size) < 64:
        raise InvalidInput("A phantom needs at least 64 x 64 pixels.", field="size", value=f"{size[0]}x{size[1]}")

    (directory / "images").mkdir(parents=True, exist_ok=True)
    drawn = generate_in_processes(seed, count, size) if in_processes else generate_range(seed, 0, count, size)
    rows = [_write(directory, phantom) for phantom in drawn]

    manifest = directory / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(MANIFEST_COLUMNS)
        writer.writerows(rows)
    return manifest


def _write(directory: Path, phantom: Phantom) -> tuple[str, ...]:
    name = f"images/{phantom.image_id}.png"
    encoded = cv2.imencode(".png", phantom.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    (directory / name).write_bytes(encoded.tobytes())

    return (
        name,
        phantom.image_id,
        phantom.exam_id,
        phantom.patient_id,
        phantom.view,
        phantom.laterality,
        phantom.density,
        "|".join(sorted(phantom.findings)),
        phantom.report,
        json.dumps(_regions(phantom)),
    )


def _regions(phantom: Phantom) -> list[dict[str, object]]:
    """The box of each lesion, once for each finding that it is."""
    return [
        {"finding": finding, "box": [lesion.box.left, lesion.box.top, lesion.box.width, lesion.box.height]}
        for lesion in phantom.lesions
        for finding in sorted(lesion.abnormality.findings)
    ]
