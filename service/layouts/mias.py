"""mini-MIAS: a list separated by blanks, several rows a film; films of 1024 x 1024 pixels in pairs of a patient."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from service.errors import InvalidManifest
from service.layouts.images import DescribedImage, DescribedImages
from service.layouts.source import Layout, Source
from service.layouts.tables import TableRow, TableShape, column_key
from service.layouts.values import box_of

_SIDE = 1024
_COLUMNS = ("reference", "tissue", "abnormality", "severity", "x", "y", "radius")
_ROW = re.compile(r"(mdb(\d{3}))[a-z]*\s+(.*)", re.IGNORECASE)
_WHOLE = re.compile(r"\d{1,9}")
_NORMAL = "NORM"
_MOST_BYTES = 4 << 20


def read(source: Source) -> Iterable[DescribedImage]:
    """Every film. A finding is the class of an abnormality (`CIRC`), and it before its severity (`CIRC B`).

    Odd numbers are right breasts, even ones left; two such are one patient. All are mediolateral oblique. A circle
    becomes the box around it; the published origin is the bottom left.
    """
    images = DescribedImages()
    for row in _rows(source):
        reference = row.need("reference")
        path = source.images.find((f"{reference}.pgm", f"images/{reference}.pgm", f"all-mias/{reference}.pgm"))
        if path is None:
            source.lacks(row)
            continue

        number = int(reference.removeprefix("mdb"))
        image = images.of(path)
        image.say(
            row,
            image_id=reference,
            patient_id=f"{(number + 1) // 2}",
            exam_id=f"{(number + 1) // 2}",
            view="MLO",
            laterality="R" if number % 2 else "L",
        )
        image.stratum("tissue", row.get("tissue"))
        _find(image, row)

    source.check_missing("mdbNNN.pgm")
    return images


def _rows(source: Source) -> Iterator[TableRow]:
    path = _list_of(source)
    content = source.roots.read(path, most=_MOST_BYTES).decode("latin-1")
    columns = {column_key(name): name for name in _COLUMNS}
    number = 0
    for line in content.splitlines():
        match = _ROW.fullmatch(line.strip())
        if match is None:
            continue

        number += 1
        cells = [match[1].lower(), *match[3].split()]
        noted = [place for place, cell in enumerate(cells) if cell.startswith("*NOTE")]
        if noted:  # the place is not in the list
            cells = cells[: noted[0]]
        yield TableRow(path.name, number, dict(zip(_COLUMNS, cells, strict=False)), columns)
    if not number:
        raise _no_list(path)


def _find(image: DescribedImage, row: TableRow) -> None:
    kind = row.need("abnormality")
    if kind == _NORMAL:
        image.find([])
        return

    severity = row.get("severity")
    findings = [kind] if severity is None else [kind, f"{kind} {severity}"]
    image.find(findings)
    image.stratum("severity", severity)

    texts = [row.get(column) for column in ("x", "y", "radius")]
    if texts == [None, None, None]:
        return
    numbers = [int(text) for text in texts if text is not None and _WHOLE.fullmatch(text)]
    if len(numbers) < len(texts):
        raise row.wrong("has a place that is not three whole numbers", "x", "Write x, y and radius in pixels, or none.")

    column, from_bottom, reach = numbers
    line = _SIDE - from_bottom
    box = box_of(max(column - reach, 0), max(line - reach, 0), min(column + reach, _SIDE), min(line + reach, _SIDE))
    if box is None:
        raise row.wrong("has a place outside the film", "x", f"Films have {_SIDE} x {_SIDE} pixels.")
    image.place(findings, box=box)


def _list_of(source: Source) -> Path:
    named = source.tables.get("films")
    if named:
        return named[0].path
    raise _no_list(source.place)


def _no_list(path: Path) -> InvalidManifest:
    return InvalidManifest(
        "There is no list of films, whose rows begin as in 'mdb001 G CIRC B 535 425 197'.",
        field="manifest",
        value=path,
        remedy="Name the folder with Info.txt, or that file as --table.",
    )


LAYOUT = Layout(
    name="mias",
    title="mini-MIAS",
    read=read,
    shapes=(TableShape("films", ("Info",), ()),),
    is_list=True,
)
