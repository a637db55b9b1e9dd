"""Sources as callers write them: what may be named. Nothing is looked up here."""

import re
from urllib.parse import SplitResult, parse_qs, urlsplit

from service.errors import InvalidInput

REMOTE = frozenset({"s3", "https", "http", "models", "runs", "mlflow-artifacts"})
"""The schemes of what is fetched by a worker."""

LONGEST = 2000

_FORMS = "s3://bucket/key, https://host/path, models:/name/version, models:/name@alias, runs:/id/path"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_VERSION = re.compile(r"models:/[^/@:]+/[1-9][0-9]*(/.+)?")
_ALIAS = re.compile(r"models:/[^/@:]+@[^/@:]+(/.+)?")
_LOGGED_MODEL = re.compile(r"models:/[A-Za-z0-9-]+")
_RUN = re.compile(r"runs:/[A-Za-z0-9-]+/.+")


def scheme_of(uri: str) -> str:
    """The URI's scheme in lower case; empty for a path."""
    match = _SCHEME.match(uri)
    return "" if match is None else match[1].lower()


def is_remote(uri: str) -> bool:
    """Is it something that a worker fetches, rather than a file of this machine?"""
    return scheme_of(uri) in REMOTE


def check_source(uri: str, *, field: str) -> str:
    """The URI, if it can be a source. Raises InvalidInput.

    What may hold a secret (a user, a query) is refused and not repeated: the URI is stored and shown.
    """
    scheme = scheme_of(uri)
    if len(uri) > LONGEST or not uri.isprintable() or "\\" in uri or uri != uri.strip():
        raise _unusable("It is too long, or holds characters that no URI has.", field, uri[:80])

    parts = _split(uri, field)
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise InvalidInput(
            "The source names a user, and what is registered is shown to everybody.",
            field=field,
            value=f"{scheme}://***",
            remedy="Leave it out; credentials belong in the environment of the workers.",
        )
    _check_query(parts, field)
    if ".." in parts.path.split("/"):
        raise _unusable("Its path leads upwards.", field, uri)

    if scheme == "s3":
        is_whole = bool(parts.netloc and parts.path.strip("/"))
    elif scheme in {"http", "https"}:
        is_whole = bool(parts.hostname and parts.path.strip("/"))
    elif scheme == "models":
        is_whole = any(form.fullmatch(uri) for form in (_VERSION, _ALIAS, _LOGGED_MODEL))
    elif scheme == "runs":
        is_whole = _RUN.fullmatch(uri) is not None
    else:
        is_whole = bool(parts.path.strip("/"))

    if not is_whole:
        raise _unusable("It does not say which file is meant.", field, uri)
    return uri


def _split(uri: str, field: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        raise _unusable("It cannot be read.", field, uri[:80]) from None
    return parts


def _check_query(parts: SplitResult, field: str) -> None:
    if parts.scheme == "s3":
        is_harmless = not parts.fragment and set(parse_qs(parts.query)) <= {"versionId"}
    else:
        is_harmless = not parts.query and not parts.fragment

    if not is_harmless:
        raise InvalidInput(
            "The source has a query or a fragment, which may hold a secret; what is registered is shown to all.",
            field=field,
            value=parts._replace(query="***" if parts.query else "", fragment="").geturl(),
            remedy="Leave it out. Only s3:// takes a query, ?versionId=...",
        )


def _unusable(why: str, field: str, value: str) -> InvalidInput:
    return InvalidInput(
        f"'{value[:120]}' cannot be fetched. {why}",
        field=field,
        value=value,
        remedy=f"Write it as one of {_FORMS}, or as an absolute path.",
    )
