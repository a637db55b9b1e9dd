"""The axes along which the dissector's embeddings differ, worked out once for all layers that have the same."""

from collections import deque

import torch
from torch import Tensor

_MOST = 12
"""Of two times D x D numbers each; a layer has six: a fold left out four times, and twice all of them."""


class KeptAxes:
    """Eigenvectors of the scatter matrices that were asked for last.

    The layers of a job are judged on the same images. Where their activations are read in blocks of the same size, the
    embeddings' scatter is the same to the last bit, and it is by all its bits that it is known again.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=_MOST)

    def of(self, scatter: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues [D], ascending, and eigenvectors [D, D] of a symmetric matrix [D, D], as `torch.linalg.eigh`.

        None of the three may be written to.
        """
        for known, values, vectors in self._kept:
            if torch.equal(known, scatter):
                return values, vectors

        values, vectors = torch.linalg.eigh(scatter)
        self._kept.append((scatter, values, vectors))
        return values, vectors
