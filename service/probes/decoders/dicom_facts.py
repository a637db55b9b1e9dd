"""What a DICOM header says of its image, for a check before any job."""

from contextlib import suppress

from service.probes.decoders.dicom_file import DicomFile
from service.probes.pixels import DICOM, INTENTS, OTHER, PHOTOMETRICS, CannotDecode, ImageFacts, check_size

ELEMENTS = (
    "PresentationIntentType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
)
"""What has to be read of a file."""

_GREATEST = 65_535
"""A greater number of a header is given as this one."""


def facts_of_header(dicom: DicomFile) -> ImageFacts:
    """What the header says, as far as it can be read. Whatever is wrong with it is said when the image is decoded."""
    height, width = _number(dicom, "Rows"), _number(dicom, "Columns")
    with_size = _is_a_size(height, width)
    samples = max(_number(dicom, "SamplesPerPixel"), 1)
    return ImageFacts(
        DICOM,
        height if with_size else 0,
        width if with_size else 0,
        frames=max(_number(dicom, "NumberOfFrames"), 1),
        samples=samples,
        coloured=samples > 1,
        stated_bits=min(_number(dicom, "BitsStored"), 255),
        allocated=min(_number(dicom, "BitsAllocated"), 255),
        photometric=_word(dicom, "PhotometricInterpretation", PHOTOMETRICS),
        intent=_word(dicom, "PresentationIntentType", INTENTS),
    )


def _number(dicom: DicomFile, keyword: str) -> int:
    with suppress(CannotDecode):
        return min(max(dicom.number_or(keyword, 0), 0), _GREATEST)
    return 0


def _word(dicom: DicomFile, keyword: str, known: tuple[str, ...]) -> str:
    """Only words that are known go out: what a header says may identify a patient."""
    try:
        word = dicom.text(keyword).upper() if dicom.has(keyword) else ""
    except CannotDecode:
        return OTHER
    return word if word in known else OTHER


def _is_a_size(height: int, width: int) -> bool:
    try:
        check_size(height, width)
    except CannotDecode:
        return False
    return True
