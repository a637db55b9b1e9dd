"""Exams as what is drawn, resampled and split."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.probes import ProbeItem
from service.engine.exams import Exams, draw_null_sets, exams_of, resample, sets_of_resample, split_in_halves


def exams(*sizes: int) -> Exams:
    return Exams(torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)), len(sizes), "exam")


def pattern(exams: Exams, images: Tensor) -> list[int]:
    """Which ranks share an exam: each exam by the rank at which it comes first."""
    of_rank: list[int] = exams.of_image[images].tolist()
    return [of_rank.index(exam) for exam in of_rank]


def test_exams_are_those_of_the_manifest_and_elsewhere_images_with_their_patches() -> None:
    def item(name: str, exam: str | None) -> ProbeItem:
        return ProbeItem(name, Path(name[0]), 1, exam_id=exam)

    found = exams_of([item("a@0", "x"), item("b", "y"), item("a@1", "x"), item("c", "x")])
    assert (found.of_image.tolist(), found.count, found.unit) == ([0, 1, 0, 0], 2, "exam")
    found = exams_of([item("a@0", None), item("b", None), item("a@1", None)])
    assert (found.of_image.tolist(), found.count, found.unit) == ([0, 1, 0], 2, "image")
    mixed = exams_of([item("a", "x"), item("b", None), item("c", "x")])
    assert (mixed.of_image.tolist(), mixed.unit) == ([0, 1, 0], "exam"), "an image without an exam is one of its own"


def test_null_sets_exchange_the_exams_and_keep_who_shares_one() -> None:
    known = exams(*[4] * 30, *[1] * 10, 9)
    patient = torch.arange(20)  # five whole exams of four
    mixed = torch.tensor([120, 0, 121, 1, 122, 8, 123, 124, 9, 125, 130, 131, 132, 133, 134, 135, 136, 16, 20, 24])
    sees_images = torch.cat([torch.arange(0, 80, 4)])
    groups = draw_null_sets(known, torch.stack([patient, mixed, sees_images]), 200, seed=3)
    assert sorted(unit for group in groups for unit in group.units.tolist()) == [0, 1, 2]
    for group in groups:
        [unit] = group.units.tolist()
        own = [patient, mixed, sees_images][unit]
        assert group.sets.shape == (200, 20)
        assert all(pattern(known, images) == pattern(known, own) for images in group.sets)
        assert all(len(set(images)) == 20 for images in group.sets.tolist())
        assert len({tuple(images) for images in group.sets.tolist()}) > 190


def test_every_image_is_as_likely_as_every_other() -> None:
    known = exams(*[4] * 25)
    [group] = draw_null_sets(known, torch.randperm(100, generator=torch.Generator().manual_seed(0))[None, :20], 5000, 1)
    counts = torch.bincount(group.sets.flatten(), minlength=100).double()
    assert counts.mean() == 1000
    assert 0.8 < counts.var() / (1000 * 0.8) < 1.6, "little more than a binomial's spread"


def test_units_are_grouped_by_how_many_exams_they_have() -> None:
    known = exams(*[4] * 100)
    images = torch.arange(400).view(100, 4)
    units = [torch.cat([images[:m].flatten(), images[m : 40 - 3 * m, 0]])[:40] for m in range(11)]
    groups = draw_null_sets(known, torch.stack(units), 10, seed=0)
    assert len(groups) == 8
    distinct = [[len(set(known.of_image[units[unit]].tolist())) for unit in group.units.tolist()] for group in groups]
    assert [min(group) for group in distinct] == sorted(min(group) for group in distinct)


def test_from_a_large_probe_set_some_exams_are_drawn() -> None:
    known = exams(*[1] * 30_000, *[5] * 3)
    top = torch.arange(30_000, 30_010)[None]  # two of the three large exams
    [group] = draw_null_sets(known, top, 4000, seed=0)
    assert int((group.sets < 30_000).sum()) == 0, "only the large ones have five images"
    [group] = draw_null_sets(known, torch.arange(10)[None], 4000, seed=0)
    assert 15_000 < len(set(group.sets.flatten().tolist())) <= 20_050


def test_which_exams_are_drawn_of_a_large_probe_set_does_not_hang_on_their_order() -> None:
    known = exams(*[100] * 600)
    top = torch.arange(0, 60_000, 1_000)[None]  # sixty exams, one image of each
    [group] = draw_null_sets(known, top, 2000, seed=0)
    drawn = known.of_image[group.sets.flatten()]
    assert len(set(drawn.tolist())) < 300
    assert 0.4 < float((drawn < 300).double().mean()) < 0.6, "the first exams of the manifest are no likelier"


def test_a_large_exam_is_drawn_as_often_as_such_a_unit_meets_it() -> None:
    known = exams(*[4] * 200, *[8] * 100)
    generator = torch.Generator().manual_seed(0)
    sees_images = torch.stack([torch.randperm(1600, generator=generator)[:64] for _ in range(50)])
    whole = torch.arange(800).view(200, 4)
    sees_patients = torch.stack([whole[torch.randperm(200, generator=generator)[:16]].flatten() for _ in range(50)])

    def in_large(top: Tensor) -> float:
        groups = draw_null_sets(known, top, 400, seed=1)
        drawn = torch.cat([group.sets.flatten() for group in groups for _ in group.units])
        return float((drawn >= 800).double().mean())

    assert in_large(sees_images) == pytest.approx(0.5, abs=0.03), "as in the probe set"
    assert in_large(sees_patients) < 0.01, "no exam of eight has just four among the top images"


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
