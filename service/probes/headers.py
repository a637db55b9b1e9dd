"""What is read of the header of a DICOM mammogram for a manifest: words, of which none but ids says who it is."""

from typing import NamedTuple


class HeaderWords(NamedTuple):
    """What the elements of a header say, as far as they say it: one line each, cut at LONGEST_WORDS."""

    texts: dict[str, str]
    """By keyword, of TEXTS; a missing, empty or damaged element is left out."""

    views: list[tuple[str, str]]
    """Code and meaning of each item of ViewCodeSequence, the first MOST_CODES."""

    modifiers: list[tuple[str, str]]
    """The same of ViewModifierCodeSequence."""


class WithoutHeader(NamedTuple):
    """A file is not an image with a DICOM header, which is an answer like any other."""

    reason: str
    """What is wrong with it, as in `is not a DICOM file`. It holds no text from the file."""

    is_dicom: bool
    """Whether it is a DICOM file at all."""


LONGEST_WORDS = 200
MOST_CODES = 8

TEXTS = (
    "Manufacturer",
    "ManufacturerModelName",
    "PresentationIntentType",
    "Modality",
    "BreastImplantPresent",
    "PartialView",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "PatientAge",
    "ViewPosition",
    "ImageLaterality",
    "Laterality",
    "NumberOfFrames",
)
"""The elements that are read. Names, birth dates, addresses and all others are never looked at."""

HEAD_BYTES = 132
_MARK_PLACE, _MARK = 128, b"DICM"
_NO_PREAMBLE = (b"\x02\x00", b"\x08\x00")


def may_be_dicom(head: bytes) -> bool:
    """Does a file begin like one, with preamble or without, or with the data set itself, in either order of bytes?

    head: its first HEAD_BYTES.
    """
    if head[_MARK_PLACE:] == _MARK or head.startswith(_MARK):
        return True
    little_endian = head.startswith(_NO_PREAMBLE) and head[3:4] == b"\0"
    big_endian = head.startswith(b"\x00\x08\x00") and head[4:6].isalpha()
    return little_endian or big_endian
