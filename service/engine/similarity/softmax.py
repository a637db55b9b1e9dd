"""Softmax on the CPU without its memory traffic: an exponential that compiles into other loops, and sums over rows.

`torch.softmax` writes a matrix as large as its input, and fresh memory costs more than the arithmetic. The kernels that
need probabilities therefore compute them where they use them, from the logarithm of each row's denominator.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.engine.compiled import compiled

_LANES = 64
_ENTRIES_AT_ONCE = 1 << 16


def log_sum_exp(scores: Tensor, temperature: float) -> Tensor:
    """The logarithm of softmax's denominator, log sum_c exp(temperature * scores[r, c]): float32 [R, C] -> [R].

    On the CPU each row is summed in one fixed order, so the result does not depend on the number of threads.
    """
    if scores.device.type != "cpu":
        return torch.logsumexp(temperature * scores, dim=1)

    result = torch.empty(len(scores))
    array, out = scores.numpy(), result.numpy()
    scale = np.float32(temperature)

    kernel = _compiled_log_sum_exp()
    workers = torch.get_num_threads()
    rows = max(1, _ENTRIES_AT_ONCE // scores.shape[1])

    def sum_rows(first: int) -> None:
        for start in range(first * rows, len(array), workers * rows):
            stop = start + rows
            kernel(np.ascontiguousarray(array[start:stop]), scale, out[start:stop])

    with ThreadPoolExecutor(workers) as threads:
        for _ in threads.map(sum_rows, range(workers)):
            pass

    return result


@cache
def compiled_exp() -> Callable[[np.float32], np.float32]:
    """exp of one float32, for use inside compiled loops; relative error below 1e-7, and exp(-87) for all below -87.

    e^x = 2^n e^r with n = round(x / log 2), |r| <= (log 2) / 2, and seven terms of e^r's series. Plain additions and
    multiplications, so that loops around it become vector instructions.
    """
    first_term = np.float32(1)
    lowest = np.float32(-87)
    log2_e = np.float32(1 / math.log(2))
    # log 2 in two parts, the first with few bits: n times it is exact.
    ln2_high, ln2_low = np.float32(0.693359375), np.float32(math.log(2) - 0.693359375)
    rounding = np.float32(1.5 * 2**23)  # added and taken off again, it rounds to an integer
    c2, c3, c4, c5, c6, c7 = (np.float32(1 / math.factorial(i)) for i in range(2, 8))
    shift, bias = np.int32(23), np.int32(127)

    def exp(x: np.float32) -> np.float32:
        bounded = lowest if x < lowest else x
        n = (bounded * log2_e + rounding) - rounding
        r = (bounded - n * ln2_high) - n * ln2_low
        series = first_term + (r + r * r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * (c6 + r * c7))))))
        return series * np.int32((np.int32(n) + bias) << shift).view(np.float32)

    return compiled(exp, inline="always")


@cache
def _compiled_log_sum_exp() -> Callable[..., None]:
    exp = compiled_exp()

    def kernel(scores: NDArray[np.float32], temperature: np.float32, out: NDArray[np.float32]) -> None:
        whole = scores.shape[1] // _LANES * _LANES
        lanes = np.empty(_LANES, np.float32)
        for i in range(scores.shape[0]):
            row = scores[i]
            largest = row[0]
            lanes[:] = largest

            for block in range(0, whole, _LANES):
                part = row[block : block + _LANES]
                for c in range(_LANES):
                    lanes[c] = max(lanes[c], part[c])
            for c in range(_LANES):
                largest = max(largest, lanes[c])
            for c in range(whole, scores.shape[1]):
                largest = max(largest, row[c])

            offset = temperature * largest
            lanes[:] = np.float32(0)
            for block in range(0, whole, _LANES):
                part = row[block : block + _LANES]
                for c in range(_LANES):
                    lanes[c] += exp(temperature * part[c] - offset)

            total = np.float32(0)
            for c in range(_LANES):
                total += lanes[c]
            for c in range(whole, scores.shape[1]):
                total += exp(temperature * row[c] - offset)

            out[i] = np.float32(math.log(total)) + offset

    return compiled(kernel, nogil=True)
