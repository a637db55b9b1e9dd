"""Which concepts the dissector can see, on images whose cosines with each concept are given."""

from collections.abc import Sequence

import pytest
import torch

from service.domain.evidence import Qualification
from service.engine.evidence.qualification import qualify
from service.engine.evidence.recognition import recognise

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


def test_the_interval_must_begin_high_enough_and_is_that_of_groups() -> None:
    # Of 60 images with the finding 55 beat all 60 without and 5 lose to all. Each its own patient, the variance is
    # 60/59 (55 (1/12)^2 + 5 (11/12)^2) / 3600, so 1.96 deviations are 0.071. If the five losers are one patient, the
    # sums are 1/12 55 times and -55/12 once: 56/55 (55 (1/12)^2 + (55/12)^2) / 3600, and 1.96 deviations are 0.152.
    cosines = [0.9] * 55 + [0.0] * 5 + [0.5] * 60
    findings = [MASS] * 60 + [NONE] * 60
    apart = verdict(cosines, findings)
    together = verdict(cosines, findings, ["one" if 55 <= row < 60 else row for row in range(120)])
    assert apart.auroc == together.auroc == pytest.approx(55 / 60)
    assert [apart.low, together.low] == pytest.approx([0.8462, 0.7647], abs=1e-3)
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
