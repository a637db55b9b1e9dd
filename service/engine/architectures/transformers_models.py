"""Vision models of transformers, described by the config.json beside their weights. Nothing is downloaded or run.

The weights come from our own reader, and transformers' own loading renames what older releases called otherwise. Only
networks that are part of transformers are built: a `config.json` that asks for code of its own is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from service.domain.input_contract import LibraryInput
from service.domain.json_text import parse_json
from service.domain.json_values import JsonObject
from service.domain.model_folders import CONFIG, PROCESSOR
from service.domain.preprocessing import Preprocessing
from service.engine.architectures.blueprint import Blueprint, Family, rows
from service.engine.architectures.library_inputs import transformers_input
from service.errors import DissectError, InvalidCheckpoint

VISION_MODELS = frozenset(
    {
        "aimv2_vision_model", "beit", "bit", "clip_vision_model", "convnext", "convnextv2", "cvt", "data2vec-vision",
        "deit", "dinov2", "dinov2_with_registers", "dinov3_convnext", "dinov3_vit", "efficientnet", "focalnet",
        "hgnet_v2", "hiera", "ijepa", "levit", "mobilenet_v1", "mobilenet_v2", "mobilevit", "mobilevitv2",
        "poolformer", "pvt", "pvt_v2", "regnet", "resnet", "segformer", "siglip_vision_model", "swiftformer", "swin",
        "swinv2", "vit", "vit_mae", "vit_msn",
    }
)  # fmt: skip
"""Those that take images alone and need nothing but their weights."""

_TOWERS = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}
"""Models of images and texts, of which the image tower is taken."""

_HEADS = ("classifier.", "head.")
_SIDE = 224
_PIL_BICUBIC = 3
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def family_of(descriptions: Mapping[str, bytes]) -> Family:
    """The family with the one network that these files describe."""
    return Family(lambda: (), lambda _model, weights, _given: _draw(descriptions, weights))


def _draw(descriptions: Mapping[str, bytes], weights: Mapping[str, Tensor]) -> Blueprint:
    """Build the network, and give it its weights by transformers' own loading. Raises InvalidCheckpoint."""
    described = _read(descriptions[CONFIG], CONFIG)
    processor = _read(descriptions[PROCESSOR], PROCESSOR) if PROCESSOR in descriptions else {}

    with _failing_as_invalid():
        config = _configuration(described)
        network, own, unused = _load(config, weights)
    return Blueprint(network, own, _input(config, processor), unused=unused)


def _read(content: bytes, name: str) -> JsonObject:
    try:
        value = parse_json(content, root=name)
    except DissectError as error:
        raise _invalid(f"The {name} beside the weights is not valid JSON. {error.detail}", name) from error
    if not isinstance(value, dict):
        raise _invalid(f"The {name} beside the weights is not a JSON object.", name)
    return value


def _configuration(described: JsonObject) -> Any:
    from transformers import AutoConfig

    kind = str(described.get("model_type"))
    tower = described.get("vision_config")
    if kind in _TOWERS and isinstance(tower, dict):
        kind = _TOWERS[kind]
        described = tower
    if kind not in VISION_MODELS or "auto_map" in described:
        why = "with code of its own, which is not run" if "auto_map" in described else "which is not opened here"
        raise InvalidCheckpoint(
            f"The {CONFIG} describes a '{kind:.60}', {why}.",
            field="architecture",
            value=kind,
            remedy=f"Give a vision model of transformers: {', '.join(sorted(VISION_MODELS))}; or export it to ONNX.",
        )

    left_out = {"model_type", "transformers_version", "quantization_config", "dtype", "torch_dtype"}
    entries = {name: value for name, value in described.items() if name not in left_out and not name.startswith("_")}
    return AutoConfig.for_model(kind, **entries)


def _load(config: Any, weights: Mapping[str, Tensor]) -> tuple[nn.Module, Mapping[str, Tensor], Sequence[str]]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, MODEL_MAPPING

    has_head = any(key.startswith(_HEADS) for key in weights)
    if has_head and type(config) in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        kind = _first(MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[type(config)])
        classes = rows(weights, "classifier.weight")
        if classes is not None:
            config.num_labels = classes
        network, faults = _loaded(kind, config, weights)
    else:
        kind = _first(MODEL_MAPPING[type(config)])
        network, faults = _loaded(kind, config, weights)
        missing = faults["missing"]
        if missing and all(key.startswith("pooler.") for key in missing):
            network, faults = _loaded(kind, config, weights, add_pooling_layer=False)

    unused: Sequence[str] = ()
    prefix = f"{network.base_model_prefix}."
    if any(key.startswith(prefix) for key in weights):  # the heads of other tasks are no part of the network
        unused = [key for key in faults["unexpected"] if not key.startswith(prefix)]
        faults["unexpected"] = [key for key in faults["unexpected"] if key.startswith(prefix)]

    if any(faults.values()):
        counted = "; ".join(f"{len(keys)} {fault} ({', '.join(keys[:3])})" for fault, keys in faults.items() if keys)
        raise InvalidCheckpoint(
            f"The checkpoint does not fit its {CONFIG}, {type(network).__name__}: {counted}.",
            field="checkpoint",
            value=config.model_type,
            remedy=f"Give the weights and the {CONFIG} of one folder, as model.save_pretrained wrote them.",
        )
    return network, network.state_dict(), unused


def _loaded(kind: Any, config: Any, weights: Mapping[str, Tensor], **options: bool) -> tuple[Any, dict[str, list[str]]]:
    network, info = kind.from_pretrained(
        None,
        config=config,
        state_dict=dict(weights),
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        dtype=torch.float32,
        **options,
    )
    return network, {
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "mis-shaped": sorted(str(mismatch[0]) for mismatch in info["mismatched_keys"]),
    }


def _first(kinds: Any) -> Any:
    return kinds[0] if isinstance(kinds, tuple) else kinds


def _input(config: Any, processor: JsonObject) -> LibraryInput:
    size: Any = processor.get("crop_size") or processor.get("size") or {}
    if isinstance(size, dict):
        size = (size.get("height") or size.get("shortest_edge"), size.get("width") or size.get("shortest_edge"))
    own = getattr(config, "image_size", None)
    height, width = _pair(own) or _pair(size) or (_SIDE, _SIDE)
    mean: Any = processor.get("image_mean") or _MEAN
    std: Any = processor.get("image_std") or _STD
    contract = Preprocessing(height, width, tuple(mean), tuple(std))

    has = {
        "height": _pair(own) or _pair(size),
        "width": _pair(own) or _pair(size),
        "mean": processor.get("image_mean"),
        "std": processor.get("image_std"),
    }
    is_bicubic = processor.get("resample") == _PIL_BICUBIC
    return transformers_input(contract, [name for name in has if has[name]], "bicubic" if is_bicubic else "")


def _pair(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return size[0], size[1]
    return None


@contextmanager
def _failing_as_invalid() -> Iterator[None]:
    """What transformers says of wrong descriptions, in any way, as an error of ours; and without its own reports."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    verbosity = logging.get_verbosity()
    had_progress_bar = logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    except DissectError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise _invalid(f"transformers cannot build what {CONFIG} describes: {reason}.", CONFIG) from error
    finally:
        logging.set_verbosity(verbosity)
        if had_progress_bar:
            logging.enable_progress_bar()


def _invalid(detail: str, name: str) -> InvalidCheckpoint:
    return InvalidCheckpoint(
        detail, field="checkpoint", value=name, remedy=f"Give the {name} that transformers wrote beside the weights."
    )
