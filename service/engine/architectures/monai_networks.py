"""Networks of MONAI for images: `monai/<name>`, or `monai/<name>/<argument>=<value>,...`.

MONAI's checkpoints do not carry the arguments that a network was built with. The weights show most of them; what they
do not show is said with the name, is MONAI's own default, of which the model warns, or is asked for.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from service.domain.input_contract import GivenInput, LibraryInput
from service.domain.preprocessing import Preprocessing
from service.engine.architectures import monai_shapes as shapes
from service.engine.architectures.blueprint import Blueprint, Family
from service.engine.architectures.monai_shapes import ASK, Arguments, Shown, Weights
from service.errors import DissectError, InvalidCheckpoint, InvalidInput
from service.memory import is_out_of_memory

MONAI = "monai"

_SIDE = 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_DECIDED_IN_TRAINING = ("height", "width", "mean", "std")

_MOST_PARTS = 16
_GREATEST = 65_536
_NEVER_GIVEN = frozenset({"pretrained", "progress", "spatial_dims", "block", "layers", "block_inplanes", "norm_layer"})
"""Arguments that would fetch weights, that are always the same here, or that belong to the network's name."""
_EXAMPLES = {"strides": "2x2x2x2", "channels": "16x32x64x128x256", "patch_size": "16", "img_size": "224x224"}
_STALE = ".cross_attn."
_UNUSED_NORM = ".norm_cross_attn."
"""Parts of transformers that no forward pass uses. Releases of MONAI differ in which of them they save."""
_OUTPUTS_OF_NO_ONE = 2
_DIMENSIONS_OF_VOLUMES = 5
"""Of the weights of their convolutions."""


@dataclass(frozen=True, slots=True)
class _Network:
    """One of MONAI's networks, and its constructor's arguments."""

    shown: Shown = shapes.nothing
    """Which of them the weights show, besides channels and outputs."""

    channels: str = "in_channels"
    outputs: str = "out_channels"

    head: str = ""
    """The classifier, which files of another task, or of none, do not have."""

    root: str = ""
    """The part that all of it is in, with a full stop."""

    fixed: Mapping[str, object] = field(default_factory=lambda: {"spatial_dims": 2})

    usual: tuple[str, ...] = ()
    """Those that the weights do not show, and that have MONAI's default where nobody gives them."""

    kind: str = ""
    """The class whose constructor has the arguments, where the network itself hands them on."""


_UNTRAINED = {"spatial_dims": 2, "pretrained": False}
_DENSENET = _Network(shapes.densenet, head="class_layers.out", fixed=_UNTRAINED, kind="DenseNet")
_RESNET = _Network(
    shapes.resnet,
    channels="n_input_channels",
    outputs="num_classes",
    head="fc",
    fixed=_UNTRAINED,
    usual=("conv1_t_stride", "no_max_pool"),
    kind="ResNet",
)
_SENET = _Network(outputs="num_classes", head="last_linear", fixed=_UNTRAINED, kind="SENet")

NETWORKS: dict[str, _Network] = {
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264"), _DENSENET),
    **dict.fromkeys(("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200"), _RESNET),
    **dict.fromkeys(("SENet154", "SEResNet50", "SEResNet101", "SEResNet152", "SEResNext50", "SEResNext101"), _SENET),
    "EfficientNetBN": _Network(shapes.efficientnet, outputs="num_classes", head="_fc", fixed=_UNTRAINED),
    "ViT": _Network(shapes.vit, outputs="num_classes", head="classification_head", usual=("num_heads",)),
    "UNETR": _Network(shapes.unetr, usual=("num_heads", "norm_name")),
    "SwinUNETR": _Network(shapes.swin_unetr, usual=("norm_name", "normalize", "downsample")),
    "UNet": _Network(shapes.unet, root="model.", usual=("act", "norm")),
    "AttentionUnet": _Network(shapes.asked("channels", "strides"), root="model."),
    "BasicUNet": _Network(usual=("act", "norm")),
    "SegResNet": _Network(shapes.segresnet, usual=("act", "norm")),
    "FlexibleUNet": _Network(shapes.asked("backbone"), fixed=_UNTRAINED, usual=("act", "interp_mode")),
    "HighResNet": _Network(root="blocks.", usual=("acti_type",)),
    "VNet": _Network(fixed={"spatial_dims": 2, "dropout_dim": 2}, usual=("act",)),
}
"""Those that take one batch of images and that may be asked for; nothing else of MONAI is ever built."""


