"""WPMI and soft-WPMI a block of concepts at a time: the prior term needs every unit, but only one block of concepts.

    q[i, c]  = softmax over c of temperature * P[i, c]
    raw[u, c] = sum_r log(1 + p_r (q[i_r, c] - 1) + min_prob),  p_r = p_start - (r / K)(p_start - p_end)
    score    = raw - lam * (logsumexp over units of raw - log U)

(Oikarinen and Weng, CLIP-Dissect, ICLR 2023, section 3 and appendix; WPMI is the case p_start = p_end = 1.)
Because scores leave here block by block, neither [N, C] nor [U, C] has to exist: 1,000,000 images, 100,000 units and
20,000 concepts are scored in a few GB.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from service.engine.similarity_kernel import log_products
from service.engine.softmax_kernel import log_sum_exp
from service.engine.top_k import RunningTopK

_BLOCK_ENTRIES = 1 << 21
_NARROWEST_BLOCK = 64


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


def columns_of_embeddings(images: Tensor, texts: Tensor, top_indices: Tensor) -> tuple[ConceptColumns, Tensor]:
    """P as the products of unit-length embeddings [N, D] and [C, D]; the images may lie on another device."""
    occurring, rows = _occurring(top_indices, images.shape[0])
    if len(occurring) < images.shape[0]:
        images = images.index_select(0, occurring.to(images.device))
    images = images.to(texts.device)

    def columns(start: int, stop: int) -> Tensor:
        return images @ texts[start:stop].t()

    return ConceptColumns(len(occurring), texts.shape[0], columns), rows


def score_blocks(scores: ConceptColumns, rows: Tensor, parameters: WpmiParameters) -> Iterator[tuple[int, Tensor]]:
    """Soft-WPMI of every unit with one block of concepts after the other: pairs of (first concept, float32 [U, block]).

    rows: integer [U, K] into the images of `scores`, most activating first.
    """
    units, k = rows.shape
    base, weight = parameters.factors(k, rows.device)
    log_sums = _log_sums(scores, units, parameters.temperature)
    for start, stop in scores.blocks(units):
        raw = log_products(scores.columns(start, stop), parameters.temperature, log_sums, rows, base, weight)
        prior = torch.logsumexp(raw, dim=0) - math.log(units)
        yield start, raw.sub_(prior, alpha=parameters.lam)


def best_concepts(
    scores: ConceptColumns, rows: Tensor, parameters: WpmiParameters, count: int, *, between: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """The `count` best concepts of each unit: indices int64 and scores float32, [U, min(count, C)], best first.

    Of equal scores the lower concept index comes first. between: called between two blocks; may raise to stop.
    """
    ranking = RunningTopK(count)
    for start, block in score_blocks(scores, rows, parameters):
        if start > 0:
            between()
        ranking.update(block.t())
    return ranking.indices, ranking.values


def _occurring(top_indices: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """The distinct images of top_indices, ascending [R], and top_indices rewritten as positions among them."""
    occurs = torch.zeros(images, dtype=torch.bool, device=top_indices.device)
    occurs[top_indices.flatten()] = True
    position = torch.cumsum(occurs, dim=0, dtype=torch.int32) - 1
    return occurs.nonzero().squeeze(1), position[top_indices]


def _log_sums(scores: ConceptColumns, units: int, temperature: float) -> Tensor:
    """The logarithm of softmax's denominator over all concepts, [R]."""
    sums = (log_sum_exp(scores.columns(start, stop), temperature) for start, stop in scores.blocks(units))
    return reduce(torch.logaddexp, sums)
