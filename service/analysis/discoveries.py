"""False-discovery control over all neurons of a dissection (Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.domain.evidence import LEVEL, JobEvidence
from service.domain.neurons import LayerDissection, Neuron


def control_discoveries(
    layers: Sequence[LayerDissection], evidence: JobEvidence | None, *, watched: int
) -> tuple[tuple[LayerDissection, ...], JobEvidence | None]:
    """The layers with q-values, and the job's evidence with the number of tests and the largest significant p.

    One family of tests is the best concept of every live unit of every layer; the other, each of these units with each
    of the `watched` concepts of the set. Whether one is significant hangs on all others, so a layer alone has no q.
    """
    judged = [neuron.evidence for layer in layers for neuron in layer.neurons if neuron.evidence is not None]
    p = np.array([one.significance.p for one in judged if one.significance is not None])
    if evidence is None or len(p) == 0:
        return tuple(layers), evidence
    q = q_values(p, len(p))
    watched_p = np.array([one.p for unit in judged for one in unit.watched])
    own, others = iter(q.tolist()), iter(q_values(watched_p, len(p) * watched).tolist())
    controlled = tuple(
        replace(layer, neurons=tuple(_controlled(neuron, own, others) for neuron in layer.neurons)) for layer in layers
    )
    largest = float(p[q <= LEVEL].max()) if bool((q <= LEVEL).any()) else None
    return controlled, replace(evidence, tests=len(p), largest_p=largest)


def q_values(p: NDArray[np.float64], tests: int) -> NDArray[np.float64]:
    """The least false-discovery rate at which each test would be significant.

    p: the `len(p)` smallest of `tests` p-values, in any order. Where they are not all, a q-value is exact up to the
    smallest p that is missing, and too large beyond.
    """
    order = np.argsort(p, kind="stable")
    bounds = p[order] * tests / np.arange(1, len(p) + 1)
    q = np.empty_like(bounds)
    q[order] = np.minimum.accumulate(bounds[::-1])[::-1].clip(max=1.0)
    return q


def _controlled(neuron: Neuron, q: Iterator[float], watched_q: Iterator[float]) -> Neuron:
    found = neuron.evidence
    if found is None or found.significance is None:
        return neuron
    significance = replace(found.significance, q=next(q))
    watched = tuple(replace(one, q=next(watched_q)) for one in found.watched)
    return replace(neuron, evidence=replace(found, significance=significance, watched=watched))
