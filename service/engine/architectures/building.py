"""Building a network no larger than the weights that are to go into it."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from service.engine.architectures.blueprint import FITTING_WEIGHTS
from service.errors import InvalidCheckpoint
from service.memory import bytes_refused

_ALWAYS = 256 << 20
_TIMES = 8
"""Networks are built in float32, twice at most, with some tables on the way; files may hold half of that precision."""

_OVERFLOW = re.compile(r"Storage size calculation overflowed|integer multiplication overflow")


@contextmanager
def building_within(weights: Mapping[str, Tensor], architecture: str) -> Iterator[None]:
    """For a block that builds the network of these weights, which tells how large it can be.

    A name or a description takes a few bytes, whatever the size of the network that it asks for; the weights are there.
    Networks below 256 MB may always be built. Raises InvalidCheckpoint as soon as the block asks for too much memory.
    """
    stored = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in weights.values()}
    limit = _ALWAYS + _TIMES * sum(stored.values())

    with _Limit(limit, architecture):
        yield


class _Limit(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what tensors on the CPU take, as they are made and before anything is written into them."""

    def __init__(self, limit: int, architecture: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left = limit
        self._architecture = architecture

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        try:
            result = func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if self._is_too_large(error):
                raise self._too_large() from error
            raise

        known = {_storage(value) for value in tree_leaves((args, kwargs)) if _takes_memory(value)}
        for value in tree_leaves(result):
            if _takes_memory(value) and _storage(value) not in known:
                self._take(value.untyped_storage().nbytes())

        return result

    def _is_too_large(self, error: RuntimeError) -> bool:
        """Whether it is so large that the machine refuses at once, rather than that the machine is full."""
        size = bytes_refused(error)
        if size is None:
            return _OVERFLOW.search(str(error)) is not None
        return size > self._left

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self._too_large()

    def _too_large(self) -> InvalidCheckpoint:
        return InvalidCheckpoint(
            f"The checkpoint does not fit {self._architecture}: the network is many times larger.",
            field="checkpoint",
            value=self._architecture,
            remedy=FITTING_WEIGHTS,
        )


def _takes_memory(value: object) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cpu" and value.layout is torch.strided


def _storage(value: Tensor) -> int:
    address: int = value.untyped_storage()._cdata
    return address
