"""Reading the files that hold keys: one reader for all of them, whatever editor or shell has written them."""

import codecs
from pathlib import Path

from service.errors import InvalidInput

_MOST_BYTES = 64 * 1024
"""No key is longer, and whatever else was named may never end."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),  # what `>` writes in PowerShell 5
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_key(path: Path, *, field: str, remedy: str) -> str:
    """The API key in a file. Raises InvalidInput, naming the file, where it holds anything but one line of ASCII."""
    key = read_key_text(path, what="API key", field=field, remedy=remedy)
    check_key(key, what=f"The API key in {path}", field=field, value=path, remedy=remedy)
    return key


def read_key_text(path: Path, *, what: str, field: str, remedy: str) -> str:
    """The text in a file, without byte order mark and without blank space around it.

    The file may be a pipe: shells hand over secrets so. Raises InvalidInput, naming the file, where it cannot be read,
    is too long for a key, is no text, or is empty. what: the key's name in these errors.
    """

    def refused(why: str) -> InvalidInput:
        return InvalidInput(f"The {what} {why}: {path}.", field=field, value=path, remedy=remedy)

    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise refused(f"cannot be read: {reason}") from None

    if len(content) > _MOST_BYTES:
        raise refused(f"is in a file that is longer than any key, more than {_MOST_BYTES:,} bytes")

    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding).strip()
    except ValueError:
        raise refused("is in a file that is neither UTF-8 text nor UTF-16 text with a byte order mark") from None

    if not text:
        raise refused("is in a file that is empty")
    if "\0" in text:
        raise refused("is in a file with NUL characters, as UTF-16 without a byte order mark has them")
    return text


def check_key(key: str, *, what: str = "The API key", field: str, value: object = None, remedy: str) -> None:
    """Raises InvalidInput for what no HTTP header carries as a key.

    what: the key's name in the error. value: what is told in place of the key.
    """
    if not key.strip():
        problem = "is empty"
    elif not key.isascii():
        problem = "holds characters that are not ASCII"
    elif not key.isprintable():
        problem = "is more than one line, or holds control characters"
    elif key != key.strip():
        problem = "begins or ends with a blank"
    else:
        return

    raise InvalidInput(f"{what} {problem}.", field=field, value=value, remedy=remedy)
