"""Architectures of timm, torchvision and open_clip. Their weights come from the given file; nothing is downloaded."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor

from service.domain.preprocessing import Preprocessing
from service.engine.architectures.blueprint import Blueprint, Family, rows

_IMAGENET = Preprocessing(height=224, width=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_VISUAL = "visual."
_BACKBONE = "backbone."
_SEGMENTED = 520
"""The side that torchvision brings images to before it segments them."""
_SLOW_TO_INITIALISE = {"googlenet", "inception_v3"}


class ClipTower(Protocol):
    """An open_clip image tower."""

    image_size: int | tuple[int, int]
    preprocess_cfg: Mapping[str, Any]


class ClipModel(Protocol):
    """An open_clip model."""

    visual: ClipTower

    def encode_image(self, images: Tensor, /, *, normalize: bool) -> Tensor:
        """float32 [B, 3, H, W] -> float32 [B, D]."""
        ...

    def encode_text(self, tokens: Tensor, /, *, normalize: bool) -> Tensor:
        """Token ids [C, T] -> float32 [C, D]."""
        ...


def _timm_models() -> Sequence[str]:
    import timm

    models: list[str] = timm.list_models()
    return [*models, *timm.list_pretrained()]


def _draw_timm(model: str, weights: Mapping[str, Tensor]) -> Blueprint:
    import timm

    config: Any = timm.get_pretrained_cfg(model)
    last = config.classifier if isinstance(config.classifier, str) else ""
    network = timm.create_model(model, pretrained=False, **_classes(weights, f"{last}.weight"))
    _, height, width = config.input_size
    return Blueprint(network, weights, Preprocessing(height, width, config.mean, config.std))


def _torchvision_models() -> Sequence[str]:
    import torchvision.models

    models: list[str] = torchvision.models.list_models(module=torchvision.models)
    return [*models, *_models_with_backbone()]


def _models_with_backbone() -> list[str]:
    """Detection and segmentation: what follows the backbone takes lists of images or gives no units."""
    from torchvision.models import detection, list_models, segmentation

    models: list[str] = [*list_models(module=detection), *list_models(module=segmentation)]
    return models


def _draw_backbone(model: str, weights: Mapping[str, Tensor]) -> Blueprint:
    """The backbone of a network that detects or segments, with what else of the file belongs to its heads left out."""
    import torchvision.models

    network = torchvision.models.get_model(model, weights=None, weights_backbone=None)
    backbone = network.backbone
    own = {key.removeprefix(_BACKBONE): value for key, value in weights.items() if key.startswith(_BACKBONE)}

    # Networks that were trained with frozen norms have none, and they are no part of what a norm computes.
    for key, value in backbone.state_dict().items():
        if key.endswith("num_batches_tracked"):
            own.setdefault(key, value)

    return Blueprint(backbone, own, _backbone_input(getattr(network, "transform", None)), layer_prefix=_BACKBONE)


def _backbone_input(transform: Any) -> Preprocessing:
    """The size that torchvision shows: fixed, or the shorter side that it brings images to."""
    if transform is None:
        return replace(_IMAGENET, height=_SEGMENTED, width=_SEGMENTED)
    width, height = transform.fixed_size or (transform.min_size[-1], transform.min_size[-1])
    return Preprocessing(height, width, tuple(transform.image_mean), tuple(transform.image_std))


def _draw_torchvision(model: str, weights: Mapping[str, Tensor]) -> Blueprint:
    import torchvision.models

    if model in _models_with_backbone():
        return _draw_backbone(model, weights)

    options = {"init_weights": False} if model in _SLOW_TO_INITIALISE else {}
    network = torchvision.models.get_model(model, weights=None, **options)

    published = network.state_dict()
    # Not the file's last matrix: its keys may have another order than the layers.
    last = next((key for key in reversed(published) if published[key].ndim == 2), "")
    tuned = _classes(weights, last)
    if tuned and tuned != _classes(published, last):
        del network, published  # two of a large network may not fit into memory
        network = torchvision.models.get_model(model, weights=None, **options, **tuned)

    return Blueprint(network, weights, _IMAGENET)


def _classes(weights: Mapping[str, Tensor], last: str) -> dict[str, Any]:
    """A fine-tuned network has a last layer of its own width, which the weights tell."""
    classes = rows(weights, last)
    return {} if classes is None else {"num_classes": classes}


def open_clip_models() -> Sequence[str]:
    """The open_clip models that need nothing but their weights: no text tower or tokenizer from a model hub."""
    import open_clip

    return [name for name in open_clip.list_models() if not needs_hub(name, open_clip.get_model_config(name))]


def needs_hub(name: str, config: Mapping[str, Any]) -> bool:
    """Whether open_clip would fetch the text tower's configuration or the tokenizer for this model."""
    text = config.get("text_cfg", {})
    return "hf_model_name" in text or "hf_tokenizer_name" in text or "siglip" in name.lower()


def build_open_clip(name: str) -> Any:
    """An open_clip model by its name there, with random weights."""
    import open_clip

    logging.disable(logging.WARNING)  # it warns that the weights are random; they are not for long
    try:
        return open_clip.create_model(name, load_weights=False, pretrained_text=False)
    finally:
        logging.disable(logging.NOTSET)


def _draw_open_clip(model: str, weights: Mapping[str, Tensor]) -> Blueprint:
    visual = build_open_clip(model).visual
    own = {key.removeprefix(_VISUAL): value for key, value in weights.items() if key.startswith(_VISUAL)}
    return Blueprint(visual, own, clip_preprocessing(visual))


def clip_preprocessing(visual: ClipTower) -> Preprocessing:
    """What an open_clip image tower says of its input."""
    size = visual.image_size
    config = visual.preprocess_cfg
    height, width = (size, size) if isinstance(size, int) else size
    return Preprocessing(height, width, tuple(config["mean"]), tuple(config["std"]))


FAMILIES = {
    "timm": Family(_timm_models, _draw_timm),
    "torchvision": Family(_torchvision_models, _draw_torchvision),
    "open_clip": Family(open_clip_models, _draw_open_clip),
}
