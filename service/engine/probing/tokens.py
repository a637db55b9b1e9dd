"""Which of a layer's tokens [B, T, U] say what its units did: the class token, or where there is none, all of them.

timm, torchvision and open_clip keep a class token, and registers, as parameters that are named so. Most networks put
them before the patches at once; a few do so late, or have layers beside, and these have none.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from service.engine.networks.protocols import Target, reading_of

_CLASS_TOKEN = re.compile(r"(cls_token|class_token|class_embedding)(_?\d)?")
_REGISTERS = {"reg_token", "register_tokens"}
_LIBRARIES = frozenset({"timm", "torchvision", "open_clip", "transformers", "monai"})
_BEFORE = re.compile(r"(^|\.)(patch_embed\d?|patch_embeddings?|embeds\.(norm_input|proj|norm))(\.|$)")
_WITHOUT_REGISTERS = re.compile(_BEFORE.pattern + r"|(^|\.)attn_pool(\.|$)")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Which tokens of a layer stand for no patch."""

    has_class: bool
    """Whether the first token is the class token."""

    registers: int = 0
    """How many of the first tokens are of no patch."""


def tokens_of(target: Target, layers: Iterable[str]) -> dict[str, Tokens | None]:
    """The tokens that each layer has if it has any, under the name it is asked for by.

    None where it cannot be known: the network has nothing that is named a class token, and is of none of the libraries
    whose names are known.
    """
    network = target.module
    parameters = [(*key.rpartition(".")[::2], value) for key, value in network.named_parameters()]
    holder = next((path for path, name, _ in parameters if _CLASS_TOKEN.fullmatch(name)), None)
    registers = sum(value.shape[1] for _, name, value in parameters if name in _REGISTERS)
    known = holder is not None or type(network).__module__.partition(".")[0] in _LIBRARIES

    def find(layer: str) -> Tokens | None:
        if holder is not None and _has_class_token(network.get_submodule(holder), holder, layer):
            return Tokens(has_class=True)
        if not known:
            return None
        return Tokens(has_class=False, registers=0 if _WITHOUT_REGISTERS.search(layer) else registers)

    tokens = {}
    for layer in layers:
        name = target.module_name(layer)
        reading = reading_of(network.get_submodule(name))
        tokens[layer] = find(name) if reading is None else Tokens(reading.has_class, reading.registers)
    return tokens


def _has_class_token(holder: nn.Module, path: str, layer: str) -> bool:
    """holder: the module, at `path`, that puts the class token before the patches."""
    parts = _parts_with_class_token(holder)
    if parts is None:
        return _BEFORE.search(layer) is None
    return f"{layer.removeprefix(path).removeprefix('.')}.".startswith(tuple(f"{part}." for part in parts))


def _parts_with_class_token(network: Any) -> tuple[str, ...] | None:
    """For the networks of timm that have not got it in every layer after the patches' embedding; None for others."""
    match type(network).__name__:
        case "Cait":
            return "blocks_token_only", "norm"
        case "Xcit":
            return "cls_attn_blocks", "norm"
        case "VOLO":
            return "post_network", "norm"
        case "ConVit":
            return "norm", *(f"blocks.{index}" for index in range(network.local_up_to_layer, len(network.blocks)))
        case "TNT":
            inside = ("norm_out", "attn_out", "drop_path", "norm_mlp", "mlp")
            return "pos_drop", "norm", *(f"blocks.{i}.{part}" for i in range(len(network.blocks)) for part in inside)
        case _:
            return None
