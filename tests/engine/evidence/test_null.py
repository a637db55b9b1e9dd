"""P-values: exact where draws suffice, careful beyond them, and calibrated whatever the exams do."""

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import normalize

from service.domain.evidence import LEVEL
from service.engine.evidence.exams import Exams
from service.engine.evidence.null import GroupNull, NullTable, null_table, standardise, summarise, tail_p
from service.engine.evidence.null_sets import draw_null_sets
from service.engine.similarity.contrast_scorer import ContrastScorer, spread_of_scores
from service.engine.similarity.scorer import Scorer, best_concepts, columns_of_embeddings
from service.engine.similarity.wpmi_scorer import WpmiParameters, WpmiScorer
from service.engine.top_k import top_k_images


def test_p_counts_the_draws_that_are_as_large() -> None:
    null = torch.arange(100.0)
    assert tail_p(torch.tensor([-1.0, 0.0, 89.0, 50.0]), null).tolist() == pytest.approx([1, 1, 12 / 101, 51 / 101])


@pytest.mark.parametrize("draws", [1_000, 10_000])
def test_beyond_the_draws_a_light_tail_is_never_undershot(draws: int) -> None:
    for seed in range(5):
        null = torch.randn(draws, generator=torch.Generator().manual_seed(seed))
        scores = torch.tensor([4.0, 5.0, 6.0, 8.0])
        p = tail_p(scores, null)
        assert bool((p > torch.from_numpy(stats.norm.sf(scores.numpy()))).all())
        assert bool((p[1:] < p[:-1]).all()), "and still falls"
        assert bool((p <= 10 / draws).all())


def test_a_heavy_tail_is_followed() -> None:
    null = torch.from_numpy(stats.pareto.rvs(3, size=20_000, random_state=1)).float()
    expected = stats.pareto.sf([60.0, 120.0], 3)
    assert tail_p(torch.tensor([60.0, 120.0]), null).log10().tolist() == pytest.approx(
        torch.from_numpy(expected).log10().tolist(), abs=0.7
    )


def test_no_p_is_0_and_a_null_without_spread_says_nothing() -> None:
    assert 0 < float(tail_p(torch.tensor([1e9]), torch.randn(1000))[0]) < 1e-20
    constant = torch.full((1000,), 2.0)
    assert tail_p(torch.tensor([2.0, 3.0]), constant).tolist() == pytest.approx([1.0, 1 / 1001])
    assert standardise(torch.tensor([2.0, 3.0]), constant).tolist() == [0.0, 0.0]
    assert standardise(torch.tensor([5.0]), torch.tensor([1.0, 3.0])).tolist() == [3.0]


def test_the_summary_weighs_tables_by_their_units_and_names_the_significant_sets() -> None:
    scores = torch.arange(1000.0)
    labels = torch.where(scores < 975, 0, torch.where(scores < 990, 3, 1))
    nothing = torch.empty(1000, 0)
    three, one = torch.arange(3), torch.tensor([3])
    layer = summarise(
        [
            GroupNull(three, NullTable(scores, labels, nothing)),
            GroupNull(one, NullTable(scores + 1000, labels, nothing)),
        ]
    )
    assert layer.mean == pytest.approx(0.75 * 499.5 + 0.25 * 1499.5)
    assert (layer.draws, len(layer.quantiles), layer.quantiles[0], layer.quantiles[100]) == (2000, 101, 0.0, 1999.0)
    assert layer.quantiles[50] == pytest.approx(666, abs=1)
    assert dict(layer.labels) == pytest.approx({0: 25 / 50, 3: 15 / 50, 1: 10 / 50}, abs=0.02)


