"""Sparse autoencoders on a layer of a target: their files in, one more layer out."""

from dataclasses import replace

import torch

from service.domain.autoencoders import AutoencoderSpec
from service.domain.layers import is_left_out, layer_without_weights, unknown_layer
from service.engine.architectures.autoencoders.files import read_autoencoder
from service.engine.networks.autoencoder import LayerAutoencoder
from service.engine.networks.protocols import Target
from service.engine.probing.layers import named_layers
from service.engine.probing.listing import LayerInfo, list_layers
from service.errors import InvalidInput, UnknownLayer

_NAMED = 5


def add_autoencoder(target: Target, spec: AutoencoderSpec | None, device: torch.device) -> Target:
    """The target with the latents of an autoencoder as one more layer; as it is where there is no autoencoder.

    device: where the target is to be.
    Raises what `read_autoencoder` raises, UnknownLayer where the target has no such layer, and InvalidInput where the
    layer cannot be read, has another width, or the name of the latents is taken.
    """
    if spec is None:
        return target

    autoencoder = read_autoencoder(spec)
    listed = {layer.name: layer for layer in list_layers(target)}
    _check_layer(target, autoencoder, listed)

    autoencoder.encoder.to(device)
    return replace(target, autoencoder=autoencoder, main_layers=_with_latents(target.main_layers, autoencoder))


def _check_layer(target: Target, autoencoder: LayerAutoencoder, listed: dict[str, LayerInfo]) -> None:
    layer, width = autoencoder.layer, autoencoder.encoder.width
    known = named_layers(target)
    if layer not in known:
        error = layer_without_weights(layer) if is_left_out(layer, target.left_out) else unknown_layer(layer, known)
        raise UnknownLayer(error.detail, field="autoencoder.layer", value=layer, remedy=error.remedy)

    if layer not in listed:
        raise InvalidInput(
            f"The autoencoder cannot read layer '{layer}': it does not run once and return a float tensor of units.",
            field="autoencoder.layer",
            value=layer,
            remedy="Choose a layer that `mammodissect inspect` lists without the autoencoder.",
        )
    if listed[layer].units != width:
        fitting = [info.name for info in listed.values() if info.units == width][-_NAMED:]
        raise InvalidInput(
            f"The autoencoder reads {width} numbers at a place, but layer '{layer}' has {listed[layer].units} units.",
            field="autoencoder.layer",
            value=layer,
            remedy=f"Name the layer that it was trained on. Layers of {width} units: {', '.join(fitting) or 'none'}.",
        )
    if autoencoder.latents in known:
        raise InvalidInput(
            f"The network has a layer '{autoencoder.latents}' itself, which the latents would be called.",
            field="autoencoder.layer",
            value=layer,
            remedy="Register the network without the autoencoder.",
        )


def _with_latents(main_layers: tuple[str, ...], autoencoder: LayerAutoencoder) -> tuple[str, ...]:
    """The layers that `all` means: the latents follow the layer that they are of, where that is among them."""
    if autoencoder.layer not in main_layers:
        return (*main_layers, autoencoder.latents)
    place = main_layers.index(autoencoder.layer) + 1
    return (*main_layers[:place], autoencoder.latents, *main_layers[place:])
