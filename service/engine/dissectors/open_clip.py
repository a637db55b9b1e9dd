"""Dissector kind `open_clip`: an open_clip model, with its text tower and tokenizer from the library or the folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from service.domain.json_values import JsonObject, StoredJson
from service.domain.preprocessing import Preprocessing
from service.engine.architectures.building import building_within
from service.engine.architectures.libraries import ClipModel, build_open_clip, convert_clip, needs_hub
from service.engine.architectures.library_inputs import clip_preprocessing
from service.engine.architectures.loading import load_strictly
from service.engine.dissectors.clip_config import MODEL_CONFIG, read_model_config, write_model_config
from service.engine.dissectors.directory import CONFIG, DissectorFolder, check_image_size
from service.engine.dissectors.image_contract import ImageContract, contract_of, overridden
from service.engine.dissectors.layouts import OPEN_CLIP, Layout
from service.engine.dissectors.library_dissector import LibraryDissector
from service.engine.dissectors.text_files import copy_tokenizer, has_tokenizer
from service.engine.dissectors.text_tower import find_text_tower
from service.engine.dissectors.tokens import Tokenizer, clip_tokenizer, open_clip_tokenizer
from service.engine.dissectors.weights_files import fitting_weights, open_weights
from service.engine.networks.checkpoints import Checkpoint
from service.errors import DissectError, InvalidDissector
from service.memory import is_out_of_memory

_LONGEST_NAME = 100
_SCALE = "logit_scale"
_TOKENIZER_MODES = (None, "clips")
_CONTEXT_LENGTH = 77
_VOCABULARY = 49408


class OpenClipDissector(LibraryDissector[ClipModel]):
    """Scores by an open_clip model's embeddings, in eval mode."""

    @torch.inference_mode()
    def embed_images(self, images: Tensor) -> Tensor:
        """float32 [B, 3, H, W] -> unit-length, float32 [B, D]."""
        return self._model.encode_image(images.to(self._device), normalize=True)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """C texts, cut at the model's context length -> unit-length, float32 [C, D]."""
        batches = map(self._tokenizer, self.batches_of(texts))
        return torch.cat([self._model.encode_text(batch.to(self._device), normalize=True) for batch in batches])


@dataclass(frozen=True)
class _Description:
    """What open_clip is to build. model: the `model_cfg`. images: the `preprocess_cfg`, as far as it is stated."""

    title: str
    model: StoredJson
    images: JsonObject

    opened_before: bool = False
    """Whether it needs nothing but its weights: then images are averaged where nothing else is stated."""

    @property
    def text(self) -> Mapping[str, Any]:
        text: Mapping[str, Any] = self.model["text_cfg"]  # type: ignore[assignment]
        return text

    @property
    def hub_name(self) -> str | None:
        """What its text tower is called on a model hub, if that is not one of open_clip's own."""
        return self.text.get("hf_model_name") or None

    @property
    def needs_tokenizer(self) -> bool:
        """Does its tokenizer not come with open_clip?"""
        return bool(self.hub_name or self.text.get("hf_tokenizer_name"))


def open_open_clip(folder: DissectorFolder, layout: Layout, device: torch.device) -> OpenClipDissector:
    """Open the weights as the open_clip model `model` of dissector.json, or as what `open_clip_config.json` describes.

    Raises InvalidDissector, InvalidCheckpoint or UnsafeCheckpoint.
    """
    config = layout.config
    file, taken = layout.checkpoint(folder, OPEN_CLIP)
    description = _describe(folder, config)
    checkpoint = open_weights(folder, file, config)
    notes = [*layout.notes, *taken]

    with TemporaryDirectory() as directory:
        place = Path(directory)
        tokenizer = _open_tokenizer(description, folder, place, notes)
        model = _build(description, folder, config, _likely_weights(checkpoint), place, notes)

    contract = _contract(description, clip_preprocessing(model.visual))
    contract = overridden(contract, config, folder)
    check_image_size(contract.preprocessing)

    weights, said = fitting_weights(checkpoint, model, config, folder)
    notes.extend(said)
    load_strictly(model, _as_library_reads(weights, model), description.title)
    return OpenClipDissector(model.eval().to(device), tokenizer, contract, folder.digest, device, notes)


def _describe(folder: DissectorFolder, config: JsonObject) -> _Description:
    if config.get("model") is not None or MODEL_CONFIG not in folder.sha256:
        return _describe_known(folder, config.get("model"))

    content = read_model_config(folder)
    model = _as_stored(content["model_cfg"])
    description = _Description(f"open_clip {MODEL_CONFIG}", model, _as_stored(content["preprocess_cfg"]))
    return replace(description, opened_before=CONFIG in folder.sha256 and not description.needs_tokenizer)


def _describe_known(folder: DissectorFolder, name: object) -> _Description:
    """The model of this name. Raises InvalidDissector where there is none, or the folder lacks what it needs."""
    import open_clip

    models = open_clip.list_models()
    from_library = [model for model in models if not needs_hub(model, open_clip.get_model_config(model))]
    usable = models if has_tokenizer(folder) else from_library
    if isinstance(name, str) and name in usable:
        model = _as_stored(open_clip.get_model_config(name))
        is_own = name in from_library
        return _Description(f"open_clip {name}", model, {} if is_own else _published_images(name), opened_before=is_own)

    near = get_close_matches(name[:_LONGEST_NAME], usable, n=5) if isinstance(name, str) else []
    remedy = f"Near matches: {', '.join(near)}." if near else f'Add "model", or put {MODEL_CONFIG} beside it.'
    if isinstance(name, str) and name in models:
        remedy = (
            f"'{name}' needs its tokenizer.json in the folder; of those that do without, "
            + remedy[0].lower()
            + remedy[1:]
        )
    raise InvalidDissector(
        f"{CONFIG} does not name a usable open_clip model.", field="dissector", value=name, remedy=remedy
    )


