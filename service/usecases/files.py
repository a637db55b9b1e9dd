"""Files that callers name: where they may lie, and what must be there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlparse

from service.errors import InvalidInput


def locate(uri: str, roots: Sequence[Path], *, field: str) -> Path:
    """A `file://` URI or absolute path -> the resolved path, which exists below one of the roots (if there are any).

    Raises InvalidInput naming the field. What lies outside the roots is never looked at.
    """
    parsed = urlparse(uri)
    path = Path(unquote(parsed.path) if parsed.scheme == "file" else uri)
    if parsed.scheme not in {"", "file"} or not path.is_absolute():
        raise InvalidInput(
            f"'{uri[:120]}' is neither an absolute path nor a file:// URI.",
            field=field,
            value=uri,
            remedy="Name a file that API and workers both see, by its absolute path.",
        )
    try:
        path = path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, or NUL in it
        raise _nothing(uri, field) from None
    if roots and not any(path.is_relative_to(root) for root in roots):
        raise InvalidInput(
            "The path lies outside the data roots.",
            field=field,
            value=uri,
            remedy="Move it below one of the folders in DATA_ROOTS, or have that setting extended.",
        )
    try:
        found = path.exists()
    except OSError as error:
        raise InvalidInput(
            f"The {field} cannot be looked at: {error.strerror}.",
            field=field,
            value=uri,
            remedy="Check path and rights.",
        ) from None
    if not found:
        raise _nothing(uri, field)
    return path


def digest_located(path: Path, digest: Callable[[Path], str], *, field: str, value: str) -> str:
    """What `digest` makes of a path that was located. Raises InvalidInput where it cannot be read."""
    try:
        return digest(path)
    except OSError as error:
        raise InvalidInput(
            f"The {field} cannot be read: {error.strerror}.",
            field=field,
            value=value,
            remedy="Name what this machine may read.",
        ) from None


def _nothing(uri: str, field: str) -> InvalidInput:
    return InvalidInput(f"There is nothing at that {field}.", field=field, value=uri, remedy="Check the path.")
