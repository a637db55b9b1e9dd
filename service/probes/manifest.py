"""Reading a probe set's manifest: the images, and what its rows know of them."""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from service.domain.groups import ONE_PATIENT, exam_of_two_patients, with_patients
from service.domain.probes import FindingRegion, Frames, PatchGrid, ProbeItem, ProbeSet
from service.domain.spelling import folded
from service.errors import InvalidManifest, UnreadableImage
from service.files import ANYWHERE, DataRoots, FileVersion, NotRegular, OutsideRoots, is_lasting
from service.probes.image_file import MAX_BYTES, digest_and_version, out_of_reach
from service.probes.merging import ManifestRow, MergedImages, merge_rows
from service.probes.patches import check_grid
from service.probes.region_cells import read_regions
from service.tables.cells import NotReadable, listed
from service.tables.read import read_table
from service.tables.table import Row, Table

_NAMED = frozenset({"image", "image_id", "exam_id", "patient_id", "view", "laterality", "text", "findings", "regions"})
_NOTHING = "does not exist", "Give a path relative to the manifest's folder, or an absolute one."
_LONGEST_NAME = 60
_MOST_NAMES = 20
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def read_manifest(
    path: Path,
    *,
    name: str,
    patches: PatchGrid | None = None,
    frames: Frames | None = None,
    on_unreadable: Literal["fail", "skip"] = "fail",
    roots: DataRoots = ANYWHERE,
) -> ProbeSet:
    """Read a manifest, a table in any of its formats (docs/probe-sets.md has the columns); images are not decoded here.

    With `patches`, the images are still to be cut: `service.probes.patches.cut` does it once their sizes are known,
    and `service.probes.measuring` reads these. The digest covers the fields of every row, the images' paths as written
    and sizes in bytes, and the patch grid; not the folder that all lies in, and not the bytes of the images (see
    `digest_images`).
    frames: what is taken of images with several; `all` of them are still to be counted, as patches are to be cut.
    Rows of one image are merged: findings and their regions are united, everything else must agree. An exam has one
    patient, whom all its images then name.
    roots: what manifest and images must lie in, now and whenever an image is opened.
    Raises InvalidManifest naming field, row and remedy; FileOutOfReach where the disk or the machine fails.
    """
    with manifest_table(path, roots) as table:
        return probe_set_of(
            table,
            path.parent,
            name=name,
            patches=patches,
            frames=frames,
            on_unreadable=on_unreadable,
            roots=roots,
        )


def manifest_table(path: Path, roots: DataRoots) -> Table:
    """The table in a manifest, to be used in a `with`. Raises InvalidManifest and FileOutOfReach."""
    return read_table(path, roots, field="manifest", error=InvalidManifest, known=_NAMED)


def probe_set_of(
    table: Table,
    folder: Path,
    *,
    name: str,
    patches: PatchGrid | None = None,
    frames: Frames | None = None,
    on_unreadable: Literal["fail", "skip"] = "fail",
    roots: DataRoots = ANYWHERE,
) -> ProbeSet:
    """The probe set that a manifest's rows describe, as `read_manifest` has it.

    folder: what paths in it are relative to. Raises what `read_manifest` raises.
    """
    if patches is not None:
        check_grid(patches)

    grid = asdict(patches) if patches else None
    sha = hashlib.sha256(_canonical(grid).encode())
    if frames is not None:
        sha.update(_canonical({"frames": frames}).encode())
    merged = merge_rows(_rows(table, folder, roots, sha))
    if merged.later_rows:
        # Links and other spellings show in no field of a row, and may lead elsewhere tomorrow.
        sha.update(_canonical({"merged": merged.later_rows}).encode())

    items = _with_one_spelling(_with_unique_ids(merged))
    _check_patients(items)
    items = with_patients(items)
    if frames in {"middle", "projection"}:
        items = [replace(item, frame=frames) for item in items]

    return ProbeSet(
        name,
        tuple(items),
        sha.hexdigest(),
        on_unreadable,
        merged_rows=len(merged.later_rows),
        table_notes=table.notes,
        patches=patches,
        frames=frames,
        roots=roots,
    )


