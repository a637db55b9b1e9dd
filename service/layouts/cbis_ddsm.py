"""CBIS-DDSM: one row per abnormality, in four tables; a mask for each; no exams, patients only."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from service.layouts.images import IMAGE_SUFFIXES, DescribedImage, DescribedImages, path_parts
from service.layouts.source import Layout, Source
from service.layouts.tables import TableRow, TableShape
from service.layouts.values import birads_of, density_of, side_of

_BELOW = ("", "CBIS-DDSM/")
_MOST_ENTRIES = 64
"""Below a case's folder, which has one image, or a crop and a mask."""

_DESCRIPTORS = ("mass shape", "mass margins", "calc type", "calc distribution", "pathology")


def read(source: Source) -> Iterable[DescribedImage]:
    """Every mammogram with all its abnormalities.

    A finding is the type of an abnormality (`mass`), and each part of what is said of it before the type
    (`SPICULATED mass`, `MALIGNANT mass`).
    """
    images = DescribedImages()
    for row in source.rows("abnormalities"):
        written = path_parts(row.need("image file path"))
        path = _find(source, written) if written else None
        if path is None:
            source.lacks(row)
            continue

        case = _case_in(written)
        image = images.of(path)
        image.say(
            row,
            image_id=case if len(written) > 1 else None,
            patient_id=row.need("patient_id"),
            view=row.get("image view"),
            laterality=side_of(row.get("left or right breast")),
        )
        findings = _findings(row)
        image.find(findings)

        mask = _mask(source, row, case)
        if mask is not None and mask != path:
            image.place(findings, mask=mask)

        image.stratum_of("density", row.get("breast density"), density_of)
        image.stratum("birads_of_abnormality", birads_of([row.get("assessment")]))
        image.stratum("split", _split(case, row))
        row.get("abnormality id")
        image.others_of(row)

    _choose_birads(images)
    source.check_missing("<case>/<study>/<series>/000000.dcm, or as the one image of <case>")
    return images


def _case_in(parts: Sequence[str]) -> str:
    """The folder of the case in a path, which ends in case, study, series and file; copies have more before it."""
    return parts[-4] if len(parts) > 4 else parts[0]


def _findings(row: TableRow) -> list[str]:
    kind = row.need("abnormality type")
    findings = [kind]
    for column in _DESCRIPTORS:
        parts = (part.strip() for part in (row.get(column) or "").split("-"))
        findings += [f"{part} {kind}" for part in parts if part and part != "N/A"]
    return findings


def _find(source: Source, parts: Sequence[str]) -> Path | None:
    """The mammogram's file: where the table says, or the one file of its case's folder, however that was downloaded."""
    found = source.images.find_rerooted("/".join(parts), below=_BELOW, fewest_parts=2)
    if found is not None:
        return found

    files = _files_of(source, _case_in(parts))
    only = files[0] if len(files) == 1 else _converted(source, parts)
    if only is not None:
        source.notes.tally("row(s) have the only image in the folder of their case or series, not that of their path")
    return only


def _converted(source: Source, parts: Sequence[str]) -> Path | None:
    """The mammogram among the JPEG files of a converted copy, which has a folder for each series."""
    if len(parts) < 2:
        return None
    for start in ("jpeg", *_BELOW):
        files = _images_in(source.images.root / start / parts[-2])
        if len(files) == 1:
            return files[0]
    return None


def _mask(source: Source, row: TableRow, case_of_image: str) -> Path | None:
    """The mask of an abnormality.

    Some rows have the paths of mask and crop exchanged, and some copies other names in a folder that both share.
    """
    written = row.get("ROI mask file path")
    if written is None:
        return None

    parts = path_parts(written)
    mask = source.images.find_rerooted(written, below=_BELOW, fewest_parts=2)
    crop_written = row.get("cropped image file path")
    crop = None
    if crop_written is not None:
        crop = source.images.find_rerooted(crop_written, below=_BELOW, fewest_parts=2)

    if mask is not None:
        larger = None if crop is None else _larger([mask, crop])
        if larger is not None and larger != mask:
            source.notes.tally("mask(s) are where the table has the crop, which is the smaller file")
        return larger or mask

    if parts and _case_in(parts) != case_of_image:
        larger = _larger(_files_of(source, _case_in(parts)))
        if larger is not None:
            source.notes.tally("mask(s) are the larger file in the folder of their case: their own path is not there")
            return larger
    source.notes.tally("mask(s) of abnormalities are not there; their findings have no region")
    return None


def _larger(files: Sequence[Path]) -> Path | None:
    """The larger of two DICOM files, which are not compressed: a mask is as large as its mammogram, a crop smaller."""
    if len(files) != 2 or any(file.suffix != ".dcm" for file in files):
        return None
    sizes = [file.stat().st_size for file in files]
    return None if sizes[0] == sizes[1] else files[sizes.index(max(sizes))]


def _files_of(source: Source, case: str) -> list[Path]:
    """The image files below the folder of a case; none where it holds more than such a folder does."""
    for start in _BELOW:
        folder = source.images.root / start / case
        if folder.is_dir():
            entries = list(islice(folder.rglob("*"), _MOST_ENTRIES + 1))
            if len(entries) > _MOST_ENTRIES:
                return []
            return sorted(
                path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES and source.images.is_file(path)
            )
    return []


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _split(case: str, row: TableRow) -> str | None:
    name = f"{case} {row.table}".casefold()
    if "training" in name or "train_set" in name:
        return "training"
    return "test" if "test" in name else None


def _choose_birads(images: DescribedImages) -> None:
    for image in images:
        assessed = image.take("birads_of_abnormality")
        image.stratum("birads", birads_of(assessed))


LAYOUT = Layout(
    name="cbis-ddsm",
    title="CBIS-DDSM",
    read=read,
    shapes=(
        TableShape(
            "abnormalities",
            ("mass_case_description", "calc_case_description"),
            ("patient_id", "left or right breast", "image view", "abnormality type", "pathology", "image file path"),
            many=True,
        ),
    ),
)
