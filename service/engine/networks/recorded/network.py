"""A table in the place of a network: its layers can be listed and named like any others, but nothing runs."""

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from service.engine.networks.protocols import OutputReading
from service.engine.networks.recorded.table import RecordedTable
from service.errors import InvalidInput


class Columns(nn.Module):
    """The columns of a table that are the units of one layer. Its class is the layer's kind."""

    output_reading = OutputReading(unit_axis=1)

    def __init__(self, layer: str, units: int) -> None:
        super().__init__()
        self.layer = layer
        self.units = units

    def forward(self, values: Tensor) -> Tensor:
        """The same numbers, [B, units]."""
        return values


class TableNetwork(nn.Module):
    """The layers of a table. Images alone tell nothing of their rows, so a pass over images is refused."""

    def __init__(self, table: RecordedTable) -> None:
        super().__init__()
        self._columns = {layer: Columns(layer, len(places)) for layer, places in table.layers.items()}
        for layer, columns in self._columns.items():
            _place(self, layer, columns)

    def forward(self, images: Tensor) -> Tensor:
        """The shapes of the layers, for who lists them. Raises InvalidInput where numbers are asked for."""
        if not isinstance(images, FakeTensor):
            raise InvalidInput(
                "A table holds no network, so images cannot be shown to it.",
                field="architecture",
                value="table",
                remedy="Give the weights of the network that the table was computed with, and their architecture.",
            )
        for columns in self._columns.values():
            images = columns(torch.empty(len(images), columns.units, device=images.device))
        return images


def _place(network: nn.Module, layer: str, columns: Columns) -> None:
    """Make it the module of that name, whatever attributes modules have; a layer may be named as part of another."""
    *folders, last = layer.split(".")
    holder = network
    for folder in folders:
        inner = holder._modules.get(folder) or nn.Module()
        holder._modules[folder] = inner
        holder = inner

    standing = holder._modules.get(last)
    if standing is not None:
        columns._modules.update(standing._modules)
    holder._modules[last] = columns
