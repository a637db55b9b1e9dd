"""Dissector kind `open_clip`: any open_clip model whose tokenizer comes with the library."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from service.domain.json_values import JsonObject
from service.domain.preprocessing import Preprocessing
from service.engine.architectures.building import building_within
from service.engine.architectures.libraries import ClipModel, build_open_clip, open_clip_models
from service.engine.architectures.library_inputs import clip_preprocessing
from service.engine.architectures.loading import load_strictly
from service.engine.dissectors.clip_config import MODEL_CONFIG, read_model_config, write_model_config
from service.engine.dissectors.directory import CONFIG, DissectorFolder, check_image_size
from service.errors import DissectError, InvalidDissector
from service.memory import is_out_of_memory

_TEXTS_PER_BATCH = 64
_LONGEST_NAME = 100


class OpenClipDissector:
    """Scores by an open_clip model's embeddings, in eval mode."""

    def __init__(
        self, model: ClipModel, tokenizer: Callable[[list[str]], Tensor], digest: str, device: torch.device
    ) -> None:
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
        return self._model.encode_image(images.to(self._device), normalize=True)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """C texts, cut at the model's context length -> unit-length, float32 [C, D]."""
        starts = range(0, len(texts), _TEXTS_PER_BATCH)
        batches = (self._tokenizer(list(texts[start : start + _TEXTS_PER_BATCH])) for start in starts)
        return torch.cat([self._model.encode_text(batch.to(self._device), normalize=True) for batch in batches])


def open_open_clip(folder: DissectorFolder, config: JsonObject, device: torch.device) -> OpenClipDissector:
    """Open `checkpoint` as the open_clip model `model`, or as what `open_clip_config.json` beside it describes.

    Raises InvalidDissector, InvalidCheckpoint or UnsafeCheckpoint.
    """
    file = folder.named_file(config, "checkpoint")
    model = config.get("model")

    if model is not None or MODEL_CONFIG not in folder.sha256:
        name = _known_model(model)
        return _open(name, f"open_clip {name}", folder.open_checkpoint(file).weights, folder, device)

    description = read_model_config(folder)
    weights = folder.open_checkpoint(file).weights
    with TemporaryDirectory() as place:
        name = write_model_config(description, Path(place))
        return _open(name, f"open_clip {MODEL_CONFIG}", weights, folder, device)


def _open(
    name: str, title: str, weights: Mapping[str, Tensor], folder: DissectorFolder, device: torch.device
) -> OpenClipDissector:
    import open_clip

    try:
        with building_within(weights, title):
            model = build_open_clip(name)
        tokenizer = open_clip.get_tokenizer(name)
    except DissectError:
        raise
    except Exception as error:  # open_clip checks nothing; whatever it stumbles over is in the description
        if is_out_of_memory(error):
            raise
        raise InvalidDissector(
            f"open_clip cannot build what {MODEL_CONFIG} describes: {type(error).__name__}: {error!s:.200}.",
            field="dissector",
            value=folder.path,
            remedy="Correct the description, or name the model.",
        ) from error

    check_image_size(clip_preprocessing(model.visual))
    load_strictly(model, weights, title)
    return OpenClipDissector(model.eval().to(device), tokenizer, folder.digest, device)


def _known_model(name: object) -> str:
    """A model's name as open_clip takes it. Raises InvalidDissector where it is none, or needs a model hub."""
    models = open_clip_models()
    if isinstance(name, str) and name in models:
        return name

    near = get_close_matches(name[:_LONGEST_NAME], models, n=5) if isinstance(name, str) else []
    raise InvalidDissector(
        f"{CONFIG} does not name a usable open_clip model.",
        field="dissector",
        value=name,
        remedy=f"Near matches: {', '.join(near)}." if near else f'Add "model", or put {MODEL_CONFIG} beside it.',
    )
