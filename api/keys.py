"""The API keys, each with the name it acts under."""

import re
import secrets
from dataclasses import dataclass

from service.config import Settings
from service.domain.trail import API, COMMAND_LINE, REGISTRY, SCHEDULER, UNAUTHENTICATED
from service.errors import InvalidInput
from service.key_files import check_key

_NAME = re.compile("[a-z0-9][a-z0-9._-]{0,63}")
_TAKEN = (API, COMMAND_LINE, REGISTRY, SCHEDULER, UNAUTHENTICATED)
_REMEDY = (
    "Write `name=key,name=key`, with names of small letters, digits, dots, dashes and underscores, "
    "and keys of letters, digits and signs of ASCII."
)
_SINGLE_REMEDY = "Write letters, digits and signs of ASCII, with no blank around them."


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key and the name that stands in the trail for whoever holds it."""

    name: str
    key: bytes


def read_keys(settings: Settings) -> tuple[ApiKey, ...]:
    """The keys of API_KEY and API_KEYS. Raises InvalidInput for none at all and for a bad list; it tells no key."""
    keys = []
    if single_key := settings.api_key.get_secret_value():
        check_key(single_key, what="API_KEY", field="api_key", remedy=_SINGLE_REMEDY)
        keys.append(ApiKey(API, single_key.encode()))

    parts = filter(None, settings.api_keys.get_secret_value().split(","))
    for number, part in enumerate(parts, start=1):
        name, _, key = part.strip().partition("=")
        if not _NAME.fullmatch(name) or not key:
            raise _invalid(f"Key {number} of API_KEYS has an invalid name, or is empty.")
        check_key(key, what=f"Key {number} of API_KEYS, {name},", field="api_keys", value=name, remedy=_REMEDY)
        if name in _TAKEN or name in {earlier.name for earlier in keys}:
            raise _invalid(f"The name of key {number} of API_KEYS, {name}, is taken.", name)
        if key.encode() in {earlier.key for earlier in keys}:
            raise _invalid(f"Key {number} of API_KEYS, {name}, is the same as another.", name)

        keys.append(ApiKey(name, key.encode()))

    if not keys:
        raise InvalidInput("API_KEY is not set.", field="api_key", remedy="Set it in the environment.")

    return tuple(keys)


def name_of(keys: tuple[ApiKey, ...], given: str) -> str | None:
    """The name of the key that was given; None for no such key. Takes as long whichever it is."""
    matching = [key.name for key in keys if secrets.compare_digest(given.encode(), key.key)]
    return matching[0] if matching else None


def _invalid(detail: str, value: str | None = None) -> InvalidInput:
    return InvalidInput(detail, field="api_keys", value=value, remedy=_REMEDY)
