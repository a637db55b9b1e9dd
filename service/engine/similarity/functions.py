"""How well each concept describes each unit: eight functions from concept scores and activations to [U, C].

`N` images, `C` concepts, `U` units, `K` top-k. Everything is float32; the result lies on the inputs' device.
They score every unit they are given, dead ones too: soft-WPMI's prior term depends on all units of the call.
Five of them are published; contrast, contrast scan and correlation are ours. docs/label-accuracy.md says how often
each is right.
"""

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import normalize

from service.engine.similarity.contrast_scorer import ContrastScorer, spread_of_scores
from service.engine.similarity.scorer import columns_of_scores
from service.engine.similarity.wpmi_scorer import WpmiParameters, WpmiScorer
from service.engine.top_k import top_k_images
from service.errors import TooFewImages


def soft_wpmi(
    concept_scores: Tensor,
    activations: Tensor,
    *,
    top_k: int = 100,
    temperature: float = 10.0,
    lam: float = 1.0,
    p_start: float = 0.998,
    p_end: float = 0.97,
    min_prob: float = 1e-7,
) -> Tensor:
    """Soft weighted pointwise mutual information, [N, C] and [N, U] -> [U, C] (CLIP-Dissect, ICLR 2023).

    concept_scores are cosines; a unit's top images are ranked with ties to the lower index.
    Raises TooFewImages when N < top_k, InvalidActivations for NaN.
    """
    return soft_wpmi_from_top_k(
        concept_scores,
        top_k_images(activations, top_k),
        temperature=temperature,
        lam=lam,
        p_start=p_start,
        p_end=p_end,
        min_prob=min_prob,
    )


def soft_wpmi_from_top_k(
    concept_scores: Tensor,
    top_indices: Tensor,
    *,
    temperature: float = 10.0,
    lam: float = 1.0,
    p_start: float = 0.998,
    p_end: float = 0.97,
    min_prob: float = 1e-7,
) -> Tensor:
    """Soft-WPMI from ready top images: [N, C] and int64 [U, K], most activating first -> [U, C]."""
    parameters = WpmiParameters(temperature=temperature, lam=lam, p_start=p_start, p_end=p_end, min_prob=min_prob)
    columns, rows = columns_of_scores(concept_scores, top_indices)

    result = torch.empty(len(top_indices), concept_scores.shape[1], device=concept_scores.device)
    for start, block, _ in WpmiScorer(columns, parameters).of_units(rows):
        result[:, start : start + block.shape[1]] = block
    return result


def wpmi(
    concept_scores: Tensor,
    activations: Tensor,
    *,
    top_k: int = 28,
    temperature: float = 2.0,
    lam: float = 0.6,
    min_prob: float = 1e-7,
) -> Tensor:
    """Weighted pointwise mutual information, [N, C] and [N, U] -> [U, C]: soft-WPMI whose top images all count fully.

    Raises TooFewImages when N < top_k, InvalidActivations for NaN.
    """
    return soft_wpmi(
        concept_scores,
        activations,
        top_k=top_k,
        temperature=temperature,
        lam=lam,
        p_start=1.0,
        p_end=1.0,
        min_prob=min_prob,
    )


def contrast(concept_scores: Tensor, activations: Tensor, *, top_k: int = 100, lam: float = 1.0) -> Tensor:
    """How far a unit's top images lie from all images along each concept, [N, C] and [N, U] -> [U, C].

    z[u, c] = sqrt(K) (mean of P over the top K images - mean_c) / sd_c, mean_c and sd_c over all N images;
    score = z + lam (log sd_c - mean over concepts of log sd). See contrast_scorer.py for the reasons.
    concept_scores are cosines; ties between images go to the lower index. A unit's score depends on no other unit.
    Raises TooFewImages when N < top_k, InvalidActivations for NaN.
    """
    return contrast_from_top_k(concept_scores, top_k_images(activations, top_k), lam=lam)


def contrast_scan(concept_scores: Tensor, activations: Tensor, *, top_k: int = 400, lam: float = 1.0) -> Tensor:
    """Contrast whose z is the greatest over five depths of the top images, [N, C] and [N, U] -> [U, C].

    Depths: top_k, and top_k over the square root of 2, over 2, over its cube, over 4, rounded. See contrast_scorer.py.
    Raises TooFewImages when N < top_k, InvalidActivations for NaN.
    """
    return contrast_from_top_k(concept_scores, top_k_images(activations, top_k), lam=lam, scan=True)


