"""What the headers of DICOM mammograms say of them. Only the command line imports this module: it imports pydicom."""

import gzip
import io
import zlib
from typing import BinaryIO

from service.layouts.source import ImageHeader, NoHeader
from service.layouts.values import age_band_of, side_of
from service.probes.decoders.dicom_file import DicomFile
from service.probes.decoders.gzipped import is_gzipped
from service.probes.pixels import CannotDecode

_VIEWS = {
    "399260004": "ML", "R-10224": "ML",
    "399368009": "MLO", "R-10226": "MLO",
    "399352003": "LM", "R-10228": "LM",
    "399099002": "LMO", "R-10230": "LMO",
    "399162004": "CC", "R-10242": "CC",
    "399196006": "FB", "R-10244": "FB",
    "399188001": "SIO", "R-102D0": "SIO",
    "399265009": "ISO", "R-40AAA": "ISO",
    "399192009": "XCCL", "R-1024A": "XCCL", "Y-X1770": "XCCL",
    "399101009": "XCCM", "R-1024B": "XCCM", "Y-X1771": "XCCM",
}  # fmt: skip
"""DICOM's codes of views (CID 4014), in both of the schemes that are in use."""

_STRATA = {
    "manufacturer": "Manufacturer",
    "device": "ManufacturerModelName",
    "presentation": "PresentationIntentType",
    "modality": "Modality",
    "implant": "BreastImplantPresent",
    "partial_view": "PartialView",
}
_VIEW, _MODIFIERS = "ViewCodeSequence", "ViewModifierCodeSequence"
_ELEMENTS = (
    *_STRATA.values(),
    "SOPInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "PatientAge",
    "ViewPosition",
    _VIEW,
    "ImageLaterality",
    "Laterality",
    "NumberOfFrames",
    "Rows",
)
_LONGEST = 200
_MARK_PLACE, _MARK = 128, b"DICM"
_MOST_INFLATED = 16 << 20
_NO_PREAMBLE = (b"\x02\x00", b"\x08\x00")


def read_header(file: BinaryIO) -> ImageHeader:
    """The header of an open file. Raises NoHeader for a file that is not a DICOM image, or is a damaged one."""
    head = _head_of(file)
    if is_gzipped(head):
        file = _beginning(file)
        head = _head_of(file)
    if not _may_be_dicom(head):
        raise NoHeader("is not a DICOM file", is_dicom=False)

    try:
        dicom = DicomFile(file, _ELEMENTS, with_pixels=False)
        if not dicom.has("Rows"):
            raise NoHeader("is a DICOM file without an image", is_dicom=False)
        return _header_of(dicom)
    except CannotDecode as error:
        raise NoHeader(f"cannot be read ({error})", is_dicom=True) from None
    except (NoHeader, MemoryError, OSError):
        raise
    except Exception:  # pydicom has many ways to say that a file is damaged
        raise NoHeader("has a damaged header", is_dicom=True) from None


def _head_of(file: BinaryIO) -> bytes:
    head = file.read(_MARK_PLACE + len(_MARK))
    file.seek(0)
    return head


def _beginning(file: BinaryIO) -> BinaryIO:
    """The first part of a file that gzip compressed, in which its header is. Raises NoHeader where it is damaged."""
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as packed:
            return io.BytesIO(packed.read(_MOST_INFLATED))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise NoHeader("is a damaged gzip file", is_dicom=False) from None


def _may_be_dicom(head: bytes) -> bool:
    """Does a file begin like one, with preamble or without, or with the data set itself, in either order of bytes?"""
    if head[_MARK_PLACE:] == _MARK or head.startswith(_MARK):
        return True
    little_endian = head.startswith(_NO_PREAMBLE) and head[3:4] == b"\0"
    big_endian = head.startswith(b"\x00\x08\x00") and head[4:6].isalpha()
    return little_endian or big_endian


def _header_of(dicom: DicomFile) -> ImageHeader:
    strata = {}
    for name, keyword in _STRATA.items():
        value = _text(dicom, keyword)
        if value is not None:
            strata[name] = value

    age = _text(dicom, "PatientAge")
    band = age_band_of(age[:-1]) if age and age.endswith("Y") else None
    if band is not None:
        strata["age_band"] = band

    views = _codes(dicom, _VIEW)
    modifiers = [meaning or value for value, meaning in _codes(dicom, _MODIFIERS, within=_VIEW)]
    if modifiers:
        strata["view_modifier"] = "; ".join(modifiers)[:_LONGEST]

    frames = _text(dicom, "NumberOfFrames")
    if frames is not None and frames.isdigit() and int(frames) > 1:
        strata["frames"] = str(int(frames))

    coded = next((_VIEWS[value.upper()] for value, _ in views if value.upper() in _VIEWS), None)
    return ImageHeader(
        image_id=_text(dicom, "SOPInstanceUID"),
        exam_id=_text(dicom, "StudyInstanceUID"),
        patient_id=_text(dicom, "PatientID"),
        view=_text(dicom, "ViewPosition") or coded,
        laterality=_side(dicom),
        strata=strata,
    )


def _side(dicom: DicomFile) -> str | None:
    for keyword in ("ImageLaterality", "Laterality"):
        text = _text(dicom, keyword)
        if text is not None:
            return side_of(text) or text
    return None


def _text(dicom: DicomFile, keyword: str) -> str | None:
    """What an element says, on one line; None where it is missing, empty or damaged."""
    try:
        text = dicom.text(keyword) if dicom.has(keyword) else ""
    except CannotDecode:
        return None
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:_LONGEST] or None


def _codes(dicom: DicomFile, keyword: str, within: str | None = None) -> list[tuple[str, str]]:
    try:
        return dicom.codes(keyword, within)
    except CannotDecode:
        return []
