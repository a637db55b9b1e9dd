"""Patients are kept apart, even where only some rows of their exams name them."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.probes import ProbeItem
from service.errors import InvalidInput
from service.studies.patients import check_apart, split_by_patient


def item(row: int, patient: str | None = None, exam: str | None = None) -> ProbeItem:
    return ProbeItem(f"image-{row}", Path(f"{row}.png"), row=row, exam_id=exam, patient_id=patient)


@pytest.mark.parametrize("seed", range(5))
def test_an_exam_with_a_row_that_names_no_patient_is_in_one_part(seed: int) -> None:
    items = [item(2 * n + side, f"patient-{n}" if side else None, f"exam-{n}") for n in range(30) for side in (0, 1)]
    split = split_by_patient(items, held_back_share=0.2, held_out_share=0.3, seed=seed)
    parts = [{items[row].exam_id for row in rows} for rows in (split.fit, split.held_back, split.held_out)]
    assert [len(part) for part in parts] == [15, 6, 9]
    assert len(set[str | None]().union(*parts)) == 30


def test_images_of_one_exam_are_not_apart_where_only_one_manifest_names_the_patient() -> None:
    named, nameless = [item(1, "anna", "a")], [item(1, exam="a")]
    for fitted, held_out in ((named, nameless), (nameless, named)):
        with pytest.raises(InvalidInput) as caught:
            check_apart(fitted, held_out)
        assert (caught.value.field, caught.value.value) == ("held_out", "1")
    check_apart(named, [item(2, exam="b"), item(3, "berta", "c")])


def test_a_split_follows_the_names_of_patients_and_not_the_order_of_the_rows() -> None:
    items = [item(n, f"patient-{n // 4:02}", f"exam-{n // 2}") for n in range(80)]
    split = split_by_patient(items, held_back_share=0.2, held_out_share=0.3, seed=1)
    turned = split_by_patient(items[::-1], held_back_share=0.2, held_out_share=0.3, seed=1)
    assert sorted(79 - row for row in turned.held_out) == split.held_out
    assert {items[row].patient_id for row in split.held_out} == {f"patient-{n:02}" for n in (0, 5, 9, 11, 17, 19)}, (
        "as in earlier releases"
    )


def test_copies_of_an_image_are_in_one_part() -> None:
    items = [replace(item(n, f"patient-{n}"), sha256=f"content-{n % 20}") for n in range(40)]
    split = split_by_patient(items, held_back_share=0.2, held_out_share=0.3, seed=0)
    contents = [{items[row].sha256 for row in rows} for rows in (split.fit, split.held_back, split.held_out)]
    assert [len(part) for part in contents] == [10, 4, 6]
    assert len(set[str | None]().union(*contents)) == 20
    with pytest.raises(InvalidInput) as caught:
        check_apart(items[:20], items[20:])
    assert (caught.value.field, caught.value.value) == ("held_out", "20")


def test_an_exam_of_two_patients_is_refused_by_its_row_and_names_nobody() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_apart([item(1, "anna", "a")], [item(7, "berta", "a")])
    assert (caught.value.field, caught.value.value) == ("held_out", "row 7")
    assert caught.value.remedy
    assert not any(name in str(caught.value.as_problem()) for name in ("anna", "berta"))
