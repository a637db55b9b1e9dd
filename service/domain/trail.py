"""The trail: who did what to what, when, each entry chained to the one before by SHA-256."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from service.domain.json_values import StoredJson
from service.errors import InvalidInput

API = "api"
"""Who acts with the setting API_KEY; keys of API_KEYS act under their names."""

SCHEDULER = "scheduler"
COMMAND_LINE = "command-line"

REGISTRY = "registry"
"""A model registry, whose webhooks prove by a signature where they come from."""

UNAUTHENTICATED = "unauthenticated"
"""Who calls a route that asks for no key and says of nobody who it is."""

GENESIS = "0" * 64
"""What stands in the first entry for the hash of the one before."""

_DIGEST = re.compile("[0-9a-f]{64}")
_HEAD_FORMAT = "mammodissect-trail-head/1"


@dataclass(frozen=True, slots=True)
class TrailRecord:
    """What is to be written of one action.

    Raises InvalidInput for an empty word and for what is no digest.
    """

    actor: str
    action: str
    subject: str

    request: str | None = None
    """SHA-256 (hex) of the request, never the content itself."""

    before: str | None = None
    """SHA-256 (hex) of the state before, never the content itself."""

    after: str | None = None
    """SHA-256 (hex) of the state after, never the content itself."""

    def __post_init__(self) -> None:
        for field in ("actor", "action", "subject"):
            if not getattr(self, field):
                raise InvalidInput(f"An entry of the trail needs its {field}.", field=field, remedy="Name it.")
        for field in ("request", "before", "after"):
            value = getattr(self, field)
            if value is not None and not _DIGEST.fullmatch(value):
                raise InvalidInput(
                    f"The trail stores only a digest of {field}.", field=field, remedy="Give its SHA-256 in hex digits."
                )


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """An entry as it is stored; `at` is its moment as text, UTC with microseconds.

    What is None although no entry may lack it was put there by somebody who got past the database's constraints.
    """

    seq: int | None
    at: str | None
    actor: str | None
    action: str | None
    subject: str | None
    request: str | None
    before: str | None
    after: str | None
    previous_hash: str | None
    hash: str | None


def hash_of(entry: TrailEntry) -> str:
    """The hash that an entry must have: over every other field, each with its length, so that none runs into the next.

    The database computes the same when it appends (migration 0006).
    """
    fields = (
        None if entry.seq is None else str(entry.seq),
        entry.at,
        entry.actor,
        entry.action,
        entry.subject,
        entry.request,
        entry.before,
        entry.after,
        entry.previous_hash,
    )
    return hashlib.sha256(b"mammodissect-trail/1," + b"".join(map(_with_length, fields))).hexdigest()


def _with_length(field: str | None) -> bytes:
    if field is None:
        return b"-,"
    encoded = field.encode()
    return b"%d:%s," % (len(encoded), encoded)


@dataclass(frozen=True, slots=True)
class TrailHead:
    """The end of the trail at a moment: what is signed and kept elsewhere, so that nothing before it can be changed."""

    seq: int
    hash: str
    count: int
    at: str

    def as_json(self) -> StoredJson:
        """As it is signed and exported."""
        return {"format": _HEAD_FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> "TrailHead":
        """The head that `as_json` gave. Raises InvalidInput for anything else."""
        try:
            head = cls(value["seq"], value["hash"], value["count"], value["at"])
            is_exported = head.as_json() == value and type(head.seq) is type(head.count) is int
            is_head = is_exported and head.seq == head.count >= 0 and bool(_DIGEST.fullmatch(head.hash))
        except (TypeError, KeyError):
            is_head = False
        if not is_head:
            raise InvalidInput(
                "This is not a trail head.", field="head", remedy="Give a file of `mammodissect admin trail-head`."
            )
        return head


@dataclass(frozen=True, slots=True)
class TrailFault:
    """The first place where the trail is not what was written."""

    seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class TrailCheck:
    """What a check of the whole chain found: how many entries are good, the last one's hash, the fault if any."""

    entries: int
    hash: str
    fault: TrailFault | None = None


def check_chain(entries: Iterable[TrailEntry], head: TrailHead | None = None) -> TrailCheck:
    """Check every entry in the order of seq, and that the chain passes through the head.

    Stops at the first fault. Without a head, entries that are missing at the end cannot be seen, nor a whole end
    that was written anew.
    """
    count = 0
    last_hash = GENESIS

    if head is not None and head.seq == 0 and head.hash != GENESIS:
        return TrailCheck(0, GENESIS, TrailFault(0, "The head belongs to an empty trail, but its hash is wrong."))

    for entry in entries:
        fault = _fault(entry, count + 1, last_hash)
        if fault is None and head is not None and entry.seq == head.seq and entry.hash != head.hash:
            fault = TrailFault(
                head.seq, f"Entry {head.seq} or an earlier entry differs from the trail that the head was signed for."
            )
        if fault is not None:
            return TrailCheck(count, last_hash, fault)

        count += 1
        last_hash = str(entry.hash)

    if head is not None and count < head.seq:
        detail = f"The trail ends after {count} entries; the signed head knows {head.count}."
        return TrailCheck(count, last_hash, TrailFault(count + 1, detail))
    return TrailCheck(count, last_hash)


def _fault(entry: TrailEntry, expected: int, last_hash: str) -> TrailFault | None:
    if entry.seq is None or entry.seq < expected:
        return TrailFault(expected, f"An entry numbered {entry.seq} is in the place of entry {expected}.")
    if entry.seq > expected:
        return TrailFault(expected, f"Entry {expected} is missing: entry {entry.seq} is in its place.")
    if entry.previous_hash != last_hash:
        return TrailFault(expected, f"Entry {expected} does not follow from the one before it.")
    if entry.hash != hash_of(entry):
        return TrailFault(expected, f"Entry {expected} was changed: its hash does not match.")
    return None
