"""Reading a manifest of 1,000,000 rows as registering one does: time and memory, without looking at the images."""

import multiprocessing
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from benchmarks.table import Row, peak_bytes
from service.files import DataRoots
from service.probes.manifest import read_manifest

_ROWS = 1_000_000
_FOLDER_SIZE = 1_000
_GOAL_SECONDS = 60
_GOAL_MB = 1_500
_COLUMNS = ("image", "image_id", "patient_id", "exam_id", "view", "laterality", "findings", "density", "device")
_FINDINGS = ("", "mass", "mass|suspicious calcification", "asymmetry")


def run() -> list[Row]:
    context = multiprocessing.get_context("spawn")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for manifest in _write(Path(folder)):
            with context.Pool(1) as child:
                seconds, megabytes = child.apply(_read, (manifest,))
            name = f"a manifest of {_ROWS:,} rows, {manifest.suffix}"
            rows += [
                _row_of(f"{name}: time", _GOAL_SECONDS, seconds, "s"),
                _row_of(f"{name}: memory", _GOAL_MB, megabytes, "MB"),
            ]
    return rows


def _row_of(name: str, goal: float, measured: float, unit: str) -> Row:
    return Row(name, goal, measured, unit, measured / goal, f"at most {goal:g} {unit}", measured <= goal)


def _read(manifest: Path) -> tuple[float, float]:
    """Seconds and MB, where every image is a file of its own that nobody looks at."""
    numbers = count(1)

    def look(_roots: DataRoots, _path: Path) -> os.stat_result:
        return os.stat_result((stat.S_IFREG, next(numbers), 1, 1, 0, 0, 1_000, 0, 0, 0))

    DataRoots.look = look  # type: ignore[method-assign, assignment]
    begun = time.perf_counter()
    assert len(read_manifest(manifest, name="p").items) == _ROWS  # noqa: S101
    return time.perf_counter() - begun, peak_bytes() / 1e6


def _write(folder: Path) -> Iterator[Path]:
    rows = [_row(number) for number in range(_ROWS)]

    lines = [",".join(_COLUMNS), *(",".join(row) for row in rows)]
    (folder / "m.csv").write_text("\n".join(lines))
    yield folder / "m.csv"

    columns = zip(*rows, strict=True)
    parquet.write_table(pa.table(dict(zip(_COLUMNS, columns, strict=True))), folder / "m.parquet")
    yield folder / "m.parquet"


def _row(number: int) -> tuple[str, ...]:
    exam, patient = number // 4, number // 8
    return (
        f"images/{number // _FOLDER_SIZE}/{number:032x}.dcm",
        f"{number:032x}",
        f"patient-{patient}",
        f"exam-{exam}",
        ("CC", "MLO")[number % 2],
        ("L", "R")[number // 2 % 2],
        _FINDINGS[exam % len(_FINDINGS)],
        "ABCD"[patient % 4],
        f"device {patient % 7}",
    )
