"""The elements of a DICOM file that say what its pixels are, read without believing what it says of its lengths."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import VR

from service.probes.decoders.streams import ClampedFile, InflatedFile
from service.probes.pixels import MAX_PIXELS, CannotDecode

_PREAMBLE = 128
_PREFIX = b"DICM"
_META_GROUP, _DATA_GROUP = b"\x02\x00", b"\x08\x00"
_TRANSFER_SYNTAX = 0x0002_0010
_PIXEL_DATA = 0x7FE0_0010
_VRS = frozenset(vr.encode() for vr in VR)
HEADER_BYTES = 64 << 20
_UID = re.compile(r"[0-9.]{1,64}")
_NUMBER = re.compile(r"[-+0-9.,eE ]{1,16}")

FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_OF_FRAME = {
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope"),
}
"""What a file of several frames says in its functional groups, by the sequence that it is in."""

OVERLAY_BITS = tuple(0x6000_0102 + (group << 16) for group in range(0, 0x20, 2))
"""Tags of the bit that an overlay takes in the pixels, one for each overlay that there may be."""


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A DICOM lookup table (PS3.3, C.11.1)."""

    first: int
    """The value that the first entry is for. Lower ones have the first entry, too, and higher ones the last."""

    entries: NDArray[np.uint16]

    greatest: int
    """The greatest entry that the stated bits can hold."""


