"""Artifacts as objects of an S3-compatible store, with copies in a local folder that is kept within bounds."""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs

from service.errors import ArtifactLost, ArtifactNotStored, InvalidInput
from service.storage.directory import DirectoryStore, check_key

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

_CACHE_BYTES = 10 << 30


def open_object_store(url: SplitResult, *, cache: Path | None = None, cache_bytes: int = _CACHE_BYTES) -> "ObjectStore":
    """`s3://bucket/prefix?endpoint=...&region=...`; credentials come from the environment (AWS_ACCESS_KEY_ID ...).

    cache: where copies lie; None: a folder of this process in the system's temp folder.
    Raises InvalidInput where the package for S3 is not installed or the URL asks for something unknown.
    """
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise InvalidInput(
            "Object stores need the package `obstore`.",
            field="artifacts_url",
            value=f"{url.scheme}://{url.netloc}",
            remedy="Install mammo-clip-dissect-service[s3].",
        ) from error
    options = {name: values[-1] for name, values in parse_qs(url.query).items()}
    if unknown := options.keys() - {"endpoint", "region"}:
        raise InvalidInput(
            f"An object store has no option {', '.join(sorted(unknown))}.",
            field="artifacts_url",
            remedy="Give endpoint and region there; credentials belong into the environment.",
        )
    config: S3Config = {}
    if "endpoint" in options:
        config["endpoint"] = options["endpoint"]
    if "region" in options:
        config["region"] = options["region"]
    store = S3Store(
        url.netloc,
        prefix=url.path.strip("/") or None,
        client_options={"allow_http": options.get("endpoint", "").startswith("http://")},
        config=config,
    )
    cache = Path(tempfile.mkdtemp(prefix="mammodissect-artifacts-")) if cache is None else cache
    return ObjectStore(store, DirectoryStore(cache), cache_bytes)


class ObjectStore:
    """See `ArtifactStore`. An object appears whole or not at all: that is the store's own promise."""

    def __init__(self, store: "S3Store", cache: DirectoryStore, cache_bytes: int) -> None:
        self._store = store
        self._cache = cache
        self._cache_bytes = cache_bytes

    def write(self, key: str, data: bytes) -> None:
        """See `ArtifactStore.write`."""
        import obstore

        try:
            obstore.put(self._store, _name(key), data)
        except (obstore.exceptions.BaseError, OSError) as error:
            raise ArtifactNotStored(
                f"An artifact of {len(data)} bytes cannot be written to the object store.",
                remedy="Check that the store of ARTIFACTS_URL is up and that the credentials may write to it.",
            ) from error

    def fetch(self, key: str, sha256: str) -> Path:
        """See `ArtifactStore.fetch`. The copy is verified again where it has changed since."""
        with suppress(ArtifactLost):
            return self._cache.fetch(key, sha256)
        data = self._get(key)
        if sha256_of(data).hexdigest() != sha256:
            self.delete(key)
            raise ArtifactLost(f"The artifact {key} is damaged in the object store.")
        self._make_room(len(data))
        self._cache.write(key, data)
        return self._cache.fetch(key, sha256)

    def delete(self, key: str) -> None:
        """See `ArtifactStore.delete`."""
        import obstore

        self._cache.delete(key)
        with suppress(FileNotFoundError):
            obstore.delete(self._store, _name(key))

    def listing(self) -> Iterator[tuple[str, datetime]]:
        """See `ArtifactStore.listing`."""
        import obstore

        for chunk in obstore.list(self._store):
            for entry in chunk:
                yield str(entry["path"]).rsplit("/", 1)[-1], entry["last_modified"]

    def sweep(self, older_than: timedelta) -> None:
        """See `ArtifactStore.sweep`; an object store has nothing half-written that shows."""
        self._cache.sweep(older_than)

    def _get(self, key: str) -> bytes:
        import obstore

        try:
            return bytes(obstore.get(self._store, _name(key)).bytes())
        except (FileNotFoundError, obstore.exceptions.BaseError, OSError) as error:
            raise ArtifactLost(f"The artifact {key} cannot be read from the object store.") from error

    def _make_room(self, size: int) -> None:
        copies = sorted(self._cache.listing(), key=lambda copy: copy[1])
        held = size + sum(self._cache.size(key) for key, _ in copies)
        for key, _ in copies:
            if held <= self._cache_bytes:
                return
            held -= self._cache.size(key)
            self._cache.delete(key)


def _name(key: str) -> str:
    return f"{check_key(key)[:2]}/{key}"
