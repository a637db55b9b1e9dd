"""Phantoms know where their findings are: from their manifest to where units look, in whole images and in patches."""

from dataclasses import replace

import pytest

from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.localisation import Localisation, LocalisationOptions
from service.domain.manifests import JobManifest
from service.domain.methods import Method
from service.domain.neurons import Dissection
from service.domain.probes import PatchGrid
from service.probes.measuring import read_patches
from service.probes.phantoms import write_phantoms
from service.studies.dissection import DissectionPlan, run_dissection
from tests.engine.small_networks import write_dissector, write_target

CONCEPTS = ConceptSet("words", (Concept("mass"), Concept("calcifications"), Concept("extremely dense")))
PHANTOMS = 24


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> DissectionPlan:
    folder = tmp_path_factory.mktemp("phantoms")
    manifest = write_phantoms(folder, PHANTOMS, seed=5, size=(96, 64))
    return DissectionPlan(
        target=write_target(folder),
        dissector=write_dissector(folder),
        probe_set=read_patches(manifest, name="phantoms", patches=None),
        concept_set=CONCEPTS,
        options=DissectionOptions(
            ("layer4.0",),
            Method.of(top_k=4),
            evidence=EvidenceOptions(draws=0),
            localisation=LocalisationOptions(("calcifications",)),
        ),
        device="cpu",
    )


def localisations(result: Dissection) -> dict[str, list[Localisation]]:
    """Those of all units by label."""
    by_label: dict[str, list[Localisation]] = {}
    for neuron in result.layers[0].neurons:
        if neuron.label is not None:
            assert neuron.evidence is not None
            by_label.setdefault(neuron.label.text, []).extend(neuron.evidence.localisations)
    return by_label


def run(plan: DissectionPlan) -> tuple[Dissection, JobManifest]:
    return run_dissection(plan, lambda _: None)


def test_units_are_held_against_the_boxes_that_phantoms_come_with(plan: DissectionPlan) -> None:
    result, manifest = run(plan)
    items = plan.probe_set.items
    entry = manifest["localisation"]
    assert entry["problems"] == []

    by_label = localisations(result)
    finding_of = {"mass": "mass", "calcifications": "calcifications", "extremely dense": "calcifications"}
    assert set(by_label) <= set(finding_of)
    for label, of_label in by_label.items():
        with_places = [item for item in items if finding_of[label] in (item.findings or ())]
        for looks in of_label:
            assert looks.finding == finding_of[label]
            assert looks.from_label == (label == looks.finding)
            assert looks.images == len(with_places)
            assert looks.exams == len({item.patient_id for item in with_places})
            assert looks.pointing is not None
    assert entry["units"] == {"measured": sum(map(len, by_label.values()))}
    assert manifest["results"] == run(replace(plan, options=replace(plan.options, localisation=None)))[1]["results"]


def test_patches_are_looked_at_where_the_finding_reaches_into_them(plan: DissectionPlan) -> None:
    folder = plan.target.checkpoint.parent
    probes = read_patches(folder / "manifest.csv", name="phantoms", patches=PatchGrid(48, 48))
    result, manifest = run(replace(plan, probe_set=probes))
    entry = manifest["localisation"]
    for finding, counted in entry["findings"].items():
        reached = 0
        for item in probes.items:
            patch = item.box
            assert patch is not None
            boxes = [region.box for region in item.regions if region.finding == finding and region.box is not None]
            reached += any(
                box.left < patch.left + 48
                and patch.left < box.left + box.width
                and box.top < patch.top + 48
                and patch.top < box.top + box.height
                for box in boxes
            )
        assert 0 < counted["used"] == counted["images"] == reached < len(probes.items)
    assert entry["images_with_problems"] == 0
    assert any(looks.pointing for of_label in localisations(result).values() for looks in of_label)