class DicomFile:
    """The elements with the given keywords or tags, and the transfer syntax; values are checked when asked for.

    Raises CannotDecode for a file that is not a DICOM file, or does not say its transfer syntax.
    """

    def __init__(self, file: BinaryIO, elements: Sequence[str | int], *, with_pixels: bool) -> None:
        plain = ClampedFile(file)
        self.syntax = _transfer_syntax(plain) if _pass_preamble(plain) else _guessed_syntax(plain)
        most = HEADER_BYTES + (2 * MAX_PIXELS if with_pixels else 0)
        self.stream = InflatedFile(plain, most) if self.syntax == DeflatedExplicitVRLittleEndian else plain
        """The file behind its meta information, inflated; at the pixel data, where these were not asked for."""
        self._dataset = _read_elements(self.stream, self.syntax, elements, with_pixels=with_pixels)

    def number(self, keyword: str) -> int:
        """The whole number that a required element holds. Raises CannotDecode when it is missing or holds no number."""
        if keyword not in self._dataset:
            raise _missing(keyword)
        return self._number(keyword)

    def number_or(self, keyword: str | int, default: int) -> int:
        """The whole number that an element holds, or a default where it is missing or empty."""
        return default if self._is_empty(keyword) else self._number(keyword)

    def sign(self, keyword: str) -> int:
        """-1 when an element holds a negative number, else 1, also where it is missing or empty."""
        if self._is_empty(keyword):
            return 1

        value = self._value(keyword)
        try:
            return -1 if float(value) < 0 else 1  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise self._not_a_number(keyword) from None

    def has(self, keyword: str) -> bool:
        """Is the element there, and not empty?"""
        return not self._is_empty(keyword)

    def real_or(self, keyword: str, default: float) -> float:
        """The number that an element holds, the first if several; a default where it is missing or empty."""
        if self._is_empty(keyword):
            return default

        value = self._value(keyword)
        try:
            number = float(value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value)  # type: ignore[arg-type]
        except (TypeError, ValueError, IndexError):
            raise self._not_a_number(keyword) from None
        if not math.isfinite(number):
            raise self._not_a_number(keyword)
        return number

    def lookup_table(self, keyword: str) -> "LookupTable | None":
        """The first table of a sequence of lookup tables; None where there is none. Raises CannotDecode."""
        if self._is_empty(keyword):
            return None
        what, remedy = f"the table of its {_named(keyword)} is damaged", f"Correct or remove {_named(keyword)}."
        with _refusing(lambda: CannotDecode(what, remedy)):
            items = self._dataset[keyword].value
            return _read_table(items[0], little_endian=self.syntax.is_little_endian) if len(items) else None

    def bytes_or_none(self, keyword: str) -> bytes | None:
        """The bytes that an element holds; None where it is missing or empty."""
        value = None if self._is_empty(keyword) else self._value(keyword)
        return value if isinstance(value, bytes) else None

    def of_frame(self, frame: int) -> "DicomFile":
        """The same with what the functional groups say of a frame, counted from 0 (PS3.3, C.7.6.16).

        Raises CannotDecode where they are damaged.
        """
        dataset = Dataset()
        dataset.update(self._dataset)
        with _refusing(lambda: CannotDecode("its functional groups (5200,9229) and (5200,9230) are damaged")):
            for groups in self._functional_groups(frame):
                for sequence, keywords in _OF_FRAME.items():
                    items = groups[sequence].value if sequence in groups else []
                    for keyword in keywords:
                        if len(items) and keyword in items[0]:
                            dataset.add(items[0][keyword])

        _set_encoding(dataset, self.syntax)
        view = copy(self)
        view._dataset = dataset
        return view

    def _functional_groups(self, frame: int) -> Iterator[Dataset]:
        """Those of all frames, then those of one, which count more."""
        for keyword, number in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
            items = [] if self._is_empty(keyword) else self._dataset[keyword].value
            if number < len(items):
                yield items[number]

    def text(self, keyword: str) -> str:
        """The text of a required element. Raises CannotDecode when it is missing."""
        if keyword not in self._dataset:
            raise _missing(keyword)
        return str(self._value(keyword)).strip(" \0")

    def codes(self, keyword: str, within: str | None = None) -> list[tuple[str, str]]:
        """Value and meaning of each code of a sequence of codes; none where it is missing. Raises CannotDecode.

        within: the sequence whose items hold that one.
        """
        outer = keyword if within is None else within
        if self._is_empty(outer):
            return []

        with _refusing(lambda: CannotDecode(f"its {_named(outer)} is damaged")):
            items = self._dataset[outer].value
            if within is not None:
                items = [inner for item in items for inner in item.get(keyword) or ()]
            return [
                (str(item.get("CodeValue", "")).strip(), str(item.get("CodeMeaning", "")).strip()) for item in items
            ]

    def pixel_data(self) -> bytes:
        """The bytes of the pixel data, encapsulated or not. Raises CannotDecode when there are none."""
        value = self._value("PixelData") if "PixelData" in self._dataset else None
        if not isinstance(value, bytes) or not value:
            raise CannotDecode("it has no pixel data (7FE0,0010), or is cut short before them")
        return value

    @property
    def is_pixel_data_encapsulated(self) -> bool:
        """Do the pixel data come in items, as compressed ones must?"""
        return bool(self._dataset["PixelData"].is_undefined_length)

    @property
    def pixel_vr(self) -> str:
        """The value representation of the pixel data."""
        return str(self._dataset["PixelData"].VR)

    def _is_empty(self, element: str | int) -> bool:
        if element not in self._dataset:
            return True
        value = self._value(element)
        return value is None or (isinstance(value, str | bytes) and not value)

    def _value(self, element: str | int) -> object:
        with _refusing(lambda: self._not_a_number(element)):
            return self._dataset[element].value

    def _number(self, element: str | int) -> int:
        value = self._value(element)
        if isinstance(value, (int, float)) and int(value) == value:
            return int(value)
        raise self._not_a_number(element)

    def _not_a_number(self, element: str | int) -> CannotDecode:
        item = self._dataset.get_item(element)
        value = b"" if item is None else item.value
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

        # What looks like a number may be shown; anything else might name the patient.
        shown = f" {text.strip()!r}, which" if _NUMBER.fullmatch(text.strip()) else " what"
        return CannotDecode(
            f"{_named(element)} holds{shown} is not one number",
            f"Correct {_named(element)}, with a decimal point, not a comma.",
        )


@contextmanager
def _refusing(refusal: Callable[[], CannotDecode]) -> Iterator[None]:
    """Raises `refusal` for whatever is raised inside: a value that is not what its element holds.

    pydicom has many ways to say so.
    """
    try:
        yield
    except (CannotDecode, MemoryError, OSError):
        raise
    except Exception:
        raise refusal() from None


def _read_table(item: Dataset, *, little_endian: bool) -> LookupTable:
    stated_length, first, bits = (int(number) for number in item["LUTDescriptor"].value)
    length = stated_length or 1 << 16
    if not 8 <= bits <= 16:
        raise ValueError

    data = item["LUTData"].value
    if isinstance(data, bytes):
        packed = len(data) < 2 * length
        order = np.dtype("u1" if packed else "u2").newbyteorder("<" if little_endian else ">")
        entries = np.frombuffer(data, dtype=order, count=length).astype(np.uint16)
    else:
        entries = np.asarray([data] if isinstance(data, int) else data, dtype=np.uint16)
    if len(entries) != length:
        raise ValueError
    return LookupTable(first, entries, (1 << bits) - 1)