def noise(seed: int, correlation: float, *, exams_known: bool, contrast: bool = True, units: int = 250) -> Tensor:
    """P-values of units that know nothing; images of an exam are alike to the dissector, and to the units as told."""
    generator = torch.Generator().manual_seed(seed)
    of_image = torch.arange(120).repeat_interleave(4)
    images = torch.randn(120, 32, generator=generator)[of_image] + 0.7 * torch.randn(480, 32, generator=generator)
    texts = normalize(torch.randn(40, 32, generator=generator), dim=1)
    patient = torch.randn(120, units, generator=generator)[of_image]
    own = torch.randn(480, units, generator=generator)
    top = top_k_images(correlation**0.5 * patient + (1 - correlation) ** 0.5 * own, 30)
    images = normalize(images, dim=1)
    columns = columns_of_embeddings(images, texts)
    scorer: Scorer = WpmiScorer(columns, WpmiParameters())
    if contrast:
        scorer = ContrastScorer(columns, spread_of_scores(images @ texts.T), 1.0)
    ranking = best_concepts(scorer, top, 1, check_cancelled=lambda: None)
    exams = Exams(of_image, 120, "exam") if exams_known else Exams(torch.arange(480), 480, "image")
    p = torch.empty(units, dtype=torch.float64)
    for group in draw_null_sets(exams, top, 2000, seed):
        table = null_table(scorer, group.sets, ranking.prior, units, ())
        p[group.units] = tail_p(ranking.scores[group.units, 0], table.best)
    return p


@pytest.mark.parametrize("contrast", [True, False], ids=["contrast", "soft-wpmi"])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_units_that_know_nothing_are_called_at_the_nominal_rate(correlation: float, contrast: bool) -> None:
    p = torch.cat([noise(seed, correlation, exams_known=True, contrast=contrast) for seed in range(6)])
    called = int((p <= LEVEL).sum())
    # Units of a layer share its images and its prior term, so they count as fewer: a fifth of them.
    assert stats.binomtest(called // 5, len(p) // 5, LEVEL, alternative="two-sided").pvalue > 1e-3, called / len(p)


@pytest.mark.parametrize("patient", [0.0, 1.0], ids=["sees-images", "sees-patients"])
def test_a_concept_of_large_exams_is_called_at_the_nominal_rate(patient: float) -> None:
    """Large exams look different, and a concept is just that difference: a null of other sizes would call it."""
    called = [_called_after_size(seed, patient) for seed in range(6)]
    assert LEVEL / 2 < sum(called) / len(called) < 1.6 * LEVEL, called


def _called_after_size(seed: int, patient: float, units: int = 250) -> float:
    """The share of units that know nothing which respond to that concept."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([4] * 138 + [8] * 12)
    of_image = torch.arange(150).repeat_interleave(sizes)
    alike = torch.randn(150, 32, generator=generator)
    alike[138:, 0] += 2
    images = normalize(alike[of_image] + 0.7 * torch.randn(len(of_image), 32, generator=generator), dim=1)
    texts = normalize(torch.randn(40, 32, generator=generator), dim=1)
    texts[0] = torch.eye(32)[0]
    whole = torch.randn(150, units, generator=generator)[of_image]
    single = torch.randn(len(of_image), units, generator=generator)
    top = top_k_images(patient**0.5 * whole + (1 - patient) ** 0.5 * single, 40)
    scorer = ContrastScorer(columns_of_embeddings(images, texts), spread_of_scores(images @ texts.T), 1.0)
    ranking = best_concepts(scorer, top, 1, check_cancelled=lambda: None)
    responses = scorer.of_concepts(top, ranking.prior, (0,))[:, 0]
    called = 0
    for group in draw_null_sets(Exams(of_image, 150, "exam"), top, 2000, seed):
        table = null_table(scorer, group.sets, ranking.prior, units, (0,))
        called += int((tail_p(responses[group.units], table.watched[:, 0]) <= LEVEL).sum())
    return called / units


def test_a_null_that_ignores_exams_fails_visibly() -> None:
    p = torch.cat([noise(seed, 1.0, exams_known=False) for seed in range(3)])
    assert float((p <= LEVEL).double().mean()) > 5 * LEVEL
