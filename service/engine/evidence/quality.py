"""How units represent, whatever they are named: clarity, polysemanticity and redundancy of their top images.

Dreyer et al., "Mechanistic understanding and validation of large AI models with SemanticLens" (Nature Machine
Intelligence, 2025), as their library `semanticlens` computes them. With e_1 ... e_n the unit-length embeddings of a
unit's top images and m their mean:

    clarity         mean over pairs i != j of cos(e_i, e_j) = (n |m|^2 - 1) / (n - 1)
    polysemanticity 1 - cos(a, b), a and b the means of the two clusters into which 2-means splits the e_i
    redundancy      largest cosine between m and another unit's m

Three things differ. The library starts 2-means at random, ten times; here it starts once, with a split along the first
principal component, so that nothing is drawn. A cluster of a single image is an odd image, not a second meaning: the
library then takes 1 - mean cos(m, e_i) over the first ten images, here it is over all n, which is 1 - |m|. And the
library averages redundancy over the layer, while here each unit keeps its own.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from service.domain.evidence import Quality

_IMAGES_AT_ONCE = 1 << 15
_PAIRS_AT_ONCE = 1 << 24
_UNITS_AT_ONCE = 4096
_COMPONENT_ROUNDS = 50
_MOST_ROUNDS = 100


def layer_quality(top_images: Tensor, embeddings: Callable[[Tensor], Tensor]) -> list[Quality]:
    """One Quality for each of a layer's live units; `duplicate_of` counts among these.

    top_images: int64 [U, n] (n >= 1), the positions of each unit's most activating images, most activating first.
    embeddings: maps ascending positions int64 [m] to unit-length finite float32 [m, D], and is asked for the images of
    a block of units at a time: memory grows with U x D, never with U x n x D or U x U.

    A single top image (n = 1) is perfectly clear: clarity 1, polysemanticity 0. The mean of opposite embeddings is
    zero and has the cosine 0 with anything. Redundancy is None where the layer has one live unit.
    """
    if len(top_images) == 0:
        return []

    with torch.inference_mode():
        parts = [_of_block(top_images[units], embeddings) for units in _blocks(*top_images.shape)]
        clarity, polysemanticity, means = (torch.cat(columns) for columns in zip(*parts, strict=True))
        redundancy = _redundancy(normalize(means, dim=1))

    columns = (clarity.tolist(), polysemanticity.tolist(), redundancy, _duplicates(top_images))
    return [Quality(*figures) for figures in zip(*columns, strict=True)]


def _blocks(units: int, n: int) -> Iterator[slice]:
    step = max(1, min(_IMAGES_AT_ONCE // n, _PAIRS_AT_ONCE // n**2))
    for start in range(0, units, step):
        yield slice(start, start + step)


def _of_block(top_images: Tensor, embeddings: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Clarity [B], polysemanticity [B] and mean embedding [B, D] of B units with top_images [B, n]."""
    n = top_images.shape[1]
    positions, rows = torch.unique(top_images.cpu(), return_inverse=True)
    known = embeddings(positions)
    images = known[rows.to(known.device)]

    mean = images.mean(1)
    squared = mean.square().sum(1)
    clarity = ((n * squared - 1) / (n - 1)).clamp(-1 / (n - 1), 1) if n > 1 else torch.ones_like(squared)

    cosines = images @ images.mT
    second = two_clusters(cosines)
    a, b = _cluster_mean(images, ~second), _cluster_mean(images, second)
    apart = 1 - (normalize(a, dim=1) * normalize(b, dim=1)).sum(1)

    size = second.sum(1)
    odd_image = torch.minimum(size, n - size) < 2
    polysemanticity = torch.where(odd_image, 1 - squared.sqrt(), apart)
    return clarity, polysemanticity.clamp(0, 2), mean


def two_clusters(cosines: Tensor) -> Tensor:
    """2-means (Lloyd) from cosines [B, n, n] alone: bool [B, n], which images of each unit are in the second cluster.

    Starts with the two sides of the first principal component, which solves a relaxed 2-means (Ding and He, "K-means
    clustering via principal component analysis", ICML 2004). An image equally far from both means is in
    the first cluster. |e_i - a|^2 = 1 - 2 e_i.a + |a|^2, where e_i.a and |a|^2 are means of cosines.
    """
    second = _component(cosines) > 0
    for _ in range(_MOST_ROUNDS):
        members = one_hot(second.long(), 2).to(cosines.dtype)
        share = members / members.sum(1, keepdim=True).clamp_min(1)
        products = cosines @ share
        distances = (share * products).sum(1, keepdim=True) - 2 * products

        emptied = ~members.any(1, keepdim=True)
        moved = distances.masked_fill(emptied, torch.inf).argmin(2) == 1
        if torch.equal(moved, second):
            break
        second = moved

    return second


def _component(cosines: Tensor) -> Tensor:
    """Nearly the first principal component's scores [B, n], by power iteration from the two images least alike."""
    n = cosines.shape[-1]
    pair = cosines.flatten(1).argmin(1, keepdim=True)[..., None].expand(-1, -1, n)
    scores = (cosines.gather(1, pair % n) - cosines.gather(1, pair // n)).mT
    for _ in range(_COMPONENT_ROUNDS):
        scores = normalize(cosines @ (scores - scores.mean(1, keepdim=True)), dim=1)
    return (scores - scores.mean(1, keepdim=True)).squeeze(2)


def _cluster_mean(images: Tensor, members: Tensor) -> Tensor:
    weights = members.to(images.dtype)
    return (weights[:, None] @ images).squeeze(1) / weights.sum(1, keepdim=True).clamp_min(1)


def _redundancy(directions: Tensor) -> list[float] | list[None]:
    """For each row of [U, D] the largest product with another row; every pair of blocks is multiplied once."""
    if len(directions) == 1:
        return [None]

    parts = torch.split(directions, _UNITS_AT_ONCE)
    best = [part.new_full((len(part),), -torch.inf) for part in parts]
    for i, part in enumerate(parts):
        for j in range(i, len(parts)):
            products = part @ parts[j].mT
            if i == j:
                products.fill_diagonal_(-torch.inf)
            best[i] = torch.maximum(best[i], products.amax(1))
            best[j] = torch.maximum(best[j], products.amax(0))

    largest: list[float] = torch.cat(best).clamp(-1, 1).tolist()
    return largest


def _duplicates(top_images: Tensor) -> list[int | None]:
    first_unit: dict[bytes, int] = {}
    earlier = [first_unit.setdefault(images.tobytes(), unit) for unit, images in enumerate(top_images.cpu().numpy())]
    return [None if earliest == unit else earliest for unit, earliest in enumerate(earlier)]
