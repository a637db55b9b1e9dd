"""How many independent units a probe set has, how large they are, and which evidence they are too few for."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import NotRequired, TypedDict

from service.domain.evidence import LEAST_EXAMS, DrawnUnit, is_column
from service.domain.groups import ImageGroups, group_images
from service.domain.probes import ProbeItem

LEAST_IMAGES = 5
"""With fewer images that have a finding, or that do not, nothing is said of whether the dissector sees it."""

LEAST_EXAMS_OF_A_PART = 10
"""A part of a probe set with fewer independent units is not dissected."""

_FINDINGS_NAMED = 20


class UnitCounts(TypedDict):
    """What counts as independent in a probe set, by its manifest alone (stored and sent)."""

    unit: DrawnUnit

    column: NotRequired[str]
    """Whose values the units are, where a column was chosen."""

    units: int
    smallest: int
    median: float
    largest: int
    """Images of the smallest, the middle and the largest unit."""

    nameless: int
    """See `ImageGroups`."""

    without_value: NotRequired[int]
    """Images without a value in the column that was chosen."""

    out_of_reach: list[str]
    """Which evidence there can be none of, a sentence each."""

    warnings: list[str]
    """See `ProbeSet`."""


def count_units(items: Sequence[ProbeItem], independent: str | None, warnings: Sequence[str]) -> UnitCounts:
    """Count the units of a probe set of at least one image. Equal bytes may make them fewer: nobody has read any."""
    groups = group_images(items, independent)
    sizes = sorted(Counter(groups.of_item).values())

    counts: UnitCounts = {
        "unit": groups.unit,
        "units": groups.count,
        "smallest": sizes[0],
        "median": float(median(sizes)),
        "largest": sizes[-1],
        "nameless": groups.nameless,
        "out_of_reach": list(_out_of_reach(items, groups)),
        "warnings": list(warnings),
    }
    if is_column(independent):
        counts["column"] = independent
        counts["without_value"] = sum(item.value_in(independent) is None for item in items)
    return counts


def warnings_of(items: Sequence[ProbeItem], independent: str | None) -> Iterator[str]:
    """What makes evidence look better than it is where that was chosen to count as independent, a sentence each."""
    default = group_images(items)
    chosen = group_images(items, independent)
    split = _split_groups(default, chosen)

    if is_column(independent):
        without = sum(item.value_in(independent) is None for item in items)
        if without:
            yield (
                f"{_counted(without, 'image')} without a value in '{independent}' "
                f"{'counts' if without == 1 else 'count'} by patient, exam or image, as if no column had been chosen."
            )
        if split:
            yield (
                f"The groups by '{independent}' count as independent, although they divide images of "
                f"{_counted(split, default.unit)}: p-values are too small where these are alike."
            )
        return

    finer = (independent == "exam" and default.unit == "patient") or (
        independent == "image" and default.unit != "image"
    )
    if not finer:
        return

    if split:
        yield (
            f"Every {independent} counts as independent because that was chosen, although the manifest names "
            f"{default.unit}s and {_counted(split, default.unit)} {'has' if split == 1 else 'have'} several: p-values "
            "are too small where these are alike."
        )
    else:
        yield (
            f"Every {independent} counts as independent because that was chosen, although the manifest names "
            f"{default.unit}s; none of them has several."
        )


def _split_groups(default: ImageGroups, chosen: ImageGroups) -> int:
    """How many groups of the one are divided by the other."""
    parts: dict[int, int] = {}
    divided: set[int] = set()
    for whole, part in zip(default.of_item, chosen.of_item, strict=True):
        if parts.setdefault(whole, part) != part:
            divided.add(whole)
    return len(divided)


def _out_of_reach(items: Sequence[ProbeItem], groups: ImageGroups) -> Iterator[str]:
    if groups.count < LEAST_EXAMS:
        yield (
            f"Significance, stability, halves and agreement: there are {_counted(groups.count, groups.unit)}, and at "
            f"least {LEAST_EXAMS} are needed."
        )

    known = [
        (item.findings, group) for item, group in zip(items, groups.of_item, strict=True) if item.findings is not None
    ]
    if not known:
        yield "Agreement and qualification: the manifest has no findings."
        return

    too_rare = sorted(_too_rare(known))
    if too_rare:
        named = ", ".join(too_rare[:_FINDINGS_NAMED])
        more = f" and {len(too_rare) - _FINDINGS_NAMED} more" if len(too_rare) > _FINDINGS_NAMED else ""
        yield (
            f"Qualification for {_counted(len(too_rare), 'finding')} ({named}{more}): fewer than {LEAST_IMAGES} images "
            f"have it or fewer than {LEAST_IMAGES} do not, or all that have it or all that do not are of one "
            f"{groups.unit}."
        )


def _too_rare(known: Iterable[tuple[frozenset[str], int]]) -> Iterator[str]:
    """Findings that too few images have or lack, and those where the images of either kind are all of one group."""
    images: Counter[str] = Counter()
    images_of_group: Counter[int] = Counter()
    with_finding: dict[str, Counter[int]] = {}
    for findings, group in known:
        images_of_group[group] += 1
        for finding in findings:
            images[finding] += 1
            with_finding.setdefault(finding, Counter())[group] += 1

    total = images_of_group.total()
    for finding, count in images.items():
        of_group = with_finding[finding]
        groups_without = len(images_of_group) - sum(of_group[group] == images_of_group[group] for group in of_group)
        if min(count, total - count) < LEAST_IMAGES or min(len(of_group), groups_without) < 2:
            yield finding


def _counted(count: int, singular: str) -> str:
    return f"{count:,} {singular}{'' if count == 1 else 's'}"
