"""Files that callers name: where they may lie, and what must be there."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlparse

from service.domain.digests import digest_of_file
from service.errors import InvalidInput
from service.files import DataRoots, is_lasting, out_of_reach, remedy_for
from service.usecases.readings import AT_ONCE, Key, Readings

Result = TypeVar("Result")


def locate(uri: str, roots: DataRoots, *, field: str) -> Path:
    """A `file://` URI or absolute path -> the resolved path, which exists below one of the roots.

    Raises InvalidInput naming the field, and FileOutOfReach. What lies outside the roots is never looked at.
    """
    parsed = urlparse(uri)
    path = Path(unquote(parsed.path) if parsed.scheme == "file" else uri)
    if parsed.scheme not in {"", "file"} or not path.is_absolute():
        raise InvalidInput(
            f"'{uri[:120]}' is neither an absolute path nor a file:// URI.",
            field=field,
            value=uri,
            remedy="Name a file that API and workers both see, by its absolute path"
            + (
                ", or a source: s3://, https://, models:/, runs:/, mlflow-artifacts:/."
                if field == "checkpoint"
                else "."
            ),
        )
    try:
        path = path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, or NUL in it
        raise _nothing(uri, field) from None

    if not roots.contain(path):
        raise InvalidInput(
            "The path lies outside the data roots.",
            field=field,
            value=uri,
            remedy="Move it below one of the folders in DATA_ROOTS, or ask an administrator to extend that setting.",
        )
    try:
        is_there = path.exists()
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach(field, error, field=field, value=uri) from None
        raise InvalidInput(
            f"The {field} cannot be accessed: {error.strerror}.",
            field=field,
            value=uri,
            remedy="Check its path and permissions.",
        ) from None
    if not is_there:
        raise _nothing(uri, field)
    return path


def digest_of_located(path: Path, roots: DataRoots, *, field: str, value: str, readings: Readings = AT_ONCE) -> str:
    """SHA-256 of a regular file that was located. Raises what `read_located` raises, and NotRead."""
    digest = partial(readings.of, digest_key(path), partial(digest_of_file, path, roots))
    return read_located(digest, field=field, value=value)


def digest_key(path: Path) -> Key:
    """Under which the digest of that file is kept, whoever asks for it."""
    return ("digest", str(path))


def read_located(read: Callable[[], Result], *, field: str, value: str) -> Result:
    """What `read` makes of files that were located.

    Raises InvalidInput where they cannot be read, and FileOutOfReach where the disk or the machine fails.
    """
    try:
        return read()
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach(field, error, field=field, value=value) from None
        raise InvalidInput(
            f"The {field} cannot be read: {error.strerror}.",
            field=field,
            value=value,
            remedy=remedy_for(error, "Name a file or folder that this machine can read."),
        ) from None


def _nothing(uri: str, field: str) -> InvalidInput:
    return InvalidInput(f"No file or folder exists at that {field}.", field=field, value=uri, remedy="Check the path.")
