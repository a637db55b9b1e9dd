"""Agreement of units with findings: on paper, against scikit-learn and scipy, and whatever the folds and blocks."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from service.domain.evidence import Agreement
from service.engine.evidence import agreement
from service.engine.evidence.agreement import ReadUnits, measure_agreement
from service.errors import InvalidActivations

MASS, CLIP, NONE = frozenset({"mass"}), frozenset({"clip"}), frozenset[str]()
NAMES = {0: "mass", 1: "clip", 3: "mass"}  # concept 2 names nothing; 3 is a synonym of 0


def reading(activations: Tensor) -> ReadUnits:
    return lambda units: activations[:, units]


def measure(
    activations: Sequence[Sequence[float]],
    findings: Sequence[frozenset[str] | None],
    first: Sequence[int],
    second: Sequence[int],
    device: torch.device | None = None,
    own: Sequence[int] | None = None,
) -> list[Agreement | None]:
    """The first half of the images is the first half of the exams. own: the units' labels, else those of the first."""
    half = torch.arange(len(findings)) >= len(findings) // 2
    labels = (torch.tensor(first), torch.tensor(second))
    label = labels[0] if own is None else torch.tensor(own)
    return measure_agreement(reading(torch.tensor(activations, device=device)), half, label, labels, NAMES, findings)


def test_on_paper(device: torch.device) -> None:
    # First fold measures the second half: activations 4 3 2 1, mass is on the 4 and the 2.
    #   Pairs won 2 + 1 of 4. Precision at the 4: 1/1, at the 2: 2/3. Deviations 1.5 .5 -.5 -1.5 times .5 -.5 .5 -.5
    #   are 1; norms sqrt 5 and 1.
    # Second fold measures the first half: activations 1 0 0 0, mass is on the 1 and on one 0.
    #   Pairs won 2 + 2 halves of 4. Precision at the 1: 1/1, at the 0: 2/4. Deviations .75 and -.25 (three times)
    #   times .5 .5 -.5 -.5 are .5; norms sqrt .75 and 1.
    findings = [MASS, MASS, NONE, NONE, MASS, CLIP, MASS, NONE]
    activations = [[1.0], [0.0], [0.0], [0.0], [4.0], [3.0], [2.0], [1.0]]
    (actual,) = measure(activations, findings, [0], [3], device)
    assert actual is not None
    assert actual.finding == "mass"
    assert actual.auroc == pytest.approx((3 / 4 + 3 / 4) / 2)
    assert actual.average_precision == pytest.approx((5 / 6 + 3 / 4) / 2)
    assert actual.pearson == pytest.approx((1 / 5**0.5 + 0.5 / 0.75**0.5) / 2)


def test_which_fold_stands() -> None:
    # The unit ranks mass perfectly in the first half and worst in the second; clip is on the images without mass.
    findings = [MASS, CLIP, MASS, CLIP]
    activations = [[value] * 8 for value in (2.0, 1.0, 1.0, 2.0)]
    # Labels by the first half are measured on the second, and the other way round.
    first, second, own = [0, 0, 2, 0, 1, 2, 1, 0], [0, 2, 0, 1, 0, 2, 1, 3], [0, 3, 0, 0, 0, 0, 0, 2]
    actual = measure(activations, findings, first, second, own=own)
    assert [one and (one.finding, one.auroc) for one in actual] == [
        ("mass", 0.5),  # both name mass: the mean of 0 and 1
        ("mass", 0.0),  # only the first half's label names a finding
        ("mass", 1.0),  # only the second half's does
        ("mass", 0.0),  # the label is mass: mass, measured on the second half
        ("mass", 1.0),  # the same, measured on the first
        None,  # no half names a finding
        None,  # the halves name another one than the label
        None,  # the label names none
    ]


def test_a_fold_needs_images_with_and_without_the_finding() -> None:
    activations = [[2.0], [1.0], [2.0], [1.0]]
    (one_fold,) = measure(activations, [MASS, NONE, MASS, MASS], [0], [0])
    assert one_fold is not None
    assert (one_fold.auroc, one_fold.pearson) == pytest.approx((1.0, 1.0))  # of the first half's images alone
    assert measure(activations, [NONE, NONE, MASS, MASS], [0], [0]) == [None]
    assert measure(activations, [None] * 4, [0], [0]) == [None]


