"""Contrast: worked out by hand, without a part of other units or of how it is computed, and right where others err."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from service.engine import similarity
from service.engine.evidence.exams import Exams
from service.engine.evidence.null import null_table, tail_p
from service.engine.evidence.null_sets import draw_null_sets
from service.engine.similarity.contrast_scorer import (
    ConceptSpread,
    ContrastScorer,
    scan_depths,
    spread_of_embeddings,
    spread_of_scores,
)
from service.engine.similarity.scorer import best_concepts, columns_of_embeddings, columns_of_scores
from service.engine.top_k import top_k_images
from service.errors import InvalidActivations, TooFewImages


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(actual: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(actual.cpu(), expected.cpu(), rtol=0, atol=atol)


def test_contrast_worked_out_on_paper(device: torch.device) -> None:
    # Concept 0: cosines 0, 0, 0.4, 0.4: mean 0.2, deviation 0.2. Concept 1: 0.9, 0.8, 0.8, 0.9: mean 0.85, dev. 0.05.
    # The unit's two top images are 2 and 3: means 0.4 and 0.85, z = sqrt(2) * (0.2 / 0.2, 0).
    # The prior is log 0.2 and log 0.05 less their mean: plus and minus log(4) / 2 = log 2.
    concepts = torch.tensor([[0.0, 0.9], [0.0, 0.8], [0.4, 0.8], [0.4, 0.9]], device=device)
    activations = torch.tensor([[0.0], [0.1], [3.0], [2.0]], device=device)
    close(similarity.contrast(concepts, activations, top_k=2, lam=0), torch.tensor([[2**0.5, 0.0]]))
    expected = torch.tensor([[2**0.5 + 0.5 * 0.693147, -0.5 * 0.693147]])
    close(similarity.contrast(concepts, activations, top_k=2, lam=0.5), expected)


def test_contrast_scan_is_the_greatest_contrast_over_its_depths(device: torch.device) -> None:
    assert scan_depths(400) == (100, 141, 200, 283, 400)
    assert scan_depths(2) == (1, 2)  # 0.5, 0.71, 1, 1.41 and 2
    assert scan_depths(1) == (1,)
    concepts, activations = draw(27, 60, 30).to(device), draw(28, 60, 6).to(device)
    depths = [similarity.contrast(concepts, activations, top_k=depth, lam=0.5) for depth in (10, 14, 20, 28, 40)]
    close(similarity.contrast_scan(concepts, activations, top_k=40, lam=0.5), torch.stack(depths).amax(dim=0))


def test_contrast_scan_names_a_common_finding_after_itself_and_a_rare_one_too() -> None:
    # A third of the images have the finding, a fifth of these its plainest kind, which the unit likes most.
    images = torch.arange(900)
    finding, kind = images < 300, images < 60
    concepts = torch.stack([finding + 0.6 * draw(29, 900), kind + 0.6 * draw(30, 900)], dim=1)
    unit = (2.0 * finding + 2.0 * kind + 0.3 * draw(31, 900))[:, None]
    assert similarity.contrast(concepts, unit, top_k=60)[0].argmax() == 1
    assert similarity.contrast_scan(concepts, unit, top_k=240)[0].argmax() == 0
    rare = (2.0 * kind + 0.3 * draw(32, 900))[:, None]
    assert similarity.contrast_scan(concepts, rare, top_k=240)[0].argmax() == 1


def test_no_unit_counts_for_another_and_the_order_of_its_images_does_not_matter(device: torch.device) -> None:
    concepts, activations = draw(1, 50, 30).to(device), draw(2, 50, 6).to(device)
    together = similarity.contrast(concepts, activations, top_k=10)
    close(similarity.contrast(concepts, activations[:, 2:3], top_k=10), together[2:3])
    backwards = top_k_images(activations, 10).flip(1)
    close(similarity.contrast_from_top_k(concepts, backwards), together)


def test_random_images_score_like_standard_normal_numbers_whatever_a_concepts_level_and_spread() -> None:
    level, spread = torch.linspace(-0.5, 0.5, 20), torch.linspace(0.01, 0.3, 20)
    concepts = level + spread * draw(3, 2000, 20)
    scores = similarity.contrast(concepts, draw(4, 2000, 3000), top_k=50, lam=0)
    assert float(scores.mean(dim=0).abs().max()) < 0.1
    assert 0.9 < float(scores.std(dim=0).min()) <= float(scores.std(dim=0).max()) < 1.1


def test_a_concept_that_is_near_every_image_does_not_hide_the_right_one() -> None:
    present = draw(5, 1000) > 1
    concepts = torch.stack([0.1 * draw(6, 1000) + 0.2 * present, 0.6 + 0.1 * draw(7, 1000)], dim=1)
    unit = (3 * present + draw(8, 1000))[:, None]
    assert similarity.contrast(concepts, unit)[0].argmax() == 0
    assert similarity.soft_wpmi(concepts, unit, lam=0)[0].argmax() == 1


@pytest.mark.parametrize("images", [5, 20, 21, 60])
def test_the_spread_of_embeddings_is_that_of_their_products(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    monkeypatch.setattr("service.engine.similarity.contrast_scorer._IMAGES_AT_ONCE", 20)
    embeddings = normalize(draw(9, images, 16) + 2, dim=1).to(device)  # far from the origin, as real ones are
    texts = normalize(draw(10, 7, 16), dim=1).to(device)
    expected = spread_of_scores(embeddings @ texts.t())
    actual = spread_of_embeddings(lambda positions: embeddings.cpu()[positions], images, texts)
    close(actual.mean, expected.mean, 1e-6)
    close(actual.deviation, expected.deviation, 1e-6)
    close(expected.deviation, (embeddings @ texts.t()).std(dim=0, correction=0), 1e-6)


def test_blocks_of_concepts_from_embeddings_give_what_the_matrix_gives(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, texts = normalize(draw(11, 60, 16), dim=1).to(device), normalize(draw(12, 150, 16), dim=1).to(device)
    top = top_k_images(draw(13, 60, 4).to(device), 10)
    whole = similarity.contrast_from_top_k(images @ texts.t(), top, lam=2.0)
    monkeypatch.setattr("service.engine.similarity.scorer._BLOCK_ENTRIES", 1)
    spread = spread_of_embeddings(lambda positions: images.cpu()[positions], 60, texts)
    blocks = list(ContrastScorer(columns_of_embeddings(images, texts), spread, 2.0).of_units(top))
    assert [start for start, _, _ in blocks] == [0, 64, 128]
    close(torch.cat([block for _, block, _ in blocks], dim=1), whole)
    close(torch.cat([prior for _, _, prior in blocks]), 2 * spread.prior())


def test_some_concepts_alone_score_as_among_all(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.similarity.scorer._BLOCK_ENTRIES", 1)
    scores, top = draw(14, 40, 140).to(device), top_k_images(draw(15, 40, 3).to(device), 8)
    columns, rows = columns_of_scores(scores, top)
    spread = spread_of_scores(scores)
    scorer = ContrastScorer(columns, spread, 1.0)
    close(
        scorer.of_concepts(rows, spread.prior(), [3, 5, 139]),
        similarity.contrast_from_top_k(scores, top)[:, [3, 5, 139]],
    )
    assert scorer.of_concepts(rows, spread.prior(), []).shape == (3, 0)


def test_of_equal_concepts_the_lower_comes_first() -> None:
    half, top = draw(16, 30, 70), top_k_images(draw(17, 30, 3), 8)
    scores = torch.cat([half, half], dim=1)
    columns, rows = columns_of_scores(scores, top)
    best = best_concepts(ContrastScorer(columns, spread_of_scores(scores), 1.0), rows, 6, check_cancelled=lambda: None)
    indices, values = best.indices, best.scores
    assert torch.equal(indices[:, 1::2], indices[:, ::2] + 70)
    assert torch.equal(values[:, 1::2], values[:, ::2])


def test_the_number_of_threads_changes_no_bit() -> None:
    scores, top = draw(18, 400, 200), torch.randint(0, 400, (90, 50), generator=torch.Generator().manual_seed(19))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = similarity.contrast_from_top_k(scores, top)
        torch.set_num_threads(3)
        assert torch.equal(similarity.contrast_from_top_k(scores, top), alone)
    finally:
        torch.set_num_threads(threads)


def test_a_concept_that_never_varies_is_finite_and_last() -> None:
    concepts = torch.cat([draw(20, 40, 5), torch.full((40, 1), 0.3)], dim=1)
    scores = similarity.contrast(concepts, draw(21, 40, 3), top_k=5)
    assert bool(scores.isfinite().all())
    assert scores.argmin(dim=1).tolist() == [5, 5, 5]
    same = ConceptSpread(torch.zeros(2), torch.zeros(2))
    assert same.prior().tolist() == [0.0, 0.0]


def test_too_few_images_and_nan_activations_are_refused() -> None:
    with pytest.raises(TooFewImages, match="3 images but top-k is 4"):
        similarity.contrast(torch.zeros(3, 2), torch.zeros(3, 2), top_k=4)
    with pytest.raises(InvalidActivations):
        similarity.contrast(torch.zeros(3, 2), torch.full((3, 2), torch.nan), top_k=2)


@pytest.mark.parametrize("scan", [False, True], ids=["contrast", "scan"])
@pytest.mark.parametrize("patient", [0.0, 0.5, 1.0])
def test_noise_is_significant_as_often_as_it_should_be(patient: float, scan: bool) -> None:
    images, units = 240, 600
    exams = Exams(torch.arange(images) // 4, images // 4, "exam")
    alike = draw(22, exams.count, 16)[exams.of_image]
    scores = normalize(alike + draw(23, images, 16), dim=1) @ normalize(draw(24, 50, 16), dim=1).t()
    noise = patient**0.5 * draw(25, exams.count, units)[exams.of_image] + (1 - patient) ** 0.5 * draw(26, images, units)
    top = top_k_images(noise, 60 if scan else 24)
    columns, rows = columns_of_scores(scores, top)
    assert columns.images == images
    scorer = ContrastScorer(columns, spread_of_scores(scores), 1.0, scan=scan)
    best = best_concepts(scorer, rows, 1, check_cancelled=lambda: None)
    p = torch.empty(units, dtype=torch.float64)
    for group in draw_null_sets(exams, top, 2000, 0):
        table = null_table(scorer, group.sets, best.prior, units, [])
        p[group.units] = tail_p(best.scores[group.units, 0], table.best)
    assert 0.02 < float((p <= 0.05).double().mean()) < 0.08  # 0.05, give or take three and a half deviations
