"""WPMI and soft-WPMI a block of concepts at a time: the prior term needs every unit, but only one block of concepts.

    q[i, c]  = softmax over c of temperature * P[i, c]
    raw[u, c] = sum_r log(1 + p_r (q[i_r, c] - 1) + min_prob),  p_r = p_start - (r / K)(p_start - p_end)
    score    = raw - lam * (logsumexp over units of raw - log U)

(Oikarinen and Weng, CLIP-Dissect, ICLR 2023, section 3 and appendix; WPMI is the case p_start = p_end = 1.)
Because scores leave here block by block, neither [N, C] nor [U, C] has to exist: 1,000,000 images, 100,000 units and
20,000 concepts are scored in a few GB.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor

from service.engine.similarity_kernel import log_products
from service.engine.softmax_kernel import log_sum_exp
from service.engine.top_k import RunningTopK

_BLOCK_ENTRIES = 1 << 21
_NARROWEST_BLOCK = 64
_MATRIX_ENTRIES = 1 << 24


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


@dataclass(frozen=True, slots=True)
class ConceptColumns:
    """Scores P of R images against C concepts, a range of concepts at a time.

    columns: maps (start, stop) to float32 [R, stop - start].
    exist: the scores lie in memory already, so a block of them takes none.
    """

    images: int
    concepts: int
    columns: Callable[[int, int], Tensor]
    exist: bool = False

    def blocks(self, units: int) -> Iterator[tuple[int, int]]:
        """Ranges of concepts (64 at least) whose new tensors, R x block and U x block, stay below 8 MB each."""
        rows = units if self.exist else max(self.images, units)
        width = _BLOCK_ENTRIES // rows // _NARROWEST_BLOCK * _NARROWEST_BLOCK
        width = max(width, _NARROWEST_BLOCK)
        for start in range(0, self.concepts, width):
            yield start, min(start + width, self.concepts)


def columns_of_scores(concept_scores: Tensor, top_indices: Tensor) -> tuple[ConceptColumns, Tensor]:
    """P given as a matrix [N, C], cut to the images that occur in top_indices [U, K], and top_indices within these."""
    images, rows = _occurring(top_indices, concept_scores.shape[0])
    all_occur = len(images) == concept_scores.shape[0]

    def columns(start: int, stop: int) -> Tensor:
        block = concept_scores[:, start:stop]
        return block if all_occur else block.index_select(0, images)

    return ConceptColumns(len(images), concept_scores.shape[1], columns, exist=all_occur), rows


def columns_of_embeddings(images: Tensor, texts: Tensor) -> ConceptColumns:
    """P as the products of unit-length embeddings [R, D] and [C, D] on one device; small ones are made at once."""
    if len(images) * len(texts) <= _MATRIX_ENTRIES:
        matrix = images @ texts.t()
        return ConceptColumns(len(images), len(texts), lambda start, stop: matrix[:, start:stop], exist=True)
    return ConceptColumns(len(images), len(texts), lambda start, stop: images @ texts[start:stop].t())


class Scorer(Protocol):
    """Scores sets of images, [S, K] positions among its images, a block of concepts at a time."""

    def of_units(self, rows: Tensor, /) -> Iterator[tuple[int, Tensor, Tensor]]:
        """The scores of all units of a layer, integer [U, K], a unit's most activating image first.

        Yields first concept of the block, scores float32 [U, block], and the prior term float32 [block].
        """
        ...

    def of_sets(self, rows: Tensor, prior: Tensor, units: int, /) -> Iterator[tuple[int, Tensor]]:
        """The score that each image set [S, K] would have as one more unit of a layer.

        prior: the layer's, float32 [C], of so many units. Yields as `of_units` does, without the prior.
        """
        ...

    def of_concepts(self, rows: Tensor, prior: Tensor, concepts: Sequence[int], /) -> Tensor:
        """The scores of a layer's units [U, K] for some concepts alone, given in ascending order: float32 [U, W]."""
        ...


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


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best concepts of each unit, best first: indices int64 and scores float32, [U, min(count, C)]; prior [C]."""

    indices: Tensor
    scores: Tensor
    prior: Tensor


def best_concepts(scorer: Scorer, rows: Tensor, count: int, *, between: Callable[[], None]) -> Ranking:
    """The `count` best concepts of each unit; of equal scores the lower concept index comes first.

    rows: see `Scorer.of_units`. between: called between two blocks; may raise to stop.
    """
    ranking, priors = RunningTopK(count), []
    for start, block, prior in scorer.of_units(rows):
        if start > 0:
            between()
        ranking.update(block.t())
        priors.append(prior)
    return Ranking(ranking.indices, ranking.values, torch.cat(priors))


def _occurring(top_indices: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """The distinct images of top_indices, ascending [R], and top_indices rewritten as positions among them."""
    occurs = torch.zeros(images, dtype=torch.bool, device=top_indices.device)
    occurs[top_indices.flatten()] = True
    position = torch.cumsum(occurs, dim=0, dtype=torch.int32) - 1
    return occurs.nonzero().squeeze(1), position[top_indices]


def _log_sums(scores: ConceptColumns, temperature: float) -> Tensor:
    """The logarithm of softmax's denominator over all concepts, [R]."""
    sums = (log_sum_exp(scores.columns(start, stop), temperature) for start, stop in scores.blocks(scores.images))
    return reduce(torch.logaddexp, sums)
