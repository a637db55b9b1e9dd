"""Forward hooks that pool a layer's output at once and are always removed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor

from service.domain.methods import Pooling
from service.engine.networks.protocols import Target
from service.engine.probing.layers import find_layers
from service.engine.probing.layouts import UNITS_FIRST, Layout, first_tensor, layouts_of
from service.engine.probing.listening import hooked
from service.engine.probing.tokens import Tokens
from service.errors import LayerWithoutTensor

PooledForward = Callable[[Tensor], Mapping[str, Tensor]]


def pool_output(output: object, pooling: Pooling, layout: Layout, height: int, width: int) -> Tensor | None:
    """One number per image and unit, float32 [B, U], from a layer's output; None when it cannot be pooled.

    [B, U, H, W] and [B, H, W, U]: mean or maximum over space. [B, T, U]: the class token, index 0; where there is none,
    mean or maximum over the patches' tokens. [B, U]: as it is. Of several tensors together, the first.
    height, width: of the images.
    """
    tensor = first_tensor(output)
    if tensor is None or not tensor.is_floating_point() or not 2 <= tensor.ndim <= 4 or 0 in tensor.shape:
        return None

    values = tensor.float()
    shape = tuple(values.shape)
    if values.ndim == 4:
        axis = layout.unit_axis(shape, height, width)
        return None if axis is None else _pool_space(values, pooling, (2, 3) if axis == UNITS_FIRST else (1, 2))
    if values.ndim == 3:
        axis, tokens = layout.tokens_in(shape)
        return _pool_tokens(values, pooling, tokens) if axis == 2 else _pool_space(values, pooling, (2,))
    # A copy: what follows the layer may work in place (ReLU) and would change what was seen.
    return values.clone()


def places_of(output: object, layout: Layout, height: int, width: int) -> Tensor | None:
    """What a layer's units did at each place, float32 [B, P, U], as far as `pool_output` pools it; None likewise."""
    tensor = first_tensor(output)
    if tensor is None or not tensor.is_floating_point() or not 2 <= tensor.ndim <= 4 or 0 in tensor.shape:
        return None

    values = tensor.float()
    shape = tuple(values.shape)
    if values.ndim == 4:
        axis = layout.unit_axis(shape, height, width)
        return None if axis is None else values.movedim(axis, 3).flatten(1, 2)
    if values.ndim == 3:
        axis, tokens = layout.tokens_in(shape)
        return _token_places(values, tokens) if axis == 2 else values.transpose(1, 2)
    return values[:, None]


def _token_places(output: Tensor, tokens: Tokens | None) -> Tensor | None:
    if tokens is None or output.shape[1] <= tokens.registers:
        return None
    return output[:, :1] if tokens.has_class else output[:, tokens.registers :]


def _pool_space(values: Tensor, pooling: Pooling, axes: tuple[int, ...]) -> Tensor:
    return values.mean(dim=axes) if pooling == "avg" else values.amax(dim=axes)


def _pool_tokens(output: Tensor, pooling: Pooling, tokens: Tokens | None) -> Tensor | None:
    """[B, T, U] -> [B, U], a copy."""
    if tokens is None or output.shape[1] <= tokens.registers:
        return None
    if tokens.has_class:
        return output[:, 0].clone()

    return _pool_space(output[:, tokens.registers :], pooling, (1,))


def pool_layer(
    target: Target, layer: str, output: object, pooling: Pooling, layout: Layout, height: int, width: int
) -> Tensor | None:
    """`pool_output` of a layer of the target; of latents, what their autoencoder makes of each place, pooled."""
    autoencoder = target.encodes(layer)
    if autoencoder is None:
        return pool_output(output, pooling, layout, height, width)
    places = places_of(output, layout, height, width)
    return None if places is None else autoencoder.encoder.pooled(places, pooling)


@contextmanager
def pooled_layers(target: Target, layers: Sequence[str], pooling: Pooling) -> Iterator[PooledForward]:
    """Yield a function that runs the target once on float32 [B, 3, H, W] and returns every layer pooled, [B, U] each.

    The result has the layers as they were requested, in that order. Raises UnknownLayer at the start. The function
    raises LayerWithoutTensor when a layer's output cannot be pooled, is not one row per image, or is not unique:
    a layer that the forward pass skips or runs more than once (a shared activation, say) has no one output.
    """
    captured: dict[str, Tensor] = {}
    height = width = 0
    listening = False  # the dissector may run the very same module, and its pass is none of ours
    modules = find_layers(target, layers)
    layouts = layouts_of(target, modules)

    def capture(layer: str, output: object) -> None:
        if not listening:
            return
        if layer in captured:
            raise _without_tensor(layer, "runs more than once in a forward pass")

        pooled = pool_layer(target, layer, output, pooling, layouts[layer], height, width)
        if pooled is None:
            raise _without_tensor(layer, f"returns {_describe(output, layouts[layer])}")
        captured[layer] = pooled

    def forward(images: Tensor) -> Mapping[str, Tensor]:
        nonlocal listening, height, width
        captured.clear()
        height, width = images.shape[2:]
        listening = True
        try:
            target.module(images)
        finally:
            listening = False

        for layer in modules:
            if layer not in captured:
                raise _without_tensor(layer, "does not run in a forward pass")
            if len(captured[layer]) != len(images):
                raise _without_tensor(layer, f"returns {len(captured[layer])} rows for {len(images)} images")
        return {layer: captured[layer] for layer in modules}

    with hooked(modules, capture):
        yield forward


def _without_tensor(layer: str, what: str) -> LayerWithoutTensor:
    return LayerWithoutTensor(
        f"Layer '{layer}' {what}, so it cannot be dissected.",
        field="layers",
        value=layer,
        remedy="Choose a layer that `mammodissect inspect` or GET /models/{name} lists: those run once and return a "
        "float tensor [B, U], [B, T, U], [B, U, H, W] or [B, H, W, U].",
    )


def _describe(output: object, layout: Layout) -> str:
    tensor = first_tensor(output)
    if tensor is None:
        return f"a {type(output).__name__}"

    shape = tuple(tensor.shape)
    unknown = ""
    if len(shape) == 3 and layout.tokens_in(shape)[1] is None:
        unknown = ", and no token is known to be the class token"
    elif len(shape) == 4:
        unknown = ", of which nothing says which axis holds the units"
    return f"a {str(tensor.dtype).removeprefix('torch.')} tensor of shape {list(shape)}{unknown}"
