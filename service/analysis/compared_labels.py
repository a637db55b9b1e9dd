"""The labels of a dissection as arrays: what comparisons count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.neurons import LayerDissection, Neuron

NONE = -1
"""Stands for no concept."""

Indices = NDArray[np.int16]
"""Concept indices; a concept set has at most 20,000."""


@dataclass(frozen=True)
class LayerLabels:
    """One layer of U units. best: its best concept, significant or not [U]. judged: is it significant [U].

    resampled: best concept in each of B resamples [B, U]. halves: in both halves of each of S splits [S, 2, U].
    NONE for a dead unit. B and S are 0 where nothing was resampled.
    """

    best: Indices
    judged: NDArray[np.bool_]
    resampled: Indices
    halves: Indices


@dataclass(frozen=True)
class NetworkLabels:
    """The layers of one dissection, in its order; all with the same B and S.

    inferred: is it known of every live unit whether its label is significant.
    """

    layers: dict[str, LayerLabels]
    inferred: bool

    @property
    def resamples(self) -> int:
        """B."""
        return next((len(layer.resampled) for layer in self.layers.values()), 0)

    @property
    def splits(self) -> int:
        """S."""
        return next((len(layer.halves) for layer in self.layers.values()), 0)

    @property
    def concepts(self) -> set[int]:
        """Every concept that is best for a unit, over all exams or over half of them."""
        found: set[int] = set()
        for layer in self.layers.values():
            found |= {*np.unique(layer.best).tolist(), *np.unique(layer.halves).tolist()}
        return found - {NONE}


class _Read(NamedTuple):
    """As LayerLabels, with halves [2 S, U]; resampled, halves: None where no unit is live."""

    best: Indices
    judged: NDArray[np.bool_]
    resampled: Indices | None
    halves: Indices | None
    inferred: bool


def read_labels(layers: Iterable[LayerDissection]) -> NetworkLabels:
    """The labels of a dissection, layer by layer, so that its neurons need not all be in memory.

    Where live units were resampled unequally often, which no dissection of this service does, no resample counts.
    """
    read = {layer.layer: _read(layer.neurons) for layer in layers}
    resamples = _agreed(layer.resampled for layer in read.values())
    splits = _agreed(layer.halves for layer in read.values()) // 2
    return NetworkLabels(
        layers={
            name: LayerLabels(
                best=layer.best,
                judged=layer.judged,
                resampled=_sized(layer.resampled, resamples, len(layer.best)),
                halves=_sized(layer.halves, 2 * splits, len(layer.best)).reshape(splits, 2, len(layer.best)),
            )
            for name, layer in read.items()
        },
        inferred=all(layer.inferred for layer in read.values()),
    )


def _read(neurons: Sequence[Neuron]) -> _Read:
    best = [neuron.concepts[0].concept if neuron.concepts else NONE for neuron in neurons]
    return _Read(
        best=np.array(best, np.int16),
        judged=np.array([bool(neuron.significant) for neuron in neurons], bool),
        resampled=_draws(neurons, [() if one.evidence is None else one.evidence.resampled for one in neurons]),
        halves=_draws(neurons, [() if one.evidence is None else one.evidence.halves for one in neurons]),
        inferred=all(neuron.dead or neuron.significant is not None for neuron in neurons),
    )


def _draws(neurons: Sequence[Neuron], drawn: Sequence[Sequence[int]]) -> Indices | None:
    """[draws, U]; without draws where live units have unequally many; None where no unit is live."""
    lengths = {len(indices) for neuron, indices in zip(neurons, drawn, strict=True) if not neuron.dead}
    if not lengths:
        return None
    table = np.full((len(neurons), lengths.pop() if len(lengths) == 1 else 0), NONE, np.int16)
    for row, neuron, indices in zip(table, neurons, drawn, strict=True):
        if not neuron.dead:
            row[:] = indices[: len(row)]
    return table.T


def _agreed(tables: Iterable[Indices | None]) -> int:
    lengths = {len(table) for table in tables if table is not None}
    return lengths.pop() if len(lengths) == 1 else 0


def _sized(table: Indices | None, draws: int, units: int) -> Indices:
    return np.full((draws, units), NONE, np.int16) if table is None else table[:draws]
