"""Architectures of timm, torchvision and open_clip. Their weights come from the given file; nothing is downloaded."""

import logging
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from service.domain.input_contract import GivenInput
from service.engine.architectures.blueprint import Blueprint, Family, rows
from service.engine.architectures.library_inputs import ClipTower, clip_input, timm_input, torchvision_input

_VISUAL = "visual."
_SLOW_TO_INITIALISE = {"googlenet", "inception_v3"}


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


def _draw_timm(model: str, weights: Mapping[str, Tensor], given: GivenInput) -> Blueprint:
    import timm

    config: Any = timm.get_pretrained_cfg(model)
    last = config.classifier if isinstance(config.classifier, str) else ""
    options = _classes(weights, f"{last}.weight") | _one_channel(weights, config.first_conv)

    size = _other_size(given, config.input_size[1:])
    if size is None or not config.fixed_input_size:
        return Blueprint(timm.create_model(model, pretrained=False, **options), weights, timm_input(config))

    try:
        network = timm.create_model(model, pretrained=False, img_size=size, **options)
    except TypeError:  # it cannot be built for another size; whether it takes one is tried later
        return Blueprint(timm.create_model(model, pretrained=False, **options), weights, timm_input(config))
    return Blueprint(network, _resampled(weights, network), timm_input(config))


def _resampled(weights: Mapping[str, Tensor], network: Any) -> Mapping[str, Tensor]:
    """With the position embeddings of another image size brought to the network's, as timm itself does."""
    filter_weights = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if filter_weights is None:
        return weights
    resampled: Mapping[str, Tensor] = filter_weights(dict(weights), network)
    return resampled


def _one_channel(weights: Mapping[str, Tensor], stem: object) -> dict[str, Any]:
    weight = weights.get(f"{stem}.weight")
    return {"in_chans": 1} if weight is not None and weight.ndim == 4 and weight.shape[1] == 1 else {}


def _other_size(given: GivenInput, own: tuple[int, int]) -> tuple[int, int] | None:
    """The size that was asked for, where it is another one than the library's own."""
    height, width = own
    size = (given.height or height, given.width or width)
    return None if size == (height, width) else size


def _torchvision_models() -> Sequence[str]:
    import torchvision.models

    models: list[str] = torchvision.models.list_models(module=torchvision.models)
    return models


def _draw_torchvision(model: str, weights: Mapping[str, Tensor], given: GivenInput) -> Blueprint:
    import torchvision.models
    from torchvision.models.vision_transformer import interpolate_embeddings

    said = torchvision_input(model)
    options: dict[str, Any] = {"init_weights": False} if model in _SLOW_TO_INITIALISE else {}
    size = _other_size(given, (said.unstated.height, said.unstated.width))
    if size is not None and size[0] == size[1] and _builds_for_a_size(model):
        options["image_size"] = size[0]
    network = torchvision.models.get_model(model, weights=None, **options)

    published = network.state_dict()
    # Not the file's last matrix: its keys may have another order than the layers.
    last = next((key for key in reversed(published) if published[key].ndim == 2), "")
    tuned = _classes(weights, last)
    if tuned and tuned != _classes(published, last):
        del network, published  # two of a large network may not fit into memory
        network = torchvision.models.get_model(model, weights=None, **options, **tuned)

    if "image_size" in options:
        weights = interpolate_embeddings(options["image_size"], network.patch_size, OrderedDict(weights))
    return Blueprint(network, weights, said)


def _builds_for_a_size(model: str) -> bool:
    return model.startswith("vit_")


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


def build_open_clip(name: str, size: tuple[int, int] | None = None) -> Any:
    """An open_clip model by its name there, with random weights. size: of its images, if another than its own."""
    import open_clip

    logging.disable(logging.WARNING)  # it warns that the weights are random; they are not for long
    try:
        return open_clip.create_model(name, load_weights=False, pretrained_text=False, force_image_size=size)
    finally:
        logging.disable(logging.NOTSET)


def _draw_open_clip(model: str, weights: Mapping[str, Tensor], given: GivenInput) -> Blueprint:
    import open_clip

    own_size = open_clip.get_model_config(model)["vision_cfg"].get("image_size", 224)
    own_height, own_width = (own_size, own_size) if isinstance(own_size, int) else own_size
    size = _other_size(given, (own_height, own_width))
    network = build_open_clip(model, size)
    if size is not None:
        weights = dict(weights)
        open_clip.model.resize_pos_embed(weights, network)

    visual = network.visual
    own = {key.removeprefix(_VISUAL): value for key, value in weights.items() if key.startswith(_VISUAL)}
    return Blueprint(visual, own, clip_input(visual))


FAMILIES = {
    "timm": Family(_timm_models, _draw_timm),
    "torchvision": Family(_torchvision_models, _draw_torchvision),
    "open_clip": Family(open_clip_models, _draw_open_clip),
}
