"""What every similarity on top images shares: concept scores in blocks, the scorer of image sets, the best concepts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from service.engine.top_k import RunningTopK

_BLOCK_ENTRIES = 1 << 21
_NARROWEST_BLOCK = 64
_MATRIX_ENTRIES = 1 << 24


@dataclass(frozen=True, slots=True)
class ConceptColumns:
    """Scores P of R images against C concepts, a range of concepts at a time."""

    images: int
    concepts: int

    columns: Callable[[int, int], Tensor]
    """Maps (start, stop) to float32 [R, stop - start]."""

    exist: bool = False
    """Whether the scores lie in memory already, so that a block of them takes none."""

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


def columns_of_embeddings(image_embeddings: Tensor, concept_embeddings: Tensor) -> ConceptColumns:
    """P as the products of unit-length embeddings [R, D] and [C, D] on one device; small ones are made at once."""
    images, concepts = len(image_embeddings), len(concept_embeddings)
    if images * concepts <= _MATRIX_ENTRIES:
        matrix = image_embeddings @ concept_embeddings.t()
        return ConceptColumns(images, concepts, lambda start, stop: matrix[:, start:stop], exist=True)

    def columns(start: int, stop: int) -> Tensor:
        return image_embeddings @ concept_embeddings[start:stop].t()

    return ConceptColumns(images, concepts, columns)


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


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best concepts of each unit, best first: indices int64 and scores float32, [U, min(count, C)]; prior [C]."""

    indices: Tensor
    scores: Tensor
    prior: Tensor


def best_concepts(scorer: Scorer, rows: Tensor, count: int, *, check_cancelled: Callable[[], None]) -> Ranking:
    """The `count` best concepts of each unit; of equal scores the lower concept index comes first.

    rows: see `Scorer.of_units`.
    check_cancelled: called between two blocks; may raise to stop.
    """
    ranking = RunningTopK(count)
    priors = []

    for start, block, prior in scorer.of_units(rows):
        if start > 0:
            check_cancelled()
        ranking.update(block.t())
        priors.append(prior)

    return Ranking(ranking.indices, ranking.values, torch.cat(priors))


def _occurring(top_indices: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """The distinct images of top_indices, ascending [R], and top_indices rewritten as positions among them."""
    occurs = torch.zeros(images, dtype=torch.bool, device=top_indices.device)
    occurs[top_indices.flatten()] = True
    position = torch.cumsum(occurs, dim=0, dtype=torch.int32) - 1
    return occurs.nonzero().squeeze(1), position[top_indices]
