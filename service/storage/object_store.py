"""Artifacts as objects of an S3-compatible store, with copies in a local folder that is kept within bounds."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs, urlsplit

from service.errors import ArtifactLost, ArtifactNotStored, InvalidInput, Unavailable
from service.storage.directory import check_key, is_key
from service.storage.local_copies import LocalCopies, shared_folder

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

_CACHE_BYTES = 10 << 30
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


def open_object_store(url: SplitResult, *, cache: Path | None = None, cache_bytes: int = _CACHE_BYTES) -> "ObjectStore":
    """`s3://bucket/prefix?endpoint=...&region=...`; credentials come from the environment (AWS_ACCESS_KEY_ID ...).

    Endpoint and region too, where the URL does not say. cache: where copies lie; None: see `shared_folder`.
    Raises InvalidInput where the package for S3 is not installed or the URL asks for something unknown.
    """
    options = _options(url)
    store = _connect(url, options)
    folder = shared_folder() if cache is None else cache
    return ObjectStore(store, LocalCopies(folder, cache_bytes))


def _options(url: SplitResult) -> dict[str, str]:
    """Endpoint and region that the URL names. Raises InvalidInput for all else, and never repeats its value."""
    options = {name: values[-1] for name, values in parse_qs(url.query).items()}
    if unknown := options.keys() - {"endpoint", "region"}:
        raise InvalidInput(
            f"An object store has no option {', '.join(sorted(unknown))}.",
            field="artifacts_url",
            remedy="Only endpoint and region belong there; credentials belong in the environment.",
        )

    if "endpoint" in options and not _is_plain_address(options["endpoint"]):
        raise InvalidInput(
            "The endpoint of the object store is not a plain http or https address.",
            field="artifacts_url",
            remedy="Write it like endpoint=https://host:port; credentials belong in the environment.",
        )

    return options


def _is_plain_address(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in endpoint and not parts.query


def _connect(url: SplitResult, options: dict[str, str]) -> "S3Store":
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise InvalidInput(
            "Object stores need the package `obstore`.",
            field="artifacts_url",
            value=f"{url.scheme}://{url.netloc}",
            remedy="Install mammo-clip-dissect-service[s3].",
        ) from error

    config: S3Config = {}
    endpoint = options.get("endpoint") or next(filter(None, map(os.environ.get, _ENDPOINT_VARIABLES)), None)
    if endpoint:
        # By this name: under `endpoint`, AWS_ENDPOINT_URL_S3 of the environment would win over the URL.
        config["aws_endpoint_url_s3"] = endpoint

    if "region" in options:
        config["region"] = options["region"]
    return S3Store(
        url.netloc,
        prefix=url.path.strip("/") or None,
        client_options={"allow_http": (endpoint or "").startswith("http://")},
        config=config,
    )


class ObjectStore:
    """See `ArtifactStore`. An object appears whole or not at all: that is the store's own promise.

    Parts of uploads whose writer was killed do not show; a lifecycle rule of the bucket that aborts incomplete
    multipart uploads removes them.
    """

    def __init__(self, store: "S3Store", copies: LocalCopies) -> None:
        self._store = store
        self._copies = copies

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
        """See `ArtifactStore.fetch`. The copy is verified again where it has changed since.

        Raises ArtifactNotStored where the local copy cannot be written: what is in the object store is not lost then.
        """
        with suppress(ArtifactLost):
            return self._copies.fetch(key, sha256)

        data = self._get(key)
        if sha256_of(data).hexdigest() != sha256:
            self._remove_damaged(key)
            raise ArtifactLost(f"The artifact {key} is damaged in the object store.")

        return self._copies.keep(key, data, sha256)

    def delete(self, key: str) -> None:
        """See `ArtifactStore.delete`."""
        import obstore

        self._copies.delete(key)
        with suppress(FileNotFoundError):
            obstore.delete(self._store, _name(key))

    def listing(self) -> Iterator[tuple[str, datetime]]:
        """See `ArtifactStore.listing`."""
        import obstore

        for chunk in obstore.list(self._store):
            for entry in chunk:
                key = entry["path"].rsplit("/", 1)[-1]
                # The bucket may hold other things; what is listed here may be deleted as garbage.
                if is_key(key) and entry["path"] == _name(key):
                    yield key, entry["last_modified"]

    def sweep(self, older_than: timedelta) -> None:
        """See `ArtifactStore.sweep`; an object store has nothing half-written that shows."""
        self._copies.sweep(older_than)

    def _get(self, key: str) -> bytes:
        import obstore

        try:
            return bytes(obstore.get(self._store, _name(key)).bytes())
        except FileNotFoundError as error:
            raise ArtifactLost(f"The artifact {key} is not in the object store.") from error
        except (obstore.exceptions.BaseError, OSError) as error:  # what cannot be asked for need not be lost
            raise Unavailable("The object store cannot be reached.", remedy="Try again in a moment.") from error

    def _remove_damaged(self, key: str) -> None:
        """Where it cannot be removed, a new write takes its place."""
        import obstore

        with suppress(obstore.exceptions.BaseError, OSError):
            self.delete(key)


def _name(key: str) -> str:
    return f"{check_key(key)[:2]}/{key}"
