"""How far apart concepts are in meaning, as the dissector's text encoder sees it."""

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import Indices

_PAIRS_AT_ONCE = 4096


class Meanings:
    """The text embeddings of a concept set, float32 [C, D]."""

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        self._embeddings = embeddings
        self._lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1)

    def distances(self, first: Indices, second: Indices) -> NDArray[np.float64]:
        """1 - cosine of the concepts' embeddings, index by index, in the shape of both; none of them NONE.

        Exactly 0 between a concept and itself.
        """
        distances = np.zeros(first.shape)
        differing = first != second

        # Many units have the same two concepts, so each pair is computed once.
        pairs = first[differing].astype(np.int64) * len(self._embeddings) + second[differing]
        distinct, places = np.unique(pairs, return_inverse=True)
        distances[differing] = self._of_pairs(*np.divmod(distinct, len(self._embeddings)))[places]
        return distances

    def _of_pairs(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        cosines = np.empty(len(first))
        for start in range(0, len(first), _PAIRS_AT_ONCE):
            block = slice(start, start + _PAIRS_AT_ONCE)
            first_embeddings = self._embeddings[first[block]].astype(np.float64)
            second_embeddings = self._embeddings[second[block]].astype(np.float64)
            lengths = self._lengths[first[block]] * self._lengths[second[block]]
            cosines[block] = (first_embeddings * second_embeddings).sum(axis=1) / lengths

        # Rounding may leave the cosine of two texts with one embedding a hair above 1.
        distances: NDArray[np.float64] = np.maximum(1 - cosines, 0)
        return distances
