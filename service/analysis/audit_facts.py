"""The facts of an audit, from dissections and their comparison."""

from collections.abc import Mapping, Sequence
from statistics import median
from uuid import UUID

import numpy as np

from service.analysis.compared_labels import NetworkLabels, read_labels
from service.analysis.coverage import cover
from service.analysis.watch_list import WatchList, watch
from service.domain.audit_facts import CategoryChange, Drift, NetworkFacts
from service.domain.comparisons import Comparison
from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.neurons import LayerDissection


def network_facts(
    layers: Sequence[LayerDissection], concept_set: ConceptSet, evidence: JobEvidence | None
) -> NetworkFacts:
    """A dissection in figures. Every concept counts as essential, so that each absent one gets its reason."""
    essential = [(concept.text, index) for index, concept in enumerate(concept_set.concepts)]
    coverage = cover(layers, concept_set, evidence, essential)
    watched = watch(layers, concept_set, evidence)
    labels = read_labels(layers)
    neurons = [neuron for layer in layers for neuron in layer.neurons]
    kept = [
        neuron.evidence.stability.label
        for neuron in neurons
        if neuron.significant and neuron.evidence is not None and neuron.evidence.stability is not None
    ]
    return NetworkFacts(
        refused=coverage.refused,
        units=coverage.units,
        live=watched.live,
        significant=coverage.significant,
        stability=median(kept) if kept else None,
        concepts={concept.text: concept.neurons for concept in coverage.concepts if concept.neurons},
        categories={category.name: category.neurons for category in coverage.categories if category.neurons},
        unseen={one.text: one.reason for one in coverage.missing if one.reason != "not represented"},
        responses=tuple(tuple(response.text for response in neuron.responses) for neuron in watched.neurons),
        halves=labels.splits,
        watched_halves=_watched_halves(labels, watched, concept_set),
    )


def _watched_halves(
    labels: NetworkLabels, watched: WatchList, concept_set: ConceptSet
) -> Mapping[str, tuple[tuple[int, int], ...]]:
    responding = {(neuron.layer, neuron.unit) for neuron in watched.neurons}
    named = []
    for name, layer in labels.layers.items():
        judged = [bool(known) or (name, unit) in responding for unit, known in enumerate(layer.judged)]
        named.append(layer.halves[:, :, np.array(judged, bool)])
    halves = np.concatenate(named, axis=2) if named else np.empty((0, 2, 0), np.int16)
    counts = {concept: (halves == concept).sum(axis=2).tolist() for concept in concept_set.watched}
    return {
        concept_set.concepts[concept].text: tuple((one, other) for one, other in its)
        for concept, its in counts.items()
        if any(map(any, its))
    }


def drift_facts(comparison_id: UUID, comparison: Comparison) -> Drift:
    """How far the second network of a comparison has moved from the first."""
    scope = comparison.network
    churn = scope.churn[0]
    return Drift(
        comparison=comparison_id,
        categories=tuple(
            CategoryChange(
                row.name, row.neurons[0], change.gain, change.low, change.high, change.noise, change.exceeds_noise
            )
            for row in scope.categories.rows
            for change in row.changes
        ),
        divergence=scope.categories.divergence[0],
        labels=None if churn is None else churn.label,
        unpaired=0 if churn is None else churn.vanished + churn.appeared,
        unshared=tuple(name for layers in comparison.unshared for name in layers),
    )
