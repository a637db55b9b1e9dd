"""Reading the words of a DICOM header that a manifest is made of."""

import gzip
import io
import zlib
from typing import BinaryIO

from service.probes.decoders.dicom_file import DicomFile
from service.probes.decoders.formats import in_plain_words
from service.probes.decoders.gzipped import is_gzipped
from service.probes.decoders.streams import BoundedFile
from service.probes.headers import (
    HEAD_BYTES,
    LONGEST_WORDS,
    MOST_CODES,
    TEXTS,
    HeaderWords,
    WithoutHeader,
    may_be_dicom,
)
from service.probes.pixels import CannotDecode

_VIEW, _MODIFIERS = "ViewCodeSequence", "ViewModifierCodeSequence"
_ELEMENTS = (*TEXTS, _VIEW, "Rows")
_MOST_INFLATED = 16 << 20


def read_header_words(file: BinaryIO) -> HeaderWords | WithoutHeader:
    """The words of the header of an open file, or why it has none. Raises CannotRead, MemoryError."""
    try:
        return in_plain_words(file, _words)
    except CannotDecode as error:
        return WithoutHeader(f"cannot be read ({error})", is_dicom=True)


def _words(file: BinaryIO) -> HeaderWords | WithoutHeader:
    bounded: BinaryIO = BoundedFile(file)  # type: ignore[assignment]
    head = _head_of(bounded)
    if is_gzipped(head):
        try:
            bounded = _beginning(bounded)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return WithoutHeader("is a damaged gzip file", is_dicom=False)
        head = _head_of(bounded)
    if not may_be_dicom(head):
        return WithoutHeader("is not a DICOM file", is_dicom=False)

    dicom = DicomFile(bounded, _ELEMENTS, with_pixels=False)
    if not dicom.has("Rows"):
        return WithoutHeader("is a DICOM file without an image", is_dicom=False)

    texts = {keyword: text for keyword in TEXTS if (text := _text(dicom, keyword))}
    return HeaderWords(texts, _codes(dicom, _VIEW), _codes(dicom, _MODIFIERS, within=_VIEW))


def _head_of(file: BinaryIO) -> bytes:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    return head


def _beginning(file: BinaryIO) -> BinaryIO:
    """The first part of a file that gzip compressed, in which its header is."""
    with gzip.GzipFile(fileobj=file, mode="rb") as packed:
        return io.BytesIO(packed.read(_MOST_INFLATED))


def _text(dicom: DicomFile, keyword: str) -> str:
    """What an element says, on one line; empty where it is missing, empty or damaged."""
    try:
        text = dicom.text(keyword) if dicom.has(keyword) else ""
    except CannotDecode:
        return ""
    return _on_one_line(text)


def _codes(dicom: DicomFile, keyword: str, within: str | None = None) -> list[tuple[str, str]]:
    try:
        codes = dicom.codes(keyword, within)[:MOST_CODES]
    except CannotDecode:
        return []
    return [(_on_one_line(value), _on_one_line(meaning)) for value, meaning in codes]


def _on_one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:LONGEST_WORDS]
