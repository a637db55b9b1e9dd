"""What the findings of a probe set mean among the concepts, and which of them nobody understands."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from service.domain.findings_map import FindingsMap
from service.domain.probes import ProbeItem
from service.domain.spelling import Way

MatchedBy = Literal["map", Way]
"""Whether a map says what a finding means, or how it is spelled like a concept (stored)."""

WhyUnmatched = Literal["names no concept", "could be several concepts", "mapped to no concept of the set"]
"""Why nothing is known of what a finding means (stored)."""

LISTED = 200
"""So many findings of a kind are named in a manifest; all are counted."""

KEPT = 1_000
"""So many of a probe set's findings are kept with their counts where it is registered."""

_JOINT = " | "
"""A manifest parts findings by the bar, so no finding holds one."""


def joined(findings: Iterable[str]) -> str:
    """Findings that mean the same, as one: an image has it that has any of them."""
    return _JOINT.join(findings)


def parted(finding: str) -> tuple[str, ...]:
    """The findings that `joined` has joined."""
    return tuple(finding.split(_JOINT))


@dataclass(frozen=True, slots=True)
class MatchedFinding:
    """A finding that means concepts of the set."""

    finding: str
    images: int
    concepts: tuple[int, ...]
    """Their places in the concept set."""
    matched_by: MatchedBy


@dataclass(frozen=True, slots=True)
class UnmatchedFinding:
    """A finding of which nobody knows what it means."""

    finding: str
    images: int
    why: WhyUnmatched
    concepts: tuple[str, ...] = ()
    """The concepts that it could be, or that it is mapped to."""


@dataclass(frozen=True, slots=True)
class FindingMatches:
    """What each finding of a probe set means in a concept set. Every kind is sorted, the commonest finding first."""

    matched: tuple[MatchedFinding, ...]
    unmatched: tuple[UnmatchedFinding, ...]

    of_concept: Mapping[int, str]
    """Each concept that findings mean, and these, joined."""

    no_concept: tuple[tuple[str, int], ...] = ()
    """Findings that the map knows to mean no concept, with their images."""

    not_in_set: tuple[tuple[str, str], ...] = ()
    """Entries of the map whose concept the set has not: the finding and that concept."""

    map: FindingsMap | None = None

    @property
    def is_plain(self) -> bool:
        """Does every finding that means a concept bear its name, and no other finding the same concept's?"""
        by_name = all(match.matched_by == "same" for match in self.matched)
        return self.map is None and by_name and not any(_JOINT in finding for finding in self.of_concept.values())


class MatchedEntry(TypedDict):
    """See `MatchedFinding`."""

    finding: str
    images: int
    concepts: list[str]
    matched_by: MatchedBy


class UnmatchedEntry(TypedDict):
    """See `UnmatchedFinding`."""

    finding: str
    images: int
    why: WhyUnmatched
    concepts: list[str]


class CountedEntry(TypedDict):
    """A finding and how many images have it."""

    finding: str
    images: int


class MappedEntry(TypedDict):
    """An entry of a map."""

    finding: str
    concept: str


class MapEntry(TypedDict):
    """A map of findings."""

    source: str
    digest: str
    notes: list[str]
    """What was decided when its file was read."""


class FindingsEntry(TypedDict):
    """`FindingMatches` in a job's manifest and on the wire; of each kind the first LISTED are named."""

    map: MapEntry | None
    names: int
    """How many findings there are."""
    matched: list[MatchedEntry]
    matched_names: int
    unmatched: list[UnmatchedEntry]
    unmatched_names: int
    no_concept: list[CountedEntry]
    no_concept_names: int
    not_in_set: list[MappedEntry]
    not_in_set_entries: int


class FindingCounts(TypedDict):
    """The findings of a registered probe set."""

    names: int
    """How many there are."""

    images: list[tuple[str, int]]
    """The KEPT commonest, and how many images have each. Left out in a list of probe sets."""


def count_findings(items: Iterable[ProbeItem]) -> dict[str, int] | None:
    """Each finding and how many images have it, the commonest first; None where no image's findings are known.

    Patches of one image count once.
    """
    counts: Counter[str] = Counter()
    known = False
    last_row = None
    for item in items:
        if item.findings is None or item.row == last_row:
            continue
        known = True
        last_row = item.row
        counts.update(item.findings)

    if not known:
        return None
    return dict(sorted(counts.items(), key=lambda counted: (-counted[1], counted[0])))


def _map_entry(findings_map: FindingsMap) -> MapEntry:
    return {"source": findings_map.source, "digest": findings_map.digest, "notes": list(findings_map.notes)}


def kept_counts(counts: Mapping[str, int]) -> FindingCounts:
    """The counts as a registered probe set keeps them. counts: the commonest finding first."""
    return {"names": len(counts), "images": list(counts.items())[:KEPT]}


def findings_entry(matches: FindingMatches, texts: tuple[str, ...]) -> FindingsEntry:
    """The matches in a manifest. texts: the concept set's."""
    matched: list[MatchedEntry] = [
        {
            "finding": match.finding,
            "images": match.images,
            "concepts": [texts[concept] for concept in match.concepts],
            "matched_by": match.matched_by,
        }
        for match in matches.matched[:LISTED]
    ]
    unmatched: list[UnmatchedEntry] = [
        {
            "finding": finding.finding,
            "images": finding.images,
            "why": finding.why,
            "concepts": list(finding.concepts[:LISTED]),
        }
        for finding in matches.unmatched[:LISTED]
    ]
    no_concept: list[CountedEntry] = [
        {"finding": finding, "images": images} for finding, images in matches.no_concept[:LISTED]
    ]
    not_in_set: list[MappedEntry] = [
        {"finding": finding, "concept": concept} for finding, concept in matches.not_in_set[:LISTED]
    ]
    return {
        "map": None if matches.map is None else _map_entry(matches.map),
        "names": len(matches.matched) + len(matches.unmatched) + len(matches.no_concept),
        "matched": matched,
        "matched_names": len(matches.matched),
        "unmatched": unmatched,
        "unmatched_names": len(matches.unmatched),
        "no_concept": no_concept,
        "no_concept_names": len(matches.no_concept),
        "not_in_set": not_in_set,
        "not_in_set_entries": len(matches.not_in_set),
    }
