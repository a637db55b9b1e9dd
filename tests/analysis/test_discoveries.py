"""False-discovery control over all layers of a dissection."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from service.analysis.discoveries import control_discoveries, q_values
from service.domain.evidence import Evidence, JobEvidence, Significance, Watched
from service.domain.neurons import LayerDissection, Neuron
from tests.usecases.factories import neuron

JOB = JobEvidence("exam", 50, None, None, None, ())


def judged(unit: int, p: float, *watched_p: float) -> Neuron:
    plain = neuron(unit, 1.0)
    evidence = Evidence(
        Significance(p, 2.0), watched=tuple(Watched(2, "red sports car", p_of_unit, 1.0) for p_of_unit in watched_p)
    )
    return Neuron(plain.unit, plain.dead, plain.activation, plain.concepts, plain.images, evidence)


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    p = np.random.default_rng(0).uniform(size=200) ** 3
    assert q_values(p, 200) == pytest.approx(false_discovery_control(p))
    assert q_values(np.array([0.2, 0.2, 0.9]), 3) == pytest.approx([0.3, 0.3, 0.9])


def test_of_many_tests_the_smallest_p_values_are_enough() -> None:
    p = np.random.default_rng(1).uniform(size=2000)
    p[:40] /= 2000
    kept = p[p <= 0.05]
    whole, part = false_discovery_control(p)[p <= 0.05], q_values(kept, 2000)
    assert part[whole <= 0.05] == pytest.approx(whole[whole <= 0.05])
    assert bool((part[whole > 0.05] > 0.05).all())


def test_control_is_over_all_layers_and_leaves_dead_units_out() -> None:
    layers = [
        LayerDissection("a", (judged(0, 0.001), neuron(1, None), judged(2, 0.04))),
        LayerDissection("b", (judged(0, 0.03, 0.004, 0.03),)),
    ]
    (first, second), job = control_discoveries(layers, JOB, watched=2)
    assert [
        unit.evidence and unit.evidence.significance and unit.evidence.significance.q for unit in first.neurons
    ] == [
        pytest.approx(0.003),
        None,
        pytest.approx(0.04),
    ]
    assert second.neurons[0].evidence is not None
    assert [watched.q for watched in second.neurons[0].evidence.watched] == pytest.approx([0.024, 0.09])
    assert [unit.significant for unit in first.neurons] == [True, None, True]
    assert job is not None
    assert (job.tests, job.largest_p) == (3, 0.04)


def test_where_nothing_is_significant_every_label_is_no_concept() -> None:
    [layer], job = control_discoveries([LayerDissection("a", (judged(0, 0.2), judged(1, 0.9)))], JOB, watched=0)
    assert [unit.label for unit in layer.neurons] == [None, None]
    assert job is not None
    assert (job.tests, job.largest_p) == (2, None)


def test_where_nothing_was_inferred_nothing_changes() -> None:
    layers = (LayerDissection("a", (neuron(0, 1.0), neuron(1, None))),)
    assert control_discoveries(layers, JOB, watched=3) == (layers, JOB)
    assert layers[0].neurons[0].label is not None
    assert control_discoveries(layers, None, watched=3) == (layers, None)
