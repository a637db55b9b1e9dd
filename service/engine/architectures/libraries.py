"""Architectures of timm, torchvision and open_clip. Their weights come from the given file; nothing is downloaded."""

import logging
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Protocol

from torch import Tensor, nn

from service.domain.input_contract import GivenInput
from service.engine.architectures.blueprint import Blueprint, Family, rows
from service.engine.architectures.library_inputs import (
    ClipTower,
    backbone_input,
    clip_input,
    timm_input,
    torchvision_input,
)
from service.engine.architectures.mending import Rename

_VISUAL = "visual."
_TIMM_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained", "pretrained_filter_fn")
_BACKBONE = "backbone."
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
    heads = _heads_of(config)
    options = _classes(weights, f"{heads[0] if heads else ''}.weight")
    size = _other_size(given, config.input_size[1:])
    if size is None or not config.fixed_input_size:
        network = timm.create_model(model, pretrained=False, **options)
    else:
        try:
            network = timm.create_model(model, pretrained=False, img_size=size, **options)
        except TypeError:  # it cannot be built for another size; whether it takes one is tried later
            network = timm.create_model(model, pretrained=False, **options)
    return Blueprint(network, weights, timm_input(config), heads=heads, renames=_timm_renames(model))


def _other_size(given: GivenInput, own: tuple[int, int]) -> tuple[int, int] | None:
    """The size that was asked for, where it is another one than the library's own."""
    height, width = own
    size = (given.height or height, given.width or width)
    return None if size == (height, width) else size


def _heads_of(config: Any) -> tuple[str, ...]:
    classifier = config.classifier
    return (classifier,) if isinstance(classifier, str) else tuple(classifier or ())


def _timm_renames(model: str) -> list[Rename]:
    """The filter through which timm puts files of this architecture before it loads them."""
    from timm.models import model_entrypoint

    module = sys.modules[model_entrypoint(model.partition(".")[0]).__module__]
    filters = (getattr(module, name, None) for name in _TIMM_FILTERS)
    found = next((each for each in filters if each is not None), None)
    return [] if found is None else [lambda network, weights: found(dict(weights), network)]


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
    said = backbone_input(getattr(network, "transform", None))
    return Blueprint(backbone, own or weights, said, layer_prefix=_BACKBONE)


def _draw_torchvision(model: str, weights: Mapping[str, Tensor], given: GivenInput) -> Blueprint:
    import torchvision.models

    if model in _models_with_backbone():
        return _draw_backbone(model, weights)

    said = torchvision_input(model)
    options: dict[str, Any] = {}
    if model in _SLOW_TO_INITIALISE:
        has_side_classifiers = any(key.lower().startswith("aux") for key in weights)
        options = {"init_weights": False, "aux_logits": has_side_classifiers}
    size = _other_size(given, (said.unstated.height, said.unstated.width))
    if size is not None and size[0] == size[1] and _builds_for_a_size(model):
        options["image_size"] = size[0]
    network = torchvision.models.get_model(model, weights=None, **options)

    published = network.state_dict()
    # Not the file's last matrix: its keys may have another order than the layers.
    matrices = [key for key in published if published[key].ndim == 2] or [
        key for key in published if published[key].ndim == 4
    ]
    last = matrices[-1] if matrices else ""
    tuned = _classes(weights, last)
    if tuned and tuned != _classes(published, last):
        del network, published  # two of a large network may not fit into memory
        network = torchvision.models.get_model(model, weights=None, **options, **tuned)

    renames = _torchvision_renames(network)
    if "image_size" in options:
        renames.append(_resize_torchvision_positions)
    return Blueprint(network, weights, said, heads=(last.removesuffix(".weight"),), renames=renames)


def _builds_for_a_size(model: str) -> bool:
    return model.startswith("vit_")


def _resize_torchvision_positions(network: Any, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The table of positions at the network's size, as torchvision does it."""
    from torchvision.models.vision_transformer import interpolate_embeddings

    resized: Mapping[str, Tensor] = interpolate_embeddings(network.image_size, network.patch_size, OrderedDict(weights))
    return resized


class _Given:
    """Weights as torchvision's own loaders ask for them."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights

    def get_state_dict(self, **_: object) -> dict[str, Tensor]:
        return dict(self._weights)


class _Taken:
    """A network as torchvision's own loaders fill it."""

    weights: Mapping[str, Tensor]

    def load_state_dict(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = weights


def _torchvision_renames(network: nn.Module) -> list[Rename]:
    """What torchvision's module of this architecture does with published files before it loads them."""
    loader = getattr(sys.modules[type(network).__module__], "_load_state_dict", None)
    if loader is None:
        return []

    def rename(_: nn.Module, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        taken = _Taken()
        loader(taken, _Given(weights), progress=False)
        return taken.weights

    return [rename]


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


def convert_clip(model: Any, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a whole model as other projects publish them (MobileCLIP's), under open_clip's names.

    model: what they are for, of which open_clip looks at the `visual`. All other weights come back as they are.
    """
    from open_clip.convert import convert_state_dict

    converted = dict(weights)
    with suppress(Exception):  # it checks nothing: weights that are not whole are left to the strict check
        converted = convert_state_dict(model, converted)
    return converted


def _draw_open_clip(model: str, weights: Mapping[str, Tensor], given: GivenInput) -> Blueprint:
    import open_clip

    own_size = open_clip.get_model_config(model)["vision_cfg"].get("image_size", 224)
    own_height, own_width = (own_size, own_size) if isinstance(own_size, int) else own_size
    size = _other_size(given, (own_height, own_width))
    visual = build_open_clip(model, size).visual
    own = {key.removeprefix(_VISUAL): value for key, value in weights.items() if key.startswith(_VISUAL)}
    return Blueprint(visual, own or weights, clip_input(visual), renames=[_convert_clip, _resize_clip_positions])


def _convert_clip(visual: nn.Module, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A whole model as another project published it, under open_clip's names for the tower and its texts."""
    converted = convert_clip(SimpleNamespace(visual=visual), weights)
    return {key.removeprefix(_VISUAL): value for key, value in converted.items()}


def _resize_clip_positions(visual: nn.Module, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The table of positions at the tower's size, as open_clip does it for whole models."""
    from open_clip.model import resize_pos_embed

    state = {_VISUAL + key: value for key, value in weights.items()}
    resize_pos_embed(state, SimpleNamespace(visual=visual))
    return {key.removeprefix(_VISUAL): value for key, value in state.items()}


FAMILIES = {
    "timm": Family(_timm_models, _draw_timm),
    "torchvision": Family(_torchvision_models, _draw_torchvision),
    "open_clip": Family(open_clip_models, _draw_open_clip, inner_prefix=_VISUAL),
}
