"""What the dissector's embedding says of each unit's activation: a direction by ridge regression, and how well it fits.

Hoerl and Kennard, Ridge Regression (Technometrics 1970), formula 2.1, by folds of exams: three folds fit, the fourth
measures. The penalty is each unit's own, by generalised cross-validation (Golub, Heath and Wahba, Technometrics 1979,
formula 1.4) in the folds that fit, so the fold that measures has no part in it. The criterion counts parameters against
images; for units that are the same on all images of an exam, as those of the null are, against exams.

Everything follows from moments (`service.engine.evidence.moments`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.special import erfc

from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.exams import Exams
from service.engine.evidence.moments import Moments

_PENALTIES = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 100.0)
"""Ridge penalties, in mean eigenvalues of the scatter."""

_LEAST_EIGENVALUE = 1e-7
"""Of the largest one: less is rounding, and no image differs along such an axis."""

_NULL_UNITS = 1000
_NULL_SEED = 5
_EXAMS_AT_ONCE = 4096
_LEAST_SCATTER = 1e-12
"""Of a unit's squared largest activation: less is a constant."""


@dataclass(frozen=True, slots=True)
class FitNull:
    """What units do that follow nothing the dissector sees, alike on all images of an exam.

    Exams count and not images: no unit's images of one exam are more alike than these.
    """

    mean: float
    """Of the fit."""

    deviation: float
    """Of the fit."""

    images: float
    """How many independent images are worth as much: 1 / the variance of a correlation with a concept's cosine."""

    best: Tensor
    """float64 [n], the correlation of each such unit with the concept that it follows best."""

    def p(self, fit: Tensor) -> Tensor:
        """Of fits as good, float64: the upper tail of the normal distribution with the null's mean and deviation."""
        tail: Tensor = erfc((fit - self.mean) / self.deviation / 2**0.5)
        return 0.5 * tail


def directions_of(moments: Moments, axes: KeptAxes) -> Tensor:
    """The units' directions, fitted on all images: float32 [U, D], 0 for constants.

    What a unit's activation rises by, per unit of embedding.
    """
    filled = (moments.counts > 1).nonzero().squeeze(1)
    vectors = _ridge(moments.pooled(filled), 1.0, axes).t().float()
    vectors[_constant(moments)] = 0
    return vectors.contiguous()


def held_out_fits(moments: Moments, axes: KeptAxes, images_per_exam: float = 1.0) -> Tensor:
    """Correlation of each unit's activation and direction on exams that did not fit it: float64 [U]; 0 for constants.

    images_per_exam: how many images count as one, at least 1.

    With fewer exams than folds the folds without images are left out; with one fold alone nothing is held out, and
    every fit is 0.
    """
    filled = (moments.counts > 1).nonzero().squeeze(1)
    units = moments.aa.shape[1]
    covariance = moments.aa.new_zeros(units)
    predicted = moments.aa.new_zeros(units)
    measured = moments.aa.new_zeros(units)

    for fold in filled.tolist():
        others = filled[filled != fold]
        if len(others) == 0:
            break
        weights = _ridge(moments.pooled(others), images_per_exam, axes)
        covariance += (weights * moments.xa[fold]).sum(dim=0)
        predicted += (weights * (moments.xx[fold] @ weights)).sum(dim=0)
        measured += moments.aa[fold]

    fit = _ratio(covariance, (predicted * measured).clamp_min(0).sqrt())
    fit[_constant(moments)] = 0
    return fit


def concept_correlations(moments: Moments, concept_embeddings: Tensor) -> Tensor:
    """Correlation of each unit's activation with each concept's cosine, within folds: float64 [U, C].

    concept_embeddings: float [C, D]. Nothing is fitted, so every fold measures; differences between the folds' means
    have no part. 0 where the activation or the cosine is constant.
    """
    xx, xa, aa = moments.within()
    texts = concept_embeddings.to(xx)
    covariance = xa.t() @ texts.t()
    spread = ((texts @ xx) * texts).sum(dim=1).clamp_min(0)

    correlations = _ratio(covariance, (aa[:, None] * spread).sqrt())
    correlations[_constant(moments)] = 0
    return correlations.clamp(-1, 1)


