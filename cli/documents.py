"""Files that commands read and write whole."""

from pathlib import Path

from service.errors import InvalidInput
from service.files import ANYWHERE, written_whole


def read_document(path: Path, *, field: str, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises InvalidInput where it cannot be read."""
    try:
        return ANYWHERE.read(path, most=most)
    except OSError as error:
        raise InvalidInput(
            f"The file cannot be read: {error.strerror}.", field=field, value=path, remedy="Check the path."
        ) from None


def write_document(path: Path, content: bytes, *, field: str) -> None:
    """Write a file whole or not at all. Raises InvalidInput where it cannot be written."""
    try:
        with written_whole(path) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise InvalidInput(
            f"The file cannot be written: {error.strerror}.",
            field=field,
            value=path,
            remedy="Check the folder and its permissions.",
        ) from None
