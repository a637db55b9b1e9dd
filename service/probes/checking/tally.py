"""What a whole probe set's images are, from what its manifest says and what looking at them found."""

from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from service.domain.checks import (
    ROWS_NAMED,
    SEEN,
    THRESHOLDS,
    VALUES_NAMED,
    CheckedFindings,
    CountedValues,
    NamedRow,
    NamedRows,
    Reason,
    ReasonEntry,
    SetCheck,
    ShardCheck,
    Units,
    ValueCount,
)
from service.domain.groups import group_images
from service.domain.probes import ProbeItem, ProbeSet
from service.errors import UnreadableImage
from service.probes.checking.look import FINGERPRINT_BYTES
from service.probes.manifest import with_digests

_MOST_STRATA = 50
"""Columns that are counted: a manifest may have a thousand."""

_MOST_KINDS = 20
_IMAGES_OF_A_KIND = 4
"""A column with more kinds of values, of fewer images each, may hold identifiers: its values are not shown."""

_LONGEST = 200
"""Characters of a value: a cell may have a million."""

_WORDS = FINGERPRINT_BYTES // 8

_THREADS = 4
_PLACES_AT_ONCE = 64


def tally(probe_set: ProbeSet, shards: Iterable[ShardCheck]) -> SetCheck:
    """Sum up what was found of all images. Raises what `Tally.result` raises."""
    sums = Tally()
    for shard in shards:
        sums.add(shard)
    return sums.result(probe_set)


class Tally:
    """Sums of what was found, shard after shard in their order."""

    def __init__(self) -> None:
        self._named: dict[str, NamedRows] = {}
        self._seen: dict[str, Counter[str]] = {name: Counter() for name in SEEN}
        self._fingerprints = bytearray()
        self._unreadable = 0

    def add(self, shard: ShardCheck) -> None:
        """Take the next shard."""
        self._unreadable += shard["unreadable"]
        self._fingerprints += b64decode(shard["fingerprints"])
        for name, counts in shard["seen"].items():
            self._seen[name].update(counts)
        for reason, rows in shard["named"].items():
            _extend(self._named, reason, rows["rows"], rows["count"])

    def result(self, probe_set: ProbeSet, go_on: Callable[[], None] = lambda: None) -> SetCheck:
        """What a set is, all of whose images, not cut into patches, were added; to be asked for once.

        Files that may be copies are read once more, to be sure. go_on: asked now and then; may raise to stop.
        Raises FileOutOfReach, and ValueError where other images were added.
        """
        images = len(probe_set.items)
        if len(self._fingerprints) != FINGERPRINT_BYTES * images:
            raise ValueError("the shards are not those of the probe set")
        items = _with_digests_of_copies(probe_set, bytes(self._fingerprints), go_on)
        _name_copies(self._named, items)

        return {
            "images": images,
            "readable": images - self._unreadable,
            "unreadable": self._unreadable,
            "merged_rows": probe_set.merged_rows,
            "reasons": [_entry(reason, self._named[reason]) for reason in Reason if reason in self._named],
            "rows_named": ROWS_NAMED,
            "exams": _distinct(item.exam_id for item in items),
            "patients": _distinct(item.patient_id for item in items),
            "independent": _units(items, probe_set.independent),
            "findings": _findings(items),
            "manifest": dict(_columns(items)),
            "files": {name: _counted(counter, images) for name, counter in self._seen.items()},
            "thresholds": THRESHOLDS,
        }


def _entry(reason: Reason, rows: NamedRows) -> ReasonEntry:
    return {"reason": reason, "count": rows["count"], "rows": rows["rows"]}


def _extend(named: dict[str, NamedRows], reason: str, rows: Sequence[NamedRow], count: int) -> None:
    entry = named.setdefault(reason, {"count": 0, "rows": []})
    entry["count"] += count
    entry["rows"] += rows[: ROWS_NAMED - len(entry["rows"])]


