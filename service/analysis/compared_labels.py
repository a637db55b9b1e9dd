"""The labels of a dissection as arrays: what comparisons count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain.neurons import LayerDissection, Neuron

NONE = -1
"""Stands for no concept."""

Indices = NDArray[np.int16]
"""Concept indices; a concept set has at most 20,000."""

Integer = TypeVar("Integer", bound=np.integer)


@dataclass(frozen=True)
class LayerLabels:
    """The labels of one layer of U units; NONE for a dead unit. B and S are 0 where nothing was resampled."""

    best: Indices
    """The best concept of each unit, significant or not [U]."""
    judged: NDArray[np.bool_]
    """Is it significant? [U]"""
    resampled: Indices
    """The best concept in each of B resamples [B, U]."""
    halves: Indices
    """The best concept in both halves of each of S splits [S, 2, U]."""

    @property
    def redrawn(self) -> Indices:
        """The resamples two by two, as if exams had been drawn twice [B // 2, 2, U]."""
        return in_pairs(self.resampled)

    def cut(self, *, resamples: int, splits: int) -> "LayerLabels":
        """The same labels with the first resamples and splits only."""
        return LayerLabels(self.best, self.judged, self.resampled[:resamples], self.halves[:splits])


@dataclass(frozen=True)
class NetworkLabels:
    """The labels of one dissection."""

    layers: dict[str, LayerLabels]
    """In the dissection's order; all with the same B and S."""
    inferred: bool
    """Is it known of every live unit whether its label is significant?"""

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
        concepts: set[int] = set()
        for layer in self.layers.values():
            concepts.update(np.unique(layer.best).tolist())
            concepts.update(np.unique(layer.halves).tolist())
        return concepts - {NONE}


def in_pairs(resampled: NDArray[Integer]) -> NDArray[Integer]:
    """Resamples [B, ...] two by two [B // 2, 2, ...]; an odd last one is left out."""
    pairs = len(resampled) // 2
    return resampled[: 2 * pairs].reshape(pairs, 2, *resampled.shape[1:])


class _Read(NamedTuple):
    """One layer as its neurons give it, before all layers agree on B and S."""

    best: Indices
    judged: NDArray[np.bool_]
    resampled: Indices | None
    """[B, U]; None where no unit is live."""
    halves: Indices | None
    """[2 S, U], half after half; None where no unit is live."""
    inferred: bool


def read_labels(layers: Iterable[LayerDissection]) -> NetworkLabels:
    """The labels of a dissection, layer by layer, so that its neurons need not all be in memory.

    Where live units were resampled unequally often, which no dissection of this service does, no resample counts.
    """
    layers_read = {layer.layer: _read(layer.neurons) for layer in layers}
    resamples = _agreed(layer.resampled for layer in layers_read.values())
    splits = _agreed(layer.halves for layer in layers_read.values()) // 2

    return NetworkLabels(
        layers={name: _labels(layer, resamples, splits) for name, layer in layers_read.items()},
        inferred=all(layer.inferred for layer in layers_read.values()),
    )


def _labels(layer: _Read, resamples: int, splits: int) -> LayerLabels:
    units = len(layer.best)
    return LayerLabels(
        best=layer.best,
        judged=layer.judged,
        resampled=_sized(layer.resampled, resamples, units),
        halves=_sized(layer.halves, 2 * splits, units).reshape(splits, 2, units),
    )


def _read(neurons: Sequence[Neuron]) -> _Read:
    best = [neuron.concepts[0].concept if neuron.concepts else NONE for neuron in neurons]
    evidence = [neuron.evidence for neuron in neurons]
    resampled = [() if known is None else known.resampled for known in evidence]
    halves = [() if known is None else known.halves for known in evidence]

    return _Read(
        best=np.array(best, np.int16),
        judged=np.array([bool(neuron.significant) for neuron in neurons], bool),
        resampled=_draws(neurons, resampled),
        halves=_draws(neurons, halves),
        inferred=all(neuron.dead or neuron.significant is not None for neuron in neurons),
    )


def _draws(neurons: Sequence[Neuron], drawn: Sequence[Sequence[int]]) -> Indices | None:
    """[draws, U]; without draws where live units have unequally many; None where no unit is live."""
    lengths = {len(indices) for neuron, indices in zip(neurons, drawn, strict=True) if not neuron.dead}
    if not lengths:
        return None

    draws = lengths.pop() if len(lengths) == 1 else 0
    table = np.full((len(neurons), draws), NONE, np.int16)
    for row, neuron, indices in zip(table, neurons, drawn, strict=True):
        if not neuron.dead:
            row[:] = indices[:draws]

    return table.T


def _agreed(tables: Iterable[Indices | None]) -> int:
    """How many draws all tables have; 0 where they differ."""
    lengths = {len(table) for table in tables if table is not None}
    return lengths.pop() if len(lengths) == 1 else 0


def _sized(table: Indices | None, draws: int, units: int) -> Indices:
    if table is None:
        return np.full((draws, units), NONE, np.int16)
    return table[:draws]
