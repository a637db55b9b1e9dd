"""Where artifacts are kept: a folder that all workers share, or an S3-compatible object store."""

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from service.errors import InvalidInput
from service.ports import ArtifactStore
from service.storage.directory import DirectoryStore


def open_store(url: str) -> ArtifactStore:
    """`file:///folder`, an absolute path, or `s3://bucket/prefix` -> its store. Raises InvalidInput for any other."""
    if (folder := _folder(url)) is not None:
        return DirectoryStore(folder)

    parts = _split(url)
    if parts is not None and parts.scheme == "s3" and _may_be_bucket(parts.netloc):
        from service.storage.object_store import open_object_store

        return open_object_store(parts)

    raise InvalidInput(
        "ARTIFACTS_URL is not set." if not url else "ARTIFACTS_URL names no store.",
        field="artifacts_url",
        value=None if _may_hold_secret(url) else re.split("[?#]", url, maxsplit=1)[0],
        remedy="Set it to file:///folder that all workers share, or to s3://bucket/prefix with the credentials "
        "in the environment.",
    )


def _folder(url: str) -> Path | None:
    """The folder that a URL or an absolute path names; None where it names none, or the root of all."""
    if url.startswith("/"):
        folder = url
    elif (parts := _split(url)) is not None and parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        # Cut off without a word, what follows ? or # would make this another folder than the one that was meant.
        folder = "" if parts.query or parts.fragment else unquote(parts.path)
    else:
        return None

    return Path(folder) if folder.strip("/") else None


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _may_be_bucket(netloc: str) -> bool:
    # No bucket's name has these two: they are of somebody's `user:password@`.
    return netloc != "" and "@" not in netloc and ":" not in netloc


def _may_hold_secret(url: str) -> bool:
    """Whether there may be `user:password` in it, even in a URL that cannot be split."""
    return "@" in url or ":" in url.partition("://")[2].partition("/")[0]