def with_digests(items: Iterable[ProbeItem], roots: DataRoots = ANYWHERE) -> tuple[ProbeItem, ...]:
    """The items, each with the SHA-256 and the version of its image file.

    Each file is read once, and none whose digest is known already.

    A file that has gone has none: whether that matters is for the probe set's `on_unreadable` to say.
    Raises UnreadableImage for one that lies outside the roots, whatever that says, and FileOutOfReach where the disk or
    the machine fails or, as ImageChanged, a file is being written to.
    """
    contents: dict[Path, tuple[str | None, FileVersion | None]] = {}
    digested = []
    for item in items:
        if item.path not in contents:
            contents[item.path] = (item.sha256, item.version) if item.sha256 else _content(item, roots)

        sha256, version = contents[item.path]
        digested.append(replace(item, sha256=sha256, version=version))
    return tuple(digested)


def digest_images(items: Iterable[ProbeItem]) -> str:
    """SHA-256 (hex) over every item's image file, its box and its frame, in order.

    A file counts as the digest that `with_digests` has found. A file without a digest counts as 32 zero bytes.
    """
    sha = hashlib.sha256()
    for item in items:
        sha.update(bytes(32) if item.sha256 is None else bytes.fromhex(item.sha256))
        if item.box is not None:
            sha.update(_canonical(asdict(item.box)).encode())
        if item.frame is not None:
            sha.update(_canonical({"frame": item.frame}).encode())
    return sha.hexdigest()


def _content(item: ProbeItem, roots: DataRoots) -> tuple[str | None, FileVersion | None]:
    try:
        return digest_and_version(item.path, roots)
    except OutsideRoots:
        raise UnreadableImage(
            f"The image of manifest row {item.row} lies outside the data roots.",
            field="image",
            value=f"row {item.row}",
            remedy="Move it below one of the folders in DATA_ROOTS; a link to it from there is not enough.",
        ) from None
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach(item.row, error) from None
        return None, None


def _rows(table: Table, folder: Path, roots: DataRoots, sha: "hashlib._Hash") -> Iterator[ManifestRow]:
    """Every row; all that counts goes into the digest on the way."""
    strata = _Strata()
    for number, row in table.rows:
        fields = {name: value for name, value in row.items() if value or name == "findings"}
        written = _image_name(number, fields, table.header)
        image = folder / written
        findings = _findings(number, fields)
        regions = _regions(fields, folder, number, roots)

        item = ProbeItem(
            image_id=fields.get("image_id") or image.stem,
            path=image,
            row=number,
            exam_id=_shared(fields.get("exam_id")),
            patient_id=_shared(fields.get("patient_id")),
            view=_shared(fields.get("view")),
            laterality=_shared(fields.get("laterality")),
            text=fields.get("text"),
            findings=findings,
            strata=strata.of(fields),
            regions=regions,
            written=written,
        )

        counted: dict[str, object] = dict(fields)
        if findings is not None:
            counted["findings"] = sorted(findings)
        status = _status(image, number, roots)
        _check_bytes(status.st_size, number)
        sha.update(_canonical([counted, status.st_size]).encode())
        yield ManifestRow(item, "image_id" in fields, (status.st_dev, status.st_ino))


def _image_name(number: int, fields: Row, header: Sequence[str]) -> str:
    if "image" in fields:
        return fields["image"]

    remedy = "Give each row the path of its file in the column 'image'."
    if "image" not in header:
        columns = ", ".join(f"'{name[:_LONGEST_NAME]}'" for name in header[:_MOST_NAMES])
        more = ", …" if len(header) > _MOST_NAMES else ""
        remedy = f"Give each row the path of its file in a column 'image'; the columns are {columns}{more}."
    raise InvalidManifest(f"Row {number} names no image.", field="image", value=f"row {number}", remedy=remedy)


def _status(image: Path, number: int, roots: DataRoots, *, field: str = "image", what: str = "image") -> os.stat_result:
    try:
        return roots.look(image)
    except OutsideRoots:
        wrong, remedy = "lies outside the data roots", "Move it below one of the folders in DATA_ROOTS."
    except NotRegular:
        wrong, remedy = "is not a regular file", "Name one file for each image."
    except ValueError:
        wrong, remedy = _NOTHING
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach(number, error) from None
        wrong, remedy = _NOTHING
    raise InvalidManifest(f"The {what} of row {number} {wrong}.", field=field, value=f"row {number}", remedy=remedy)


