"""Where artifacts are kept: a folder that all workers share, or an S3-compatible object store."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.errors import InvalidInput
from service.ports import ArtifactStore
from service.storage.directory import DirectoryStore


def open_store(url: str) -> ArtifactStore:
    """`file:///folder` or `s3://bucket/prefix` -> its store. Raises InvalidInput for any other URL."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path not in {"", "/"}:
        return DirectoryStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc and "@" not in parts.netloc:
        from service.storage.object_store import open_object_store

        return open_object_store(parts)
    raise InvalidInput(
        "ARTIFACTS_URL is not set." if not url else "ARTIFACTS_URL names no store.",
        field="artifacts_url",
        # A URL that was meant for another store may hold a password.
        value=None if "@" in url else url,
        remedy="Set it to file:///folder that all workers share, or to s3://bucket/prefix with the credentials "
        "in the environment.",
    )