def _draw(model: str, entries: Mapping[str, Tensor], given: GivenInput) -> Blueprint:
    """Build the network as its weights show it.

    Raises InvalidInput where MONAI is not installed, or an argument is wrong or has to be given; InvalidCheckpoint
    where the weights are not of a network for images.
    """
    name, _, text = model.partition("/")
    network = NETWORKS[name]
    asked_for = f"{MONAI}/{model}"
    _refuse_volumes(entries, asked_for)
    nets = _nets(asked_for)
    allowed = _parameters(nets, name, network)
    said = _read_arguments(text, allowed, asked_for)

    weights = Weights(entries, network.root)
    arguments: Arguments = {**network.fixed, **network.shown(weights, given), **said}
    _refuse_unknown(arguments, asked_for)
    known = _fit_outside(nets, name, network, arguments, weights, asked_for)
    module = _build(nets, name, arguments | known, asked_for)

    assumed = [argument for argument in network.usual if argument not in arguments]
    return Blueprint(
        module,
        _without_stale(module, entries),
        _input(nets, arguments),
        renames=(_keep_unused_norms,),
        heads=(network.head,) if network.head else (),
        channels=_as_channels(known[network.channels], asked_for),
        warnings=tuple(_warnings(asked_for, {each: allowed[each] for each in assumed}, given)),
        remedy=_remedy(asked_for),
    )


def _refuse_volumes(entries: Mapping[str, Tensor], asked_for: str) -> None:
    volumes = [key for key, value in entries.items() if value.ndim == _DIMENSIONS_OF_VOLUMES]
    if volumes and not any(value.ndim == _DIMENSIONS_OF_VOLUMES - 1 for value in entries.values()):
        raise InvalidCheckpoint(
            f"The weights are of a network for volumes: '{volumes[0]:.200}' has the shape "
            f"{list(entries[volumes[0]].shape)}.",
            field="checkpoint",
            value=asked_for,
            remedy=f"Give weights of a network that was built with spatial_dims=2; {_or_own()}",
        )


def _nets(asked_for: str) -> Any:
    try:
        return import_module("monai.networks.nets")
    except ImportError as error:
        raise InvalidInput(
            f"The architecture '{asked_for:.120}' needs the package 'monai', which the worker does not have.",
            field="architecture",
            value=asked_for,
            remedy="Install the extra where the worker runs: pip install 'mammo-clip-dissect-service[monai]'. "
            "Then ask again with POST /models/{name}/inspect.",
        ) from error


