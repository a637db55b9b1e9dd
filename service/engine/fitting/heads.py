"""Fitting the two projection heads of a dissector on pooled image features and report texts.

Reports of mammograms repeat each other: the same text belongs to many images. Each (image, text) pair is therefore a
yes-or-no question, scored by the sigmoid loss of Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (ICCV
2023), which needs no one-to-one pairing. The heads are linear. They start at the ridge-regularised solution of the
linear contrastive problem, a singular value decomposition of the images' and texts' cross-covariance (Nakada et al.,
"Understanding Multimodal Contrastive Learning and Incorporating Unpaired Data", AISTATS 2023), and are refined by
gradient descent until the loss on held-back patients no longer falls.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from service.engine.dissectors.heads import Heads, standardise

_COMPONENTS = 2048
_COMPONENT_IMAGES = 4096
_IMAGE_RIDGE, _TEXT_RIDGE = 1.0, 3e-4
_IMAGES_PER_STEP = 2048
_FIRST_SCALE = 10.0
_CALIBRATION_STEPS = 60


@dataclass(frozen=True)
class Pairs:
    """Images and texts to fit on."""

    features: Tensor
    """The images' features, [N, F] float16 or float32."""

    text_embeddings: Tensor
    """The embeddings of the texts' sentences, [T, E]."""

    matches: Tensor
    """[N, T] bool: the text is the image's."""


@dataclass(frozen=True, slots=True)
class HeadOptions:
    """How the heads are fitted."""

    width: int = 128
    """The number of dimensions of the shared space."""

    epochs: int = 60
    """The most epochs."""

    patience: int = 5
    """How many epochs without a lower held-back loss end the fit."""

    step: float = 0.003
    """The size of a gradient step, relative to the spread of the weights."""

    seed: int = 0


@dataclass(frozen=True)
class FittedHeads:
    """The heads, scale and bias of the sigmoid, and the held-back loss before refining and after each epoch."""

    heads: Heads
    scale: float
    bias: float
    losses: tuple[float, ...]


def fit_heads(
    fit: Pairs, held_back: Pairs, options: HeadOptions, progress: Callable[[int, int], None] | None = None
) -> FittedHeads:
    """Fit on one set of patients, stop early by the loss on another; progress is told (epochs done, epochs at most).

    Deterministic on one machine for equal pairs, options and number of threads.
    """
    generator = torch.Generator().manual_seed(options.seed)

    mean = fit.features.float().mean(0)
    deviation = fit.features.float().std(0, unbiased=False).clamp_min(1e-4)
    basis = _principal_directions(fit.features, mean, deviation, generator)
    inside = replace(fit, features=_reduce(fit.features, mean, deviation, basis))
    outside = replace(held_back, features=_reduce(held_back.features, mean, deviation, basis))

    counts = fit.matches.sum(0).float()
    centre = (counts @ fit.text_embeddings) / counts.sum()
    model = _Model(*_closed_form(inside, centre, options.width), centre, _balance(fit.matches))
    model.calibrate(inside)
    losses = _refine(model, inside, outside, options, generator, progress)

    heads = Heads.of(mean, deviation, (basis @ model.image).T, centre, model.text.T)
    return FittedHeads(heads, model.log_scale.detach().exp().item(), model.bias.item(), losses)


def _principal_directions(features: Tensor, mean: Tensor, deviation: Tensor, generator: torch.Generator) -> Tensor:
    """Orthonormal directions [F, k] of most variance, from at most 4,096 images drawn without replacement."""
    chosen = torch.randperm(len(features), generator=generator)[:_COMPONENT_IMAGES].sort().values
    rows = standardise(features[chosen.to(features.device)], mean, deviation)

    values, vectors = torch.linalg.eigh(rows @ rows.T)
    kept = int(min(_COMPONENTS, (values > 1e-5 * values[-1]).sum()))
    values = values[-kept:].flip(0)
    vectors = vectors[:, -kept:].flip(1)

    directions: Tensor = rows.T @ (vectors / values.sqrt())
    return directions


def _reduce(features: Tensor, mean: Tensor, deviation: Tensor, basis: Tensor) -> Tensor:
    """[N, F] -> [N, k], in chunks so that only one of them is float32 at a time."""
    return torch.cat([standardise(chunk, mean, deviation) @ basis for chunk in torch.split(features, _IMAGES_PER_STEP)])


