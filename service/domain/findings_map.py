"""A map from the findings of a probe set to concepts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from service.domain.digests import digest_of

BUILTIN_PREFIX = "builtin:"
STAR = "*"
"""Stands for any characters in a finding of a map."""

MOST_STARS = 4
"""In a finding of a map."""


class StoredMap(TypedDict):
    """A map as a registered probe set has it; see `FindingsMap`."""

    source: str
    digest: str
    entries: NotRequired[list[tuple[str, list[str]]]]
    """Left out in a list of probe sets."""

    notes: NotRequired[list[str]]
    """Only where there are any."""


@dataclass(frozen=True, slots=True)
class FindingsMap:
    """Which concepts the findings of a probe set mean."""

    source: str
    """The file that it was read from, or `builtin:` and a name (stored)."""

    entries: tuple[tuple[str, tuple[str, ...]], ...]
    """Each finding with the texts of its concepts; none where it is known to mean no concept (stored).

    A finding may hold `*`; see `match_findings`.
    """

    notes: tuple[str, ...] = ()
    """What was decided when its file was read; see `Table` (stored)."""

    @property
    def digest(self) -> str:
        """Digest of what it says; where it is from is no part of it."""
        return digest_of([[finding, list(concepts)] for finding, concepts in self.entries])

    @property
    def comes_along(self) -> bool:
        """Is it built in? Then it may name concepts that a set has not; somebody's own names those that it means."""
        return self.source.startswith(BUILTIN_PREFIX)

    def stored(self) -> StoredMap:
        """The map in the specification of a probe set."""
        entries = [(finding, list(concepts)) for finding, concepts in self.entries]
        stored: StoredMap = {"source": self.source, "digest": self.digest, "entries": entries}
        if self.notes:
            stored["notes"] = list(self.notes)
        return stored


def map_from_stored(stored: StoredMap) -> FindingsMap:
    """The map that a probe set was registered with. Raises KeyError for one of a list of probe sets."""
    entries = tuple((finding, tuple(concepts)) for finding, concepts in stored["entries"])
    return FindingsMap(stored["source"], entries, tuple(stored.get("notes", ())))


def fits(text: str, parts: Sequence[str]) -> bool:
    """Are the parts in the text in their order, the first at its beginning and the last at its end?"""
    first, *others = parts
    if not others:
        return text == first
    if not text.startswith(first):
        return False

    place = len(first)
    for part in others[:-1]:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return text.endswith(others[-1]) and len(text) - len(others[-1]) >= place
