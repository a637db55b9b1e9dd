"""Correlations of units with concepts as exams are drawn again: exams in bundles, whose moments are weighed.

A resample of 32 random bundles of exams spreads a statistic as a resample of the exams does, since bundles are as
independent as exams are; and from the moments of bundles it costs no look at an image.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from service.engine.evidence.exams import Exams
from service.engine.evidence.moments import Moments, folds_of_exams

_BUNDLES = 32


def bundles_of(exams: Exams) -> Exams:
    """The images in at most 32 random bundles of exams, to be drawn and split as exams are."""
    count = min(_BUNDLES, exams.count)
    return replace(exams, of_image=folds_of_exams(exams, count), count=count)


@dataclass(frozen=True, slots=True)
class BundledMoments:
    """What correlations follow from: moments of activations and of concepts' cosines in each of F bundles."""

    counts: Tensor
    """float64 [F], images."""
    concept_means: Tensor
    """float64 [F, C]."""
    unit_means: Tensor
    """float64 [F, U]."""
    concept_scatter: Tensor
    """float64 [F, C], about the bundle's mean."""
    unit_scatter: Tensor
    """float64 [F, U], about the bundle's mean."""
    products: Tensor
    """float32 [F, U, C], about the bundle's means."""

    @classmethod
    def of(cls, moments: Moments, concept_embeddings: Tensor) -> "BundledMoments":
        """moments: by bundles. concept_embeddings: float [C, D]; cosines to them are linear in the embeddings."""
        texts = concept_embeddings.to(moments.x_mean)
        along = moments.xx @ texts.t()
        products = [(products_of_bundle.t() @ texts.t()).float() for products_of_bundle in moments.xa]
        return cls(
            counts=moments.counts,
            concept_means=moments.x_mean @ texts.t(),
            unit_means=moments.a_mean,
            concept_scatter=(texts.t() * along).sum(dim=1).clamp_min(0),
            unit_scatter=moments.aa,
            products=torch.stack(products),
        )

    def correlations(self, weights: Tensor) -> Tensor:
        """Pearson's correlation of each unit with each concept, float32 [U, C]; 0 where either is constant.

        weights: int64 [F], how often each bundle counts.
        """
        weight = weights.to(self.counts)
        images = weight * self.counts
        total = images.sum()
        concepts = self.concept_means - (images @ self.concept_means) / total
        units = self.unit_means - (images @ self.unit_means) / total

        products = torch.einsum("f,fuc->uc", weight.float(), self.products)
        products = products + ((units * images[:, None]).t() @ concepts).float()
        concept_scatter = weight @ self.concept_scatter + images @ concepts.square()
        unit_scatter = weight @ self.unit_scatter + images @ units.square()

        norms = (unit_scatter[:, None] * concept_scatter).sqrt().float()
        return torch.where(norms > 0, products / norms.clamp_min(1e-30), 0.0).clamp(-1, 1)
