"""soft-WPMI from ready top-k indices, against the paper's formula as a loop over units, and its memory."""

import math
import multiprocessing
import threading
import time

import psutil
import torch
from torch import Tensor

from benchmarks.table import Row, race
from service.engine.similarity import soft_wpmi_from_top_k

_SIZES = ((5000, 763, 2048), (5000, 20_000, 512))
_TOP_K = 100
_TOLERANCE = 20 * 2e-4
_MEMORY_GOAL_MB = 300


def loop_over_units(concept_scores: Tensor, top_indices: Tensor) -> Tensor:
    """The formula as it is written: for each unit, every factor and every logarithm of its K x C matrix."""
    probabilities = torch.softmax(10.0 * concept_scores, dim=1)
    k = top_indices.shape[1]
    weights = (0.998 - torch.arange(k) / k * (0.998 - 0.97))[:, None]
    raw = torch.stack(
        [torch.log(1 + weights * (probabilities[images] - 1) + 1e-7).sum(dim=0) for images in top_indices]
    )
    return raw - (torch.logsumexp(raw, dim=0) - math.log(len(raw)))


def run() -> list[Row]:
    return [row for images, concepts, units in _SIZES for row in _measure(images, concepts, units)]


def _measure(images: int, concepts: int, units: int) -> list[Row]:
    name = f"soft-WPMI N={images} C={concepts} U={units} K={_TOP_K}"
    scores, top = _draw(images, concepts, units)
    torch.testing.assert_close(soft_wpmi_from_top_k(scores, top), loop_over_units(scores, top), rtol=0, atol=_TOLERANCE)
    timing = race(lambda: loop_over_units(scores, top), lambda: soft_wpmi_from_top_k(scores, top), rounds=7)
    with multiprocessing.get_context("spawn").Pool(1) as child:
        extra = child.apply(peak_extra_megabytes, (images, concepts, units))
    updates = units * _TOP_K * concepts / 1e9
    bound = 4 * (scores.numel() + units * concepts + 2 * top.numel()) / _copy_bandwidth()
    limit, small = f"below {_MEMORY_GOAL_MB} MB", extra < _MEMORY_GOAL_MB
    return [
        Row(name, timing.baseline, timing.measured, "s", timing.speedup, "5 x as fast", timing.speedup >= 5),
        Row("  factor updates", updates / timing.baseline, updates / timing.measured, "10^9/s", timing.speedup),
        Row("  time to move inputs and result once", bound, timing.measured, "s", timing.measured / bound),
        Row("  extra memory with the result", _MEMORY_GOAL_MB, extra, "MB", extra / _MEMORY_GOAL_MB, limit, small),
    ]


def _draw(images: int, concepts: int, units: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(images, concepts, generator=generator) / 10
    return scores, torch.rand(units, images, generator=generator).topk(_TOP_K, dim=1).indices


def peak_extra_megabytes(images: int, concepts: int, units: int) -> float:
    """The most that a fresh process's resident set grows during one call, sampled every half millisecond."""
    scores, top = _draw(images, concepts, units)
    soft_wpmi_from_top_k(scores[:, :2], top[:2])  # compiles the kernel
    process, finished = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def sample() -> None:
        nonlocal peak
        while not finished.is_set():
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.0005)

    sampler = threading.Thread(target=sample)
    sampler.start()
    soft_wpmi_from_top_k(scores, top)
    finished.set()
    sampler.join()
    return (peak - before) / 1e6


def _copy_bandwidth() -> float:
    """Bytes a second that a copy between two large buffers reads and writes here, the best of five."""
    source = torch.ones(1 << 26)
    target = torch.empty_like(source)
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best