def _published_images(name: str) -> JsonObject:
    """How images reach the published weights of a model, as far as all of them agree."""
    import open_clip

    settings = [open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    entries = {
        key: [setting.get(key) for setting in settings] for key in ("mean", "std", "interpolation", "resize_mode")
    }
    return {key: values[0] for key, values in entries.items() if values and all(value == values[0] for value in values)}


def _open_tokenizer(description: _Description, folder: DissectorFolder, place: Path, notes: list[str]) -> Tokenizer:
    text = description.text
    options = dict(text.get("tokenizer_kwargs") or {})
    if options.pop("reduction_mask", None):
        notes.append("Long texts are cut at their end; the description's reduction_mask leaves out words at random.")

    context_length = int(text.get("context_length") or _CONTEXT_LENGTH)
    vocabulary = int(text.get("vocab_size") or _VOCABULARY)
    if not description.needs_tokenizer:
        return clip_tokenizer(context_length, options.get("clean"), vocabulary)

    mode = text.get("tokenizer_mode") or None
    if mode not in _TOKENIZER_MODES:
        raise InvalidDissector(
            f"{description.title} asks for the tokenizer_mode '{mode!s:.60}', which open_clip does not have: it would "
            "read texts as if nothing had been asked for.",
            field="dissector",
            value=folder.path,
            remedy=f'Write "clips" into the text_cfg of {MODEL_CONFIG}, or leave tokenizer_mode out, as it was in '
            "training.",
        )

    named = text.get("hf_tokenizer_name") or description.hub_name
    asked_by = f"{description.title} names a tokenizer of a model hub, '{named:.100}'"
    files = place / "tokenizer"
    files.mkdir()
    notes.append(copy_tokenizer(folder, files, asked_by=asked_by))
    return open_clip_tokenizer(
        files,
        context_length,
        None if description.hub_name else vocabulary,
        mode=mode,
        options={name: value for name, value in options.items() if value is not None},
    )


def _build(
    description: _Description,
    folder: DissectorFolder,
    config: JsonObject,
    weights: Mapping[str, Tensor],
    place: Path,
    notes: list[str],
) -> Any:
    model = _as_stored(description.model)
    text: StoredJson = model["text_cfg"]  # type: ignore[assignment]
    text.pop("hf_tokenizer_name", None)
    if description.hub_name is not None:
        tower = find_text_tower(folder, config, description.hub_name, weights)
        tower.write(place / "text-tower")
        notes.append(tower.note)
        text["hf_model_name"] = str(place / "text-tower")

    colours = {key: value for key, value in description.images.items() if key in {"mean", "std"}}
    name = write_model_config({"model_cfg": model, "preprocess_cfg": colours}, place)
    try:
        with building_within(weights, description.title):
            return build_open_clip(name)
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


def _likely_weights(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """The weights that were loaded, without what stands before their names: every model has a scale at its top."""
    weights = checkpoint.weights
    scale = next((key for key in weights if f".{key}".endswith(f".{_SCALE}")), _SCALE)
    prefix = scale.removesuffix(_SCALE)
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def _contract(description: _Description, preprocessing: Preprocessing) -> ImageContract:
    mode, interpolation = (description.images.get(key) for key in ("resize_mode", "interpolation"))
    if description.opened_before and mode is None and interpolation is None:
        return ImageContract(preprocessing)

    by_library = interpolation in {None, "random"}  # random is bicubic where nothing is trained
    return contract_of(
        preprocessing,
        mode or "shortest",  # type: ignore[arg-type]
        "bicubic" if by_library else interpolation,  # type: ignore[arg-type]
        says=description.title,
    )


def _as_library_reads(weights: Mapping[str, Tensor], model: Any) -> dict[str, Tensor]:
    """The weights under the names that the model has now: what open_clip itself does when it opens a file."""
    from open_clip.model import convert_to_custom_text_state_dict

    renamed = convert_clip(model, weights)
    if "positional_embedding" in renamed and not hasattr(model, "positional_embedding"):
        renamed = convert_to_custom_text_state_dict(renamed)

    expected = model.state_dict()
    renamed = {key: value for key, value in renamed.items() if not _is_constant(key) or key in expected}
    for key in ("logit_scale", "logit_bias"):
        if key in renamed and key in expected and renamed[key].numel() == expected[key].numel():
            renamed[key] = renamed[key].reshape(expected[key].shape)
    if "logit_bias" in expected and "logit_bias" not in renamed:
        renamed["logit_bias"] = torch.zeros_like(expected["logit_bias"])
    return renamed


def _is_constant(key: str) -> bool:
    return key.endswith("embeddings.position_ids")  # saved by transformers before 4.31


def _as_stored(value: object) -> StoredJson:
    """A copy of a JSON object that may be changed."""
    stored: StoredJson = json.loads(json.dumps(value))
    return stored
