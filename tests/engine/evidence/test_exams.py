"""Exams as what is drawn, resampled and split."""

from pathlib import Path

import pytest
import torch

from service.domain.groups import group_images
from service.domain.probes import ProbeItem
from service.engine.evidence.exams import Exams, resample, sets_of_resample, split_in_halves


def exams(*sizes: int) -> Exams:
    return Exams(torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)), len(sizes), "exam")


def test_exams_are_the_groups_of_the_probe_items() -> None:
    def item(name: str, exam: str | None, patient: str | None = None) -> ProbeItem:
        return ProbeItem(name, Path(name[0]), 1, exam_id=exam, patient_id=patient)

    mixed = Exams.of(group_images([item("a", "x"), item("b", None), item("c", "x")]))
    assert (mixed.of_image.tolist(), mixed.count, mixed.unit) == ([0, 1, 0], 2, "exam")
    assert mixed.of_image.dtype == torch.int64
    patients = Exams.of(group_images([item("a", "x", "p"), item("b", "y", "p")]))
    assert (patients.of_image.tolist(), patients.count, patients.unit) == ([0, 0], 1, "patient")


def test_resamples_and_halves_are_of_all_exams() -> None:
    known = exams(*[4] * 25)
    drawn = resample(known, 50, seed=0)
    assert drawn.shape == (50, 25)
    assert drawn.sum(dim=1).tolist() == [25] * 50
    assert torch.equal(drawn, resample(known, 50, seed=0))
    halves = split_in_halves(known, 50, seed=0)
    assert halves.sum(dim=1).tolist() == [12] * 50
    assert len({tuple(half) for half in halves.tolist()}) == 50


@pytest.mark.parametrize(
    ("occurrences", "k", "expected"),
    [
        ([1, 1, 1, 1], 3, [13, 11, 10]),
        ([0, 2, 1, 1], 3, [13, 11, 11]),
        ([2, 0, 0, 0], 2, [10, 10]),
        ([1, 0, 0, 1], 3, [13, 10, 10]),
        ([0, 0, 0, 0], 2, [12, 12]),
    ],
    ids=["all-once", "some-twice", "one-is-left", "too-few-repeat-the-last", "none-keeps-the-last"],
)
def test_a_resample_takes_the_most_activating_images_that_it_has(
    occurrences: list[int], k: int, expected: list[int]
) -> None:
    top = torch.tensor([[3, 1, 0, 2]])
    assert sets_of_resample(top, top + 10, torch.tensor(occurrences), k).tolist() == [expected]
