"""The description of an open_clip model that a dissector's directory brings along, checked entry by entry.

open_clip takes from it names of models on a hub, of tokenizers and of files anywhere, and sizes without limit. Here
only what describes the two towers may pass.
"""

import json
import math
from collections.abc import Collection
from pathlib import Path

from service.domain.json_values import JsonObject
from service.engine.dissectors.directory import DissectorFolder
from service.errors import InvalidDissector

MODEL_CONFIG = "open_clip_config.json"

_LARGEST_NUMBER = 1_000_000
_MOST_LAYERS = 256
_LONGEST_TEXT = 100
_LONGEST_LIST = 16

_BLOCKS = {
    *("width", "layers", "mlp_ratio", "ls_init_value", "output_tokens", "pool_type", "final_ln_after_pool"),
    *("act_kwargs", "norm_kwargs", "block_type", "qk_norm", "scaled_cosine_attn", "scale_heads"),
    *("scale_attn_inner", "scale_attn", "scale_fc"),
}
_VISION = {
    *_BLOCKS,
    *("head_width", "patch_size", "image_size", "patch_dropout", "attentional_pool", "attn_pooler_queries"),
    *("attn_pooler_heads", "no_ln_pre", "pos_embed_type"),
    *("timm_model_name", "timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop"),
    "timm_drop_path",
}
_TEXT = {
    *_BLOCKS,
    *("context_length", "vocab_size", "heads", "embed_cls", "pad_id", "eos_id", "no_causal_mask", "proj_bias"),
    *("proj_type", "tokenizer_kwargs"),
}
_MODEL = {
    *("embed_dim", "quick_gelu", "custom_text", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale"),
    *("vision_cfg", "text_cfg", "multimodal_cfg"),
}
_INSIDE: dict[str, Collection[str]] = {
    "model_cfg": _MODEL,
    "vision_cfg": _VISION,
    "text_cfg": _TEXT,
    "multimodal_cfg": _TEXT | {"dim_head", "n_queries", "attn_pooler_heads"},
    "act_kwargs": {"approximate"},
    "norm_kwargs": {"eps", "elementwise_affine", "bias"},
    "tokenizer_kwargs": {"clean", "reduction_mask"},
}
"""For every object of the description, the entries that it may have."""

_WORDS = {
    *("pool_type", "block_type", "pos_embed_type", "proj_type", "approximate", "clean", "reduction_mask"),
    *("timm_model_name", "timm_pool", "timm_proj"),
}
_WORDS_OR_NUMBERS = {"attentional_pool"}
_LISTS = {"layers", "patch_size", "image_size"}


def read_model_config(folder: DissectorFolder) -> JsonObject:
    """What describes the model, and nothing else of the file.

    Raises InvalidDissector, naming the entry, where it describes no model, asks for something from a model hub or from
    another file, or for a network of absurd size.
    """
    description = folder.read_json(MODEL_CONFIG)
    model = description.get("model_cfg")
    if not isinstance(model, dict) or not all(isinstance(model.get(part), dict) for part in ("vision_cfg", "text_cfg")):
        raise _refused(
            f"{MODEL_CONFIG} does not describe a model.",
            folder,
            'Add an object "model_cfg" in the format of open_clip.',
        )

    _check_object("model_cfg", model, folder)
    _check_timm(model["vision_cfg"], folder)

    contract = description.get("preprocess_cfg")
    colours: dict[str, list[float]] = {}
    if isinstance(contract, dict):
        for key in ("mean", "std"):
            if key in contract:
                colours[key] = _three(contract[key], key, folder)

    return {"model_cfg": model, "preprocess_cfg": colours}


def write_model_config(description: JsonObject, directory: Path) -> str:
    """Write a checked description where open_clip can read it; the model's name as open_clip takes it."""
    (directory / MODEL_CONFIG).write_text(json.dumps(description), encoding="utf-8")
    return f"local-dir:{directory}"


def _check_object(path: str, value: JsonObject, folder: DissectorFolder) -> None:
    allowed = _INSIDE[path.rpartition(".")[2]]
    for key, entry in value.items():
        name = f"{path}.{key:.40}"
        if key not in allowed:
            raise _refused(
                f"{MODEL_CONFIG} has the entry {name}, which may need a model hub or another file.",
                folder,
                "Use a model whose text tower and tokenizer are part of open_clip, and leave the entry out.",
            )

        if isinstance(entry, dict):
            _check_nested(name, key, entry, folder)
        else:
            _check_value(name, key, entry, folder)


def _check_nested(name: str, key: str, entry: JsonObject, folder: DissectorFolder) -> None:
    if key not in _INSIDE:
        raise _refused(f"{name} of {MODEL_CONFIG} is an object.", folder, "Give a number, a word or a list of numbers.")
    _check_object(name, entry, folder)


def _check_value(name: str, key: str, entry: object, folder: DissectorFolder) -> None:
    _check_kind(name, key, entry, folder)
    values = entry if isinstance(entry, list) else [entry]
    limit = _MOST_LAYERS if key == "layers" else _LARGEST_NUMBER

    if len(values) > _LONGEST_LIST or not all(_is_sane(value, limit) for value in values):
        raise _refused(
            f"{name} of {MODEL_CONFIG} is out of bounds.",
            folder,
            f"Numbers go to {limit}, words to {_LONGEST_TEXT} letters.",
        )


def _check_kind(name: str, key: str, entry: object, folder: DissectorFolder) -> None:
    kinds: tuple[type, ...]
    if key in _WORDS:
        kinds, expected = (str,), "a word"
    elif key in _WORDS_OR_NUMBERS:
        kinds, expected = (str, int, float), "a word or a number"
    elif key in _LISTS:
        kinds, expected = (int, float, list), "a number or a list of numbers"
    else:
        kinds, expected = (int, float), "a number"

    numbers = entry if isinstance(entry, list) else []
    fits = isinstance(entry, kinds) and all(isinstance(number, int | float) for number in numbers)
    if entry is not None and not fits:
        raise _refused(f"{name} of {MODEL_CONFIG} is not {expected}.", folder, f"Give {expected}, or null.")


def _is_sane(value: object, limit: int) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    if isinstance(value, int | float):
        return math.isfinite(value) and abs(value) <= limit
    return value is None


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


def _three(values: object, name: str, folder: DissectorFolder) -> list[float]:
    numbers = values if isinstance(values, list) else []
    if len(numbers) != 3 or not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise _refused(f"preprocess_cfg.{name} of {MODEL_CONFIG} is not three numbers.", folder, "Give one per colour.")
    return numbers


def _refused(detail: str, folder: DissectorFolder, remedy: str) -> InvalidDissector:
    return InvalidDissector(detail, field="dissector", value=folder.path / MODEL_CONFIG, remedy=remedy)
