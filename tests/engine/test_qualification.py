"""Which concepts the dissector can see, on images whose cosines with each concept are given."""

from collections.abc import Sequence

import pytest
import torch

from service.domain.evidence import Qualification
from service.engine.qualification import qualify
from service.engine.recognition import recognise

MASS, NONE = frozenset({"mass"}), frozenset[str]()


def verdict(
    cosines: Sequence[float],
    findings: Sequence[frozenset[str] | None],
    groups: Sequence[object] | None = None,
    device: torch.device | None = None,
) -> Qualification:
    """Of the concept "a mass", number 1; the first component of an image's embedding is its cosine with it."""
    scores = torch.tensor(cosines, device=device)
    embeddings = torch.stack([scores, (1 - scores**2).sqrt()], dim=1)
    texts = torch.tensor([[0.0, 1.0], [1.0, 0.0]], device=device)
    groups = range(len(findings)) if groups is None else groups
    (one,) = qualify(embeddings, texts, ["a dog", "a mass"], {1: "mass"}, findings, groups)
    return one


def test_a_concept_that_orders_the_images_is_qualified(device: torch.device) -> None:
    actual = verdict([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0], [MASS] * 5 + [NONE] * 5, device=device)
    assert actual == Qualification(1, "a mass", "mass", "qualified", 5, 5, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("rank_of_the_best_without", "expected"),
    [(2, "qualified"), (7, "untestable")],  # of 10 images with the finding it beats that many
)
def test_the_area_must_be_large_enough(rank_of_the_best_without: int, expected: str) -> None:
    # 10 images with the finding at 0.05, 0.10 ... 0.50; of 10 images without, half lie at 0 and half above that many.
    with_it = [0.05 * step for step in range(1, 11)]
    without = [0.0] * 5 + [0.05 * rank_of_the_best_without + 0.02] * 5
    actual = verdict(with_it + without, [MASS] * 10 + [NONE] * 10)
    assert actual.auroc == pytest.approx(1 - rank_of_the_best_without / 20)  # 0.9 and 0.65
    assert actual.verdict == expected


def test_the_interval_must_lie_above_chance_and_is_that_of_groups() -> None:
    # Of 16 images with the finding 12 beat all 16 without and 4 lose to all. Each its own patient, the variance is
    # 16/15 (12/16 + 4 * 9/16) / 256, so 1.96 deviations are 0.219. In patients of four, three sums are 1 and one is -3:
    # 4/3 (3 + 9) / 256, and 1.96 deviations are 0.490.
    cosines = [0.9] * 12 + [0.0] * 4 + [0.5] * 16
    findings = [MASS] * 16 + [NONE] * 16
    apart = verdict(cosines, findings)
    together = verdict(cosines, findings, [f"patient {row // 4}" if row < 16 else row for row in range(32)])
    assert apart.auroc == together.auroc == 0.75
    assert [apart.low, together.low] == pytest.approx([0.531, 0.260], abs=1e-3)
    assert (apart.verdict, together.verdict) == ("qualified", "untestable")


def test_too_few_images_are_absent() -> None:
    ten = [0.1 * step for step in range(10)]
    assert verdict(ten, [MASS] * 4 + [NONE] * 6) == Qualification(1, "a mass", "mass", "absent", 4, 6)
    assert verdict(ten, [MASS] * 6 + [NONE] * 4).verdict == "absent"
    assert verdict(ten, [None] * 10) == Qualification(1, "a mass", "mass", "absent", 0, 0)


def test_images_of_a_single_group_are_absent() -> None:
    ten = [0.1 * step for step in range(10)]
    actual = verdict(ten, [MASS] * 5 + [NONE] * 5, ["one"] * 5 + [1, 2, 3, 4, 5])
    assert actual == Qualification(1, "a mass", "mass", "absent", 5, 5)


def test_images_without_known_findings_do_not_count() -> None:
    cosines = [0.9, 0.8, 0.7, 0.3, 0.5, 0.4, 0.6, 0.2, 0.1, 0.0]
    findings: list[frozenset[str] | None] = [*[MASS] * 5, *[NONE] * 5]
    alone = verdict(cosines, findings)
    beside = verdict([1.0, *cosines, 0.05], [None, *findings, None])
    assert beside == alone


def test_concepts_come_in_order_and_synonyms_are_judged_each_by_itself() -> None:
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.nn.functional.normalize(torch.randn(60, 4, generator=generator), dim=1)
    texts = torch.eye(4)
    findings = [MASS if embeddings[row, 2] + embeddings[row, 0] > 0 else NONE for row in range(60)]
    groups = [row // 2 for row in range(60)]
    actual = qualify(embeddings, texts, list("abcd"), {2: "mass", 3: "clip", 0: "mass"}, findings, groups)
    assert [(one.concept, one.text, one.finding) for one in actual] == [
        (0, "a", "mass"),
        (2, "c", "mass"),
        (3, "d", "clip"),
    ]
    labels = torch.tensor([bool(one) for one in findings]).numpy()
    for one in actual[:2]:
        found = recognise(embeddings[:, one.concept].numpy(), labels, groups)
        assert found is not None
        assert (one.auroc, one.low, one.high) == (found.auroc, found.low, found.high)
        assert (one.positives, one.negatives) == (found.positives, found.negatives)
    assert actual[2].verdict == "absent"