def contrast_from_top_k(concept_scores: Tensor, top_indices: Tensor, *, lam: float = 1.0, scan: bool = False) -> Tensor:
    """Contrast (scan) from ready top images: [N, C] and int64 [U, K], most activating first -> [U, C]."""
    columns, rows = columns_of_scores(concept_scores, top_indices)
    scorer = ContrastScorer(columns, spread_of_scores(concept_scores), lam, scan=scan)

    result = torch.empty(len(top_indices), concept_scores.shape[1], device=concept_scores.device)
    for start, block, _ in scorer.of_units(rows):
        result[:, start : start + block.shape[1]] = block
    return result


def cosine(concept_scores: Tensor, activations: Tensor) -> Tensor:
    """Cosine over images of concept score and activation, [N, C] and [N, U] -> [U, C]; NaN for an all-zero unit."""
    concepts = concept_scores / vector_norm(concept_scores, dim=0, keepdim=True)
    units = activations / vector_norm(activations, dim=0, keepdim=True)
    return torch.mm(units.t(), concepts)


def correlation(concept_scores: Tensor, activations: Tensor) -> Tensor:
    """Pearson's correlation over images of concept score and activation, [N, C] and [N, U] -> [U, C], float64.

    0 where either is constant. A dissection computes it from moments: see service/engine/evidence/bundles.py.
    """
    concepts = concept_scores.double() - concept_scores.double().mean(dim=0)
    units = activations.double() - activations.double().mean(dim=0)
    norms = vector_norm(units, dim=0)[:, None] * vector_norm(concepts, dim=0)
    return torch.where(norms > 0, units.t() @ concepts / norms.clamp_min(1e-300), 0.0)


def cosine_cubed(concept_scores: Tensor, activations: Tensor, *, min_norm: float = 1e-3) -> Tensor:
    """Cosine of the centred, cubed columns, [N, C] and [N, U] -> [U, C] (CLIP-Dissect, appendix).

    A norm below min_norm counts as min_norm, so that units of a tiny scale score near 0.
    """

    def cubed(columns: Tensor) -> Tensor:
        return normalize((columns - columns.mean(dim=0, keepdim=True)).pow(3), dim=0, eps=min_norm)

    return torch.mm(cubed(activations).t(), cubed(concept_scores))


def rank_reorder(
    concept_scores: Tensor,
    activations: Tensor,
    *,
    p: float = 3,
    top_fraction: float = 0.05,
    scale_p: float = 0.5,
    generator: torch.Generator | None = None,
) -> Tensor:
    """How little a unit's top activations change when a concept orders them, [N, C] and [N, U] -> [U, C].

    Of the n = floor(top_fraction N) most activating images, the activations are put in the order of the concept's
    scores; the mean |difference|^p, relative to that of five random orders drawn from `generator` (CPU), is the error;
    the result is -error / mean(score over these images)^scale_p (CLIP-Dissect, ICLR 2023, appendix). NaN where the mean
    score is negative, not finite for a unit whose top activations are all equal. Equal scores rank in the order of
    activation. Raises TooFewImages when n < 1.
    """
    n = int(top_fraction * len(activations))
    if n < 1:
        raise TooFewImages(
            f"rank_reorder compares the top {top_fraction:.0%} of the images, less than one of {len(activations)}.",
            field="probe_set",
            value=len(activations),
        )

    result = torch.empty(activations.shape[1], concept_scores.shape[1], device=concept_scores.device)
    for unit, images in enumerate(top_k_images(activations, n)):
        descending = activations[images, unit]
        ascending = descending.flip(0)

        orders = torch.stack([torch.randperm(n, generator=generator) for _ in range(5)]).to(images.device)
        by_chance = (ascending - ascending[orders]).abs().pow(p).mean()

        scores = concept_scores[images]
        ranks = scores.argsort(dim=0, stable=True).argsort(dim=0)
        error = (descending[:, None] - ascending[ranks]).abs().pow(p).mean(dim=0) / by_chance
        result[unit] = -error / scores.mean(dim=0).pow(scale_p)
    return result