def _missing(keyword: str) -> CannotDecode:
    return CannotDecode(
        f"it has no {_named(keyword)}",
        f"Export the image again with {_named(keyword)}, or add it.",
    )


def _named(element: str | int) -> str:
    tag = _tag(element)
    keyword = element if isinstance(element, str) else keyword_for_tag(tag)
    return f"{keyword} ({tag.group:04X},{tag.element:04X})"


def _tag(element: str | int) -> BaseTag:
    return BaseTag(element if isinstance(element, int) else tag_for_keyword(element) or 0)


def _pass_preamble(stream: ClampedFile) -> bool:
    """To the first element: is it one of the file meta information?

    Some writers leave the preamble out, or the prefix behind it as well, or the meta information.
    """
    head = stream.read(_PREAMBLE + len(_PREFIX))
    if head.endswith(_PREFIX) and len(head) == _PREAMBLE + len(_PREFIX):
        start = len(head)
    else:
        start = len(_PREFIX) if head.startswith(_PREFIX) else 0

    stream.seek(start)
    first = stream.read(6)
    stream.seek(start)
    if start or (first.startswith(_META_GROUP) and first[3:4] == b"\0"):
        return not _begins_data_set(first)
    if _begins_data_set(first):
        return False
    raise CannotDecode("it is not a DICOM, PNG, JPEG, PGM or TIFF file")


def _begins_data_set(first: bytes) -> bool:
    """Is it the first element of group 0008, in either order of bytes?"""
    little_endian = first.startswith(_DATA_GROUP) and first[3:4] == b"\0"
    big_endian = first.startswith(_DATA_GROUP[::-1]) and first[2:3] == b"\0" and first[4:6].isalpha()
    return little_endian or big_endian


def _guessed_syntax(stream: ClampedFile) -> UID:
    """The transfer syntax of a data set without file meta information, by its first element; it is not compressed."""
    place = stream.tell()
    first = stream.read(6)
    stream.seek(place)

    if first.startswith(_DATA_GROUP[::-1]):
        return ExplicitVRBigEndian
    return ExplicitVRLittleEndian if first[4:6] in _VRS else ImplicitVRLittleEndian


def _transfer_syntax(stream: ClampedFile) -> UID:
    """Raises CannotDecode unless the meta header names one."""
    meta = read_dataset(
        stream,  # type: ignore[arg-type]
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag >> 16 != 0x0002,
        specific_tags=[BaseTag(_TRANSFER_SYNTAX)],
    )

    named = ""
    if _TRANSFER_SYNTAX in meta:
        named = str(meta.get(_TRANSFER_SYNTAX).value or "").strip(" \0")
    if not named:
        raise _missing("TransferSyntaxUID")
    if not _UID.fullmatch(named):
        raise CannotDecode(
            "TransferSyntaxUID (0002,0010) does not contain a UID", "Correct TransferSyntaxUID (0002,0010)."
        )
    return UID(named)


def _read_elements(
    stream: ClampedFile | InflatedFile, syntax: UID, elements: Sequence[str | int], *, with_pixels: bool
) -> Dataset:
    is_implicit, is_little_endian = _encoding(syntax)
    tags: list[BaseTag | int] = [_tag(element) for element in elements]

    dataset = read_dataset(
        stream,  # type: ignore[arg-type]
        is_implicit_VR=is_implicit,
        is_little_endian=is_little_endian,
        stop_when=lambda tag, _vr, _length: tag > _PIXEL_DATA or (tag == _PIXEL_DATA and not with_pixels),
        specific_tags=tags,
    )
    _set_encoding(dataset, syntax)
    return dataset


def _set_encoding(dataset: Dataset, syntax: UID) -> None:
    is_implicit, is_little_endian = _encoding(syntax)
    dataset.set_original_encoding(is_implicit_vr=is_implicit, is_little_endian=is_little_endian)


def _encoding(syntax: UID) -> tuple[bool, bool]:
    """Are value representations left out, and do low bytes come first? Private syntaxes are read as most are."""
    if syntax.is_private or not syntax.is_transfer_syntax:
        return False, True
    return syntax.is_implicit_VR, syntax.is_little_endian
