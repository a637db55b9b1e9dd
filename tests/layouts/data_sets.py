"""Small data sets as their publishers lay them out; every row is invented, and the images are a few bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.errors import InvalidManifest
from service.files import ANYWHERE
from service.layouts.dicom_headers import read_header
from service.layouts.reading import DataSetPlace, LayoutRows, read_layout


def columns(names: str) -> list[str]:
    """Names separated by commas, or by blanks where there is no comma."""
    return names.split("," if "," in names else None)


def write_table(path: Path, rows: Sequence[Sequence[str]], separator: str = ",") -> Path:
    """A table as the data sets have them: Windows line ends, cells quoted where need be."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def cell(text: str) -> str:
        return f'"{text}"' if separator in text or "\n" in text else text

    path.write_bytes("".join(separator.join(map(cell, row)) + "\r\n" for row in rows).encode())
    return path


def write_images(folder: Path, *names: str, content: bytes = b"image") -> None:
    """Files that stand for images."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content + name.encode())


def read(layout: str, place: Path, **more: Any) -> LayoutRows:
    return read_layout(DataSetPlace(layout, place, **more), roots=ANYWHERE, read_header=read_header)


def refused(layout: str, place: Path, **more: Any) -> InvalidManifest:
    with pytest.raises(InvalidManifest) as caught:
        read(layout, place, **more)
    assert caught.value.remedy
    return caught.value
