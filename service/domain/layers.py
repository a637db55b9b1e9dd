"""Layer names: `image_encoder._blocks[38]` and `image_encoder._blocks.38` are the same layer."""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches

from service.domain.weights_reading import WeightsReading
from service.errors import UnknownLayer

_INDEX = re.compile(r"\[(\d+)\]")


def canonical_layer(name: str) -> str:
    """The dotted form of a layer name, in which torch names its modules."""
    return _INDEX.sub(r".\1", name.strip())


def near_layers(name: str, known_layers: Iterable[str]) -> list[str]:
    """The known layer names most like `name`, nearest first."""
    return get_close_matches(canonical_layer(name), list(known_layers), n=5, cutoff=0.4)


def unknown_layer(name: str, known_layers: Iterable[str]) -> UnknownLayer:
    """The error for a name that no layer has, with the nearest ones that exist."""
    near = near_layers(name, known_layers)
    if near:
        remedy = f"Near matches: {', '.join(near)}."
    else:
        remedy = f"Layers have names like {next(iter(known_layers), '-')}."
    return UnknownLayer(f"The target has no layer '{name[:120]}'.", field="layers", value=name, remedy=remedy)


def check_known_layers(layers: Iterable[str], known_layers: Collection[str], reading: WeightsReading | None) -> None:
    """Raises UnknownLayer for a layer that a target is known to lack. reading: how its weights were read, if known."""
    left_out = () if reading is None else reading["left_out"]["names"]
    for layer in layers:
        if layer in known_layers:
            continue
        if is_left_out(layer, left_out):
            raise layer_without_weights(layer)
        raise unknown_layer(layer, known_layers)


def is_left_out(name: str, left_out: Iterable[str]) -> bool:
    """Whether a layer is one of those left out, or inside of one."""
    return any(name == part or name.startswith(f"{part}.") for part in left_out)


def layer_without_weights(name: str) -> UnknownLayer:
    """The error for a layer of the architecture that the checkpoint has no fitting weights for."""
    return UnknownLayer(
        f"The target was opened without the layer '{name[:120]}', because its checkpoint has no weights that fit it.",
        field="layers",
        value=name,
        remedy="Name a layer in front of it, or register a checkpoint with weights for it.",
    )
