"""Our own labels, as the peers are tried: significant ones, and the names that verdicts give."""

from collections.abc import Mapping
from functools import partial

import torch
from scipy.stats import false_discovery_control
from torch import Tensor

from benchmarks.peers.methods import Method, Names, Shown, single_concepts, standardised
from benchmarks.verdicts import LABELS, Label, Series, moments_of, verdicts_of
from service.concepts.builtin import builtin_concept_set
from service.domain.evidence import LEVEL, Evidence
from service.domain.verdicts import DEFAULT_ERROR_LEVEL


def ours(series: Series) -> Mapping[str, Method]:
    """The default label where it is significant, and verdicts by either label. series: the images that name units."""
    methods: dict[str, Method] = {"contrast, q <= 0.05": lambda shown: _significant(series, shown)}
    for name, label in LABELS.items():
        methods[f"verdicts ({name})"] = partial(_verdicts, series, label=label)
    return methods


def _significant(series: Series, shown: Shown) -> Names:
    label = LABELS["contrast"]
    concepts, p = label(series, shown.activations, moments_of(series, shown.activations))
    return single_concepts(concepts, shown, named=torch.from_numpy(false_discovery_control(p.numpy()) <= LEVEL))


def _verdicts(series: Series, shown: Shown, label: Label) -> Names:
    """Named and unverified units. A category stands for its concepts, the label first; a combination for its parts."""
    moments = moments_of(series, shown.activations)
    labels, p = label(series, shown.activations, moments)
    layer, _ = verdicts_of(series, moments, labels, p, DEFAULT_ERROR_LEVEL)

    names: list[tuple[int, ...]] = []
    weights = torch.zeros(len(labels), len(shown.texts))
    for unit, neuron in enumerate(layer.neurons):
        evidence = neuron.evidence
        covered = () if evidence is None else _covered(evidence, int(labels[unit]))
        names.append(covered)
        if covered and evidence is not None:
            concepts, shares = _simulated(evidence, int(labels[unit]))
            weights[unit, concepts] = shares
    categories = frozenset(
        unit
        for unit, neuron in enumerate(layer.neurons)
        if neuron.evidence and neuron.evidence.verdict and neuron.evidence.verdict.level == "category"
    )
    return Names(tuple(names), standardised(weights, shown), categories)


def _covered(evidence: Evidence, label: int) -> tuple[int, ...]:
    verdict, direction = evidence.verdict, evidence.direction
    if verdict is None or verdict.name is None or direction is None:
        return ()
    if verdict.level == "combination":
        return tuple(part.concept for part in direction.parts)
    if verdict.level == "concept":
        return (label,)

    concepts = builtin_concept_set("bi-rads").concepts
    members = [
        place for place, concept in enumerate(concepts) if verdict.name in (concept.category, concept.broad_category)
    ]
    return (label, *(place for place in members if place != label))


def _simulated(evidence: Evidence, label: int) -> tuple[list[int], Tensor]:
    """The concepts that predict the activation, with weights of their cosines at deviation 1."""
    verdict, direction = evidence.verdict, evidence.direction
    if verdict is None or direction is None or verdict.level != "combination":
        return [label], torch.ones(1)
    return [part.concept for part in direction.parts], torch.tensor([part.share**0.5 for part in direction.parts])
