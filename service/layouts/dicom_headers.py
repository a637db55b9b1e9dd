"""What the headers of DICOM mammograms say of them. Decoder processes read these, so no API imports this module."""

from typing import BinaryIO

from service.layouts.source import ImageHeader, NoHeader
from service.layouts.values import age_band_of, side_of
from service.probes.decode import decoder_pool
from service.probes.decoders.gzipped import is_gzipped
from service.probes.headers import HEAD_BYTES, LONGEST_WORDS, HeaderWords, WithoutHeader, may_be_dicom
from service.probes.pixels import CannotDecode, CannotRead

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


def read_header(file: BinaryIO) -> ImageHeader:
    """The header of an open file. Safe to use from several threads.

    Raises NoHeader for a file that is not a DICOM image, or is a damaged one; OSError where disk or machine fail.
    """
    head = file.read(HEAD_BYTES)
    if not is_gzipped(head) and not may_be_dicom(head):
        raise NoHeader("is not a DICOM file", is_dicom=False)

    try:
        words = decoder_pool().header(file)
    except CannotDecode as refusal:
        raise NoHeader(f"cannot be read ({refusal.reason})", is_dicom=True) from None
    except CannotRead as trouble:
        raise OSError(trouble.number, str(trouble)) from None

    if isinstance(words, WithoutHeader):
        raise NoHeader(words.reason, is_dicom=words.is_dicom)
    return _header_of(words)


def _header_of(words: HeaderWords) -> ImageHeader:
    texts = words.texts
    strata = {name: texts[keyword] for name, keyword in _STRATA.items() if keyword in texts}

    age = texts.get("PatientAge")
    band = age_band_of(age[:-1]) if age and age.endswith("Y") else None
    if band is not None:
        strata["age_band"] = band

    modifiers = [meaning or value for value, meaning in words.modifiers]
    if modifiers:
        strata["view_modifier"] = "; ".join(modifiers)[:LONGEST_WORDS]

    frames = texts.get("NumberOfFrames")
    if frames is not None and frames.isdecimal() and int(frames) > 1:
        strata["frames"] = str(int(frames))

    coded = next((_VIEWS[value.upper()] for value, _ in words.views if value.upper() in _VIEWS), None)
    return ImageHeader(
        image_id=texts.get("SOPInstanceUID"),
        exam_id=texts.get("StudyInstanceUID"),
        patient_id=texts.get("PatientID"),
        view=texts.get("ViewPosition") or coded,
        laterality=_side(texts),
        strata=strata,
    )


def _side(texts: dict[str, str]) -> str | None:
    for keyword in ("ImageLaterality", "Laterality"):
        if keyword in texts:
            return side_of(texts[keyword]) or texts[keyword]
    return None
