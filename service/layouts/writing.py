"""Rows of a manifest, written as a file."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TextIO

from service.errors import InvalidInput
from service.files import written_whole
from service.layouts.images import SINGLE_STRATA
from service.tables.table import Row

SUFFIXES = (".csv", ".jsonl")
_FIRST = (
    "image",
    "image_id",
    "patient_id",
    "exam_id",
    "view",
    "laterality",
    "text",
    "findings",
    "regions",
    *SINGLE_STRATA,
)


def write_manifest(path: Path, rows: Sequence[Row], folder: Path) -> None:
    """Write a .csv or .jsonl manifest. folder: what the paths in the rows are relative to.

    Paths are written relative to the manifest where the files lie below its folder, else absolute. Raises InvalidInput
    for another suffix, and for a .csv where findings are known of some images alone: no cell of it could say so.
    """
    check_suffix(path)
    place = path.absolute().parent.resolve()
    source = folder.resolve()
    moved = (_moved(row, source, place) for row in rows)
    try:
        with written_whole(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".csv":
                _write_csv(file, rows, moved)
            else:
                _write_jsonl(file, moved)
    except OSError as error:
        raise InvalidInput(
            f"The manifest cannot be written: {error.strerror}.",
            field="output",
            value=path,
            remedy="Name a file in a folder that exists and can be written to.",
        ) from None


def check_suffix(path: Path) -> None:
    """Raise InvalidInput for a file that cannot be a manifest."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidInput(
            f"A manifest cannot be written as a '{path.suffix}' file.",
            field="output",
            value=path,
            remedy="Name a .csv or .jsonl file.",
        )


def _write_csv(file: TextIO, rows: Sequence[Row], moved: Iterator[Row]) -> None:
    with_findings = sum("findings" in row for row in rows)
    if 0 < with_findings < len(rows):
        raise InvalidInput(
            f"Findings are known of {with_findings:,} of {len(rows):,} images; in a .csv the others would seem to have "
            "none.",
            field="output",
            remedy="Write a .jsonl file, where a row can leave them out.",
        )

    present = dict.fromkeys(name for row in rows for name in row)
    columns = [name for name in _FIRST if name in present] + [name for name in present if name not in _FIRST]
    table = csv.DictWriter(file, columns, restval="")
    table.writeheader()
    table.writerows(moved)


def _write_jsonl(file: TextIO, rows: Iterator[Row]) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _moved(row: Row, folder: Path, place: Path) -> Row:
    moved = {**row, "image": _path(row["image"], folder, place)}
    if "regions" in row:
        regions = json.loads(row["regions"])
        for region in regions:
            if "mask" in region:
                region["mask"] = _path(region["mask"], folder, place)
        moved["regions"] = json.dumps(regions, ensure_ascii=False)
    return moved


def _path(written: str, folder: Path, place: Path) -> str:
    path = folder / written
    return PurePosixPath(path.relative_to(place)).as_posix() if path.is_relative_to(place) else str(path)
