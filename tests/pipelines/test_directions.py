"""Directions of whole jobs on small networks: stored with the result, and asked for neighbours."""

from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from service.config import Settings
from service.db.directions import LayerDirections, add_directions, read_directions
from service.db.session import Sessions, transaction
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import Job
from service.domain.neurons import LayerDissection
from service.pipelines.items import DissectionRunner
from service.usecases.neurons import find_neighbours
from tests.engine.small_networks import LAYERS
from tests.pipelines.conftest import Run
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import submit
from tests.usecases.factories import dissected_job, neuron

NONE = EvidenceOptions(draws=0)


def stored(sessions: Sessions, job: Job) -> list[LayerDirections]:
    with transaction(sessions) as session:
        return list(read_directions(session, job.id))


def test_every_unit_has_a_direction_and_the_neurons_most_like_it(
    sessions: Sessions, folder: Path, run: Run, client: TestClient
) -> None:
    job = run(submit(sessions, folder, evidence=NONE))
    layers = stored(sessions, job)
    assert [layer.layer for layer in layers] == list(LAYERS)

    lengths = np.concatenate([layer.lengths for layer in layers])
    norms = np.concatenate([np.linalg.norm(layer.directions.astype(np.float32), axis=1) for layer in layers])
    assert (lengths > 0).any()
    np.testing.assert_allclose(norms[lengths > 0], 1, atol=2e-3)

    unit = int(np.flatnonzero(layers[0].lengths)[0])
    own = layers[0].directions[unit].astype(np.float32)
    cosines = {
        (layer.layer, other): float(layer.directions[other].astype(np.float32) @ own)
        for layer in layers
        for other in np.flatnonzero(layer.lengths).tolist()
        if (layer.layer, other) != (LAYERS[0], unit)
    }
    expected = sorted(cosines, key=lambda place: -cosines[place])[:5]

    answer = client.get(f"/neurons/{LAYERS[0]}/{unit}/neighbours", params={"job": str(job.id)}).json()
    assert [(item["layer"], item["unit"]) for item in answer["items"]] == expected
    neighbour = client.get(f"/neurons/{expected[0][0]}/{expected[0][1]}", params={"job": str(job.id)}).json()
    assert answer["items"][0]["concept"] == neighbour["concept"]

    missing = client.get(f"/neurons/{LAYERS[0]}/9999/neighbours", params={"job": str(job.id)})
    assert (missing.status_code, missing.json()["field"]) == (404, "unit")


def test_a_job_that_could_not_keep_its_activations_has_no_directions(
    sessions: Sessions, folder: Path, settings: Settings, client: TestClient
) -> None:
    none_kept = settings.model_copy(update={"activations_gb": 0})
    job = submit(sessions, folder, evidence=NONE)
    inline_host(sessions, none_kept, DissectionRunner(none_kept, sessions)).work()
    assert stored(sessions, job) == []
    answer = client.get(f"/neurons/{LAYERS[0]}/0/neighbours", params={"job": str(job.id)})
    assert answer.status_code == 404
    assert "no directions" in answer.json()["detail"]


def test_neighbours_are_the_most_alike_of_all_layers_and_never_a_dead_unit(sessions: Sessions) -> None:
    half = np.float16
    first = LayerDirections("a", np.array([[1, 0], [0.6, 0.8], [0, 0]], half), np.array([1, 2, 0], np.float32))
    second = LayerDirections("b", np.array([[0.8, 0.6], [0.6, 0.8], [-1, 0]], half), np.ones(3, np.float32))
    neurons = (neuron(0, 1.0), neuron(1, 1.0, 1), neuron(2, None))
    with transaction(sessions) as session:
        job = dissected_job(session, [LayerDissection("a", neurons), LayerDissection("b", neurons)])
        for layer in (first, second):
            add_directions(session, job, layer, dissector="0")

        nearest = find_neighbours(session, job, "a", 0, 3)
        assert [(near.layer, near.unit) for near in nearest] == [("b", 0), ("a", 1), ("b", 1)]
        np.testing.assert_allclose([near.cosine for near in nearest], [0.8, 0.6, 0.6], atol=1e-3)
        assert [near.concept for near in nearest] == [
            "spiculated mass",
            "clustered calcification",
            "clustered calcification",
        ]
        assert find_neighbours(session, job, "a", 2, 3) == ()
