from typing import Any

import pytest

from service.analysis.layers import summarise_layer
from service.analysis.thresholds import (
    ConceptCounts,
    count_mammographic,
    local_threshold,
    neurons_meeting,
    top_categories,
)
from service.domain.concepts import Concept, ConceptSet
from service.domain.layers import canonical_layer
from service.domain.neurons import ActivationSummary, LayerDissection, LayerSummary, Neuron, RankedConcept
from tests.analysis.published_tables import NETWORKS, Network, concept_set, dissection, expected

EXPECTED = expected()
CONCEPTS = concept_set()
LAYERS = {network: {layer.layer: layer for layer in dissection(network, CONCEPTS).layers} for network in NETWORKS}
CASES = [(network, layer) for network in NETWORKS for layer in EXPECTED["layers"]]


def global_threshold(layer: str) -> float:
    """The larger of the two networks' thresholds of a layer."""
    thresholds = [local_threshold(LAYERS[network][layer]) for network in NETWORKS]
    return max(threshold for threshold in thresholds if threshold is not None)


@pytest.mark.parametrize(("network", "layer"), CASES)
def test_a_layer_s_summary_has_the_published_threshold_and_count(network: Network, layer: str) -> None:
    summary = summarise_layer(LAYERS[network][canonical_layer(layer)], CONCEPTS)
    assert summary.layer == canonical_layer(layer)
    assert (summary.units, summary.dead_units) == (60, 0)
    assert summary.mean_top_score == pytest.approx(EXPECTED["thresholds"]["local"][network][layer], rel=1e-14)
    assert summary.threshold_met == EXPECTED["met_local"][network][layer]
    assert len(summary.top_categories) == 3
    assert sum(count for _, count in summary.top_categories) <= summary.threshold_met


@pytest.mark.parametrize(("network", "layer"), CASES)
def test_what_meets_the_global_threshold_is_counted_as_published(network: Network, layer: str) -> None:
    name = canonical_layer(layer)
    threshold = global_threshold(name)
    assert threshold == pytest.approx(EXPECTED["thresholds"]["global"][layer], rel=1e-14)
    met = neurons_meeting(LAYERS[network][name], threshold)
    assert len(met) == EXPECTED["met_global"][network][layer]
    counts = count_mammographic(met, CONCEPTS)
    published = EXPECTED["counts_global_threshold"][network][layer]
    assert counts == ConceptCounts(mammographic=published["mammography"], other=published["non_mammography"])
    top = [list(pair) for pair in top_categories(met, CONCEPTS)]
    assert top == EXPECTED["top3_broad_categories_global_threshold"][network][layer]


@pytest.mark.parametrize("network", NETWORKS)
def test_every_neuron_s_concept_and_flags_are_the_published_ones(network: Network) -> None:
    ours: list[list[Any]] = []
    for layer in LAYERS[network].values():
        local_met = neurons_meeting(layer, local_threshold(layer))
        global_met = neurons_meeting(layer, global_threshold(layer.layer))
        for neuron in layer.neurons:
            top = neuron.concepts[0]
            concept = CONCEPTS.concepts[top.concept]
            flags = [neuron in local_met, neuron in global_met]
            ours.append(
                [layer.layer, neuron.unit, top.text, top.score, *flags, concept.category, concept.broad_category]
            )
    published = [[canonical_layer(layer), *rest] for layer, *rest in EXPECTED["rows"][network]["data"]]
    assert len(ours) == 180
    assert sorted(ours, key=lambda row: (row[0], row[1])) == sorted(published, key=lambda row: (row[0], row[1]))


def neuron(unit: int, concept: int | None, score: float = 0.0) -> Neuron:
    ranked = (
        () if concept is None else (RankedConcept(concept, f"concept {concept}", score), RankedConcept(0, "x", -9.0))
    )
    return Neuron(unit, dead=concept is None, activation=ActivationSummary(0.0, 0.0, 0.0, 0.0), concepts=ranked)


SMALL = ConceptSet(
    "small",
    (
        Concept("concept 0", "shape", "findings", True),
        Concept("concept 1", "animals", "everyday", False),
        Concept("concept 2", "margin"),
        Concept("concept 3"),
    ),
)


def test_a_layer_worked_out_by_hand() -> None:
    units = ((0, 3.0), (None, 0.0), (1, 1.0), (2, 2.0), (3, 2.0), (2, 2.5), (1, 1.5))
    layer = LayerDissection("blocks.2", tuple(neuron(unit, *each) for unit, each in enumerate(units)))
    # Mean of 3, 1, 2, 2, 2.5, 1.5 = 2; units 0, 3, 4, 5 reach it; concept 2 has a category only, concept 3 nothing.
    assert summarise_layer(layer, SMALL) == LayerSummary(
        "blocks.2",
        units=7,
        dead_units=1,
        mean_top_score=2.0,
        threshold_met=4,
        top_categories=(("margin", 2), ("findings", 1)),
    )
    assert count_mammographic(layer.neurons, SMALL) == ConceptCounts(mammographic=4, other=2)
    # Equal counts go by name.
    assert top_categories(layer.neurons, SMALL) == (("everyday", 2), ("margin", 2), ("findings", 1))
    assert top_categories(layer.neurons, SMALL, limit=1) == (("everyday", 2),)


def test_a_layer_of_dead_units_has_no_threshold() -> None:
    dead = LayerDissection("blocks.2", (neuron(0, None), neuron(1, None)))
    assert summarise_layer(dead, SMALL) == LayerSummary("blocks.2", 2, 2, None, 0, ())
    assert local_threshold(dead) is None
    assert neurons_meeting(dead, None) == ()


def test_no_order_of_units_changes_the_threshold() -> None:
    scores = [1e8, 1.0, -1e8, 1e-8] * 5
    forth = LayerDissection("a", tuple(neuron(unit, 0, score) for unit, score in enumerate(scores)))
    back = LayerDissection("a", forth.neurons[::-1])
    assert local_threshold(forth) == local_threshold(back) == pytest.approx(0.25 + 0.25e-8, rel=1e-15)
