"""Dissector kind `transformers`: a CLIP or SigLIP model in the layout that transformers writes."""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from service.domain.json_values import JsonObject
from service.engine.architectures.building import building_within
from service.engine.architectures.loading import load_strictly
from service.engine.dissectors.directory import DissectorFolder, check_image_size
from service.engine.dissectors.image_contract import overridden
from service.engine.dissectors.layouts import TRANSFORMERS, Layout
from service.engine.dissectors.library_dissector import LibraryDissector
from service.engine.dissectors.processor_config import read_image_contract
from service.engine.dissectors.text_files import copy_tokenizer, refuse_code, tokenizer_class
from service.engine.dissectors.text_tower import shaping_entries
from service.engine.dissectors.tokens import Tokenizer, transformers_tokenizer
from service.engine.dissectors.weights_files import fitting_weights, open_weights
from service.errors import DissectError, InvalidDissector
from service.memory import is_out_of_memory

MODEL_CONFIG = TRANSFORMERS.description
_KINDS = ("clip", "siglip")
_TOWERS = ("text_config", "vision_config")
_COLOURS = 3


class TransformersDissector(LibraryDissector[Any]):
    """Scores by the embeddings of a CLIP or SigLIP model of transformers, in eval mode."""

    @torch.inference_mode()
    def embed_images(self, images: Tensor) -> Tensor:
        """float32 [B, 3, H, W] -> unit-length, float32 [B, D]."""
        features: Tensor = self._model.get_image_features(pixel_values=images.to(self._device)).pooler_output
        return functional.normalize(features, dim=1)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """C texts, cut at the model's context length -> unit-length, float32 [C, D]."""
        parts = []
        for batch in self.batches_of(texts):
            ids, mask = self._tokenizer.encode(batch)
            # Whether padding is masked, the tokenizer's files say (model_input_names): SigLIP was trained to see it.
            given = None if mask is None else mask.to(self._device)
            features = self._model.get_text_features(input_ids=ids.to(self._device), attention_mask=given)
            parts.append(functional.normalize(features.pooler_output, dim=1))
        return torch.cat(parts)


def open_transformers(folder: DissectorFolder, layout: Layout, device: torch.device) -> TransformersDissector:
    """Open the weights as what config.json beside them describes.

    Raises InvalidDissector, InvalidCheckpoint or UnsafeCheckpoint.
    """
    kind, entries = _read_model(folder)
    file, taken = layout.checkpoint(folder, TRANSFORMERS)
    checkpoint = open_weights(folder, file, layout.config)

    title = f"the {kind} model of {MODEL_CONFIG}"
    model = _build(kind, entries, checkpoint.weights, title, folder)
    contract = read_image_contract(folder, layout.config, model.config.vision_config.image_size, kind)
    contract = overridden(contract, layout.config, folder)
    check_image_size(contract.preprocessing)

    tokenizer, note = _open_tokenizer(folder, kind, model.config.text_config)
    weights, said = fitting_weights(checkpoint, model, layout.config, folder)
    expected = model.state_dict()
    kept = {key: value for key, value in weights.items() if key in expected or not key.endswith(".position_ids")}
    load_strictly(model, kept, title)
    return TransformersDissector(
        model.eval().to(device), tokenizer, contract, folder.digest, device, [*layout.notes, *taken, note, *said]
    )


def _read_model(folder: DissectorFolder) -> tuple[str, dict[str, Any]]:
    """The kind of model, and what shapes it. Raises InvalidDissector."""
    content = folder.read_json(MODEL_CONFIG)
    refuse_code(content, MODEL_CONFIG, folder)
    kind = content.get("model_type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidDissector(
            f"{MODEL_CONFIG} describes no model that can be a dissector.",
            field="dissector",
            value=kind,
            remedy=f"Its model_type must be one of {', '.join(_KINDS)}; of SigLIP 2 take a model of one image size "
            "(patch16-224 and the like), not NaFlex.",
        )

    entries: dict[str, Any] = {**shaping_entries(content, kind, MODEL_CONFIG, folder)}
    for tower in _TOWERS:
        # Files of transformers before 4.27 say it twice, and the second entry counts.
        stated = {**_object(content, tower, folder), **_object(content, f"{tower}_dict", folder)}
        entries[tower] = {**shaping_entries(stated, f"{kind}_{_model_of(tower)}", MODEL_CONFIG, folder)}
    return kind, entries


def _model_of(tower: str) -> str:
    return tower.replace("config", "model")


def _object(content: JsonObject, name: str, folder: DissectorFolder) -> JsonObject:
    value = content.get(name)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise InvalidDissector(
        f"{name} of {MODEL_CONFIG} is not an object.",
        field="dissector",
        value=folder.path / MODEL_CONFIG,
        remedy="Copy the file again from where the model was published.",
    )


def _build(
    kind: str, entries: dict[str, Any], weights: Mapping[str, Tensor], title: str, folder: DissectorFolder
) -> Any:
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    try:
        with building_within(weights, title):
            model: Any
            if kind == "clip":
                model = CLIPModel(CLIPConfig(**entries))
            else:
                model = SiglipModel(SiglipConfig(**entries))
    except DissectError:
        raise
    except Exception as error:  # transformers checks little; whatever it stumbles over is in the description
        if is_out_of_memory(error):
            raise
        raise InvalidDissector(
            f"transformers cannot build what {MODEL_CONFIG} describes: {type(error).__name__}: {error!s:.200}.",
            field="dissector",
            value=folder.path / MODEL_CONFIG,
            remedy="Copy the file again from where the model was published.",
        ) from error

    channels = model.config.vision_config.num_channels
    if channels != _COLOURS:
        raise InvalidDissector(
            f"{MODEL_CONFIG} describes a model of images with {channels} channels.",
            field="dissector",
            value=channels,
            remedy="Use a model of images with 3 channels.",
        )
    return model


def _open_tokenizer(folder: DissectorFolder, kind: str, text: Any) -> tuple[Tokenizer, str]:
    default = "CLIPTokenizer" if kind == "clip" else None
    with TemporaryDirectory() as directory:
        place = Path(directory)
        asked_by = f"{MODEL_CONFIG} describes a model that needs one"
        note = copy_tokenizer(folder, place, asked_by=asked_by, default_class=default)
        tokenizer = transformers_tokenizer(
            place, text.max_position_embeddings, text.vocab_size, _clean_for(tokenizer_class(folder))
        )
    return tokenizer, note


def _clean_for(tokenizer: str | None) -> Callable[[str], str] | None:
    return _without_punctuation if tokenizer == "SiglipTokenizer" else None


def _without_punctuation(text: str) -> str:
    """What transformers' SiglipTokenizer does to a text before it takes it apart."""
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", plain).strip()
