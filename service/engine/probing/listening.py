"""Forward hooks that are always removed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import nn


@contextmanager
def hooked(modules: Mapping[str, nn.Module], hook: Callable[[str, object], object]) -> Iterator[None]:
    """Call `hook(name, output)` after each forward call of each module; the hooks are gone when the block is left.

    What it returns takes the output's place; None leaves the output as it is.
    """
    handles = []
    try:
        for name, module in modules.items():

            def listen(_module: nn.Module, _inputs: object, output: object, name: str = name) -> object:
                return hook(name, output)

            handles.append(module.register_forward_hook(listen))

        yield
    finally:
        for handle in handles:
            handle.remove()
