"""False-discovery control over all neurons of a dissection (Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995)."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.domain.evidence import LEVEL, JobEvidence, Watched
from service.domain.neurons import LayerDissection, Neuron


def control_discoveries(
    layers: Sequence[LayerDissection], evidence: JobEvidence | None, *, watched: int
) -> tuple[tuple[LayerDissection, ...], JobEvidence | None]:
    """The layers with q-values, and the job's evidence with the number of tests and the largest significant p.

    One family of tests is the best concept of every live unit of every layer. The other is each of these units with
    each of the set's watched concepts; `watched` is their number. Where it is known which of them count, these alone
    are tested, and responses to others are left out. A response has to be one and to say something beyond the unit's
    label: its p is the larger of the two. Whether a test is significant depends on all others of its family, so a layer
    alone has no q.
    """
    counting = None if evidence is None else evidence.watched_that_count
    if counting is not None:
        layers = [_with_watched(layer, counting) for layer in layers]
        watched = len(counting)
    neurons = [neuron for layer in layers for neuron in layer.neurons]
    units = [neuron.evidence for neuron in neurons if neuron.evidence is not None]
    p = np.array([unit.significance.p for unit in units if unit.significance is not None])
    if evidence is None or len(p) == 0:
        return tuple(layers), evidence

    watched_p = np.array([_p_of_response(response) for unit in units for response in unit.watched])
    q = q_values(p, len(p))
    watched_q = q_values(watched_p, len(p) * watched)

    # Both run along with the neurons, in the order in which the p-values were taken.
    next_q = iter(q.tolist())
    next_watched_q = iter(watched_q.tolist())
    controlled = []
    for layer in layers:
        controlled_neurons = tuple(_controlled(neuron, next_q, next_watched_q) for neuron in layer.neurons)
        controlled.append(replace(layer, neurons=controlled_neurons))

    significant = q <= LEVEL
    largest_p = float(p[significant].max()) if significant.any() else None
    return tuple(controlled), replace(evidence, tests=len(p), largest_p=largest_p)


def q_values(p: NDArray[np.float64], tests: int) -> NDArray[np.float64]:
    """The least false-discovery rate at which each test would be significant.

    p: the `len(p)` smallest of `tests` p-values, in any order. Where some are missing, a q-value is exact up to the
    smallest p that is missing, and too large beyond.
    """
    order = np.argsort(p, kind="stable")
    bounds = p[order] * tests / np.arange(1, len(p) + 1)

    q = np.empty_like(bounds)
    q[order] = np.minimum.accumulate(bounds[::-1])[::-1].clip(max=1.0)
    return q


def _with_watched(layer: LayerDissection, counting: Set[int]) -> LayerDissection:
    """The layer without responses to watched concepts that do not count."""
    return replace(layer, neurons=tuple(_neuron_with_watched(neuron, counting) for neuron in layer.neurons))


def _neuron_with_watched(neuron: Neuron, counting: Set[int]) -> Neuron:
    if neuron.evidence is None:
        return neuron
    watched = tuple(response for response in neuron.evidence.watched if response.concept in counting)
    return replace(neuron, evidence=replace(neuron.evidence, watched=watched))


def _p_of_response(response: Watched) -> float:
    """Of a unit that does not respond, or whose response its label implies."""
    return response.p if response.partial_p is None else max(response.p, response.partial_p)


def _controlled(neuron: Neuron, q: Iterator[float], watched_q: Iterator[float]) -> Neuron:
    evidence = neuron.evidence
    if evidence is None or evidence.significance is None:
        return neuron

    significance = replace(evidence.significance, q=next(q))
    watched = tuple(replace(response, q=next(watched_q)) for response in evidence.watched)
    return replace(neuron, evidence=replace(evidence, significance=significance, watched=watched))
