"""The inner loop of WPMI and soft-WPMI: sums of logarithms over each unit's top images.

    out[u, c] = sum_r log(base_r + weight_r * q[row(u, r), c]),   q[i, c] = exp(temperature * P[i, c] - log_sum_i)

One logarithm serves a whole sum: the factors are multiplied, five at a time, and after each five the product's
binary exponent is taken off into an integer, so that nothing underflows and only the mantissas meet `log`.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from service.engine.compiled import compiled
from service.engine.similarity.softmax import compiled_exp

_GROUP = 5
_STRIP = 64
_SMALLEST_FACTOR = 2.7e-8
_TORCH_BLOCK = 1 << 24


def log_products(
    scores: Tensor, temperature: float, log_sums: Tensor, rows: Tensor, base: Tensor, weight: Tensor
) -> Tensor:
    """Sum over r of log(base_r + weight_r * q[rows[u, r], c]), q being softmax's columns for these concepts.

    scores: float32 [R, C], some columns of P. log_sums: float32 [R], the logarithm of softmax's denominator.
    rows: integer [U, K] into the scores. base, weight: float32 [K], both not negative.
    Returns float32 [U, C] on the scores' device. On the CPU every operation is a plain IEEE float32 one in a fixed
    order (no fast-math, no fused multiply-add), so the result does not depend on the number of threads.
    Raises ValueError when a factor may be so small that five of them would leave float32's normal range.
    """
    if float(base.min()) < _SMALLEST_FACTOR:
        raise ValueError(f"the smallest factor is {float(base.min()):.1e}; it must be {_SMALLEST_FACTOR} or more")
    product = log_products_numba if scores.device.type == "cpu" else log_products_torch
    return product(scores, temperature, log_sums, rows, base, weight)


def log_products_numba(
    scores: Tensor, temperature: float, log_sums: Tensor, rows: Tensor, base: Tensor, weight: Tensor
) -> Tensor:
    """`log_products` compiled for the CPU.

    The concepts are cut into strips that stay in a core's cache while all units are scored; strips run in threads.
    """
    images, concepts = scores.shape
    missing = -rows.shape[1] % _GROUP
    padded_rows = pad(rows, (0, missing)).to(torch.int32).contiguous().numpy()
    padded_base = pad(base, (0, missing), value=1.0).numpy()
    padded_weight = pad(weight, (0, missing)).numpy()
    softmax = np.float32(temperature), log_sums.numpy()

    out = torch.empty(rows.shape[0], concepts)
    score_array, out_array = scores.numpy(), out.numpy()
    kernel = _compiled()
    workers = torch.get_num_threads()

    def score_strips(first: int) -> None:
        strip = np.zeros((images, _STRIP), np.float32)  # one for all of a thread's strips: fresh memory is slow memory
        for start in range(first * _STRIP, concepts, workers * _STRIP):
            stop = min(start + _STRIP, concepts)
            strip[:, : stop - start] = score_array[:, start:stop]
            kernel(strip, *softmax, padded_rows, padded_base, padded_weight, out_array[:, start:stop])

    with ThreadPoolExecutor(workers) as threads:
        for _ in threads.map(score_strips, range(workers)):
            pass

    return out


def log_products_torch(
    scores: Tensor, temperature: float, log_sums: Tensor, rows: Tensor, base: Tensor, weight: Tensor
) -> Tensor:
    """`log_products` in plain torch operations, for CUDA; blocks of units bound its memory to some 200 MB."""
    q = torch.add(-log_sums[:, None], scores, alpha=temperature).exp_()
    out = torch.empty(rows.shape[0], q.shape[1], device=q.device)
    weights, bases = weight.tolist(), base.tolist()
    units = max(1, _TORCH_BLOCK // q.shape[1])

    for start in range(0, rows.shape[0], units):
        block = rows[start : start + units]
        total = torch.zeros(len(block), q.shape[1], device=q.device)

        for group in range(0, rows.shape[1], _GROUP):
            product = torch.ones_like(total)
            for r in range(group, min(group + _GROUP, rows.shape[1])):
                product.mul_(q.index_select(0, block[:, r]).mul_(weights[r]).add_(bases[r]))
            total.add_(product.log_())

        out[start : start + units] = total

    return out


_Floats = NDArray[np.float32]


@cache
def _compiled() -> Callable[..., None]:
    """The CPU kernel, compiled at its first use (about half a second)."""
    exp = compiled_exp()
    ln2 = np.float32(math.log(2.0))
    mantissa_bits, one_bits = np.int32(0x007FFFFF), np.int32(0x3F800000)
    shift, bias = np.int32(23), np.int32(127)

    def kernel(
        strip: _Floats,
        temperature: np.float32,
        log_sums: _Floats,
        rows: NDArray[np.int64],
        base: _Floats,
        weight: _Floats,
        out: _Floats,
    ) -> None:
        for i in range(strip.shape[0]):  # scores in, probabilities from here on
            image = strip[i]
            for c in range(_STRIP):
                image[c] = exp(temperature * image[c] - log_sums[i])

        mantissa = np.empty(_STRIP, np.float32)
        exponent = np.empty(_STRIP, np.int32)
        for u in range(rows.shape[0]):
            for c in range(_STRIP):
                mantissa[c] = np.float32(1)
                exponent[c] = 0

            for g in range(0, rows.shape[1], _GROUP):
                q0, q1, q2 = strip[rows[u, g]], strip[rows[u, g + 1]], strip[rows[u, g + 2]]
                q3, q4 = strip[rows[u, g + 3]], strip[rows[u, g + 4]]
                b0, b1, b2, b3, b4 = base[g], base[g + 1], base[g + 2], base[g + 3], base[g + 4]
                w0, w1, w2, w3, w4 = weight[g], weight[g + 1], weight[g + 2], weight[g + 3], weight[g + 4]

                for c in range(_STRIP):
                    left = (b0 + w0 * q0[c]) * (b1 + w1 * q1[c])
                    right = (b2 + w2 * q2[c]) * (b3 + w3 * q3[c])
                    product = mantissa[c] * (left * right * (b4 + w4 * q4[c]))
                    bits = np.float32(product).view(np.int32)
                    exponent[c] += (bits >> shift) - bias
                    mantissa[c] = np.int32((bits & mantissa_bits) | one_bits).view(np.float32)

            for c in range(out.shape[1]):
                out[u, c] = np.float32(exponent[c]) * ln2 + math.log(mantissa[c])

    return compiled(kernel, nogil=True)
