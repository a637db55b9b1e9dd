"""Random image sets with whole exams exchanged."""

import pytest
import torch
from torch import Tensor

from service.engine.evidence.exams import Exams
from service.engine.evidence.null_sets import draw_null_sets
from tests.engine.evidence.test_exams import exams


def pattern(exams: Exams, images: Tensor) -> list[int]:
    """Which ranks share an exam: each exam by the rank at which it comes first."""
    of_rank: list[int] = exams.of_image[images].tolist()
    return [of_rank.index(exam) for exam in of_rank]


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
