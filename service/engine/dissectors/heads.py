"""The two projection heads that make one space out of image features and sentence embeddings."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from service.errors import InvalidDissector

_FARTHEST = 6.0
"""Standardised features are cut off here, so that one wild feature cannot decide an embedding."""


class Heads(nn.Module):
    """Standardise and project image features; centre and project sentence embeddings; both to unit length.

    feature_mean, feature_deviation [F]; image_weight [D, F]; text_mean [E]; text_weight [D, E].
    """

    feature_mean: Tensor
    feature_deviation: Tensor
    image_weight: Tensor
    text_mean: Tensor
    text_weight: Tensor

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        _check(tensors)
        for name in _NAMES:
            self.register_buffer(name, tensors[name].float())

    @classmethod
    def of(
        cls,
        feature_mean: Tensor,
        feature_deviation: Tensor,
        image_weight: Tensor,
        text_mean: Tensor,
        text_weight: Tensor,
    ) -> Self:
        """Heads made of these tensors, copied."""
        values = (feature_mean, feature_deviation, image_weight, text_mean, text_weight)
        return cls({name: value.detach().clone() for name, value in zip(_NAMES, values, strict=True)})

    def tensors(self) -> dict[str, Tensor]:
        """What a file holds: weights as float16, everything else as float32, on the CPU."""
        halved = {"image_weight", "text_weight"}
        return {
            name: value.cpu().contiguous().to(torch.float16 if name in halved else torch.float32)
            for name, value in self.state_dict().items()
        }

    def embed_features(self, features: Tensor) -> Tensor:
        """[B, F] -> [B, D] of unit length."""
        standard = standardise(features, self.feature_mean, self.feature_deviation)
        return functional.normalize(standard @ self.image_weight.T, dim=1)

    def embed_sentences(self, embeddings: Tensor) -> Tensor:
        """[T, E] -> [T, D] of unit length."""
        return functional.normalize((embeddings - self.text_mean) @ self.text_weight.T, dim=1)


def standardise(features: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """[B, F] -> mean 0 and deviation 1, cut off at 6, over the root of F so that rows have length about 1."""
    standard = ((features.float() - mean) / deviation).clamp(-_FARTHEST, _FARTHEST)
    scaled: Tensor = standard / features.shape[1] ** 0.5
    return scaled


_NAMES = ("feature_mean", "feature_deviation", "image_weight", "text_mean", "text_weight")


def _check(tensors: dict[str, Tensor]) -> None:
    missing = sorted(set(_NAMES) - set(tensors))
    shapes = {name: list(tensors[name].shape) for name in _NAMES if name in tensors}
    if missing:
        raise InvalidDissector(
            f"The heads lack {', '.join(missing)}.", field="heads", remedy="Fit the dissector again."
        )

    if tensors["image_weight"].ndim != 2:
        raise InvalidDissector(
            f"The heads' image_weight has shape {shapes['image_weight']}, which is not a matrix.",
            field="heads",
            remedy="Fit the dissector again.",
        )

    width, features = tensors["image_weight"].shape
    expected = {
        "feature_mean": [features],
        "feature_deviation": [features],
        "text_weight": [width, tensors["text_mean"].numel()],
    }
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise InvalidDissector(
                f"The heads' {name} has shape {shapes[name]} instead of {shape}.",
                field="heads",
                remedy="Fit the dissector again.",
            )
