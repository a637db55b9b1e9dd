"""Contrast: how far a unit's top images lie from the whole probe set along each concept, in the concept's own spread.

    z[u, c] = sqrt(K) (mean over r of P[i_r, c] - mean_c) / sd_c
    score   = z + lam (log sd_c - mean over concepts of log sd)

mean_c and sd_c are those of the concept's cosines over all N probe images. For random images z is close to standard
normal whatever the concept, so no concept wins by lying near everything or by a wide spread; soft-WPMI's scores have
neither property. Let x be an image's embedding, S the covariance of all, d the shift of x between the images that a
unit responds to and the others. z is proportional to d't / sqrt(t'St), which by Cauchy and Schwarz is greatest for the
text t = d / S (the linear discriminant): the concept wins that tells these images from the others best.

The second term is a prior: a concept whose cosines hardly differ from image to image is hardly shown in some and absent
in others. A unit that responds clearly has a z of ten and more, and lam = 1 moves no score by much more than 1; it
decides where little else does. No layer has a part in it, so a unit's score does not depend on the other units.

How many top images show what the unit knows, nobody knows before: of a common finding the plainest kind comes first,
so that a small K names the unit after that kind, while a large K dilutes a rare finding. Contrast scan takes the
greatest z over several depths, a scan statistic: z of the first K / 4, K / 2.8, K / 2, K / 1.4 and all K top images.
At the depth where the finding's images end its z is greatest, and that of a part of it has fallen already.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from service.engine.similarity.scorer import ConceptColumns

_IMAGES_AT_ONCE = 8192
_STEPS = 5
_LEAST_DEVIATION = 1e-6
"""Cosines that differ by less are equal but for rounding."""


@dataclass(frozen=True, slots=True)
class ConceptSpread:
    """Mean and standard deviation (of the population) of each concept's cosines over the probe set: float32 [C]."""

    mean: Tensor
    deviation: Tensor

    def prior(self) -> Tensor:
        """The score's second term for lam = 1: float32 [C], of mean 0."""
        spread = self.deviation.clamp_min(_LEAST_DEVIATION).log()
        return spread - spread.mean()


def spread_of_scores(concept_scores: Tensor) -> ConceptSpread:
    """The spread of cosines given as a matrix, float32 [N, C]."""
    deviation, mean = torch.std_mean(concept_scores.double(), dim=0, correction=0)
    return ConceptSpread(mean.float(), deviation.float())


def spread_of_embeddings(
    image_embeddings: Callable[[Tensor], Tensor], images: int, concept_embeddings: Tensor
) -> ConceptSpread:
    """The same from unit-length embeddings, without the matrix: t'm and sqrt(t'St), S being the images' covariance.

    image_embeddings: maps positions among the images (int64 [n], ascending, CPU) to float32 [n, D].
    images: how many there are. concept_embeddings: float32 [C, D].
    The images are read 8,192 images at a time, whatever shards they lie in, so shards change nothing.
    """
    width = concept_embeddings.shape[1]
    mean = concept_embeddings.new_zeros(width, dtype=torch.float64)
    scatter = concept_embeddings.new_zeros(width, width, dtype=torch.float64)

    for start in range(0, images, _IMAGES_AT_ONCE):
        positions = torch.arange(start, min(start + _IMAGES_AT_ONCE, images))
        part = image_embeddings(positions).to(concept_embeddings.device)
        part_mean = part.double().mean(dim=0)
        centred = part - part_mean.float()
        difference = part_mean - mean
        share = len(part) / (start + len(part))
        # Two samples' scatters add up to that of both, less what lies between their means (Chan et al. 1979).
        scatter += (centred.t() @ centred).double() + torch.outer(difference, difference) * start * share
        mean += difference * share

    covariance = (scatter / images).float()
    variance = ((concept_embeddings @ covariance) * concept_embeddings).sum(dim=1).clamp_min(0)
    return ConceptSpread(concept_embeddings @ mean.float(), variance.sqrt())


def scan_depths(top_k: int) -> tuple[int, ...]:
    """The depths of contrast scan, ascending, the last one top_k itself; fewer than five where top_k is small."""
    return tuple(sorted({max(1, round(top_k * 2 ** (-step / 2))) for step in range(_STEPS)}))


class ContrastScorer:
    """Contrast of sets of images, [S, K] positions among the images of `scores`, a block of concepts at a time.

    spread: over the whole probe set, not only the images of `scores`. scan: contrast scan, for which the order of the
    images matters; contrast does not look at it.
    """

    def __init__(self, scores: ConceptColumns, spread: ConceptSpread, lam: float, *, scan: bool = False) -> None:
        self.scores = scores
        self._scan = scan
        self._spread = spread
        self._scale = spread.deviation.clamp_min(_LEAST_DEVIATION).reciprocal()
        self._prior = lam * spread.prior()

    def of_units(self, rows: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """The scores of units by their top images, integer [U, K], a unit's most activating image first.

        Yields first concept of the block, scores float32 [U, block], and the prior term float32 [block].
        """
        for start, stop in self.scores.blocks(len(rows)):
            prior = self._prior[start:stop]
            z = self._z(self.scores.columns(start, stop), rows, slice(start, stop))
            yield start, z.add_(prior), prior

    def of_sets(self, rows: Tensor, _prior: Tensor, _units: int, /) -> Iterator[tuple[int, Tensor]]:
        """The scores of any image sets [S, K]: those of units, for no layer has a part in them."""
        return ((start, block) for start, block, _ in self.of_units(rows))

    def of_concepts(self, rows: Tensor, _prior: Tensor, concepts: Sequence[int], /) -> Tensor:
        """The scores of units, integer [U, K], for some concepts alone, given in ascending order: float32 [U, W]."""
        parts = [self._prior.new_empty(len(rows), 0)]
        for start, stop in self.scores.blocks(len(rows)):
            inside = [concept for concept in concepts if start <= concept < stop]
            if inside:
                columns = self.scores.columns(start, stop)[:, [concept - start for concept in inside]]
                parts.append(self._z(columns, rows, inside).add_(self._prior[inside]))
        return torch.cat(parts, dim=1)

    def _z(self, columns: Tensor, rows: Tensor, concepts: slice | list[int]) -> Tensor:
        """z of the concepts whose columns float32 [R, block] these are; with scan, the greatest over the depths."""
        depths = scan_depths(rows.shape[1]) if self._scan else (rows.shape[1],)
        total = embedding_bag(rows[:, : depths[0]], columns, mode="sum")
        greatest = self._standardised(total, depths[0], concepts)
        for shallower, deeper in pairwise(depths):
            total += embedding_bag(rows[:, shallower:deeper], columns, mode="sum")
            torch.maximum(greatest, self._standardised(total, deeper, concepts), out=greatest)
        return greatest

    def _standardised(self, total: Tensor, depth: int, concepts: slice | list[int]) -> Tensor:
        """z of so many images whose cosines add up to `total`."""
        mean = total / depth
        return mean.sub_(self._spread.mean[concepts]).mul_(self._scale[concepts]).mul_(depth**0.5)
