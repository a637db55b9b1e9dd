"""Decoys: concepts that nothing in an image can mean, which lie in the dissector's space as the real ones do.

A unit that follows something that no concept says still has a best concept. How good would that be by chance? As
proteomics asks of its spectra (Elias and Gygi, Nature Methods 2007), decoys compete with the concepts: what wins by
chance wins as often among decoys.

A set of decoys is the set of concepts turned: along each axis of the images' covariance all concepts keep their
components or all have them reversed, at random. So every decoy has the variance of its concept over the images, the
same share of it along each axis, and the same cosines (of the images' spread) with the other decoys of its set as its
concept has with the other concepts. Only where the cloud of concepts points is another. For a unit whose direction is
as likely to have either sign along each axis, whatever their sizes, the concepts and each set of decoys are
exchangeable: the rank of the best concept among the best decoys of the sets is uniform.
"""

import torch
from torch import Tensor

from service.domain.verdicts import DECOY_SETS
from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.moments import Moments

_SEED = 7
_UNITS_AT_ONCE = 1024


def best_decoys(moments: Moments, concept_embeddings: Tensor, axes: KeptAxes, sets: int = DECOY_SETS) -> Tensor:
    """The correlation of each unit's activation with the best decoy of each of `sets` sets: float32 [U, S].

    concept_embeddings: float [C, D], of the concepts that have decoys.

    Axes and correlations are those within folds. Correlations are 0 for constants, and where no concept has decoys.
    """
    xx, xa, aa = moments.within()
    if len(concept_embeddings) == 0:
        return torch.zeros(len(aa), sets, device=aa.device)

    values, vectors = axes.of(xx)
    texts = concept_embeddings.to(xx) @ vectors
    spread = (texts.square() @ values.clamp_min(0)).sqrt()

    # Of length 1 in the images' spread, so that a product is a correlation.
    texts = torch.where(spread[:, None] > 0, texts / spread[:, None], 0).float()
    deviation = aa.sqrt()
    along = torch.where(deviation > 0, (vectors.t() @ xa) / deviation, 0).float()

    signs = _signs(sets, len(values)).to(texts.device)
    correlations = texts.new_empty(along.shape[1], sets)

    for start in range(0, along.shape[1], _UNITS_AT_ONCE):
        units = slice(start, start + _UNITS_AT_ONCE)
        for place in range(sets):
            turned = along[:, units] * signs[place, :, None]
            correlations[units, place] = (texts @ turned).amax(dim=0)

    return correlations


def _signs(sets: int, axes: int) -> Tensor:
    """float32 [S, D] of 1 and -1."""
    generator = torch.Generator().manual_seed(_SEED)
    return (torch.randint(0, 2, (sets, axes), generator=generator) * 2 - 1).float()
