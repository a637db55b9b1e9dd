"""Concepts that a dissector hardly tells apart, by the embeddings of their texts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NEAR = 0.98
"""Embeddings with a cosine of at least this are near: their scores go up and down together."""

MOST_PAIRS = 200
_BLOCK = 1_024


def near_pairs(texts: Sequence[str], embeddings: NDArray[np.float32]) -> list[tuple[str, str, float]]:
    """Pairs of texts with the cosine of their embeddings [C, D], the nearest first, MOST_PAIRS at most."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)

    pairs: list[tuple[float, int, int]] = []
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit[start:].T
        rows, columns = np.nonzero(np.triu(cosines >= NEAR, k=1))
        near = cosines[rows, columns]
        # Only the nearest become Python's tuples: where a dissector tells nothing apart, every pair is near.
        nearest = np.lexsort((columns, rows, -near))[:MOST_PAIRS]
        pairs += [(-float(near[at]), start + int(rows[at]), start + int(columns[at])) for at in nearest]
        pairs = sorted(pairs)[:MOST_PAIRS]
    return [(texts[first], texts[second], -cosine) for cosine, first, second in pairs]
