"""Dissections from the manifest to the labels: where weights are shuffled, labels are significant by chance at most."""

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.concepts.builtin import builtin_concept_set
from service.domain.evidence import LEVEL, EvidenceOptions, JobEvidence
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.probes.measuring import read_patches
from service.probes.phantoms import generate
from service.studies.dissection import DissectionPlan, run_dissection
from tests.engine.small_networks import write_dissector, write_target

PATIENTS = 48
COPIES = 4
LAYERS = ("layer1.0", "layer2.0", "layer3.0", "layer4.0")

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Networks:
    """Where the images lie, and the networks that are shown them."""

    folder: Path
    target: TargetSpec
    dissector: DissectorSpec


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """Of each patient a phantom, exported four times: `alike` with other noise each time, `same` with equal bytes."""
    folder = tmp_path_factory.mktemp("alike")
    random = np.random.default_rng(1)
    for patient in range(PATIENTS):
        pixels = generate(77, 4 * patient, (96, 64)).pixels
        for copy in range(COPIES):
            noise = random.normal(0, 2, pixels.shape)
            alike = (pixels + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(alike).save(folder / f"alike-{patient}-{copy}.png")

        Image.fromarray(pixels).save(folder / f"same-{patient}-0.png")
        for copy in range(1, COPIES):
            shutil.copyfile(folder / f"same-{patient}-0.png", folder / f"same-{patient}-{copy}.png")

    return Networks(folder, replace(write_target(folder), shuffled=3), write_dissector(folder))


def findings(patient: int) -> list[str]:
    return sorted(generate(77, 4 * patient, (96, 64)).findings)


def exports(kind: str, columns: Callable[[int, int], Row]) -> Iterator[Row]:
    """A row for each export. columns: of a patient's number and the export's."""
    for patient in range(PATIENTS):
        for copy in range(COPIES):
            known = {"findings": "|".join(findings(patient))}
            yield {"image": f"{kind}-{patient}-{copy}.png", **known, **columns(patient, copy)}


def patient_in(column: str) -> Callable[[int, int], Row]:
    return lambda patient, _: {column: f"p{patient}"}


def patient_of_an_exam(patient: int, copy: int) -> Row:
    """Two exams of each patient, who is named in one row of each."""
    return {"exam_id": f"e{patient}-{copy // 2}", "patient_id": "" if copy % 2 else f"p{patient}"}


def one_row_per_finding() -> Iterator[Row]:
    for patient in range(PATIENTS):
        for finding in findings(patient) or [""]:
            yield {"image": f"same-{patient}-0.png", "findings": finding}


def one_row_per_image() -> Iterator[Row]:
    for patient in range(PATIENTS):
        yield {"image": f"same-{patient}-0.png", "findings": "|".join(findings(patient))}


def dissected(networks: Networks, rows: Iterator[Row], independent: str | None = None) -> tuple[int, JobEvidence]:
    """How many labels are significant, and the evidence."""
    listed = list(rows)
    manifest = networks.folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)

    probe_set = read_patches(manifest, name="probes", patches=None, independent=independent)
    method = Method.of().fitted_to(len(probe_set.items))
    plan = DissectionPlan(
        target=networks.target,
        dissector=networks.dissector,
        probe_set=probe_set,
        concept_set=builtin_concept_set("bi-rads"),
        options=DissectionOptions(LAYERS, method, 1, 1, evidence=EvidenceOptions(2_000, 0, 0)),
        device="cpu",
        batch_size=32,
    )
    result, _ = run_dissection(plan, lambda _: None)

    evidence = result.evidence
    assert evidence is not None
    assert evidence.refused is None
    significant = sum(neuron.significant is True for layer in result.layers for neuron in layer.neurons)
    return significant, evidence


MANIFESTS: dict[str, tuple[Callable[[], Iterator[Row]], str | None, str]] = {
    "four alike images of a patient": (lambda: exports("alike", patient_in("patient_id")), None, "patient"),
    "four alike images of an exam": (lambda: exports("alike", patient_in("exam_id")), None, "exam"),
    "four alike images of a study": (lambda: exports("alike", patient_in("study_id")), None, "exam"),
    "four alike images of a subject": (lambda: exports("alike", patient_in("Subject ID")), None, "patient"),
    "four alike images with a value": (lambda: exports("alike", patient_in("woman")), "woman", "group"),
    "a patient whom some rows name": (lambda: exports("alike", patient_of_an_exam), None, "patient"),
    "the same images four times": (lambda: exports("same", lambda *_: {}), None, "image"),
    "the same images as images": (lambda: exports("same", patient_in("patient_id")), "image", "image"),
    "one row per finding": (one_row_per_finding, None, "image"),
}


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_shuffled_weights_are_named_at_the_nominal_rate_at_most(manifest: str, networks: Networks) -> None:
    rows, independent, unit = MANIFESTS[manifest]
    significant, evidence = dissected(networks, rows(), independent)
    assert (evidence.drawn_by, evidence.units) == (unit, PATIENTS)
    assert evidence.tests > 100
    assert significant <= LEVEL * evidence.tests


def test_images_that_are_alike_are_named_where_they_count_as_independent(networks: Networks) -> None:
    """What the test above would find if the manifest's knowledge were not used."""
    significant, evidence = dissected(networks, exports("alike", patient_in("patient_id")), "image")
    assert evidence.units == PATIENTS * COPIES
    assert significant > 0.5 * evidence.tests


def test_one_row_per_finding_is_judged_as_one_row_per_image(networks: Networks) -> None:
    _, evidence = dissected(networks, one_row_per_finding())
    _, of_whole_rows = dissected(networks, one_row_per_image())
    assert evidence.qualifications == of_whole_rows.qualifications
    assert any(qualification.verdict != "absent" for qualification in evidence.qualifications)
