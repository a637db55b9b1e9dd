"""Training the image encoder of a dissector together with its heads, where there is data enough for it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from service.engine.dissectors.encoders import ImageFeatures
from service.engine.dissectors.heads import Heads
from service.engine.fitting.heads import FittedHeads

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""A new pass over images float32 [B, 3, H, W] and the rows of `matches` that they are, int64 [B]."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How the encoder is trained."""

    epochs: int = 10
    """The most epochs."""

    patience: int = 2
    """How many epochs without a lower held-back loss end the training."""

    learning_rate: float = 1e-4
    """That of the encoder; the heads have their own."""


def train_encoder(
    encoder: ImageFeatures,
    fitted: FittedHeads,
    text_embeddings: Tensor,
    matches: Tensor,
    *,
    fit: Batches,
    held_back: Batches,
    options: TrainingOptions,
) -> tuple[Heads, tuple[float, ...]]:
    """Lower the sigmoid loss by moving encoder and heads; both end at the epoch with the lowest held-back loss.

    encoder: opened trainable, in eval mode, so that batch norms keep their statistics; it is changed in place.
    text_embeddings [T, E], matches [N, T] bool. Returns the heads and the held-back loss before and after each epoch.
    """
    heads = Heads(dict(fitted.heads.state_dict()))
    learned = [heads.image_weight.requires_grad_(True), heads.text_weight.requires_grad_(True)]
    groups = [{"params": [weight], "lr": 0.003 * float(weight.detach().std())} for weight in learned]
    network = {"params": list(encoder.network.parameters()), "lr": options.learning_rate}
    optimiser = torch.optim.Adam([network, *groups])

    def losses_of(batches: Batches) -> Iterator[tuple[Tensor, int]]:
        for images, rows in batches():
            scores = heads.embed_features(encoder(images)) @ heads.embed_sentences(text_embeddings).T
            logits = fitted.scale * scores + fitted.bias
            yield functional.binary_cross_entropy_with_logits(logits, matches[rows].float()), len(rows)

    def measure() -> float:
        with torch.no_grad():
            parts = [(float(loss) * count, count) for loss, count in losses_of(held_back)]

        total = sum(part for part, _ in parts)
        return total / sum(count for _, count in parts)

    def state() -> dict[str, Tensor]:
        both = {**encoder.state_dict(prefix="encoder."), **heads.state_dict(prefix="heads.")}
        return {name: value.detach().clone() for name, value in both.items()}

    best = state()
    history = [measure()]
    for _ in range(options.epochs):
        for loss, _count in losses_of(fit):
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()

        history.append(measure())
        if history[-1] == min(history):
            best = state()
        if len(history) - 1 - history.index(min(history)) >= options.patience:
            break

    encoder.load_state_dict(_part(best, "encoder."))
    return Heads(_part(best, "heads.")), tuple(round(loss, 6) for loss in history)


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
