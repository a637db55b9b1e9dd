"""What the libraries' own configurations say of a network's input."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from service.domain.input_contract import LibraryInput
from service.domain.preprocessing import Preprocessing

_IMAGENET = Preprocessing(height=224, width=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


_SEGMENTED = 520
"""The side that torchvision brings images to before it segments them."""


class ClipTower(Protocol):
    """An open_clip image tower."""

    image_size: int | tuple[int, int]
    preprocess_cfg: Mapping[str, Any]


def published_input(library: str, contract: Preprocessing) -> LibraryInput:
    """A network whose authors say everything that a contract has to say, and say it of mammograms or of its weights."""
    stated = {name: getattr(contract, name) for name in contract.__dataclass_fields__}
    return LibraryInput(library, contract, stated, general_purpose=False)


def timm_input(config: Any) -> LibraryInput:
    """config: timm's `PretrainedCfg`. Its centre crop is left out: at its edges a mammogram shows tissue, too."""
    _, height, width = config.input_size
    contract = Preprocessing(height, width, config.mean, config.std)
    return _general("timm", contract, _stated(contract, config.interpolation))


def torchvision_input(model: str) -> LibraryInput:
    """By the transforms of the model's default weights, if it has any. Their centre crop is left out, as timm's."""
    import torchvision.models

    try:
        transforms: Any = torchvision.models.get_model_weights(model)["DEFAULT"].transforms()
        (side,) = transforms.crop_size
        contract = Preprocessing(side, side, tuple(transforms.mean), tuple(transforms.std))
    except (KeyError, ValueError, AttributeError):  # no weights were published, or they take other images
        return _general("torchvision", _IMAGENET, {})
    return _general("torchvision", _IMAGENET, _stated(contract, transforms.interpolation.value))


def backbone_input(transform: Any) -> LibraryInput:
    """transform: torchvision's for a detector, with a fixed size or the shorter side that it brings images to; or None.

    Segmenters have none.
    """
    if transform is None:
        contract = replace(_IMAGENET, height=_SEGMENTED, width=_SEGMENTED)
        return _general("torchvision", contract, {})
    width, height = transform.fixed_size or (transform.min_size[-1], transform.min_size[-1])
    contract = Preprocessing(height, width, tuple(transform.image_mean), tuple(transform.image_std))
    return _general("torchvision", contract, _stated(contract, "bilinear"))


def transformers_input(unstated: Preprocessing, stated: Sequence[str], interpolation: str) -> LibraryInput:
    """By the files beside the weights. stated: the fields that they have."""
    every = _stated(unstated, interpolation)
    return _general("transformers", unstated, {name: every[name] for name in every if name in {*stated, "resize"}})


def clip_input(visual: ClipTower) -> LibraryInput:
    """By the tower's own description."""
    contract = clip_preprocessing(visual)
    return _general("open_clip", contract, _stated(contract, str(visual.preprocess_cfg.get("interpolation"))))


def clip_preprocessing(visual: ClipTower) -> Preprocessing:
    """What an open_clip image tower says of its input."""
    size = visual.image_size
    config = visual.preprocess_cfg
    height, width = (size, size) if isinstance(size, int) else size
    return Preprocessing(height, width, tuple(config["mean"]), tuple(config["std"]))


def _stated(contract: Preprocessing, interpolation: str) -> dict[str, object]:
    stated: dict[str, object] = {name: getattr(contract, name) for name in ("height", "width", "mean", "std", "scale")}
    if interpolation == "bicubic":
        stated["resize"] = "bicubic"
    return stated


def _general(library: str, unstated: Preprocessing, stated: dict[str, object]) -> LibraryInput:
    return LibraryInput(library, unstated, stated, general_purpose=True)
