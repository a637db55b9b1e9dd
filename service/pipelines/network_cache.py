"""Networks that stay loaded between work items: the least recently used go when memory is short."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar, cast

import psutil
import torch

from service.domain.models import DissectorSpec, TargetSpec
from service.engine.architectures import open_target
from service.engine.dissectors import open_dissector
from service.engine.networks.protocols import Dissector, Target

Network = TypeVar("Network", Target, Dissector)


class NetworkCache:
    """Targets and dissectors by content. limit: bytes that they may take together; one is always kept.

    A network's size is what loading it added to the memory of its device.
    """

    def __init__(self, device: torch.device, limit: int) -> None:
        self._device = device
        self._limit = limit
        self._networks: OrderedDict[object, tuple[object, int]] = OrderedDict()
        self.loads = 0
        """How many networks were opened."""

    def target(self, spec: TargetSpec, layers: tuple[str, ...] | None) -> Target:
        """`open_target`; layers decide what is folded, so they are part of what is kept. Raises its errors."""
        described = (spec.sha256, spec.weights, spec.described_by, spec.autoencoder)
        key = ("target", spec.architecture, described, spec.shuffled, spec.input, layers)
        return self._get(key, lambda: open_target(spec, self._device, keep_layers=layers or ()))

    def dissector(self, spec: DissectorSpec) -> Dissector:
        """`open_dissector`. Raises its errors."""
        return self._get(("dissector", spec.digest), lambda: open_dissector(spec, self._device))

    def _get(self, key: object, open_: Callable[[], Network]) -> Network:
        if key not in self._networks:
            memory_before = self._memory()
            network = open_()
            self.loads += 1
            self._networks[key] = (network, max(0, self._memory() - memory_before))
            self._make_room()

        self._networks.move_to_end(key)
        return cast("Network", self._networks[key][0])

    def _make_room(self) -> None:
        while len(self._networks) > 1 and self._bytes_held() > self._limit:
            self._networks.popitem(last=False)

    def _bytes_held(self) -> int:
        return sum(size for _, size in self._networks.values())

    def _memory(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        return int(psutil.Process().memory_info().rss)
