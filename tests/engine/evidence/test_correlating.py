"""Correlations from moments, and their null: calibrated for noise of any shape, and sharp for what is followed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from service.domain.evidence import Evidence, EvidenceOptions, LayerNull
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.probes import ProbeItem
from service.engine import similarity
from service.engine.evidence import exchanged_exams
from service.engine.evidence.bundles import BundledMoments, bundles_of
from service.engine.evidence.correlating import name_by_correlation
from service.engine.evidence.exams import Exams
from service.engine.evidence.exchanged_exams import _Places
from service.engine.evidence.moments import Moments
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.probing.activations import LayerActivations
from tests.engine.toys import words

WIDTH, CONCEPTS = 12, 9
OPTIONS = DissectionOptions(None, Method.of("correlation"), evidence=EvidenceOptions(draws=2000, resamples=8, halves=3))


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def of_equal_exams(count: int, size: int) -> Tensor:
    return torch.arange(count).repeat_interleave(size)


def seen(of_image: Tensor, seed: int = 1) -> Tensor:
    """Embeddings of length 1 whose images of one exam are alike."""
    exams = int(of_image.max()) + 1
    mixed = drawn(exams, WIDTH, seed=seed)[of_image] + drawn(len(of_image), WIDTH, seed=seed + 1)
    return torch.nn.functional.normalize(mixed, dim=1)


TEXTS = torch.nn.functional.normalize(drawn(CONCEPTS, WIDTH, seed=5), dim=1)


def kept(activations: Tensor) -> LayerActivations:
    layer = LayerActivations()
    layer.update(activations)
    return layer


def named(
    activations: Tensor, of_image: Tensor, embeddings: Tensor, options: DissectionOptions = OPTIONS
) -> tuple[Tensor, list[Evidence], LayerNull | None]:
    items = [
        ProbeItem(str(image), Path(f"/{image}"), image + 1, exam_id=str(exam))
        for image, exam in enumerate(of_image.tolist())
    ]
    context = ScoringContext(
        concept_set=words([str(concept) for concept in range(CONCEPTS)]),
        concept_embeddings=TEXTS,
        items=items,
        read_embeddings=lambda positions: embeddings[positions],
        options=options,
        finding_of_concept={},
        check_cancelled=lambda: None,
    )
    ranking, evidence, null = name_by_correlation(kept(activations), torch.arange(activations.shape[1]), context)
    return ranking.indices[:, 0], evidence, null


def p_of(evidence: list[Evidence]) -> Tensor:
    return torch.tensor([of_unit.significance.p for of_unit in evidence if of_unit.significance is not None])


def test_moments_of_bundles_give_pearsons_correlation_of_any_resample() -> None:
    of_image = of_equal_exams(50, 3)
    embeddings, activations = seen(of_image), 100 + drawn(150, 4, seed=3)
    bundles = bundles_of(Exams(of_image, 50, "exam"))
    moments = Moments.of_layer([(embeddings, activations)], bundles.of_image, bundles.count)
    bundled = BundledMoments.of(moments, TEXTS)

    for weights in (torch.ones(32, dtype=torch.int64), torch.arange(32) % 3):
        rows = torch.arange(150).repeat_interleave(weights[bundles.of_image])
        expected = np.corrcoef((embeddings[rows] @ TEXTS.t()).t().numpy(), activations[rows].t().numpy())
        actual = bundled.correlations(weights)
        np.testing.assert_allclose(actual.numpy(), expected[CONCEPTS:, :CONCEPTS], atol=2e-6)

    plain = similarity.correlation(embeddings @ TEXTS.t(), activations)
    np.testing.assert_allclose(bundled.correlations(torch.ones(32, dtype=torch.int64)).numpy(), plain, atol=2e-6)


def test_what_never_changes_correlates_with_nothing() -> None:
    of_image = of_equal_exams(40, 1)
    moments = Moments.of_layer([(seen(of_image), torch.full((40, 2), 3.0))], torch.arange(40) % 32, 32)
    assert torch.equal(
        BundledMoments.of(moments, TEXTS).correlations(torch.ones(32, dtype=torch.int64)), torch.zeros(2, CONCEPTS)
    )
    assert torch.equal(
        similarity.correlation(torch.ones(3, 2), drawn(3, 1, seed=0)), torch.zeros(1, 2, dtype=torch.float64)
    )


def test_among_exams_of_one_size_exchanging_is_a_permutation_of_whole_exams() -> None:
    exam = of_equal_exams(7, 3).numpy()[np.random.default_rng(0).permutation(21)]
    for givers in _Places.of(exam).exchanged(np.random.default_rng(1), 20):
        assert sorted(givers) == list(range(21))
        partners = {(receiver, giver) for receiver, giver in zip(exam, exam[givers], strict=True)}
        assert len(partners) == 7


def test_exams_are_exchanged_with_exams_of_similar_sizes() -> None:
    size = np.array([1] * 25 + [2] * 5 + [3] * 5 + [4] * 30 + [9] * 3)
    assert exchanged_exams._bands_of(size).tolist() == [0] * 25 + [1] * 43
    assert exchanged_exams._bands_of(np.array([4] * 7)).tolist() == [0] * 7
    exam = np.repeat(np.arange(len(size)), size)
    givers = _Places.of(exam).exchanged(np.random.default_rng(1), 20)
    assert ((exam[givers] < 25) == (exam < 25)).all()


def noise(kind: str, of_image: Tensor, units: int) -> Tensor:
    exams = drawn(int(of_image.max()) + 1, units, seed=11)[of_image]
    images = drawn(len(of_image), units, seed=12)
    match kind:
        case "of images":
            return images
        case "of exams":
            return exams
        case "sparse":
            return (exams - 1.8).relu() + 0.01 * images
        case _:
            return (exams + images).exp()


@pytest.mark.parametrize("kind", ["of images", "of exams", "sparse", "heavy"])
@pytest.mark.parametrize("sizes", ["equal", "unequal"])
def test_noise_is_significant_as_often_as_it_says(kind: str, sizes: str) -> None:
    repeats = torch.full((60,), 4) if sizes == "equal" else torch.arange(60) % 7 + 1
    of_image = torch.arange(60).repeat_interleave(repeats)
    _, evidence, null = named(noise(kind, of_image, 200), of_image, seen(of_image))
    p = p_of(evidence)
    assert null is not None
    assert len(p) == 200
    assert float((p <= 0.05).double().mean()) <= 0.10  # 200 units: 0.05 and three deviations are 0.096
    assert 0.3 <= float(p.median()) <= 0.7


def test_what_follows_a_concept_is_named_so_surely(monkeypatch: pytest.MonkeyPatch) -> None:
    of_image = of_equal_exams(80, 4)
    embeddings = seen(of_image)
    cosines = embeddings @ TEXTS.t()
    following = cosines / cosines.std(dim=0) + drawn(320, CONCEPTS, seed=13)
    for most_images in (8_000, 160):
        monkeypatch.setattr(exchanged_exams, "_MOST_IMAGES", most_images)
        labels, evidence, _ = named(following, of_image, embeddings)
        assert labels.tolist() == list(range(CONCEPTS))
        assert float(p_of(evidence).max()) < 1e-3
    assert all(of_unit.stability is not None and of_unit.stability.label == 1 for of_unit in evidence)
    assert all(of_unit.halves == (label,) * 6 for label, of_unit in enumerate(evidence))


def test_wide_layers_are_judged_some_units_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    of_image = of_equal_exams(40, 2)
    activations = drawn(80, 10, seed=14)
    whole = named(activations, of_image, seen(of_image))
    monkeypatch.setattr("service.engine.evidence.correlating._MOST_UNITS", 3)
    parts = named(activations, of_image, seen(of_image))
    assert torch.equal(parts[0], whole[0])
    assert [of_unit.resampled for of_unit in parts[1]] == [of_unit.resampled for of_unit in whole[1]]


def test_without_evidence_there_are_names_alone() -> None:
    of_image = of_equal_exams(40, 2)
    options = DissectionOptions(None, Method.of("correlation"), evidence=EvidenceOptions(draws=0))
    labels, evidence, null = named(drawn(80, 3, seed=15), of_image, seen(of_image), options)
    assert (len(labels), evidence, null) == (3, [Evidence()] * 3, None)
