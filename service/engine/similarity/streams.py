"""The cosines of all activations while blocks of images stream by: memory grows with units and concepts, not images."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

ScoredBlocks = Iterable[tuple[Tensor, Tensor]]
"""Concept scores [n, C] and activations [n, U] of the same images, block by block."""


def cosine_of_blocks(blocks: ScoredBlocks) -> Tensor:
    """`cosine` of all images, float64 [U, C]; NaN for an all-zero unit.

    Sums are float64, so the result differs from that of float32 columns by their rounding alone.
    Raises ValueError where there is no block.
    """
    return _cosines(blocks, min_norm=0.0)


def cosine_cubed_of_blocks(
    blocks: ScoredBlocks, concept_means: Tensor, unit_means: Tensor, *, min_norm: float = 1e-3
) -> Tensor:
    """`cosine_cubed` of all images, float64 [U, C].

    concept_means: float64 [C], of the scores over all images. unit_means: float64 [U], of the activations.
    Raises ValueError where there is no block.
    """
    cubed = (
        ((scores.double() - concept_means).pow(3), (activations.double() - unit_means).pow(3))
        for scores, activations in blocks
    )
    return _cosines(cubed, min_norm=min_norm)


def _cosines(blocks: ScoredBlocks, *, min_norm: float) -> Tensor:
    """Cosines between columns; a norm below min_norm counts as min_norm."""
    products: Tensor | None = None
    concept_squares = unit_squares = torch.zeros(())

    for scores, activations in _doubled(blocks):
        product = activations.t() @ scores
        if products is None:
            products = product
            concept_squares, unit_squares = scores.square().sum(0), activations.square().sum(0)
            continue
        products += product
        concept_squares = concept_squares + scores.square().sum(0)
        unit_squares = unit_squares + activations.square().sum(0)

    if products is None:
        raise ValueError("there are no images")
    units = unit_squares.sqrt().clamp_min(min_norm)
    concepts = concept_squares.sqrt().clamp_min(min_norm)
    return products / units[:, None] / concepts


def _doubled(blocks: ScoredBlocks) -> Iterator[tuple[Tensor, Tensor]]:
    for scores, activations in blocks:
        yield scores.double(), activations.double()
