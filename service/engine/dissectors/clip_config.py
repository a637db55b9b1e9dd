"""The description of an open_clip model that a dissector's directory brings along, checked entry by entry.

open_clip takes from it names of models on a hub, of tokenizers and of files anywhere, and sizes without limit. Here
only what describes the two towers may pass.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from service.domain.json_values import JsonObject
from service.engine.dissectors.directory import DissectorFolder
from service.engine.dissectors.image_contract import ResizeMode, numbers_of, word_of
from service.errors import InvalidDissector

MODEL_CONFIG = "open_clip_config.json"

_Interpolation = Literal["bicubic", "bilinear", "random"]

_LARGEST_NUMBER = 1_000_000
_MOST_LAYERS = 256
_LONGEST_TEXT = 100
_LONGEST_LIST = 16


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an entry of the description may be, besides null."""

    name: str
    types: tuple[type, ...]

    several: bool = False
    """Whether it may be a list, too."""

    limit: int = _LARGEST_NUMBER
    """The largest number."""

    def fits(self, entry: object) -> bool:
        """Is it of this kind? A bool is no number here."""
        return all(type(value) in self.types for value in self._values(entry))

    def is_within_bounds(self, entry: object) -> bool:
        """Is an entry of this kind of a size that a real description has?"""
        values = self._values(entry)
        return len(values) <= _LONGEST_LIST and all(map(self._is_sane, values))

    @property
    def bounds(self) -> str:
        """What a size that real descriptions have is."""
        if str in self.types:
            return f"Give a word of at most {_LONGEST_TEXT} letters."
        if self.several:
            return f"Give a number, or at most {_LONGEST_LIST} numbers, from -{self.limit} to {self.limit}."
        return f"Give a number from -{self.limit} to {self.limit}."

    def _values(self, entry: object) -> list[object]:
        return entry if self.several and isinstance(entry, list) else [entry]

    def _is_sane(self, value: object) -> bool:
        if isinstance(value, str):
            return len(value) <= _LONGEST_TEXT
        return not isinstance(value, int | float) or (math.isfinite(value) and abs(value) <= self.limit)


_WORD = _Kind("a word", (str,))
_NUMBER = _Kind("a number", (int, float))
_FLAG = _Kind("true or false", (bool,))
_FLAG_OR_WORD = _Kind("true, false or a word", (bool, str))
_NUMBERS = _Kind("a number or a list of numbers", (int, float), several=True)
_LAYERS = replace(_NUMBERS, limit=_MOST_LAYERS)

_Entries: TypeAlias = Mapping[str, "_Kind | _Entries"]
"""The entries that an object may have: for each, its kind, or the entries of the object that it is."""

_BLOCKS: _Entries = {
    "width": _NUMBER,
    "layers": _LAYERS,
    "mlp_ratio": _NUMBER,
    "ls_init_value": _NUMBER,
    "output_tokens": _FLAG,
    "pool_type": _WORD,
    "final_ln_after_pool": _FLAG,
    "act_kwargs": {"approximate": _WORD},
    "norm_kwargs": {"eps": _NUMBER, "elementwise_affine": _FLAG, "bias": _FLAG},
    "block_type": _WORD,
    "qk_norm": _FLAG,
    "scaled_cosine_attn": _FLAG,
    "scale_heads": _FLAG,
    "scale_attn_inner": _FLAG,
    "scale_attn": _FLAG,
    "scale_fc": _FLAG,
}
_VISION: _Entries = {
    **_BLOCKS,
    "head_width": _NUMBER,
    "patch_size": _NUMBERS,
    "image_size": _NUMBERS,
    "patch_dropout": _NUMBER,
    "attentional_pool": _FLAG_OR_WORD,
    "attn_pooler_queries": _NUMBER,
    "attn_pooler_heads": _NUMBER,
    "no_ln_pre": _FLAG,
    "pos_embed_type": _WORD,
    "timm_model_name": _WORD,
    "timm_model_pretrained": _FLAG,
    "timm_pool": _WORD,
    "timm_proj": _WORD,
    "timm_proj_bias": _FLAG,
    "timm_drop": _NUMBER,
    "timm_drop_path": _NUMBER,
}
_TEXT: _Entries = {
    **_BLOCKS,
    "context_length": _NUMBER,
    "vocab_size": _NUMBER,
    "heads": _NUMBER,
    "embed_cls": _FLAG,
    "pad_id": _NUMBER,
    "eos_id": _NUMBER,
    "no_causal_mask": _FLAG,
    "proj_bias": _FLAG,
    "proj_type": _WORD,
    "tokenizer_kwargs": {"clean": _WORD, "reduction_mask": _WORD, "strip_sep_token": _FLAG},
    "tokenizer_mode": _WORD,
}
_NAMED_TEXT: _Entries = {
    **_TEXT,
    "hf_model_name": _WORD,
    "hf_model_pretrained": _FLAG,
    "hf_tokenizer_name": _WORD,
    "hf_proj_type": _WORD,
    "hf_pooler_type": _WORD,
}
"""Of a text tower that is called by its name on a model hub. Its files are looked for in the folder."""

