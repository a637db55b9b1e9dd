"""The facts about networks that an audit rests on, from dissections and their comparison."""

from collections.abc import Mapping, Sequence
from statistics import median
from uuid import UUID

import numpy as np

from service.analysis.compared_labels import Indices, NetworkLabels, read_labels
from service.analysis.coverage import cover
from service.analysis.watch_list import WatchList, watch
from service.domain.audit_facts import CategoryChange, Drift, NetworkFacts
from service.domain.comparisons import CategoryRow, Change, Comparison
from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.neurons import LayerDissection, count_verdicts

_RESAMPLES = 50
"""Of resamples only so many are kept in the facts, enough for a standard error: facts are signed and read by people."""


def network_facts(
    layers: Sequence[LayerDissection], concept_set: ConceptSet, evidence: JobEvidence | None
) -> NetworkFacts:
    """A dissection in figures. Every concept counts as essential, so that each absent one gets its reason."""
    essential = [(concept.text, index) for index, concept in enumerate(concept_set.concepts)]
    coverage = cover(layers, concept_set, evidence, essential)
    watch_list = watch(layers, concept_set, evidence)
    labels = read_labels(layers)
    halves, resampled = _draws_that_count(labels, watch_list)

    responses = []
    for neuron in watch_list.neurons:
        responses.append(tuple(response.text for response in neuron.responses))

    return NetworkFacts(
        refused=coverage.refused,
        units=coverage.units,
        live=watch_list.live,
        significant=coverage.significant,
        stability=_median_stability(layers),
        concepts={concept.text: concept.neurons for concept in coverage.concepts if concept.neurons},
        categories={category.name: category.neurons for category in coverage.categories if category.neurons},
        unseen={missing.text: missing.reason for missing in coverage.missing if missing.reason != "not represented"},
        responses=tuple(responses),
        halves=labels.splits,
        watched_halves=_watched_halves(halves, concept_set),
        resamples=len(resampled),
        watched_resamples=_watched_resamples(resampled, concept_set),
        verdicts=count_verdicts(layers),
        no_verdicts=None if evidence is None or evidence.verdicts is None else evidence.verdicts.refused,
        watched=_watched(concept_set, evidence),
    )


def _watched(concept_set: ConceptSet, evidence: JobEvidence | None) -> tuple[str, ...] | None:
    counting = None if evidence is None else evidence.watched_that_count
    if counting is None:
        return None
    return tuple(concept_set.concepts[concept].text for concept in concept_set.watched if concept in counting)


def _median_stability(layers: Sequence[LayerDissection]) -> float | None:
    """The median share of the resamples that keep a significant label; None without any."""
    neurons = [neuron for layer in layers for neuron in layer.neurons]
    evidence = [neuron.evidence for neuron in neurons if neuron.significant]
    shares_kept = [known.stability.label for known in evidence if known is not None and known.stability is not None]
    return median(shares_kept) if shares_kept else None


def _watched_halves(halves: Indices, concept_set: ConceptSet) -> Mapping[str, tuple[tuple[int, int], ...]]:
    """See `NetworkFacts.watched_halves`. halves: labels [S, 2, U]."""
    counts_by_text = {}
    for concept in concept_set.watched:
        counts = (halves == concept).sum(axis=2)
        if counts.any():
            text = concept_set.concepts[concept].text
            counts_by_text[text] = tuple((first, second) for first, second in counts.tolist())
    return counts_by_text


def _watched_resamples(resampled: Indices, concept_set: ConceptSet) -> Mapping[str, tuple[int, ...]]:
    """See `NetworkFacts.watched_resamples`. resampled: labels [B, U]."""
    counts_by_text = {}
    for concept in concept_set.watched:
        counts = (resampled == concept).sum(axis=1)
        if counts.any():
            counts_by_text[concept_set.concepts[concept].text] = tuple(counts.tolist())
    return counts_by_text


def _draws_that_count(labels: NetworkLabels, watch_list: WatchList) -> tuple[Indices, Indices]:
    """Labels of units with a significant label or a watched response: in halves [S, 2, U], and in resamples [B, U]."""
    responding = {(neuron.layer, neuron.unit) for neuron in watch_list.neurons}
    halves = [np.empty((labels.splits, 2, 0), np.int16)]
    resampled = [np.empty((min(labels.resamples, _RESAMPLES), 0), np.int16)]

    for name, layer in labels.layers.items():
        counts = [bool(judged) or (name, unit) in responding for unit, judged in enumerate(layer.judged)]
        mask = np.array(counts, bool)
        halves.append(layer.halves[:, :, mask])
        resampled.append(layer.resampled[:_RESAMPLES, mask])

    return np.concatenate(halves, axis=2), np.concatenate(resampled, axis=1)


def drift_facts(comparison_id: UUID, comparison: Comparison) -> Drift:
    """How far the second network of a comparison has moved from the first."""
    network = comparison.network
    churn = network.churn[0]
    changes = (_category_change(row, change) for row in network.categories.rows for change in row.changes)

    return Drift(
        comparison=comparison_id,
        categories=tuple(changes),
        divergence=network.categories.divergence[0],
        labels=None if churn is None else churn.label,
        unpaired=0 if churn is None else churn.vanished + churn.appeared,
        unshared=tuple(name for layers in comparison.unshared for name in layers),
    )


def _category_change(row: CategoryRow, change: Change) -> CategoryChange:
    return CategoryChange(
        name=row.name,
        before=row.neurons[0],
        gain=change.gain,
        low=change.low,
        high=change.high,
        noise=change.noise,
        exceeds_noise=change.exceeds_noise,
        q=change.q,
        halves=change.halves,
    )