def explained_shares(correlation: Tensor, fit: Tensor) -> Tensor:
    """correlation^2 / fit^2, from 0 to 1, for float64 of one shape; 0 where either is not positive.

    A concept that goes against the activation explains nothing, whatever its square.
    """
    share = _ratio(correlation.clamp_min(0).square(), fit.clamp_min(0).square())
    return share.clamp(0, 1)


def null_of_fits(
    blocks: Iterable[Tensor], exams: Exams, folds_of_image: Tensor, folds: int, concept_embeddings: Tensor
) -> FitNull:
    """The fits of units that follow nothing, the same for all layers of a job.

    blocks: the embeddings [n, D] of all images, one block after the other. folds_of_image: int64 [N].
    concept_embeddings: float [C, D].
    Such a unit's activation is normal noise, the same on all images of an exam.
    """
    generator = torch.Generator().manual_seed(_NULL_SEED)
    noise_of_exam = torch.randn(exams.count, _NULL_UNITS, generator=generator)

    def with_noise() -> Iterator[tuple[Tensor, Tensor]]:
        start = 0
        for embeddings in blocks:
            noise = noise_of_exam[exams.of_image[start : start + len(embeddings)]]
            start += len(embeddings)
            yield embeddings, noise.to(embeddings.device)

    moments = Moments.of_layer(with_noise(), folds_of_image, folds)
    fit = held_out_fits(moments, KeptAxes(), images_per_exam=len(exams.of_image) / exams.count)
    correlations = concept_correlations(moments, concept_embeddings)
    variance = float(correlations.square().mean())
    return FitNull(
        mean=float(fit.mean()),
        deviation=max(float(fit.std()), 1e-9),
        images=1 / max(variance, 1e-9),
        best=correlations.amax(dim=1),
    )


def _ridge(fitting: Moments, images_per_exam: float, axes: KeptAxes) -> Tensor:
    """Each unit's weights, float64 [D, U], from the moments of the fitting images in one fold."""
    values, vectors = axes.of(fitting.xx[0])
    differ = values > values[-1].clamp_min(0) * _LEAST_EIGENVALUE
    if not bool(differ.any()):
        return torch.zeros_like(fitting.xa[0])

    values, vectors = values[differ], vectors[:, differ]
    along = vectors.t() @ fitting.xa[0]
    penalty = _penalties(values, along, fitting.aa[0], float(fitting.counts[0]), images_per_exam)
    return vectors @ (along / (values[:, None] + penalty))


def _penalties(values: Tensor, along: Tensor, scatter: Tensor, images: float, images_per_exam: float) -> Tensor:
    """Each unit's penalty by generalised cross-validation, float64 [U].

    values: [R], the images' scatter along each axis. along: [R, U], embeddings with activations along the axes.
    scatter: [U], the activations' own. images: how many there are.
    """
    unit = values.mean()
    squares = along.square()
    best = torch.full_like(scatter, torch.inf)
    chosen = torch.zeros_like(scatter)

    for size in _PENALTIES:
        penalty = size * unit
        shrunk = values / (values + penalty)
        gained = (squares.t() @ (shrunk * (2 - shrunk) / values)).clamp_min(0)
        left = (scatter - gained).clamp_min(0)

        parameters = (float(shrunk.sum()) + 1) * images_per_exam
        free = max(1 - parameters / images, 1e-3)
        criterion = left / free**2
        better = criterion < best
        best = torch.where(better, criterion, best)
        chosen = torch.where(better, penalty, chosen)

    return chosen


def _constant(moments: Moments) -> Tensor:
    """Which units hardly differ from image to image: bool [U]."""
    images = moments.counts.sum()
    level = moments.a_mean.abs().amax(dim=0).square() * images
    return moments.aa.sum(dim=0) <= _LEAST_SCATTER * level


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """above / below, 0 where there is nothing to divide by."""
    return torch.where(below > 0, above / torch.where(below > 0, below, 1), 0)
