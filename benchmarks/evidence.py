"""The null and the resamples of a layer against the paper's formula as a loop; how often noise is called a concept."""

import multiprocessing
import statistics
import time
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.soft_wpmi import loop_over_units
from benchmarks.table import Row, peak_bytes
from service.analysis.discoveries import q_values
from service.domain.evidence import LEVEL
from service.engine.evidence.exams import Exams, resample
from service.engine.evidence.null import null_table, tail_p
from service.engine.evidence.null_sets import draw_null_sets
from service.engine.evidence.stability import labels_of_resamples
from service.engine.similarity.scorer import best_concepts, columns_of_embeddings
from service.engine.similarity.wpmi_scorer import WpmiParameters, WpmiScorer
from service.engine.top_k import top_k_images

_IMAGES, _PER_EXAM, _CONCEPTS, _TOP_K = 4_000, 4, 763, 100
_DRAWS, _LOOPED = 100_000, 500
_UNITS, _RESAMPLES = 7_000, 200
_SEEDS, _NOISE_UNITS = 200, 1_000
_MOST_OF_MIXED = 0.1
"""Exams of different sizes are exchanged by a model of what units take of them, which is not exact."""

_MIXED = [1, 1, 2, 4, 4, 4, 4, 8, 12]
"""Sizes of exams; as many images as ten exams of four."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Embeddings of images whose exams look alike, and the top images of units that know nothing."""

    exams: Exams
    scores: Tensor
    scorer: WpmiScorer
    top: Tensor


def run() -> list[Row]:
    with multiprocessing.get_context("spawn").Pool(1) as child:
        null = child.apply(_null)
    return [*null, *_resampling(), *_calibration()]


