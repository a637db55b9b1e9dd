"""The text of concept files: decoding, which characters may be in a concept, and CSV rows."""

import csv
import io
import unicodedata
from collections.abc import Iterator

from service.errors import InvalidConceptSet

MAX_LENGTH = 300
_BLANKS = " \t\u00a0"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")  # part of the spelling in Persian and in Indic scripts


def invalid(where: str, what: str, remedy: str) -> InvalidConceptSet:
    """The error for one place of the input: `where` is as `line 3` or `entry 3`."""
    return InvalidConceptSet(f"{where.capitalize()} {what}.", field="concepts", value=where, remedy=remedy)


def decode(content: bytes | str) -> str:
    """The text of a file, without its byte order mark. Raises InvalidConceptSet unless it is UTF-8, naming the line."""
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise invalid(f"line {line}", "is not UTF-8 text", "Save the file with UTF-8 encoding.") from None


def clean(value: str, where: str, field: str) -> str:
    """The value without blanks around it. Raises InvalidConceptSet when it is too long or holds unseen characters."""
    value = value.strip(_BLANKS)
    if len(value) > MAX_LENGTH:
        raise invalid(
            where,
            f"has a {field} of {len(value)} characters",
            f"Use {MAX_LENGTH} at most: a concept is a short phrase.",
        )

    for character in value:
        if unicodedata.category(character) in _UNSEEN and character not in _JOINERS:
            raise invalid(
                where,
                f"holds the control character U+{ord(character):04X} in its {field}",
                "Remove characters that cannot be seen.",
            )

    return value.strip()


def csv_rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """The rows of a CSV file that hold anything, each with its place (`line 3`), cells as they are written.

    Raises InvalidConceptSet for text that is no CSV.
    """
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in lines:
            if any(cell.strip(_BLANKS) for cell in cells):
                yield f"line {lines.line_num}", cells
    except csv.Error as error:
        raise invalid(
            f"line {lines.line_num}", f"is not valid CSV ({error})", "Quote cells that hold commas or quotes."
        ) from None
