"""Forward hooks that pool a layer's output at once and are always removed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from service.domain.methods import Pooling
from service.engine.networks.protocols import Target
from service.engine.probing.layers import find_layers, named_layers
from service.engine.probing.tokens import Tokens, tokens_of
from service.errors import LayerWithoutTensor

_BLANK_IMAGES = 2  # one would hide that a layer mixes up batch and units

PooledForward = Callable[[Tensor], Mapping[str, Tensor]]


def pool_output(output: object, pooling: Pooling, *, square: bool, tokens: Tokens | None) -> Tensor | None:
    """One number per image and unit, float32 [B, U], from a layer's output; None when it cannot be pooled.

    [B, U, H, W]: mean or maximum over space. [B, T, U]: the class token, index 0; where there is none, mean or maximum
    over the patches' tokens. [B, U]: as it is. tokens: see `tokens_of`; None: those of this layer cannot be told apart.
    square: the images are. Then a map that is not square keeps its channels last ([B, H, W, U], as Swin does), and
    pooling its last two axes would mix units with columns. From other images' maps this cannot be told.
    """
    if not isinstance(output, Tensor) or not output.is_floating_point() or not 2 <= output.ndim <= 4:
        return None
    if 0 in output.shape:
        return None
    if output.ndim == 4 and square and output.shape[2] != output.shape[3]:
        return None

    output = output.float()
    if output.ndim == 4:
        return output.mean(dim=(2, 3)) if pooling == "avg" else output.amax(dim=(2, 3))
    if output.ndim == 3:
        return _pool_tokens(output, pooling, tokens)
    # A copy: what follows the layer may work in place (ReLU) and would change what was seen.
    return output.clone()


def _pool_tokens(output: Tensor, pooling: Pooling, tokens: Tokens | None) -> Tensor | None:
    """[B, T, U] -> [B, U], a copy."""
    if tokens is None or output.shape[1] <= tokens.registers:
        return None
    if tokens.has_class:
        return output[:, 0].clone()

    patches = output[:, tokens.registers :]
    return patches.mean(dim=1) if pooling == "avg" else patches.amax(dim=1)


@contextmanager
def hooked(modules: Mapping[str, nn.Module], hook: Callable[[str, object], None]) -> Iterator[None]:
    """Call `hook(name, output)` after each forward call of each module; the hooks are gone when the block is left."""
    handles = []
    try:
        for name, module in modules.items():

            def listen(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
                hook(name, output)

            handles.append(module.register_forward_hook(listen))

        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def pooled_layers(target: Target, layers: Sequence[str], pooling: Pooling) -> Iterator[PooledForward]:
    """Yield a function that runs the target once on float32 [B, 3, H, W] and returns every layer pooled, [B, U] each.

    The result has the layers as they were requested, in that order. Raises UnknownLayer at the start. The function
    raises LayerWithoutTensor when a layer's output cannot be pooled, is not one row per image, or is not unique:
    a layer that the forward pass skips or runs more than once (a shared activation, say) has no one output.
    """
    captured: dict[str, Tensor] = {}
    square = False
    listening = False  # the dissector may run the very same module, and its pass is none of ours
    modules = find_layers(target, layers)
    tokens = tokens_of(target, modules)

    def capture(layer: str, output: object) -> None:
        if not listening:
            return
        if layer in captured:
            raise _without_tensor(layer, "runs more than once in a forward pass")

        pooled = pool_output(output, pooling, square=square, tokens=tokens[layer])
        if pooled is None:
            raise _without_tensor(layer, f"returns {_describe(output, tokens[layer])}")
        captured[layer] = pooled

    def forward(images: Tensor) -> Mapping[str, Tensor]:
        nonlocal listening, square
        captured.clear()
        square = images.shape[2] == images.shape[3]
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


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A layer that can be dissected: its name with prefix, how many units it has, and its module's class."""

    name: str
    units: int
    kind: str


def list_layers(target: Target) -> tuple[LayerInfo, ...]:
    """Every layer that can be dissected, in the order in which the forward pass leaves them.

    Found by a forward pass of shapes alone (no arithmetic, no memory for the maps) at the target's nominal size.
    Layers that run more than once, or whose output is not one float tensor of a shape that can be pooled, are left out.
    """
    modules = named_layers(target)
    tokens = tokens_of(target, modules)
    pooled: dict[str, list[Tensor | None]] = {}

    def record(name: str, output: object) -> None:
        square = contract.height == contract.width
        pooled.setdefault(name, []).append(pool_output(output, "avg", square=square, tokens=tokens[name]))

    contract = target.preprocessing
    device = next(target.module.parameters(), torch.empty(0)).device
    with torch.inference_mode(), hooked(modules, record), FakeTensorMode(allow_non_fake_inputs=True):
        target.module(torch.zeros(_BLANK_IMAGES, contract.channels, contract.height, contract.width, device=device))

    return tuple(
        LayerInfo(name, outputs[0].shape[1], type(modules[name]).__name__)
        for name, outputs in pooled.items()
        if len(outputs) == 1 and outputs[0] is not None and len(outputs[0]) == _BLANK_IMAGES
    )


def _without_tensor(layer: str, what: str) -> LayerWithoutTensor:
    return LayerWithoutTensor(
        f"Layer '{layer}' {what}, so it cannot be dissected.",
        field="layers",
        value=layer,
        remedy="Choose a layer that runs once and returns one float tensor [B, U], [B, T, U] or [B, U, H, W].",
    )


def _describe(output: object, tokens: Tokens | None) -> str:
    if isinstance(output, Tensor):
        unknown = ", and no token is known to be the class token" if output.ndim == 3 and tokens is None else ""
        return f"a {str(output.dtype).removeprefix('torch.')} tensor of shape {list(output.shape)}{unknown}"
    return f"a {type(output).__name__}"
