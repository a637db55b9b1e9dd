"""Layer names: from the published spelling to a module, strictly."""

from collections.abc import Sequence

from torch import nn

from service.domain.layers import canonical_layer, is_left_out, layer_without_weights, unknown_layer
from service.engine.networks.protocols import Target
from service.errors import InvalidInput


def named_layers(target: Target) -> dict[str, nn.Module]:
    """Every module but the whole and those without weights, by its name with the target's layer prefix."""
    named = target.module.named_modules(remove_duplicate=False)
    layers = {target.layer_prefix + name: module for name, module in named if name}
    return {name: module for name, module in layers.items() if not is_left_out(name, target.left_out)}


def find_layers(target: Target, layers: Sequence[str]) -> dict[str, nn.Module]:
    """The module of each requested layer, under the name it was requested by, in the order of the request.

    A name is the target's layer prefix and the module's own name, its indices written `.38` or `[38]`. Latents of an
    autoencoder have the module that it reads.
    Raises UnknownLayer (naming near matches, or saying that the file has no weights for it), and InvalidInput when
    nothing is requested or one layer twice.
    """
    if not layers:
        raise InvalidInput("The request names no layer.", field="layers", remedy="Name at least one layer.")

    known = named_layers(target)
    if target.autoencoder is not None:
        known[target.autoencoder.latents] = known[target.autoencoder.layer]
    modules: dict[str, nn.Module] = {}
    taken: set[str] = set()
    for layer in layers:
        name = canonical_layer(layer)
        if is_left_out(name, target.left_out):
            raise layer_without_weights(layer)
        if name not in known:
            raise unknown_layer(layer, known)
        if name in taken:
            raise InvalidInput(f"Layer '{layer}' is requested twice.", field="layers", value=layer)
        taken.add(name)
        modules[layer] = known[name]
    return modules
