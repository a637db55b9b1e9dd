"""Which encoding a text file has, and its text."""

import codecs
import io
import os
import re
from typing import Any, BinaryIO, TextIO

from service.tables import table
from service.tables.table import Complaints

_MARKS = (  # those of UTF-32 first: one of them begins as that of UTF-16 does
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_PIECE = 1 << 20
_SAVE = "Save it with UTF-8 encoding."
_ESCAPED = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII = re.compile("[^\0-\x7f\udc80-\udcff]")


def encoding_of(file: BinaryIO, complaints: Complaints) -> tuple[str, tuple[str, ...]]:
    """The encoding's name in Python, and a note unless it is UTF-8. The file is read and then stands at its start.

    A byte order mark decides; without one it is UTF-8, else Windows-1252, which reads Latin-1 too. A file that is
    neither, or that mixes both, is an error.
    """
    if file.seek(0, os.SEEK_END) > table.MAX_BYTES:
        raise complaints.file_too_large()
    file.seek(0)

    try:
        start = file.read(4)
        for mark, encoding, name in _MARKS:
            if start.startswith(mark):
                return encoding, () if name == "UTF-8" else (f"Its text is read as {name}.",)
        if b"\0" in start:
            raise complaints.table("is not text, or is UTF-16 without a byte order mark; it is not UTF-8", _SAVE)

        file.seek(0)
        if _is_utf8(file):
            return "utf-8", ()

        file.seek(0)
        _check_windows(file, complaints)
        return "cp1252", ("Its text is read as Windows-1252, because it is not UTF-8.",)
    finally:
        file.seek(0)


def text_of(file: BinaryIO, encoding: str, complaints: Complaints) -> TextIO:
    """The file's text, with line ends as they are, and never more of it than a table may have."""
    return io.TextIOWrapper(io.BufferedReader(_Bounded(file, complaints), 1 << 16), encoding, newline="")


def _is_utf8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while piece := file.read(_PIECE):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _check_windows(file: BinaryIO, complaints: Complaints) -> None:
    """Raise unless every byte is a character of Windows-1252, and nothing beyond ASCII is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    has_utf8 = False
    line = 0
    lines_before = 1

    piece = b"-"
    while piece:
        piece = file.read(_PIECE)
        if b"\0" in piece:
            raise complaints.table("is not text: it holds NUL characters and is not UTF-8", _SAVE)
        try:
            piece.decode("cp1252")
        except UnicodeDecodeError:
            what = "is neither UTF-8 nor Windows-1252 text, and has no byte order mark of another encoding"
            raise complaints.table(what, _SAVE) from None

        text = decoder.decode(piece, final=not piece)
        has_utf8 = has_utf8 or _BEYOND_ASCII.search(text) is not None
        if not line and (wrong := _ESCAPED.search(text)):
            line = lines_before + text.count("\n", 0, wrong.start())
        lines_before += text.count("\n")

    if has_utf8:
        raise complaints.table(f"mixes encodings: some of it is UTF-8, line {line} is not", _SAVE)


class _Bounded(io.RawIOBase):
    """A file's bytes; one that goes on after MAX_BYTES is not a table."""

    def __init__(self, file: BinaryIO, complaints: Complaints) -> None:
        super().__init__()
        self._file = file
        self._complaints = complaints
        self._left = table.MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise self._complaints.file_too_large()
        buffer[: len(data)] = data
        return len(data)