def _with_digests_of_copies(probe_set: ProbeSet, fingerprints: bytes, go_on: Callable[[], None]) -> Sequence[ProbeItem]:
    """The items; those whose fingerprint another one has, with the digests of their files."""
    items = list(probe_set.items)
    places = _places_of_equal(fingerprints)

    def digested(place: int) -> ProbeItem:
        try:
            return with_digests([items[place]], probe_set.roots)[0]
        except UnreadableImage:  # it lies outside the roots by now
            return items[place]

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="digest") as threads:
        for start in range(0, len(places), _PLACES_AT_ONCE):
            go_on()
            some = places[start : start + _PLACES_AT_ONCE]
            for place, item in zip(some, threads.map(digested, some), strict=True):
                items[place] = item
    return items


def _places_of_equal(fingerprints: bytes) -> list[int]:
    """The places of those that another one is equal to; what could not be opened has none."""
    words: NDArray[np.uint64] = np.frombuffer(fingerprints, dtype="<u8").reshape(-1, _WORDS)
    order = np.lexsort(words.T)
    ordered = words[order]
    as_before = (ordered[1:] == ordered[:-1]).all(axis=1) & (ordered[1:] != 0).any(axis=1)

    is_equal = np.zeros(len(words), dtype=bool)
    is_equal[order[1:][as_before]] = True
    is_equal[order[:-1][as_before]] = True
    places: list[int] = np.flatnonzero(is_equal).tolist()
    return places


def _name_copies(named: dict[str, NamedRows], items: Sequence[ProbeItem]) -> None:
    first_of_digest: dict[str, ProbeItem] = {}
    for item in items:
        if item.sha256 is None:
            continue
        original = first_of_digest.setdefault(item.sha256, item)
        if original is item:
            continue

        differing = _differing(original, item)
        if differing:
            what = f"it has the same bytes as row {original.row}, but differs in {' and '.join(differing)}"
            remedy = "Correct the manifest, or delete one of the rows."
            _extend(named, Reason.CONTRADICTORY, [{"row": item.row, "why": what, "remedy": remedy}], 1)
        copied: NamedRow = {"row": item.row, "why": f"it has the same bytes as row {original.row}"}
        _extend(named, Reason.SAME_BYTES, [copied], 1)


def _differing(original: ProbeItem, copy: ProbeItem) -> list[str]:
    """In what the manifest says something else of a copy; what it leaves out does not contradict."""
    fields = ("patient_id", "view", "laterality", "findings")
    both = [(field, getattr(original, field), getattr(copy, field)) for field in fields]
    return [field for field, one, other in both if one is not None and other is not None and one != other]


def _distinct(values: Iterable[str | None]) -> int | None:
    return len({value for value in values if value is not None}) or None


def _units(items: Sequence[ProbeItem], independent: str | None) -> Units:
    groups = group_images(items, independent)
    sizes = np.bincount(groups.of_item)
    return {"unit": groups.unit, "count": groups.count, "largest": int(sizes.max())}


def _findings(items: Sequence[ProbeItem]) -> CheckedFindings:
    known = [item.findings for item in items if item.findings is not None]
    counter = Counter(finding for findings in known for finding in findings)
    without = sum(not findings for findings in known)
    return {
        "named": {"distinct": len(counter), "without": without, "values": _most_frequent(counter)},
        "unknown": len(items) - len(known),
    }


def _columns(items: Sequence[ProbeItem]) -> Iterator[tuple[str, CountedValues]]:
    for column in ("view", "laterality"):
        values = Counter(value for item in items if (value := getattr(item, column)) is not None)
        if values:
            yield column, _counted(values, len(items))

    strata: dict[str, Counter[str]] = {}
    for item in items:
        for stratum, value in item.strata.items():
            strata.setdefault(stratum, Counter())[value] += 1
    for stratum in sorted(strata)[:_MOST_STRATA]:
        values = strata[stratum]
        counted = _counted(values, len(items))
        if len(values) > max(_MOST_KINDS, values.total() // _IMAGES_OF_A_KIND):
            counted["values"] = []
        yield stratum, counted


def _counted(counter: Counter[str], images: int) -> CountedValues:
    return {
        "distinct": len(counter),
        "without": images - counter.total(),
        "values": _most_frequent(counter),
    }


def _most_frequent(counter: Counter[str]) -> list[ValueCount]:
    ordered = sorted(counter.items(), key=lambda entry: (-entry[1], entry[0]))
    return [{"value": _shown(value), "images": images} for value, images in ordered[:VALUES_NAMED]]


def _shown(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}\N{HORIZONTAL ELLIPSIS}"
