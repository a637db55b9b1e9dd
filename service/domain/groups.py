"""Which images are not independent of each other: what is exchanged, resampled, split and held out as a whole.

Two images belong together where the manifest names the same patient or the same exam for them, or where their files
have the same bytes. What belongs to a third image belongs together, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from service.domain.evidence import DrawnUnit
from service.domain.probes import ProbeItem

ONE_PATIENT = "Give each exam one patient, and exams of different patients different names."
"""The remedy for an exam that names two."""


@dataclass(frozen=True, slots=True)
class ImageGroups:
    """Probe items by what they belong to."""

    of_item: tuple[int, ...]
    """The group of each item, counted from 0 in order of appearance."""

    count: int
    """How many groups there are."""

    unit: DrawnUnit
    """What a group is: a patient where any image names one, else an exam where any names one, else an image."""

    nameless: int
    """How many groups name neither patient nor exam where others do; each is one image with its copies."""

    repeated: int | None
    """How many images have bytes that repeat another image's; None where nobody has read any bytes."""


def group_images(items: Sequence[ProbeItem]) -> ImageGroups:
    """Group probe items; the patches of an image are together."""
    joined = _Joined()
    first_groups = [joined.group_of(item) for item in items]
    numbers: dict[int, int] = {}
    of_item = tuple(numbers.setdefault(joined.root(group), len(numbers)) for group in first_groups)

    unit = _unit(items)
    named = {
        group
        for item, group in zip(items, of_item, strict=True)
        if item.patient_id is not None or item.exam_id is not None
    }

    return ImageGroups(
        of_item=of_item,
        count=len(numbers),
        unit=unit,
        nameless=0 if unit == "image" else len(numbers) - len(named),
        repeated=_repeated(items),
    )


def exams_by_stratum(items: Iterable[ProbeItem]) -> dict[str, dict[str, int]]:
    """How many groups each value of each stratum has, by the manifest alone; values in order."""
    parts: dict[str, dict[str, list[ProbeItem]]] = {}
    for item in items:
        for stratum, value in item.strata.items():
            parts.setdefault(stratum, {}).setdefault(value, []).append(item)

    return {
        stratum: {value: group_images(part).count for value, part in sorted(values.items())}
        for stratum, values in parts.items()
    }


def exam_of_two_patients(items: Iterable[ProbeItem]) -> tuple[ProbeItem, ProbeItem] | None:
    """The first two items that name different patients for one exam, in order; None where all agree."""
    first_named: dict[str, ProbeItem] = {}
    for item in items:
        if item.exam_id is None or item.patient_id is None:
            continue
        earlier = first_named.setdefault(item.exam_id, item)
        if earlier.patient_id != item.patient_id:
            return earlier, item
    return None


def with_patients(items: Sequence[ProbeItem]) -> list[ProbeItem]:
    """The items, each with the patient that any item of its exam names: a part of them then says the same."""
    patients = {
        item.exam_id: item.patient_id for item in items if item.exam_id is not None and item.patient_id is not None
    }
    return [
        replace(item, patient_id=patients[item.exam_id])
        if item.patient_id is None and item.exam_id in patients
        else item
        for item in items
    ]


class _Joined:
    """Groups that grow together: each has a parent, the root of all that belongs together is its own."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._patients: dict[str, int] = {}
        self._exams: dict[str, int] = {}
        self._contents: dict[str, int] = {}
        self._paths: dict[str, int] = {}

    def group_of(self, item: ProbeItem) -> int:
        """The group of an item, which joins those of its patient, its exam and its file."""
        if item.sha256 is not None:
            group = self._named(self._contents, item.sha256)
        else:
            group = self._named(self._paths, str(item.path))
        if item.patient_id is not None:
            group = self._join(group, self._named(self._patients, item.patient_id))
        if item.exam_id is not None:
            group = self._join(group, self._named(self._exams, item.exam_id))
        return group

    def root(self, group: int) -> int:
        """The group that stands for all that belongs together."""
        while self._parents[group] != group:
            self._parents[group] = self._parents[self._parents[group]]
            group = self._parents[group]
        return group

    def _named(self, groups: dict[str, int], name: str) -> int:
        group = groups.setdefault(name, len(self._parents))
        if group == len(self._parents):
            self._parents.append(group)
        return group

    def _join(self, group: int, other_group: int) -> int:
        low, high = sorted((self.root(group), self.root(other_group)))
        self._parents[high] = low
        return low


def _unit(items: Sequence[ProbeItem]) -> DrawnUnit:
    if any(item.patient_id is not None for item in items):
        return "patient"
    return "exam" if any(item.exam_id is not None for item in items) else "image"


def _repeated(items: Sequence[ProbeItem]) -> int | None:
    files = {str(item.path): item.sha256 for item in items if item.sha256 is not None}
    return len(files) - len(set(files.values())) if files else None