_MODEL: _Entries = {
    "embed_dim": _NUMBER,
    "quick_gelu": _FLAG,
    "custom_text": _FLAG,
    "init_logit_scale": _NUMBER,
    "init_logit_bias": _NUMBER,
    "nonscalar_logit_scale": _FLAG,
    "vision_cfg": _VISION,
    "text_cfg": _NAMED_TEXT,
    "multimodal_cfg": {**_TEXT, "dim_head": _NUMBER, "n_queries": _NUMBER, "attn_pooler_heads": _NUMBER},
}


def read_model_config(folder: DissectorFolder) -> JsonObject:
    """What describes the model, and nothing else of the file.

    Raises InvalidDissector, naming the entry, where it describes no model, asks for something from a model hub or from
    another file, or for a network of absurd size. A text tower and a tokenizer may be named: whoever builds the
    model looks for them in the folder.
    """
    description = folder.read_json(MODEL_CONFIG)
    model = description.get("model_cfg")
    if not isinstance(model, dict) or not all(isinstance(model.get(part), dict) for part in ("vision_cfg", "text_cfg")):
        raise _refused(
            f"{MODEL_CONFIG} does not describe a model.",
            folder,
            'Add an object "model_cfg" in the format of open_clip.',
        )

    _check_object("model_cfg", model, _MODEL, folder)
    _check_timm(model["vision_cfg"], folder)

    return {"model_cfg": model, "preprocess_cfg": _image_settings(description.get("preprocess_cfg"), folder)}


def write_model_config(description: JsonObject, directory: Path) -> str:
    """Write a checked description where open_clip can read it; the model's name as open_clip takes it."""
    (directory / MODEL_CONFIG).write_text(json.dumps(description), encoding="utf-8")
    return f"local-dir:{directory}"


def _check_object(path: str, value: JsonObject, entries: _Entries, folder: DissectorFolder) -> None:
    for key, entry in value.items():
        name = f"{path}.{key:.40}"
        kind = entries.get(key)
        if kind is None:
            raise _refused(
                f"{MODEL_CONFIG} has the entry {name}, which may need a model hub or another file.",
                folder,
                "Leave the entry out, where the model does without it.",
            )

        if entry is None:
            continue
        if isinstance(kind, _Kind):
            _check_value(name, entry, kind, folder)
        elif isinstance(entry, dict):
            _check_object(name, entry, kind, folder)
        else:
            raise _refused(
                f"{name} of {MODEL_CONFIG} is not an object.", folder, "Give an object in braces, or leave it out."
            )


def _check_value(name: str, entry: object, kind: _Kind, folder: DissectorFolder) -> None:
    if not kind.fits(entry):
        raise _refused(f"{name} of {MODEL_CONFIG} is not {kind.name}.", folder, f"Give {kind.name}.")
    if not kind.is_within_bounds(entry):
        raise _refused(f"{name} of {MODEL_CONFIG} is out of bounds.", folder, kind.bounds)


def _check_timm(vision: JsonObject, folder: DissectorFolder) -> None:
    import timm

    if vision.get("timm_model_pretrained"):
        raise _refused(
            f"{MODEL_CONFIG} asks for timm_model_pretrained, weights from a model hub.",
            folder,
            "Leave the entry out: the weights are in the checkpoint.",
        )

    name = vision.get("timm_model_name")
    if name is not None and name not in timm.list_models():
        raise _refused(
            f"{MODEL_CONFIG} names a timm model that the library does not have: '{name}'.",
            folder,
            "Use a name that timm.list_models() lists.",
        )


def _image_settings(settings: object, folder: DissectorFolder) -> JsonObject:
    stated = settings if isinstance(settings, dict) else {}
    checked: dict[str, object] = {}
    for key in ("mean", "std"):
        value = stated.get(key)
        if value is not None:
            several = [value] * 3 if type(value) in (int, float) else value
            checked[key] = list(numbers_of(several, f"preprocess_cfg.{key} of {MODEL_CONFIG}", folder))

    for key, words in (("interpolation", _Interpolation), ("resize_mode", ResizeMode)):
        if stated.get(key) is not None:
            checked[key] = word_of(stated[key], words, f"preprocess_cfg.{key} of {MODEL_CONFIG}")
    return checked


def _refused(detail: str, folder: DissectorFolder, remedy: str) -> InvalidDissector:
    return InvalidDissector(detail, field="dissector", value=folder.path / MODEL_CONFIG, remedy=remedy)
