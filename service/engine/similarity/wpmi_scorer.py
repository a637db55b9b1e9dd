"""WPMI and soft-WPMI a block of concepts at a time: the prior term needs every unit, but only one block of concepts.

    q[i, c]  = softmax over c of temperature * P[i, c]
    raw[u, c] = sum_r log(1 + p_r (q[i_r, c] - 1) + min_prob),  p_r = p_start - (r / K)(p_start - p_end)
    score    = raw - lam * (logsumexp over units of raw - log U)

(Oikarinen and Weng, CLIP-Dissect, ICLR 2023, section 3 and appendix; WPMI is the case p_start = p_end = 1.)
Because scores leave here block by block, neither [N, C] nor [U, C] has to exist: 1,000,000 images, 100,000 units and
20,000 concepts are scored in a few GB.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from service.engine.similarity.log_products import log_products
from service.engine.similarity.scorer import ConceptColumns
from service.engine.similarity.softmax import log_sum_exp


@dataclass(frozen=True, slots=True)
class WpmiParameters:
    """The formula's constants, in the symbols of the module's head; the defaults are soft-WPMI's published ones."""

    temperature: float = 10.0
    lam: float = 1.0
    p_start: float = 0.998
    p_end: float = 0.97
    min_prob: float = 1e-7

    def factors(self, k: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """base_r and p_r of 1 + p_r (q - 1) + min_prob = base_r + p_r q: float32 [K] each, rounded once."""
        rank = torch.arange(k, dtype=torch.float64, device=device)
        p = self.p_start - rank / k * (self.p_start - self.p_end)
        return (1.0 - p + self.min_prob).float(), p.float()


class WpmiScorer:
    """Soft-WPMI of sets of images, [S, K] positions among the images of `scores`, a block of concepts at a time."""

    def __init__(self, scores: ConceptColumns, parameters: WpmiParameters) -> None:
        self.scores = scores
        self._parameters = parameters
        self._log_sums = _log_sums(scores, parameters.temperature)

    def of_units(self, rows: Tensor, /) -> Iterator[tuple[int, Tensor, Tensor]]:
        """See `Scorer.of_units`; the prior is the layer's own."""
        for start, raw in self._raw(rows):
            prior = torch.logsumexp(raw, dim=0) - math.log(len(rows))
            yield start, raw.sub_(prior, alpha=self._parameters.lam), prior

    def of_sets(self, rows: Tensor, prior: Tensor, units: int, /) -> Iterator[tuple[int, Tensor]]:
        """See `Scorer.of_sets`.

        A unit's own images are part of its layer's prior and hold its score down to log U at most; so must those of a
        set that it is compared with.
        """
        for start, raw in self._raw(rows):
            others = prior[start : start + raw.shape[1]] + math.log(units)
            joined = torch.logaddexp(others, raw) - math.log(units + 1)
            yield start, raw.sub_(joined, alpha=self._parameters.lam)

    def of_concepts(self, rows: Tensor, prior: Tensor, concepts: Sequence[int], /) -> Tensor:
        """See `Scorer.of_concepts`."""
        parts = []
        base, weight = self._parameters.factors(rows.shape[1], rows.device)
        for start, stop in self.scores.blocks(len(rows)):
            inside = [concept for concept in concepts if start <= concept < stop]
            if inside:
                columns = self.scores.columns(start, stop)[:, [concept - start for concept in inside]]
                raw = log_products(columns, self._parameters.temperature, self._log_sums, rows, base, weight)
                parts.append(raw.sub_(prior[inside], alpha=self._parameters.lam))

        return torch.cat(parts, dim=1) if parts else prior.new_empty(len(rows), 0)

    def _raw(self, rows: Tensor) -> Iterator[tuple[int, Tensor]]:
        base, weight = self._parameters.factors(rows.shape[1], rows.device)
        temperature = self._parameters.temperature
        for start, stop in self.scores.blocks(len(rows)):
            columns = self.scores.columns(start, stop)
            yield start, log_products(columns, temperature, self._log_sums, rows, base, weight)


def _log_sums(scores: ConceptColumns, temperature: float) -> Tensor:
    """The logarithm of softmax's denominator over all concepts, [R]."""
    sums = (log_sum_exp(scores.columns(start, stop), temperature) for start, stop in scores.blocks(scores.images))
    return reduce(torch.logaddexp, sums)
