"""How far apart in meaning concepts are, as the dissector's text encoder has it."""

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import Indices

_PAIRS_AT_ONCE = 4096


class Meanings:
    """The text embeddings of a concept set, float32 [C, D]."""

    def __init__(self, texts: NDArray[np.float32]) -> None:
        self._texts = texts
        self._lengths = np.linalg.norm(texts.astype(np.float64), axis=1)

    def distances(self, first: Indices, second: Indices) -> NDArray[np.float64]:
        """1 - cosine of the concepts' embeddings, index by index, in the shape of both; none of them NONE.

        Exactly 0 between a concept and itself.
        """
        found = np.zeros(first.shape)
        apart = first != second
        pairs, places = np.unique(np.stack([first[apart], second[apart]]), axis=1, return_inverse=True)
        found[apart] = self._of_pairs(*pairs)[places]
        return found

    def _of_pairs(self, first: Indices, second: Indices) -> NDArray[np.float64]:
        cosines = np.empty(len(first))
        for start in range(0, len(first), _PAIRS_AT_ONCE):
            block = slice(start, start + _PAIRS_AT_ONCE)
            ours, theirs = (self._texts[one[block]].astype(np.float64) for one in (first, second))
            cosines[block] = (ours * theirs).sum(axis=1) / (self._lengths[first[block]] * self._lengths[second[block]])
        # Rounding may leave the cosine of two texts with one embedding a hair above 1.
        distances: NDArray[np.float64] = np.maximum(1 - cosines, 0)
        return distances
