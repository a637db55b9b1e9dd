"""Dissector kind `open_clip`: any open_clip model whose tokenizer comes with the library."""

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.domain.preprocessing import Preprocessing
from service.engine.architectures.libraries import build_open_clip, clip_preprocessing, needs_hub, open_clip_models
from service.engine.architectures.loading import load_strictly
from service.engine.checkpoints import open_checkpoint
from service.engine.dissectors.directory import CONFIG, named_file
from service.errors import InvalidDissector

_MODEL_CONFIG = "open_clip_config.json"
_TEXTS_PER_BATCH = 64


class OpenClipDissector:
    """Scores by an open_clip model's embeddings, in eval mode."""

    def __init__(self, model: Any, tokenizer: Callable[[list[str]], Tensor], digest: str, device: torch.device) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._preprocessing = clip_preprocessing(model.visual)
        self._digest = digest
        self._device = device

    @property
    def preprocessing(self) -> Preprocessing:
        """The model's own image size, mean and standard deviation."""
        return self._preprocessing

    @property
    def digest(self) -> str:
        """Content digest of the dissector's directory."""
        return self._digest

    @torch.inference_mode()
    def embed_images(self, images: Tensor) -> Tensor:
        """float32 [B, 3, H, W] -> unit-length, float32 [B, D]."""
        embeddings: Tensor = self._model.encode_image(images.to(self._device), normalize=True)
        return embeddings

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """C texts, cut at the model's context length -> unit-length, float32 [C, D]."""
        starts = range(0, len(texts), _TEXTS_PER_BATCH)
        batches = (self._tokenizer(list(texts[start : start + _TEXTS_PER_BATCH])) for start in starts)
        return torch.cat([self._model.encode_text(batch.to(self._device), normalize=True) for batch in batches])


def open_open_clip(directory: Path, config: Mapping[str, Any], digest: str, device: torch.device) -> OpenClipDissector:
    """Open `checkpoint` as the open_clip model `model`, or as what `open_clip_config.json` beside it describes.

    Raises InvalidDissector, InvalidCheckpoint or UnsafeCheckpoint.
    """
    import open_clip

    path = named_file(directory, config, "checkpoint")
    name = _model_name(directory, config)
    model: nn.Module = build_open_clip(name)
    load_strictly(model, open_checkpoint(path).weights, f"open_clip {config.get('model', _MODEL_CONFIG)}")
    return OpenClipDissector(model.eval().to(device), open_clip.get_tokenizer(name), digest, device)


def _model_name(directory: Path, config: Mapping[str, Any]) -> str:
    """The model's name as open_clip takes it."""
    name = config.get("model")
    if name is None and (directory / _MODEL_CONFIG).is_file():
        try:
            own = json.loads((directory / _MODEL_CONFIG).read_text(encoding="utf-8"))["model_cfg"]
            hub = needs_hub("", own)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidDissector(
                f"{_MODEL_CONFIG} describes no model.",
                field="dissector",
                value=directory / _MODEL_CONFIG,
                remedy='It needs an object "model_cfg" in the form of open_clip.',
            ) from error
        if not hub:
            return f"local-dir:{directory}"
        raise InvalidDissector(
            f"{_MODEL_CONFIG} asks for a text tower or a tokenizer from a model hub.",
            field="dissector",
            value=directory / _MODEL_CONFIG,
            remedy="Use a model whose text tower and tokenizer come with open_clip.",
        )
    names = open_clip_models()
    if name in names:
        return str(name)
    near = get_close_matches(str(name), names, n=5)
    raise InvalidDissector(
        f"{CONFIG} names no usable open_clip model.",
        field="dissector",
        value=name,
        remedy=f"Near matches: {', '.join(near)}." if near else f'Add "model", or put {_MODEL_CONFIG} beside it.',
    )
