"""What may be chosen to count as independent, what is said of that choice, and how units are counted."""

from pathlib import Path

import pytest

from service.domain.groups import group_images
from service.domain.independence import count_units, warnings_of
from service.domain.probes import ProbeItem


def item(
    name: str,
    *,
    exam: str | None = None,
    patient: str | None = None,
    content: str | None = None,
    site: str | None = None,
    view: str | None = None,
    findings: frozenset[str] | None = None,
) -> ProbeItem:
    strata = {} if site is None else {"site": site}
    return ProbeItem(
        name,
        Path(name),
        1,
        exam_id=exam,
        patient_id=patient,
        view=view,
        sha256=content,
        strata=strata,
        findings=findings,
    )


TWO_EXAMS = [
    item("1", exam="x", patient="p", site="n", view="CC"),
    item("2", exam="x", patient="p", site="s", view="MLO"),
    item("3", exam="y", patient="p", site="n", view="CC"),
    item("4", exam="z", patient="q", site="n"),
]
CHOSEN: dict[str, tuple[list[ProbeItem], str | None, list[int], str, int]] = {
    "nothing": (TWO_EXAMS, None, [0, 0, 0, 1], "patient", 0),
    "patient": (TWO_EXAMS, "patient", [0, 0, 0, 1], "patient", 0),
    "exam": (TWO_EXAMS, "exam", [0, 0, 1, 2], "exam", 0),
    "image": (TWO_EXAMS, "image", [0, 1, 2, 3], "image", 0),
    "a column": (TWO_EXAMS, "site", [0, 1, 0, 0], "group", 0),
    "a column that some have not": (TWO_EXAMS, "view", [0, 1, 0, 2], "group", 1),
    "what has no exam counts by its patient": (
        [item("1", exam="x", patient="p"), item("2", patient="p"), item("3", patient="p"), item("4")],
        "exam",
        [0, 1, 1, 2],
        "exam",
        1,
    ),
    "what has no value counts by patient, exam or image": (
        [item("1", site="n", patient="p"), item("2", patient="p"), item("3", patient="p"), item("4"), item("5")],
        "site",
        [0, 1, 1, 2, 3],
        "group",
        3,
    ),
    "equal bytes stay together": (
        [item("1", exam="x", content="aa"), item("2", exam="y", content="aa"), item("3", exam="y", content="bb")],
        "image",
        [0, 0, 1],
        "image",
        0,
    ),
    "equal bytes join values of a column": (
        [item("1", site="n", content="aa"), item("2", site="s", content="aa"), item("3", site="s", content="bb")],
        "site",
        [0, 0, 0],
        "group",
        0,
    ),
}


@pytest.mark.parametrize(("items", "independent", "expected", "unit", "nameless"), CHOSEN.values(), ids=CHOSEN.keys())
def test_what_was_chosen_counts_as_independent(
    items: list[ProbeItem], independent: str | None, expected: list[int], unit: str, nameless: int
) -> None:
    groups = group_images(items, independent)
    assert (list(groups.of_item), groups.unit, groups.nameless) == (expected, unit, nameless)


WARNED = {
    "patient": (TWO_EXAMS, []),
    "exam": (TWO_EXAMS, ["Every exam counts", "names patients and 1 patient has several"]),
    "image": (TWO_EXAMS, ["Every image counts", "names patients and 1 patient has several"]),
    "site": (TWO_EXAMS, ["groups by 'site'", "divide images of 1 patient"]),
    "view": (TWO_EXAMS, ["1 image without a value in 'view' counts by patient", "divide images of 1 patient"]),
}


@pytest.mark.parametrize(("independent", "expected"), [(name, words) for name, (_, words) in WARNED.items()])
def test_a_choice_finer_than_what_the_manifest_knows_is_warned_of(independent: str, expected: list[str]) -> None:
    said = " ".join(warnings_of(TWO_EXAMS, independent))
    assert bool(said) == bool(expected)
    assert all(words in said for words in expected), said


def test_a_coarser_column_is_no_reason_for_a_warning() -> None:
    by_site = [item(str(number), patient=str(number), site="n" if number < 2 else "s") for number in range(4)]
    assert list(warnings_of(by_site, "site")) == []


def test_images_where_nobody_is_named_are_no_reason_for_a_warning() -> None:
    assert list(warnings_of([item("1"), item("2")], "image")) == []


def test_exams_where_every_patient_has_one_are_said_to_be_so() -> None:
    single = [item("1", exam="x", patient="p"), item("2", exam="y", patient="q")]
    [said] = warnings_of(single, "exam")
    assert said.endswith("none of them has several.")


def test_units_are_counted_with_their_sizes_and_what_they_are_too_few_for() -> None:
    counts = count_units(TWO_EXAMS, None, ["a warning"])
    assert (counts["unit"], counts["units"]) == ("patient", 2)
    assert (counts["smallest"], counts["median"], counts["largest"]) == (1, 2.0, 3)
    assert counts["warnings"] == ["a warning"]
    assert counts["out_of_reach"] == [
        "Significance, stability, halves and agreement: there are 2 patients, and at least 20 are needed.",
        "Agreement and qualification: the manifest has no findings.",
    ]


def test_a_column_is_named_with_the_images_that_have_no_value_in_it() -> None:
    counts = count_units(TWO_EXAMS, "view", [])
    assert (counts["unit"], counts["column"], counts["without_value"], counts["nameless"]) == ("group", "view", 1, 1)


@pytest.mark.parametrize(
    ("with_finding", "patients_with", "out_of_reach"),
    [(4, 4, True), (5, 5, False), (5, 1, True), (36, 36, True), (35, 35, False)],
)
def test_findings_that_too_few_images_or_exams_have_are_named(
    with_finding: int, patients_with: int, *, out_of_reach: bool
) -> None:
    items = [
        item(
            str(number),
            patient=str(number % patients_with if number < with_finding else number),
            findings=frozenset({"mass"}) if number < with_finding else frozenset(),
        )
        for number in range(40)
    ]
    counts = count_units(items, None, [])
    assert bool(counts["out_of_reach"]) == out_of_reach
    assert all("1 finding (mass)" in said for said in counts["out_of_reach"])
