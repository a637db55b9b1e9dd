"""The probing pass of a target that is a table: rows are looked up where networks would run."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.layers import unknown_layer
from service.domain.preprocessing import Preprocessing
from service.domain.probes import ProbeItem
from service.engine.networks.protocols import Target
from service.engine.networks.recorded.matching import Match
from service.engine.networks.recorded.network import Columns
from service.engine.networks.recorded.table import RecordedTable
from service.engine.probing.layers import find_layers
from service.errors import UnreadableImage
from service.ports import ProbeImages

RowLookup = Callable[[Sequence[int]], Mapping[str, Tensor]]
"""From places of probe items to the numbers of each layer, [B, U]."""


def row_lookup(
    target: Target, table: RecordedTable, match: Match, layers: Sequence[str], device: torch.device
) -> RowLookup:
    """What gives the layers' numbers, as they were requested. Raises UnknownLayer."""
    columns: dict[str, str] = {}
    for layer, module in find_layers(target, layers).items():
        if not isinstance(module, Columns):  # part of a name
            raise unknown_layer(layer, table.layers)
        columns[layer] = module.layer

    def look_up(places: Sequence[int]) -> dict[str, Tensor]:
        rows = torch.from_numpy(match.rows[list(places)])
        return {layer: table.rows_of(name, rows).to(device) for layer, name in columns.items()}

    return look_up


class ImagesWithRow:
    """Images of a probe set, of which those without a row in the table cannot be read."""

    def __init__(self, images: ProbeImages, match: Match) -> None:
        self._images = images
        self._match = match

    @property
    def items(self) -> Sequence[ProbeItem]:
        """Those of the probe set."""
        return self._images.items

    def load(self, index: int, contracts: Sequence[Preprocessing]) -> list[NDArray[np.float32]]:
        """See `ProbeImages.load`."""
        if self._match.rows[index] < 0:
            row = self.items[index].row
            raise UnreadableImage(
                f"The table has no row for the image of manifest row {row}.",
                field="target",
                value=f"row {row}",
                remedy="Add the row to the table, or let the probe set skip such images.",
            )
        return self._images.load(index, contracts)