def _closed_form(pairs: Pairs, centre: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Image weight [k, D] and text weight [E, D] of the best ridge-regularised bilinear score, cut to D dimensions.

    Texts weigh by the root of their number of images, between counting each text once and each pair once.
    """
    rows = pairs.features
    centred = pairs.text_embeddings - centre
    targets = pairs.matches.float()
    frequency = targets.mean(0)

    weights = targets.sum(0).clamp_min(1).sqrt()
    weights = (weights / weights.sum())[:, None]

    pull = rows.T @ targets - rows.sum(0)[:, None] * frequency
    covariance = (centred * weights).T @ centred

    ridge_images = rows.T @ rows + _IMAGE_RIDGE * torch.eye(rows.shape[1], device=rows.device)
    ridge_texts = covariance + _TEXT_RIDGE * torch.eye(centred.shape[1], device=rows.device)
    bilinear = torch.linalg.solve(ridge_images, pull @ torch.linalg.solve(ridge_texts, (centred * weights).T).T)

    left, values, right = torch.linalg.svd(bilinear, full_matrices=False)
    return left[:, :width] * values[:width], right[:width].T


def _balance(matches: Tensor) -> Tensor:
    """Weight [T] of each text in the loss: the inverse variance of its matches, so that rare texts count too."""
    share = matches.float().mean(0)
    weights = 1 / (share * (1 - share)).clamp_min(1e-3)
    return weights / weights.mean()


class _Model(nn.Module):
    """The heads in the space of principal components, with the sigmoid's scale and bias."""

    def __init__(self, image: Tensor, text: Tensor, centre: Tensor, balance: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image.contiguous())
        self.text = nn.Parameter(text.contiguous())
        self.log_scale = nn.Parameter(torch.tensor(_FIRST_SCALE, device=image.device).log())
        self.bias = nn.Parameter(torch.tensor(-4.0, device=image.device))
        self.centre = centre
        self.balance = balance

    def loss(self, pairs: Pairs, rows: Tensor | None = None) -> Tensor:
        features = pairs.features if rows is None else pairs.features[rows]
        matches = pairs.matches if rows is None else pairs.matches[rows]

        images = functional.normalize(features @ self.image, dim=1)
        texts = functional.normalize((pairs.text_embeddings - self.centre) @ self.text, dim=1)
        logits = self.log_scale.exp() * images @ texts.T + self.bias
        return functional.binary_cross_entropy_with_logits(logits, matches.float(), weight=self.balance)

    def calibrate(self, pairs: Pairs) -> None:
        """Fit scale and bias alone, so that the first steps do not bend the heads to make up for them."""
        optimiser = torch.optim.Adam([self.log_scale, self.bias], lr=0.05)
        rows = torch.arange(min(len(pairs.features), _IMAGES_PER_STEP), device=self.bias.device)
        for _ in range(_CALIBRATION_STEPS):
            optimiser.zero_grad()
            torch.autograd.backward(self.loss(pairs, rows))
            optimiser.step()


def _refine(
    model: _Model,
    inside: Pairs,
    outside: Pairs,
    options: HeadOptions,
    generator: torch.Generator,
    progress: Callable[[int, int], None] | None,
) -> tuple[float, ...]:
    """Gradient descent with early stopping; leaves the best weights in the model, which may be the first ones."""
    groups = [
        {"params": [weight], "lr": options.step * float(weight.detach().std())} for weight in (model.image, model.text)
    ]
    optimiser = torch.optim.Adam([*groups, {"params": [model.log_scale, model.bias], "lr": 0.01}])

    best = {name: value.clone() for name, value in model.state_dict().items()}
    losses = [_measure(model, outside)]
    for epoch in range(options.epochs):
        order = torch.randperm(len(inside.features), generator=generator).to(model.bias.device)
        for rows in torch.split(order, _IMAGES_PER_STEP):
            optimiser.zero_grad()
            torch.autograd.backward(model.loss(inside, rows))
            optimiser.step()

        losses.append(_measure(model, outside))
        if losses[-1] == min(losses):
            best = {name: value.clone() for name, value in model.state_dict().items()}
        if progress is not None:
            progress(epoch + 1, options.epochs)
        if len(losses) - 1 - losses.index(min(losses)) >= options.patience:
            break

    model.load_state_dict(best)
    return tuple(round(loss, 6) for loss in losses)


@torch.no_grad()
def _measure(model: _Model, pairs: Pairs) -> float:
    return float(model.loss(pairs))
