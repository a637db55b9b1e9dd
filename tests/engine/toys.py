"""Small networks, dissectors and probe sets whose every number can be worked out on paper."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.domain.concepts import Concept, ConceptSet
from service.domain.jobs import Progress
from service.domain.preprocessing import Preprocessing
from service.domain.probes import ProbeItem
from service.engine.networks.protocols import Target, TokenizedText
from service.errors import UnreadableImage

CONTRACT = Preprocessing(height=2, width=2, mean=(0.0,) * 3, std=(1.0,) * 3, resize="none")
OTHER_CONTRACT = Preprocessing(height=2, width=2, mean=(0.5,) * 3, std=(1.0,) * 3, resize="none")


class ArrayImages:
    """Probe images that are arrays already; the contract's mean is subtracted, broken ones cannot be decoded."""

    def __init__(self, arrays: Sequence[NDArray[np.float32]], broken: Sequence[int] = ()) -> None:
        self._arrays = arrays
        self._broken = frozenset(broken)
        self.items = tuple(ProbeItem(f"image-{i}", Path(f"{i}.png"), row=i + 1) for i in range(len(arrays)))
        self.loaded: list[int] = []

    def load(self, index: int, contracts: Sequence[Preprocessing]) -> list[NDArray[np.float32]]:
        self.loaded.append(index)
        if index in self._broken:
            raise UnreadableImage(f"Manifest row {index + 1} cannot be decoded.", value=index + 1)
        return [self._arrays[index] - np.float32(contract.mean[0]) for contract in contracts]


def grey_images(*levels: float) -> ArrayImages:
    """2 x 2 images of one grey level each."""
    return ArrayImages([np.full((3, 2, 2), level, np.float32) for level in levels])


class Conv(nn.Module):
    """A 1 x 1 convolution of the first channel: unit u is weight[u] times the pixel, plus bias[u]."""

    def __init__(self, weights: Sequence[float], biases: Sequence[float]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(3, len(weights), 1), nn.ReLU()])
        conv = self.blocks[0]
        assert isinstance(conv, nn.Conv2d)
        with torch.no_grad():
            conv.weight.zero_()
            conv.weight[:, 0, 0, 0] = torch.tensor(weights)
            assert conv.bias is not None
            conv.bias.copy_(torch.tensor(biases))

    def forward(self, images: Tensor) -> Tensor:
        for block in self.blocks:
            images = block(images)
        return images


def as_letters(text: str) -> TokenizedText:
    """A text whose tokens are its letters."""
    return TokenizedText(tuple(map(ord, text)), len(text), len(text))


class GreyDissector:
    """Embeds an image at the angle (mean grey level) and the texts "0.5", "1.2" ... at the angle they name."""

    digest = "0" * 64
    notes = ()

    def __init__(self, device: torch.device, preprocessing: Preprocessing = CONTRACT) -> None:
        self.preprocessing = preprocessing
        self._device = device

    def embed_images(self, images: Tensor) -> Tensor:
        return self._at(images.mean(dim=(1, 2, 3)))

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return self._at(torch.tensor([float(text) for text in texts], device=self._device))

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        return [as_letters(text) for text in texts]

    @staticmethod
    def _at(angles: Tensor) -> Tensor:
        return torch.stack([angles.cos(), angles.sin()], dim=1)


class Lookup(nn.Module):
    """Returns stored activations: the image's pixel is the row."""

    def __init__(self, layers: dict[str, Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {name: nn.Embedding(rows.shape[0], rows.shape[1], _weight=rows) for name, rows in layers.items()}
        )

    def forward(self, images: Tensor) -> Tensor:
        for layer in self.layers.values():
            layer(images[:, 0, 0, 0].long())
        return images


class Stored:
    """A dissector whose embeddings are ready."""

    digest = "0" * 64
    notes = ()

    def __init__(self, images: Tensor, texts: Tensor) -> None:
        self.preprocessing = CONTRACT
        self._images, self._texts = nn.functional.normalize(images, dim=1), nn.functional.normalize(texts, dim=1)

    def embed_images(self, images: Tensor) -> Tensor:
        return self._images[images[:, 0, 0, 0].long()]

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return self._texts[[int(text) for text in texts]]

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        return [as_letters(text) for text in texts]


def target_of(module: nn.Module, device: torch.device, *layers: str, prefix: str = "") -> Target:
    return Target(module.eval().to(device), "toy", CONTRACT, "0" * 64, layer_prefix=prefix, main_layers=layers)


def words(texts: Iterable[str]) -> ConceptSet:
    """A concept set of these texts."""
    return ConceptSet("words", tuple(Concept(text) for text in texts))


def no_progress(_progress: Progress) -> None:
    pass


def hooks_left(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())
