"""An evaluation's dissections are those that everybody else gets."""

from pathlib import Path

import torch

from service.concepts.builtin import builtin_concept_set
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.probes.manifest import read_manifest
from service.studies.dissection import DissectionPlan, run_dissection
from service.studies.evaluation import VOCABULARY, EvaluationPlan, evaluate
from tests.engine.small_networks import ARCHITECTURE, LAYERS
from tests.pipelines.small_jobs import write_folder

EXAMS = 24


def test_the_manifest_of_an_evaluation_is_that_of_the_same_dissection(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, images=EXAMS, columns={"exam_id": [f"exam-{index}" for index in range(EXAMS)]})
    target, dissector = TargetSpec(folder / "target.safetensors", ARCHITECTURE), DissectorSpec(folder / "dissector")
    probe_set = read_manifest(folder / "manifest.csv", name="probes")
    evidence = EvidenceOptions(draws=50, resamples=5, halves=1)
    evaluation = EvaluationPlan(target, dissector, probe_set, LAYERS, 4, evidence, torch.device("cpu"))
    evaluated = next(evaluate(evaluation, lambda _: None))
    options = DissectionOptions(LAYERS, Method.of(top_k=4), evidence=evidence)
    plan = DissectionPlan(target, dissector, probe_set, builtin_concept_set(VOCABULARY), options, device="cpu")
    dissection, manifest = run_dissection(plan, lambda _: None)
    assert evaluated.manifest == manifest
    assert evaluated.dissection.layers == dissection.layers
    assert any(
        neuron.evidence is not None and neuron.evidence.significance is not None
        for layer in dissection.layers
        for neuron in layer.neurons
    ), "q-values would not show in any digest"