def _parameters(nets: Any, name: str, network: _Network) -> dict[str, Any]:
    """The arguments that may be given, with their defaults."""
    parameters: dict[str, inspect.Parameter] = {}
    for kind in filter(None, (network.kind, name)):
        parameters |= inspect.signature(getattr(nets, kind)).parameters
    return {
        argument: parameter.default
        for argument, parameter in parameters.items()
        if argument not in _NEVER_GIVEN and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def _read_arguments(text: str, allowed: Mapping[str, Any], asked_for: str) -> Arguments:
    arguments: Arguments = {}
    for part in filter(None, text.split(",")):
        argument, _, value = part.partition("=")
        if argument not in allowed:
            near = get_close_matches(argument, allowed, n=3, cutoff=0.5)
            raise _wrong(
                f"has no argument '{argument[:60]}' that may be given",
                f"Near matches: {', '.join(near)}." if near else f"Give one of: {', '.join(allowed)}.",
                asked_for,
            )
        if argument in arguments:
            raise _wrong(f"has the argument {argument} twice", "Give it once.", asked_for)
        arguments[argument] = _value(argument, value, asked_for)
    return arguments


def _value(argument: str, text: str, asked_for: str) -> object:
    if re.fullmatch(r"\d{1,6}(x\d{1,6})*", text):
        numbers = tuple(map(int, text.split("x")))
        if max(numbers) <= _GREATEST and len(numbers) <= _MOST_PARTS:
            return numbers[0] if len(numbers) == 1 else numbers
    elif text in {"true", "false"}:
        return text == "true"
    elif re.fullmatch(r"[A-Za-z][\w-]{0,40}", text):
        return text
    raise _wrong(
        f"has {argument}='{text[:40]}', which is not a value",
        f"Give a whole number up to {_GREATEST}, several as 16x32, true, false, or a word.",
        asked_for,
    )


def _refuse_unknown(arguments: Arguments, asked_for: str) -> None:
    unknown = [argument for argument, value in arguments.items() if value is ASK]
    if unknown:
        base = "/".join(asked_for.split("/")[:2])
        example = ",".join(f"{argument}={_EXAMPLES.get(argument, '...')}" for argument in unknown)
        raise _wrong(
            f"was built with {' and '.join(unknown)}, which its weights do not show",
            f"Give what it was trained with, for example {base}/{example}; {_or_own()}",
            asked_for,
        )


def _fit_outside(
    nets: Any, name: str, network: _Network, arguments: Arguments, weights: Weights, asked_for: str
) -> dict[str, int]:
    """How many channels and outputs the weights have, by where a network has those that it is asked for."""
    trials = ({network.channels: 1, network.outputs: 3}, {network.channels: 2, network.outputs: 5})
    known: dict[str, Any] = {argument: arguments[argument] for argument in trials[0] if argument in arguments}
    if len(known) < len(trials[0]):
        first, second = (_outline(nets, name, trial | arguments, asked_for) for trial in trials)
        for argument in trials[0].keys() - known.keys():
            values = trials[0][argument], trials[1][argument]
            known[argument] = _measured(first, second, values, weights)

    usual = {network.channels: 1, network.outputs: _OUTPUTS_OF_NO_ONE}
    return {argument: usual[argument] if value is None else value for argument, value in known.items()}


def _measured(
    first: Mapping[str, tuple[int, ...]],
    second: Mapping[str, tuple[int, ...]],
    values: tuple[int, int],
    weights: Weights,
) -> int | None:
    """The length, in the weights, of that axis which follows an argument; None where they have no such entry."""
    for key, shape in first.items():
        for axis, length in enumerate(shape):
            if (length, second[key][axis]) != values:
                continue
            own = weights.shape(key)
            return own[axis] if len(own) == len(shape) else None
    return None


def _outline(nets: Any, name: str, arguments: Arguments, asked_for: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the network's entries."""
    try:
        with torch.device("meta"):
            module = getattr(nets, name)(**arguments)
    except Exception:  # some compute with numbers when they are built
        module = _build(nets, name, arguments, asked_for)
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def _build(nets: Any, name: str, arguments: Arguments, asked_for: str) -> nn.Module:
    try:
        module: nn.Module = getattr(nets, name)(**arguments)
    except DissectError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise _wrong(f"cannot be built: {reason}", _remedy(asked_for), asked_for) from error
    return module


def _as_channels(channels: int, asked_for: str) -> int:
    if channels not in {1, 3}:
        raise InvalidCheckpoint(
            f"The network of these weights takes {channels} channels, and images have 1 or 3.",
            field="checkpoint",
            value=asked_for,
            remedy=f"Give weights of a network for 1 or 3 channels; {_or_own()}",
        )
    return channels


def _without_stale(module: nn.Module, entries: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    own = module.state_dict().keys()
    return {key: value for key, value in entries.items() if key in own or _STALE not in key}


def _keep_unused_norms(module: nn.Module, entries: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {key: value for key, value in module.state_dict().items() if _UNUSED_NORM in key} | dict(entries)


def _input(nets: Any, arguments: Arguments) -> LibraryInput:
    """MONAI says of some networks which size they are built for, and of none how images are scaled."""
    size: Any = arguments.get("img_size")
    if "model_name" in arguments:
        size = nets.get_efficientnet_image_size(arguments["model_name"])
    height, width = (size, size) if isinstance(size, int) else size or (_SIDE, _SIDE)
    stated = {} if size is None else {"height": height, "width": width}
    return LibraryInput("MONAI", Preprocessing(height, width, _MEAN, _STD), stated, general_purpose=False)


def _warnings(asked_for: str, assumed: Mapping[str, Any], given: GivenInput) -> Sequence[str]:
    warnings = []
    if assumed:
        values = ", ".join(f"{argument} {_as_text(value)}" for argument, value in assumed.items())
        warnings.append(
            f"The weights do not show some of what the network was built with; MONAI's defaults are used: {values}. "
            f"If it was trained with others, register it with them, for example as {asked_for}"
            f"{',' if asked_for.count('/') > 1 else '/'}{next(iter(assumed))}=..."
        )

    unsaid = [name for name in _DECIDED_IN_TRAINING if getattr(given, name) is None]
    if unsaid:
        warnings.append(
            f"MONAI's weights do not say how images are prepared, and {', '.join(unsaid)} were not given: images are "
            "shown at the network's usual size, scaled as is usual for photographs. Register it with `input`, giving "
            "them as in its training."
        )
    return warnings


def _as_text(value: Any) -> str:
    kind, options = value if isinstance(value, tuple) and len(value) == 2 else (value, {})
    text = str(getattr(kind, "value", kind)).lower()
    return text if not options else f"{text} {options}"


def _remedy(asked_for: str) -> str:
    base = "/".join(asked_for.split("/")[:2])
    return (
        "Give the weights of this architecture, or the arguments that it was built with, as "
        f"{base}/argument=value,argument=16x32; {_or_own()}"
    )


def _or_own() -> str:
    return "or build it in a package of your own, and name it own/<name>."


def _wrong(what: str, remedy: str, asked_for: str) -> InvalidInput:
    return InvalidInput(f"The network {asked_for:.120} {what}.", field="architecture", value=asked_for, remedy=remedy)


FAMILIES = {MONAI: Family(lambda: tuple(NETWORKS), _draw, takes_arguments=True)}
