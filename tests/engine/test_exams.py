"""Exams as what is drawn, resampled and split."""

from pathlib import Path

import pytest
import torch

from service.domain.probes import ProbeItem
from service.engine.exams import Exams, exams_of, resample, sets_of_resample, split_in_halves


def exams(*sizes: int) -> Exams:
    return Exams(torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)), len(sizes), "exam")


def test_exams_are_those_of_the_manifest_and_elsewhere_images_with_their_patches() -> None:
    def item(name: str, exam: str | None) -> ProbeItem:
        return ProbeItem(name, Path(name[0]), 1, exam_id=exam)

    found = exams_of([item("a@0", "x"), item("b", "y"), item("a@1", "x"), item("c", "x")])
    assert (found.of_image.tolist(), found.count, found.unit) == ([0, 1, 0, 0], 2, "exam")
    found = exams_of([item("a@0", None), item("b", None), item("a@1", None)])
    assert (found.of_image.tolist(), found.count, found.unit) == ([0, 1, 0], 2, "image")
    mixed = exams_of([item("a", "x"), item("b", None), item("c", "x")])
    assert (mixed.of_image.tolist(), mixed.unit) == ([0, 1, 0], "exam"), "an image without an exam is one of its own"


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
