"""The similarity functions against the golden values of the original, and on cases worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from service.engine import similarity
from service.engine.similarity.log_products import log_products, log_products_numba, log_products_torch
from service.engine.similarity.scorer import ConceptColumns, best_concepts, columns_of_embeddings, columns_of_scores
from service.engine.similarity.softmax import compiled_exp, log_sum_exp
from service.engine.similarity.wpmi_scorer import WpmiParameters, WpmiScorer
from service.engine.top_k import top_k_images
from service.errors import InvalidActivations, TooFewImages

GOLDEN = Path(__file__).parents[2] / "golden" / "D_similarity_N300_C97_U64.npz"
NOISE_FACTOR = 20


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def inputs(golden: dict[str, Tensor], which: str, device: torch.device) -> tuple[Tensor, Tensor]:
    activations = golden["target_feats"]
    if which == "clean":
        activations = activations[:, golden["clean_units"].long()]
    return golden["clip_feats"].to(device), activations.to(device)


def close(actual: Tensor, expected: Tensor, noise: float) -> None:
    torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=NOISE_FACTOR * noise)


@pytest.mark.parametrize(
    ("name", "options", "noise"),
    [
        ("clean/soft_wpmi_k100", {}, 2e-4),
        ("clean/soft_wpmi_k50", {"top_k": 50}, 1.5e-4),
        ("clean/soft_wpmi_k50_a2_lam0.6", {"top_k": 50, "temperature": 2.0, "lam": 0.6}, 7e-5),
        ("all/soft_wpmi_k100_lowest_row_first", {}, 2e-4),
    ],
)
def test_soft_wpmi_is_the_original(
    golden: dict[str, Tensor], device: torch.device, name: str, options: dict[str, float], noise: float
) -> None:
    concepts, activations = inputs(golden, name.partition("/")[0], device)
    close(similarity.soft_wpmi(concepts, activations, **options), golden[name], noise)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "options", "noise"),
    [
        ("clean/wpmi_k28", {}, 3e-5),
        ("clean/wpmi_k100", {"top_k": 100}, 1.2e-4),
        ("all/wpmi_k28_lowest_row_first", {}, 3e-5),
    ],
)
def test_wpmi_is_the_original(
    golden: dict[str, Tensor], device: torch.device, name: str, options: dict[str, int], noise: float
) -> None:
    concepts, activations = inputs(golden, name.partition("/")[0], device)
    close(similarity.wpmi(concepts, activations, **options), golden[name], noise)


@pytest.mark.parametrize("which", ["clean", "all"])
def test_cosines_are_the_original(golden: dict[str, Tensor], device: torch.device, which: str) -> None:
    concepts, activations = inputs(golden, which, device)
    expected = golden[f"{which}/cos_similarity"]
    actual = similarity.cosine(concepts, activations).cpu()
    assert torch.equal(actual.isnan(), expected.isnan())
    close(actual.nan_to_num(), expected.nan_to_num(), 1.5e-6)
    close(similarity.cosine_cubed(concepts, activations), golden[f"{which}/cos_similarity_cubed"], 1.5e-6)


def test_rank_reorder_is_the_original(golden: dict[str, Tensor], device: torch.device) -> None:
    concepts, activations = inputs(golden, "clean", device)
    shifted = similarity.rank_reorder(concepts + 0.35, activations, generator=torch.Generator().manual_seed(1234))
    close(shifted, golden["clean/rank_reorder_shifted"], 1.3e-6)
    raw = similarity.rank_reorder(concepts, activations, generator=torch.Generator().manual_seed(1234)).cpu()
    expected = golden["clean/rank_reorder_raw"]
    assert torch.equal(raw.isnan(), expected.isnan())
    torch.testing.assert_close(raw.nan_to_num(), expected.nan_to_num(), rtol=NOISE_FACTOR * 5e-5, atol=0)


def test_ties_go_to_the_lower_image(golden: dict[str, Tensor], device: torch.device) -> None:
    _, activations = inputs(golden, "all", device)
    expected = golden["all/topk_rows_k100_lowest_row_first"].t().long()
    assert torch.equal(top_k_images(activations, 100).cpu(), expected)


def test_soft_wpmi_worked_out_on_paper(device: torch.device) -> None:
    # Two concepts, temperature 1: the cosines 0 and log 3 give q = (1/4, 3/4); 0 and 0 give (1/2, 1/2).
    # Unit 0 ranks image 0, then image 1; unit 1 ranks image 1, then image 0.
    # K = 2, p_0 = 0.8, p_1 = 0.8 - 1/2 * 0.4 = 0.6.
    # raw(0, c) = log(0.2 + 0.8 q_0c) + log(0.4 + 0.6 q_1c): 0.4 * 0.7 = 0.28 and 0.8 * 0.7 = 0.56.
    # raw(1, c) = log(0.2 + 0.8 q_1c) + log(0.4 + 0.6 q_0c): 0.6 * 0.55 = 0.33 and 0.6 * 0.85 = 0.51.
    # exp(prior) = mean over units: 0.305 and 0.535.
    concepts = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]], device=device)
    activations = torch.tensor([[2.0, 1.0], [1.0, 2.0]], device=device)
    actual = similarity.soft_wpmi(concepts, activations, top_k=2, temperature=1.0, p_start=0.8, p_end=0.4)
    expected = torch.tensor([[0.28 / 0.305, 0.56 / 0.535], [0.33 / 0.305, 0.51 / 0.535]]).log()
    close(actual, expected, 1e-7)


def test_blocks_of_concepts_give_what_one_block_gives(
    golden: dict[str, Tensor], device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    concepts, activations = inputs(golden, "all", device)
    whole = similarity.soft_wpmi(concepts, activations)
    monkeypatch.setattr("service.engine.similarity.scorer._BLOCK_ENTRIES", 1)
    columns, rows = columns_of_scores(concepts, top_k_images(activations, 100))
    scorer = WpmiScorer(columns, WpmiParameters())
    starts, blocks, _ = zip(*scorer.of_units(rows), strict=True)
    assert starts == (0, 64)
    close(torch.cat(blocks, dim=1), whole.cpu(), 2e-5)
    others = torch.cat([prior for _, _, prior in scorer.of_units(rows[:-1])])
    one_more = torch.cat([block for _, block in scorer.of_sets(rows[-1:], others, len(rows) - 1)], dim=1)
    close(one_more, whole[-1:].cpu(), 2e-5)


def test_only_images_that_occur_are_scored(golden: dict[str, Tensor], device: torch.device) -> None:
    concepts, activations = inputs(golden, "clean", device)
    top = top_k_images(activations, 5)
    columns, rows = columns_of_scores(concepts, top)
    assert columns.images == len(set(top.flatten().tolist())) < len(concepts)
    assert torch.equal(columns.columns(0, 97)[rows], concepts[top])


def test_embeddings_serve_as_well_as_their_products(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(5)
    images = torch.nn.functional.normalize(torch.randn(60, 16, generator=generator), dim=1).to(device)
    texts = torch.nn.functional.normalize(torch.randn(9, 16, generator=generator), dim=1).to(device)
    top = top_k_images(torch.randn(60, 4, generator=generator).to(device), 10)
    expected = similarity.soft_wpmi_from_top_k(images @ texts.t(), top)
    [(_, actual, _)] = WpmiScorer(columns_of_embeddings(images, texts), WpmiParameters()).of_units(top)
    close(actual, expected.cpu(), 1e-6)


def test_best_concepts_are_ranked_over_all_blocks_with_ties_to_the_lower_concept(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.similarity.scorer._BLOCK_ENTRIES", 1)
    generator = torch.Generator().manual_seed(6)
    half = torch.randn(30, 70, generator=generator) / 4
    concepts = torch.cat([half, half], dim=1).to(device)  # concept c + 70 ties with concept c, in another block
    columns, rows = columns_of_scores(concepts, top_k_images(torch.randn(30, 3, generator=generator).to(device), 8))
    pauses: list[None] = []
    scorer = WpmiScorer(columns, WpmiParameters())
    best = best_concepts(scorer, rows, 6, check_cancelled=lambda: pauses.append(None))
    indices, scores = best.indices, best.scores
    assert len(pauses) == 2  # three blocks of 64
    assert torch.equal(indices[:, 1::2], indices[:, ::2] + 70)
    assert torch.equal(scores[:, 1::2], scores[:, ::2])
    assert bool((scores[:, 1:] <= scores[:, :-1]).all())


@pytest.mark.parametrize("k", [1, 4, 5, 13])
def test_both_kernels_are_the_sum_of_logarithms(k: int) -> None:
    generator = torch.Generator().manual_seed(7)
    q = torch.softmax(4 * torch.randn(50, 131, generator=generator), dim=1)
    rows = torch.randint(0, 50, (7, k), generator=generator)
    base, weight = WpmiParameters().factors(k, torch.device("cpu"))
    expected = (base[:, None] + weight[:, None] * q[rows]).double().log().sum(dim=1).float()
    temperature, log_sums = 4.0, torch.randn(50, generator=generator)
    scores = (q.log() + log_sums[:, None]) / temperature
    close(log_products_numba(scores, temperature, log_sums, rows, base, weight), expected, 1e-6)
    close(log_products_torch(scores, temperature, log_sums, rows, base, weight), expected, 1e-6)


def test_the_number_of_threads_changes_no_bit() -> None:
    generator = torch.Generator().manual_seed(8)
    scores = torch.randn(40, 200, generator=generator)
    top = torch.randint(0, 40, (9, 10), generator=generator)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = similarity.soft_wpmi_from_top_k(scores, top)
        torch.set_num_threads(3)
        assert torch.equal(similarity.soft_wpmi_from_top_k(scores, top), alone)
    finally:
        torch.set_num_threads(threads)


def test_the_compiled_exponential_is_exact_to_one_part_in_ten_million() -> None:
    x = np.linspace(-86.9, 20.0, 50_001, dtype=np.float32)
    exp = compiled_exp()
    actual = np.array([exp(one) for one in x])
    np.testing.assert_allclose(actual, np.exp(x.astype(np.float64)), rtol=1e-7)
    assert exp(np.float32(-1000.0)) == exp(np.float32(-87.0)) < 1e-37
    assert np.isnan(exp(np.float32(np.nan)))


@pytest.mark.parametrize(("rows", "concepts"), [(1, 1), (3, 63), (70, 64), (5, 200), (2, 70_000)])
def test_log_sum_exp_of_rows(rows: int, concepts: int) -> None:
    scores = 30 * torch.randn(rows, concepts, generator=torch.Generator().manual_seed(9))
    expected = torch.logsumexp(2.0 * scores.double(), dim=1).float()
    torch.testing.assert_close(log_sum_exp(scores, 2.0), expected, rtol=2e-6, atol=2e-6)


def test_products_of_the_smallest_allowed_factors_do_not_underflow() -> None:
    base, weight = torch.full((100,), 2.8e-8), torch.ones(100)
    scores = log_products(
        torch.full((1, 3), -torch.inf), 1.0, torch.zeros(1), torch.zeros(2, 100, dtype=torch.int64), base, weight
    )
    torch.testing.assert_close(scores, torch.full((2, 3), 100 * math.log(2.8e-8)))


def test_factors_that_could_underflow_are_refused() -> None:
    with pytest.raises(ValueError, match="smallest factor"):
        similarity.wpmi(torch.zeros(3, 2), torch.zeros(3, 2), top_k=2, min_prob=0.0)


def test_fewer_images_than_top_k_are_refused() -> None:
    with pytest.raises(TooFewImages, match="3 images but top-k is 4"):
        similarity.soft_wpmi(torch.zeros(3, 2), torch.zeros(3, 2), top_k=4)
    with pytest.raises(TooFewImages, match="less than one of 19"):
        similarity.rank_reorder(torch.zeros(19, 2), torch.zeros(19, 2))


def test_nan_activations_are_refused() -> None:
    with pytest.raises(InvalidActivations):
        similarity.soft_wpmi(torch.zeros(3, 2), torch.full((3, 2), torch.nan), top_k=2)


def test_a_narrow_block_is_never_narrower_than_the_kernels_strip() -> None:
    huge = ConceptColumns(1_000_000, 20_000, lambda start, stop: torch.empty(0))
    assert next(iter(huge.blocks(100_000))) == (0, 64)
