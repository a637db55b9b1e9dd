"""Which images are not independent of each other, whatever the manifest knows of them."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.groups import exam_of_two_patients, exams_by_stratum, group_images, with_patients
from service.domain.probes import NO_STRATA, Box, ProbeItem

NAMES = st.none() | st.sampled_from("abc")


def item(
    name: str,
    *,
    exam: str | None = None,
    patient: str | None = None,
    content: str | None = None,
    density: str | None = None,
) -> ProbeItem:
    strata = NO_STRATA if density is None else {"density": density}
    return ProbeItem(name, Path(name), 1, exam_id=exam, patient_id=patient, sha256=content, strata=strata)


GROUPED = {
    "exams": (
        [item("1", exam="x"), item("2", exam="y"), item("3", exam="x")],
        ([0, 1, 0], "exam", 0),
    ),
    "patients": (
        [item("1", patient="x"), item("2", patient="y"), item("3", patient="x")],
        ([0, 1, 0], "patient", 0),
    ),
    "exams of one patient": (
        [item("1", exam="x", patient="p"), item("2", exam="y", patient="p"), item("3", exam="z", patient="q")],
        ([0, 0, 1], "patient", 0),
    ),
    "an exam whose patient another row names": (
        [item("1", exam="x"), item("2", exam="y", patient="p"), item("3", exam="x", patient="p")],
        ([0, 0, 0], "patient", 0),
    ),
    "some with an exam, some with a patient": (
        [item("1", exam="x"), item("2", patient="x"), item("3", exam="x"), item("4")],
        ([0, 1, 0, 2], "patient", 1),
    ),
    "neither": ([item("1"), item("2"), item("1")], ([0, 1, 0], "image", 0)),
    "copies": (
        [item("1", content="aa"), item("2", content="bb"), item("3", content="aa")],
        ([0, 1, 0], "image", 0),
    ),
    "copies under two patients": (
        [item("1", patient="p", content="aa"), item("2", patient="q", content="aa"), item("3", patient="q")],
        ([0, 0, 0], "patient", 0),
    ),
}


@pytest.mark.parametrize(("items", "expected"), GROUPED.values(), ids=GROUPED.keys())
def test_images_of_a_patient_an_exam_or_the_same_bytes_are_together(
    items: list[ProbeItem], expected: tuple[list[int], str, int]
) -> None:
    groups = group_images(items)
    assert (list(groups.of_item), groups.unit, groups.nameless) == expected
    assert groups.count == len(set(expected[0]))


def test_patches_of_an_image_are_together_and_repeat_nothing() -> None:
    patches = [replace(item("1", content="aa"), box=Box(left, 0, 8, 8)) for left in (0, 8)]
    groups = group_images([*patches, item("2", content="bb"), item("3", content="bb")])
    assert (groups.of_item, groups.count, groups.repeated) == ((0, 0, 1, 1), 2, 1)


def test_repeated_images_are_counted_where_anybody_has_looked() -> None:
    copies = [item(str(number), content="aa" if number < 4 else "bb") for number in range(6)]
    assert group_images(copies).repeated == 4
    assert group_images([item("1", content="aa"), item("2", content="bb")]).repeated == 0
    assert group_images([item("1"), item("2")]).repeated is None


@given(st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=8))
def test_groups_are_what_a_chain_of_common_names_connects(
    named: list[tuple[str | None, str | None, str | None]],
) -> None:
    items = [
        item(str(number), exam=exam, patient=patient, content=content)
        for number, (exam, patient, content) in enumerate(named)
    ]
    expected = list(range(len(items)))
    for _ in items:
        for one, ours in enumerate(named):
            for other, theirs in enumerate(named):
                if any(mine is not None and mine == its for mine, its in zip(ours, theirs, strict=True)):
                    expected[one] = expected[other] = min(expected[one], expected[other])
    in_order = list(dict.fromkeys(expected))
    assert list(group_images(items).of_item) == [in_order.index(group) for group in expected]


def test_the_order_of_the_rows_does_not_matter() -> None:
    items = [item(str(n), exam=f"e{n // 2}", patient=f"p{n // 4}" if n % 2 else None) for n in range(32)]
    shuffled = random.Random(3).sample(items, len(items))
    assert group_images(shuffled).count == group_images(items).count == 8


def test_strata_count_what_belongs_together() -> None:
    items = [item(str(n), patient=f"p{n // 4}", density="a" if n < 8 else "b") for n in range(12)]
    assert exams_by_stratum(items) == {"density": {"a": 2, "b": 1}}
    nameless = [item(str(n), density="a") for n in range(3)]
    assert exams_by_stratum(nameless) == {"density": {"a": 3}}


def test_an_exam_of_two_patients_is_noticed() -> None:
    first, second = item("1", exam="x", patient="p"), item("3", exam="x", patient="q")
    assert exam_of_two_patients([first, item("2", exam="x"), second]) == (first, second)
    assert exam_of_two_patients([first, item("2", exam="y", patient="q")]) is None


def test_every_image_of_an_exam_names_the_patient_that_one_names() -> None:
    items = [item("1", exam="x"), item("2", exam="x", patient="p"), item("3", exam="y"), item("4")]
    assert [one.patient_id for one in with_patients(items)] == ["p", "p", None, None]