def _check_bytes(size: int, number: int) -> None:
    if size > MAX_BYTES:
        raise InvalidManifest(
            f"The image of row {number} is a file of more than {MAX_BYTES:,} bytes.",
            field="image",
            value=f"row {number}",
            remedy="Name a file with a single image, or delete the row.",
        )


def _findings(number: int, fields: Row) -> frozenset[str] | None:
    if "findings" not in fields:
        return None

    cell = fields["findings"]
    try:
        parts = listed(cell)
    except NotReadable:
        raise InvalidManifest(
            f"Row {number} has findings that begin like a list and are not one.",
            field="findings",
            value=f"row {number}",
            remedy="Write ['mass', 'asymmetry'], or mass|asymmetry.",
        ) from None

    stripped = [part.strip() for part in (cell.split("|") if parts is None else parts)]
    return frozenset(sys.intern(finding) for finding in stripped if finding)


def _regions(fields: Row, folder: Path, number: int, roots: DataRoots) -> tuple[FindingRegion, ...]:
    regions = read_regions(fields.get("regions", ""), folder, number)
    for region in regions:
        if region.mask is not None:
            _status(region.mask, number, roots, field="regions", what="mask")
    return regions


def _shared(value: str | None) -> str | None:
    return None if value is None else sys.intern(value)


class _Strata:
    """Equal strata are one mapping: a million rows share the few that there are."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def of(self, fields: Row) -> Mapping[str, str]:
        others = [(name, value) for name, value in fields.items() if name not in _NAMED]
        pairs = tuple(sorted(others))
        return self._known.setdefault(pairs, dict(pairs))


def _with_unique_ids(images: MergedImages) -> list[ProbeItem]:
    """Ids from the manifest if every image has one; else the files' stems if they all differ; else `row-<n>`."""
    items = images.items
    first_row: dict[str, int] = {}
    repeated = False

    for item, has_id in zip(items, images.have_ids, strict=True):
        given = images.have_ids[0]
        if has_id != given:
            raise _bad_id(item.row, "has an image_id but other rows have none, or the reverse")

        if first_row.setdefault(item.image_id, item.row) != item.row:
            if given:
                raise _bad_id(item.row, f"has the same image_id as row {first_row[item.image_id]}")
            repeated = True

    if not items:
        raise InvalidManifest("The manifest lists no images.", field="manifest", remedy="Add one row for each image.")

    if repeated:
        return [replace(item, image_id=f"row-{item.row}") for item in items]
    return items


def _check_patients(items: Sequence[ProbeItem]) -> None:
    contradiction = exam_of_two_patients(items)
    if contradiction is None:
        return

    earlier, later = contradiction
    raise InvalidManifest(
        f"Rows {earlier.row} and {later.row} name different patients for the same exam.",
        field="patient_id",
        value=f"rows {earlier.row} and {later.row}",
        remedy=ONE_PATIENT,
    )


def _with_one_spelling(items: list[ProbeItem]) -> list[ProbeItem]:
    """Findings that differ in case and blanks only are one, spelled as the first of them in alphabetical order.

    They are counted as written in the digest, so a manifest means the same probe set as before.
    """
    written = {finding for item in items for finding in item.findings or ()}
    written |= {region.finding for item in items for region in item.regions}
    spelling = {folded(finding): finding for finding in sorted(written, reverse=True)}
    if len(spelling) == len(written):
        return items

    spelled = []
    for item in items:
        regions = tuple(replace(region, finding=spelling[folded(region.finding)]) for region in item.regions)
        findings = item.findings
        if findings is not None:
            findings = frozenset(spelling[folded(finding)] for finding in findings)
        spelled.append(replace(item, findings=findings, regions=regions))
    return spelled


def _bad_id(number: int, what: str) -> InvalidManifest:
    return InvalidManifest(
        f"Row {number} {what}.",
        field="image_id",
        value=f"row {number}",
        remedy="Give every row a different image_id, or delete the column.",
    )
