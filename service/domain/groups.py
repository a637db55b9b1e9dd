"""Which images are not independent of each other: what is exchanged, resampled, split and held out as a whole.

Two images belong together where the manifest names the same patient or the same exam for them, or where their files
have the same bytes. What belongs to a third image belongs together, too. Whoever registers a probe set may choose
instead that exams, images or the values of a column count as independent; equal bytes stay together all the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from service.domain.evidence import DrawnUnit, is_column
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
    """What a group is: what was chosen; else a patient where any image names one, an exam where any does, an image."""

    nameless: int
    """How many groups name neither patient nor exam where others do; each is one image with its copies.

    Where a column was chosen: how many have no value in it. They are what they would be if nothing had been chosen.
    """

    repeated: int | None
    """How many images have bytes that repeat another image's; None where nobody has read any bytes."""


def group_images(items: Sequence[ProbeItem], independent: str | None = None) -> ImageGroups:
    """Group probe items; the patches of an image are together.

    independent: `patient`, `exam`, `image` or a column, where one was chosen. What has no exam counts by its patient
    where exams were chosen, and what has no value in the column as if nothing had been chosen.
    """
    joined = _Joined(independent)
    first_groups = [joined.group_of(item) for item in items]
    numbers: dict[int, int] = {}
    of_item = tuple(numbers.setdefault(joined.root(group), len(numbers)) for group in first_groups)

    unit = _unit(items, independent)
    named = {group for item, group in zip(items, of_item, strict=True) if _is_named(item, independent)}

    return ImageGroups(
        of_item=of_item,
        count=len(numbers),
        unit=unit,
        nameless=0 if unit == "image" else len(numbers) - len(named),
        repeated=_repeated(items),
    )


def exams_by_stratum(items: Iterable[ProbeItem], independent: str | None = None) -> dict[str, dict[str, int]]:
    """How many groups each value of each stratum has, by the manifest alone; values in order.

    independent: see `group_images`.
    """
    parts: dict[str, dict[str, list[ProbeItem]]] = {}
    for item in items:
        for stratum, value in item.strata.items():
            parts.setdefault(stratum, {}).setdefault(value, []).append(item)

    return {
        stratum: {value: group_images(part, independent).count for value, part in sorted(values.items())}
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

    def __init__(self, independent: str | None) -> None:
        self._independent = independent
        self._parents: list[int] = []
        self._patients: dict[str, int] = {}
        self._exams: dict[str, int] = {}
        self._values: dict[str, int] = {}
        self._contents: dict[str, int] = {}
        self._paths: dict[str, int] = {}

    def group_of(self, item: ProbeItem) -> int:
        """The group of an item, which joins those of its file and of all that it is to be kept together by."""
        if item.sha256 is not None:
            group = self._named(self._contents, item.sha256)
        else:
            group = self._named(self._paths, str(item.path))

        for names, name in self._names_of(item):
            group = self._join(group, self._named(names, name))
        return group

    def _names_of(self, item: ProbeItem) -> Iterator[tuple[dict[str, int], str]]:
        """What an item is kept together by: names of a kind, and which of them."""
        if self._independent == "image":
            return
        if self._independent == "exam" and item.exam_id is not None:
            yield self._exams, item.exam_id
            return
        if is_column(self._independent):
            value = item.value_in(self._independent)
            if value is not None:
                yield self._values, value
                return

        if item.patient_id is not None:
            yield self._patients, item.patient_id
        if item.exam_id is not None:
            yield self._exams, item.exam_id

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


def _is_named(item: ProbeItem, independent: str | None) -> bool:
    if is_column(independent):
        return item.value_in(independent) is not None
    return item.patient_id is not None or item.exam_id is not None


def _unit(items: Sequence[ProbeItem], independent: str | None) -> DrawnUnit:
    if is_column(independent):
        return "group"
    if independent == "exam":
        return "exam"
    if independent == "image":
        return "image"
    if any(item.patient_id is not None for item in items):
        return "patient"
    return "exam" if any(item.exam_id is not None for item in items) else "image"


def _repeated(items: Sequence[ProbeItem]) -> int | None:
    files = {str(item.path): item.sha256 for item in items if item.sha256 is not None}
    return len(files) - len(set(files.values())) if files else None
