"""Layer names for the tensors of a graph."""

import re
from collections.abc import Container, Iterable

from torch import nn

from service.domain.layers import canonical_layer

_BETWEEN = re.compile(r"[/\\]+")
_ODD = re.compile(r"[^\w.:+-]")
_RESERVED = frozenset(dir(nn.Module()))


def layer_names(tensors: Iterable[str]) -> dict[str, str]:
    """A layer name for each tensor: its own, as far as a module and a URL can have it.

    Slashes become full stops (`/layer1/conv/Conv_output_0` is `layer1.conv.Conv_output_0`), other characters that mean
    something in lists and addresses become underscores, and what is then the same twice gets a number.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for tensor in tensors:
        name = _distinct(_as_path(tensor), taken)
        taken.add(name)
        names[tensor] = name
    return names


def _as_path(tensor: str) -> str:
    dotted = canonical_layer(_BETWEEN.sub(".", tensor))
    parts = [_ODD.sub("_", part) for part in dotted.split(".") if part]
    return ".".join(f"{part}_" if part in _RESERVED else part for part in parts) or "tensor"


def _distinct(name: str, taken: Container[str]) -> str:
    number = 2
    distinct = name
    while distinct in taken:
        distinct = f"{name}_{number}"
        number += 1
    return distinct
