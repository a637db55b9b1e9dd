"""A network that knows patients and nothing else: its labels must not seem significant, whatever column names them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from service.analysis.discoveries import control_discoveries
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.probes import ProbeSet
from service.engine.dissect import dissect
from service.engine.probing.probe import ProbingPass
from service.probes.grouping import grouped
from service.probes.manifest import read_manifest, with_digests
from tests.engine.toys import ArrayImages, Lookup, Stored, no_progress, target_of

CPU = torch.device("cpu")
PATIENTS, EACH, WIDTH, UNITS = 24, 4, 24, 192
IMAGES = PATIENTS * EACH
OF_PATIENT = torch.arange(IMAGES) // EACH
CONCEPTS = ConceptSet("words", tuple(Concept(str(place), category="kind") for place in range(20)))
OPTIONS = DissectionOptions(None, Method.of(top_k=10), evidence=EvidenceOptions(draws=2_000, resamples=0, halves=0))
NOMINAL = 0.06


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def of_patients(width: int, *, seed: int) -> Tensor:
    """Of each image [N, width]: what is a patient's own, and a little of the image's."""
    return drawn(PATIENTS, width, seed=seed)[OF_PATIENT] + 0.1 * drawn(IMAGES, width, seed=seed + 1)


TEXTS = drawn(20, WIDTH, seed=1)
SIGHT = of_patients(WIDTH, seed=2)
SHUFFLED = of_patients(UNITS, seed=4)
"""Activations of a network with shuffled weights: alike images have alike ones, and no concept has any part in it."""


def write(folder: Path, columns: Callable[[int, int], dict[str, str]], *, copies: bool = False) -> Path:
    """A manifest of files, each with bytes of its own, or those of its patient. columns: beside the image's path."""
    rows = []
    for image, patient in enumerate(OF_PATIENT.tolist()):
        (folder / f"{image}.png").write_bytes(b"image %d" % (patient if copies else image))
        rows.append({"image": f"{image}.png"} | columns(image, patient))
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def shares(path: Path, independent: str | None = None) -> tuple[ProbeSet, float, float]:
    """The probe set, and the shares of the units whose label is significant: with q <= 0.05, and with p <= 0.05."""
    probe_set = grouped(read_manifest(path, name="probes"), independent)
    images = ArrayImages([np.full((3, 2, 2), index, np.float32) for index in range(IMAGES)])
    images.items = tuple(with_digests(probe_set.items, probe_set.roots))
    probing_pass = ProbingPass(
        target=target_of(Lookup({"units": SHUFFLED}), CPU, "layers.units"),
        dissector=Stored(SIGHT, TEXTS),
        images=images,
        options=OPTIONS,
        device=CPU,
        batch_size=32,
    )
    found = dissect(
        probing_pass, CONCEPTS, finding_of_concept={}, independent=probe_set.independent, progress=no_progress
    )
    layers, _ = control_discoveries(found.layers, found.evidence, watched=0)

    tested = [neuron.evidence.significance for neuron in layers[0].neurons if neuron.evidence is not None]
    known = [significance for significance in tested if significance is not None]
    assert len(known) == UNITS
    by_q = sum(significance.q is not None and significance.q <= 0.05 for significance in known)
    by_p = sum(significance.p <= 0.05 for significance in known)
    return probe_set, by_q / UNITS, by_p / UNITS


NAMED: dict[str, Callable[[int, int], dict[str, str]]] = {
    "patient_id": lambda _, patient: {"patient_id": f"p{patient}"},
    "exam_id": lambda _, patient: {"exam_id": f"p{patient}"},
    "patients of two exams each": lambda image, patient: {"exam_id": f"e{image // 2}", "patient_id": f"p{patient}"},
    "PatientID": lambda _, patient: {"PatientID": f"p{patient}"},
    "study_id": lambda _, patient: {"study_id": f"p{patient}"},
    "Accession Number": lambda _, patient: {"Accession Number": f"p{patient}"},
}


@pytest.mark.parametrize("columns", NAMED.values(), ids=NAMED.keys())
def test_whatever_column_names_patients_a_shuffled_network_knows_no_concept(
    tmp_path: Path, columns: Callable[[int, int], dict[str, str]]
) -> None:
    _, by_q, by_p = shares(write(tmp_path, columns))
    assert by_q <= NOMINAL
    assert by_p <= NOMINAL


def test_copies_under_other_names_are_one_image(tmp_path: Path) -> None:
    _, by_q, by_p = shares(write(tmp_path, lambda image, _: {"image_id": f"i{image}"}, copies=True))
    assert by_q <= NOMINAL
    assert by_p <= NOMINAL


def test_a_column_of_ones_own_does_where_it_is_chosen(tmp_path: Path) -> None:
    probe_set, by_q, by_p = shares(write(tmp_path, lambda _, patient: {"woman": f"p{patient}"}), "woman")
    assert probe_set.independent == "woman"
    assert by_q <= NOMINAL
    assert by_p <= NOMINAL


def test_where_nothing_names_patients_nearly_all_labels_seem_significant(tmp_path: Path) -> None:
    _, by_q, _ = shares(write(tmp_path, lambda image, _: {"image_id": f"i{image}"}))
    assert by_q > 0.5, "so the tests above would notice"
