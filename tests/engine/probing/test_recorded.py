"""A table of a network's own activations is dissected as the network itself is, bit for bit."""

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.manifests import JobManifest
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection
from service.domain.probes import ProbeSet
from service.domain.table_targets import LIMITS, TABLE
from service.engine.architectures import open_target
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.layers import find_layers
from service.engine.probing.listing import list_layers
from service.engine.probing.probe import ProbingPass
from service.errors import InvalidActivations, InvalidInput, UnknownLayer
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from service.studies.dissection import DissectionPlan, run_dissection
from tests.engine.small_networks import ARCHITECTURE, LAYERS
from tests.engine.toys import no_progress
from tests.pipelines.small_jobs import CONCEPTS, IMAGES, write_folder

CPU = torch.device("cpu")
BATCH = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path, columns={"findings": ["mass", "clip"] * (IMAGES // 2)})


def probes_of(folder: Path) -> ProbeSet:
    return read_manifest(folder / "manifest.csv", name="probes")


def write_activations(folder: Path, skipped: Iterable[int] = ()) -> Path:
    """The network's pooled activations, shown in the batches of a dissection, as a CSV."""
    target = open_target(TargetSpec(folder / "target.safetensors", ARCHITECTURE), CPU)
    probe_set = probes_of(folder)
    images = open_images(probe_set)
    loaded = [torch.from_numpy(images.load(index, [target.preprocessing])[0]) for index in range(IMAGES)]

    header, rows = ["image"], [[item.written] for item in probe_set.items]
    with torch.inference_mode(), pooled_layers(target, LAYERS, "avg") as forward:
        for first in range(0, IMAGES, BATCH):
            pooled = forward(torch.stack(loaded[first : first + BATCH]))
            for layer, values in pooled.items():
                if not first:
                    header += [f"{layer}/{unit}" for unit in range(values.shape[1])]
                for row, numbers in zip(rows[first:], values.numpy(), strict=False):
                    row.extend(map(str, numbers))

    path = folder / "activations.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(row for index, row in reversed(list(enumerate(rows))) if index not in set(skipped))
    return path


def plan_of(folder: Path, target: TargetSpec, probe_set: ProbeSet | None = None) -> DissectionPlan:
    return DissectionPlan(
        target=target,
        dissector=DissectorSpec(folder / "dissector"),
        probe_set=probe_set or probes_of(folder),
        concept_set=CONCEPTS,
        options=DissectionOptions(
            LAYERS, Method.of(top_k=4), concepts_per_neuron=3, images_per_neuron=4, evidence=EvidenceOptions(200, 5, 2)
        ),
        device="cpu",
        batch_size=BATCH,
        shard_size=IMAGES,
    )


def dissected(folder: Path, target: TargetSpec, probe_set: ProbeSet | None = None) -> tuple[Dissection, JobManifest]:
    return run_dissection(plan_of(folder, target, probe_set), no_progress)


@pytest.mark.proves("table", "of a network's own activations: its images, labels and scores, bit for bit")
def test_the_same_images_labels_and_scores_as_the_network_itself(folder: Path) -> None:
    of_network, network_manifest = dissected(folder, TargetSpec(folder / "target.safetensors", ARCHITECTURE))
    of_table, manifest = dissected(folder, TargetSpec(write_activations(folder), TABLE))

    assert manifest["results"] == network_manifest["results"]
    assert sum(len(layer.neurons) for layer in of_table.layers) > 100
    for layer, same in zip(of_table.layers, of_network.layers, strict=True):
        regionless = [
            replace(neuron, images=tuple(replace(image, region=None) for image in neuron.images))
            for neuron in same.neurons
        ]
        assert list(layer.neurons) == regionless
    assert of_table.evidence == of_network.evidence

    entry = manifest["target"]
    assert entry["warnings"] == list(LIMITS)
    assert entry["table"]["use"] == {
        "matched_by": "path",
        "named_by": "image",
        "images_without_row": 0,
        "rows_unused": 0,
    }


def test_layers_are_listed_with_their_units(folder: Path) -> None:
    target = open_target(TargetSpec(write_activations(folder), TABLE), CPU)
    network = open_target(TargetSpec(folder / "target.safetensors", ARCHITECTURE), CPU)
    units = {layer.name: layer.units for layer in list_layers(network)}
    assert [(layer.name, layer.units, layer.kind, layer.is_main) for layer in list_layers(target)] == [
        (name, units[name], "Columns", True) for name in LAYERS
    ]
    chosen = open_target(TargetSpec(folder / "activations.csv", TABLE), CPU, ["layer4.*"]).chosen_layers
    assert chosen == ("layer4.0",)


def test_images_without_a_row_stop_the_pass_before_any_is_decoded_or_are_skipped(folder: Path) -> None:
    table = TargetSpec(write_activations(folder, skipped=(2, 7)), TABLE)
    with pytest.raises(InvalidActivations, match="no row for 2 of 10 images: those of manifest rows 3, 8"):
        dissected(folder, table)

    probe_set = replace(probes_of(folder), on_unreadable="skip")
    result, manifest = dissected(folder, table, probe_set)
    assert (result.images_used, result.images_skipped) == (8, (3, 8))
    assert manifest["target"]["table"]["use"]["images_without_row"] == 2


def test_what_cannot_be_asked_of_a_table_is_said(folder: Path) -> None:
    table = TargetSpec(write_activations(folder), TABLE)
    with pytest.raises(InvalidInput, match="no weights that could be shuffled"):
        open_target(replace(table, shuffled=1), CPU)
    with pytest.raises(InvalidInput, match="no sets of weights"):
        open_target(replace(table, weights="ema"), CPU)
    target = open_target(table, CPU)
    with pytest.raises(InvalidInput, match="images cannot be shown to it"):
        target.module(torch.zeros(1, 3, 8, 8))
    with pytest.raises(UnknownLayer):
        find_layers(target, ["layer2"])
    plan = plan_of(folder, table)
    part_of_a_name = replace(plan, options=replace(plan.options, layers=("layer1",)))
    with pytest.raises(UnknownLayer):
        run_dissection(part_of_a_name, no_progress)


def test_rows_are_part_of_a_shards_key(folder: Path) -> None:
    def digest(probe_set: ProbeSet) -> str | None:
        passing = ProbingPass(
            target=open_target(TargetSpec(folder / "activations.csv", TABLE), CPU),
            dissector=None,  # type: ignore[arg-type]
            images=open_images(probe_set),
            options=plan_of(folder, TargetSpec(folder, TABLE)).options,
            device=CPU,
        )
        return passing.digest_of_rows(range(3))

    write_activations(folder)
    probe_set = probes_of(folder)
    first, second, *others = probe_set.items
    swapped = (replace(first, written=second.written), replace(second, written=first.written), *others)
    assert digest(probe_set) != digest(replace(probe_set, items=swapped))
