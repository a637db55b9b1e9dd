"""Which layers a request for "all" stands for."""

from torch import nn


def main_layers(network: nn.Module) -> tuple[str, ...]:
    """The network's blocks: its repeating compound modules, by name, in forward order.

    A block is a compound module inside a `Sequential` or `ModuleList` (a residual block, a transformer layer). A stage,
    a block that itself holds two or more blocks of one class, is replaced by its blocks. A network without blocks
    (AlexNet, VGG) gives its convolutions and linear layers.
    """
    inside = {
        f"{name}.{child_name}" if name else child_name: child
        for name, module in network.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
        for child_name, child in module.named_children()
        if not isinstance(child, nn.Sequential | nn.ModuleList) and any(child.children())
    }
    stages = {name for name in inside if _holds_a_stack(name, inside)}
    candidates = [name for name, _ in network.named_modules() if name in inside and name not in stages]

    blocks: list[str] = []
    for name in candidates:
        if not any(name.startswith(f"{block}.") for block in blocks):
            blocks.append(name)
    if blocks:
        return tuple(blocks)

    return tuple(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear))


def _holds_a_stack(name: str, inside: dict[str, nn.Module]) -> bool:
    classes = [type(module) for other, module in inside.items() if other.startswith(f"{name}.")]
    return len(classes) > len(set(classes))
