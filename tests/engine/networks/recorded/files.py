"""Tables of activations as files of every kind, all with the same numbers."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

Numbers = NDArray[np.float32]


def write_csv(
    path: Path, names: Sequence[str], numbers: Numbers, *, separator: str = ",", image: str = "image"
) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow([image, *range(numbers.shape[1])])
        writer.writerows([name, *map(str, row)] for name, row in zip(names, numbers, strict=True))
    return path


def write_tsv(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    return write_csv(path, names, numbers, separator="\t")


def write_semicolons(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    return write_csv(path, names, numbers, separator=";")


def write_pandas_csv(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    """The first column is the index, which has no name."""
    return write_csv(path, names, numbers, image="")


def _objects(names: Sequence[str], numbers: Numbers) -> list[dict[str, object]]:
    return [
        {"image": name, **{str(unit): float(number) for unit, number in enumerate(row)}}
        for name, row in zip(names, numbers, strict=True)
    ]


def write_json(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    path.write_text(json.dumps(_objects(names, numbers)))
    return path


def write_jsonl(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in _objects(names, numbers)))
    return path


def write_json_lists(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    rows = [{"image": name, "table": row.tolist()} for name, row in zip(names, numbers, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_lists_in_cells(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "table"])
        writer.writerows([name, str(row.tolist())] for name, row in zip(names, numbers, strict=True))
    return path


def write_xlsx(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["image", *map(str, range(numbers.shape[1]))])
    for name, row in zip(names, numbers, strict=True):
        sheet.append([name, *row.tolist()])
    book.save(path)
    return path


def write_parquet(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    columns = {str(unit): numbers[:, unit] for unit in range(numbers.shape[1])}
    parquet.write_table(pa.table({"image": list(names), **columns}), path)
    return path


def write_pandas_parquet(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    """Units in the order of texts, as 0, 1, 10, 2; the index as pandas calls it."""
    units = sorted(str(unit) for unit in range(numbers.shape[1]))
    columns = {unit: numbers[:, int(unit)].astype(np.float64) for unit in units}
    parquet.write_table(pa.table({**columns, "__index_level_0__": list(names)}), path)
    return path


def write_parquet_lists(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    parquet.write_table(pa.table({"image": list(names), "table": numbers.tolist()}), path)
    return path


def write_parquet_fixed_lists(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), numbers.shape[1])
    parquet.write_table(pa.table({"image": list(names), "table": lists}), path)
    return path


def write_npy(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    np.save(path, numbers, allow_pickle=False)
    path.with_suffix(".ids.txt").write_text("\n".join(names) + "\n")
    return path


def write_npy_by_columns(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    np.save(path, np.asfortranarray(numbers.astype(">f8")), allow_pickle=False)
    path.with_suffix(".ids.csv").write_text("image,patient_id\n" + "".join(f"{name},p\n" for name in names))
    return path


def write_npz(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    np.savez(path, image=np.array(names, dtype=str), table=numbers)
    return path


def write_npz_compressed(path: Path, names: Sequence[str], numbers: Numbers) -> Path:
    np.savez_compressed(path, image=np.array([name.encode() for name in names]), table=numbers)
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, Sequence[str], Numbers], Path]]] = {
    "CSV": (".csv", write_csv),
    "CSV with semicolons": (".csv", write_semicolons),
    "CSV of pandas, with its index": (".csv", write_pandas_csv),
    "CSV with a list in a cell": (".csv", write_lists_in_cells),
    "TSV": (".tsv", write_tsv),
    "JSON": (".json", write_json),
    "JSON lines": (".jsonl", write_jsonl),
    "JSON lines with a list": (".jsonl", write_json_lists),
    "a workbook": (".xlsx", write_xlsx),
    "parquet": (".parquet", write_parquet),
    "parquet of pandas, with its index": (".parquet", write_pandas_parquet),
    "parquet with a list": (".parquet", write_parquet_lists),
    "parquet with a list of fixed size": (".parquet", write_parquet_fixed_lists),
    "npy with its ids": (".npy", write_npy),
    "npy by columns, 64 bits, with its ids": (".npy", write_npy_by_columns),
    "npz": (".npz", write_npz),
    "npz, compressed": (".npz", write_npz_compressed),
}
"""What writes each kind of file, and what such files end in."""
