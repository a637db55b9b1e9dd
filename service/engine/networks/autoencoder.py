"""The encoder of a sparse autoencoder, and what it makes of a layer's output."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from service.domain.autoencoders import AutoencoderReading, Normalisation, latents_of
from service.domain.methods import Pooling

_MOST_AT_ONCE = 1 << 24
"""Numbers: the latents of a map are many times as large as the map."""

_LEAST_NORM = 1e-12
_LAYER_NORM_EPS = 1e-5
"""As SAELens has it, which divides by the deviation of a sample."""


class SparseEncoder(nn.Module):
    """float32 [P, D] -> latents [P, S]: ReLU of a linear layer, of which few stay."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        *,
        pre_bias: Tensor | None = None,
        threshold: Tensor | None = None,
        k: int | None = None,
        normalisation: Normalisation = "none",
    ) -> None:
        """weight: [S, D]. bias, threshold: [S]. pre_bias: [D]. k: how many latents stay at a place."""
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.pre_bias = None if pre_bias is None else nn.Parameter(pre_bias, requires_grad=False)
        self.threshold = None if threshold is None else nn.Parameter(threshold, requires_grad=False)
        self.k = k
        self.normalisation = normalisation

    @property
    def latents(self) -> int:
        """How many there are."""
        return len(self.weight)

    @property
    def width(self) -> int:
        """How many numbers it reads at a place."""
        return self.weight.shape[1]

    def forward(self, rows: Tensor) -> Tensor:
        """[P, D] -> [P, S]."""
        rows = self._normalised(rows)
        if self.pre_bias is not None:
            rows = rows - self.pre_bias

        before = functional.linear(rows, self.weight, self.bias)
        latents = before.relu()
        if self.threshold is not None:
            # A product, so that what is not finite stays so, and is noticed.
            latents = latents * (before > self.threshold)
        if self.k is not None:
            largest = latents.topk(self.k, dim=-1, sorted=False)
            latents = torch.zeros_like(latents).scatter_(-1, largest.indices, largest.values)
        return latents

    def pooled(self, places: Tensor, pooling: Pooling) -> Tensor:
        """What each latent did in each image: float32 [B, P, D] -> [B, S], each place encoded by itself."""
        if places.shape[1] == 1:
            encoded: Tensor = self(places[:, 0])
            return encoded
        # Image by image: how many are shown together changes no bit.
        return torch.stack([self._pooled(rows, pooling) for rows in places])

    def maps(self, features: Tensor, units: Collection[int]) -> dict[int, Tensor]:
        """Where some latents are active: float32 [D, H, W] -> [H, W] for each of them."""
        wanted = sorted(units)
        rows = features.flatten(1).T
        chosen = torch.cat([latents[:, wanted] for latents in self._encoded(rows)])
        return {unit: chosen[:, place].view(features.shape[1:]) for place, unit in enumerate(wanted)}

    def _pooled(self, rows: Tensor, pooling: Pooling) -> Tensor:
        is_mean = pooling == "avg"
        parts = [latents.sum(dim=0) if is_mean else latents.amax(dim=0) for latents in self._encoded(rows)]
        together = torch.stack(parts)
        return together.sum(dim=0) / len(rows) if is_mean else together.amax(dim=0)

    def _encoded(self, rows: Tensor) -> Iterator[Tensor]:
        """The latents of the places, some places at a time."""
        for part in torch.split(rows, max(1, _MOST_AT_ONCE // self.latents)):
            yield self(part)

    def _normalised(self, rows: Tensor) -> Tensor:
        match self.normalisation:
            case "layer_norm":
                centred = rows - rows.mean(dim=-1, keepdim=True)
                return centred / (centred.std(dim=-1, keepdim=True) + _LAYER_NORM_EPS)
            case "constant_norm_rescale":
                # A place where nothing is active stays so.
                lengths = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
                rescaled: Tensor = rows * (self.width**0.5 / lengths.clamp_min(_LEAST_NORM))
                return rescaled
            case "none":
                return rows


@dataclass(frozen=True)
class LayerAutoencoder:
    """A sparse autoencoder on a layer of a target, in eval mode on the target's device."""

    encoder: SparseEncoder
    reading: AutoencoderReading

    @property
    def layer(self) -> str:
        """The layer that it reads, in its dotted form and with the target's prefix."""
        return self.reading["layer"]

    @property
    def latents(self) -> str:
        """The name of the layer whose units are its latents."""
        return latents_of(self.layer)