def test_images_without_known_findings_do_not_count() -> None:
    known = measure([[2.0], [1.0], [2.0], [1.0]], [MASS, NONE, MASS, NONE], [0], [0])
    more = measure([[2.0], [1.0], [0.0], [2.0], [9.0], [1.0]], [MASS, NONE, None, MASS, None, NONE], [0], [0])
    assert more == known
    assert known[0] is not None
    assert known[0].auroc == 1.0


def test_a_constant_unit_agrees_with_nothing() -> None:
    (actual,) = measure([[1 / 3]] * 14, [MASS, NONE, NONE, NONE, NONE, NONE, NONE] * 2, [0], [0])
    assert actual == Agreement("mass", 0.5, 1 / 7, 0.0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_activations_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(InvalidActivations) as caught:
        measure([[1.0], [2.0], [bad], [1.0]], [MASS, NONE, MASS, NONE], [0], [0])
    assert caught.value.field == "activations"


def drawn(
    seed: int, images: int, units: int
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor], list[frozenset[str]]]:
    """Activations with many ties, as after a ReLU; halves, labels and findings at random."""
    random = np.random.default_rng(seed)
    activations = torch.from_numpy(np.maximum(random.normal(size=(images, units)), 0).round(1).astype(np.float32))
    half = torch.from_numpy(random.random(images) < 0.5)
    labels = (torch.from_numpy(random.integers(0, 4, units)), torch.from_numpy(random.integers(0, 4, units)))
    label = torch.where(torch.from_numpy(random.random(units) < 0.8), labels[0], labels[1])
    findings = [frozenset(name for name in ("mass", "clip") if random.random() < 0.3) for _ in range(images)]
    return activations, half, label, labels, findings


def test_as_scikit_learn_and_scipy() -> None:
    activations, half, label, labels, findings = drawn(seed=1, images=200, units=24)
    known: list[frozenset[str] | None] = [None if row % 7 == 0 else one for row, one in enumerate(findings)]
    looked_at = torch.arange(200) % 7 != 0
    for unit, actual in enumerate(measure_agreement(reading(activations), half, label, labels, NAMES, known)):
        folds: list[tuple[str, tuple[float, float, float]]] = []
        for chosen, rows in ((labels[0][unit], half & looked_at), (labels[1][unit], ~half & looked_at)):
            finding = NAMES.get(int(chosen))
            if finding is not None and finding == NAMES.get(int(label[unit])):
                has = np.array([finding in one for one in findings])[rows.numpy()]
                values = activations[rows, unit].double().numpy()
                figures = roc_auc_score(has, values), average_precision_score(has, values), pearsonr(has, values)[0]
                folds.append((finding, figures))
        if not folds:
            assert actual is None
            continue
        assert actual is not None
        assert actual.finding == folds[0][0]
        expected = np.mean([figures for _, figures in folds], axis=0)
        assert (actual.auroc, actual.average_precision, actual.pearson) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize("block", [1, 5])
def test_blocks_of_units_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    activations, half, label, labels, findings = drawn(seed=2, images=120, units=40)
    whole = measure_agreement(reading(activations), half, label, labels, NAMES, findings)
    monkeypatch.setattr(agreement, "_ENTRIES_AT_ONCE", block * 70)
    assert measure_agreement(reading(activations), half, label, labels, NAMES, findings) == whole
    assert sum(one is not None for one in whole) > 20


@given(order=st.permutations(range(24)), seed=st.integers(0, 1000))
def test_neither_the_order_of_images_nor_a_monotone_change_of_scale_matters(order: list[int], seed: int) -> None:
    activations, half, label, labels, findings = drawn(seed, images=24, units=6)
    straight = measure_agreement(reading(activations), half, label, labels, NAMES, findings)
    turned = measure_agreement(
        reading(activations[order]), half[order], label, labels, NAMES, [findings[row] for row in order]
    )
    stretched = measure_agreement(reading(activations.exp()), half, label, labels, NAMES, findings)
    for one, other, third in zip(straight, turned, stretched, strict=True):
        if one is None:
            assert other is None
            assert third is None
            continue
        assert other is not None
        assert third is not None
        ranked = (one.auroc, one.average_precision)
        assert other.finding == third.finding == one.finding
        assert (other.auroc, other.average_precision, other.pearson) == pytest.approx((*ranked, one.pearson), abs=1e-12)
        assert (third.auroc, third.average_precision) == pytest.approx(ranked, abs=1e-12)
