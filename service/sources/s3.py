"""Objects of an S3-compatible store. Credentials, endpoint and region come from the environment (AWS_...)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote, urlsplit

from service.errors import DissectError, Unavailable
from service.sources.content import PIECE, Content, away, missing_extra, refused
from service.sources.weights_file import MOST_LISTED, check_listing, choose_weights

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


class ObjectReader:
    """See `Reader`."""

    @contextmanager
    def open(self, uri: str) -> Iterator[Content]:
        """See `Reader.open`. A prefix stands for the one file of weights below it."""
        import_obstore(uri)
        import obstore

        parts = urlsplit(uri)
        key = unquote(parts.path).strip("/")
        version = parse_qs(parts.query).get("versionId", [None])[-1]
        store = _connect(parts.netloc)

        try:
            try:
                result = obstore.get(store, key, options={"version": version} if version else {})
            except FileNotFoundError:
                key = _below(store, key, uri)
                result = obstore.get(store, key)
        except FileNotFoundError:
            raise refused(
                "The object store has nothing there.", uri, "Check bucket, key and version, and AWS_ENDPOINT_URL."
            ) from None
        except DissectError:
            raise
        except Exception as error:
            raise _failed(error, uri) from None

        meta = result.meta
        actual_version = meta.get("version") or version
        place = f"s3://{parts.netloc}/{quote(key)}"
        if actual_version:
            place += f"?versionId={quote(actual_version)}"
        yield Content(_pieces(result, uri), meta["size"], place, meta.get("e_tag"))


def import_obstore(uri: str) -> None:
    """Raise InvalidInput where the package is not installed."""
    try:
        import obstore  # noqa: F401
    except ImportError:
        raise missing_extra("Object stores", "s3", uri) from None


def _connect(bucket: str) -> "S3Store":
    from obstore.store import S3Store

    endpoint = next(filter(None, map(os.environ.get, _ENDPOINTS)), None)
    config: S3Config = {}
    if endpoint:
        config["aws_endpoint_url_s3"] = endpoint
    return S3Store(
        bucket,
        client_options={
            "allow_http": (endpoint or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=10),
            "timeout": timedelta(hours=6),
        },
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
        config=config,
    )


def _below(store: "S3Store", prefix: str, uri: str) -> str:
    """The one file of weights below a prefix that is no object. Raises FileNotFoundError where there is nothing."""
    import obstore

    paths: list[str] = []
    try:
        for chunk in obstore.list(store, prefix=prefix):
            paths += [entry["path"].removeprefix(prefix).lstrip("/") for entry in chunk]
            if len(paths) > MOST_LISTED:
                break
    except (obstore.exceptions.BaseError, OSError):  # no such bucket, or nobody may list it
        raise FileNotFoundError from None
    if not paths:
        raise FileNotFoundError
    check_listing(paths, uri)
    return f"{prefix}/{choose_weights(paths, uri)}"


def _pieces(result: object, uri: str) -> Iterator[bytes]:
    stream = result.stream(min_chunk_size=PIECE)  # type: ignore[attr-defined]
    try:
        for piece in stream:
            yield bytes(piece)
    except Exception as error:
        raise _failed(error, uri) from None


def _failed(error: Exception, uri: str) -> DissectError:
    """In words of our own: the library's may repeat what is in the environment."""
    import obstore

    denied = (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)
    if isinstance(error, denied):
        return refused(
            "The object store does not let the workers read it.",
            uri,
            "Give the workers' environment credentials that may (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY).",
        )
    unavailable: Unavailable = away("The object store cannot be reached.", uri)
    return unavailable