def draw(
    seed: int, *, images: int, concepts: int, units: int, keep: int, patient: float = 0.0, mixed: bool = False
) -> Layer:
    """patient: the share of a unit's variance that is its exams'. mixed: exams are of 1 to 12 images instead of 4.

    Then those of more than four look different, and the first concept is just that difference.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(_MIXED * (images // sum(_MIXED)) if mixed else [_PER_EXAM] * (images // _PER_EXAM))
    exams = Exams(torch.arange(len(sizes)).repeat_interleave(sizes), len(sizes), "exam")
    alike = torch.randn(exams.count, 64, generator=generator)
    alike[sizes > _PER_EXAM, 0] += 2
    embeddings = normalize(alike[exams.of_image] + 0.7 * torch.randn(images, 64, generator=generator), dim=1)
    texts = normalize(torch.randn(concepts, 64, generator=generator), dim=1)
    if mixed:
        texts[0] = torch.eye(64)[0]
    whole = torch.randn(exams.count, units, generator=generator)[exams.of_image]
    single = torch.randn(images, units, generator=generator)
    top = top_k_images(patient**0.5 * whole + (1 - patient) ** 0.5 * single, keep)
    scorer = WpmiScorer(columns_of_embeddings(embeddings, texts), WpmiParameters())
    return Layer(exams, embeddings @ texts.T, scorer, top)


def _null() -> list[Row]:
    layer = draw(0, images=_IMAGES, concepts=_CONCEPTS, units=64, keep=_TOP_K)
    ranking = best_concepts(layer.scorer, layer.top, 1, check_cancelled=lambda: None)
    null_table(layer.scorer, layer.top, ranking.prior, 64, ())  # compiles
    draw_null_sets(layer.exams, layer.top, 1, 0)
    before = psutil.Process().memory_info().rss
    begun = time.perf_counter()
    for group in draw_null_sets(Exams(torch.arange(_IMAGES), _IMAGES, "image"), layer.top, _DRAWS, 0):
        null_table(layer.scorer, group.sets, ranking.prior, 64, ())
    seconds = time.perf_counter() - begun
    peak = peak_bytes()
    begun = time.perf_counter()
    loop_over_units(layer.scores, group.sets[:_LOOPED])
    looped = (time.perf_counter() - begun) * _DRAWS / _LOOPED
    name = f"null, {_DRAWS:,} sets, N={_IMAGES} C={_CONCEPTS} K={_TOP_K}, against the loop ({_LOOPED} sets, scaled)"
    extra = (peak - before) / 1e6
    return [
        Row(name, looped, seconds, "s", looped / seconds, "at most 10 s", seconds <= 10),
        Row("  extra memory", 1000, extra, "MB", extra / 1000, "below 1000 MB", extra < 1000),
    ]


def _resampling() -> list[Row]:
    layer = draw(1, images=_IMAGES, concepts=_CONCEPTS, units=_UNITS, keep=3 * _TOP_K)
    draws = resample(layer.exams, _RESAMPLES, 0)
    begun = time.perf_counter()
    labels_of_resamples(layer.scorer, layer.top, layer.top, layer.exams, draws, _TOP_K, lambda: None)
    seconds = time.perf_counter() - begun
    begun = time.perf_counter()
    loop_over_units(layer.scores, layer.top[:_LOOPED, :_TOP_K])
    looped = (time.perf_counter() - begun) * _UNITS / _LOOPED * _RESAMPLES
    name = f"{_RESAMPLES} resamples of {_UNITS:,} units, against the loop ({_LOOPED} units once, scaled)"
    return [Row(name, looped, seconds, "s", looped / seconds, "at most 120 s", seconds <= 120)]


def _calibration() -> list[Row]:
    """Units of pure noise: what share has p <= 0.05, and what share is significant after false-discovery control."""
    rows = []
    for patient in (0.0, 0.5, 1.0):
        for known, mixed in ((True, False), (True, True), (False, False)):
            shares = [_noise_called(seed, patient, exams_known=known, mixed=mixed) for seed in range(_SEEDS)]
            p, q, response = (statistics.mean(side) for side in zip(*shares, strict=True))
            spread = statistics.stdev(share for share, _, _ in shares) / _SEEDS**0.5
            exams = f"exams {'of 1 to 12 images ' if mixed else ''}{'exchanged' if known else 'ignored'}"
            name = f"noise, {patient:.0%} of it the patient's, {exams}: p <= {LEVEL}"
            limit = _MOST_OF_MIXED if mixed else LEVEL + 3 * spread
            rows += [
                _rate(name, p, limit, judged=known),
                _rate("  significant after control", q, LEVEL, judged=known),
            ]
            if mixed:
                rows.append(_rate("  responds to what is large", response, limit, judged=known))
    return rows


def _rate(name: str, share: float, limit: float, *, judged: bool) -> Row:
    """judged: False shows what a null that ignores exams would do."""
    goal, met = (f"at most {limit:.3f}", share <= limit) if judged else ("", None)
    return Row(name, LEVEL, share, "share", share / LEVEL, goal, met)


def _noise_called(seed: int, patient: float, *, exams_known: bool, mixed: bool) -> tuple[float, float, float]:
    """Shares of units: label with p <= LEVEL, the same after control, score of the first concept with p <= LEVEL."""
    layer = draw(seed, images=1_000, concepts=60, units=_NOISE_UNITS, keep=50, patient=patient, mixed=mixed)
    exams = layer.exams if exams_known else Exams(torch.arange(1_000), 1_000, "image")
    ranking = best_concepts(layer.scorer, layer.top, 1, check_cancelled=lambda: None)
    first = layer.scorer.of_concepts(layer.top, ranking.prior, (0,))[:, 0]
    p, own = torch.empty(2, _NOISE_UNITS, dtype=torch.float64)
    for group in draw_null_sets(exams, layer.top, 2_000, seed):
        table = null_table(layer.scorer, group.sets, ranking.prior, _NOISE_UNITS, (0,))
        p[group.units] = tail_p(ranking.scores[group.units, 0], table.best)
        own[group.units] = tail_p(first[group.units], table.watched[:, 0])
    q = q_values(p.numpy(), _NOISE_UNITS)
    return float((p <= LEVEL).double().mean()), float((q <= LEVEL).mean()), float((own <= LEVEL).double().mean())
