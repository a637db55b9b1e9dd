"""What directions, decoys and verdicts cost: a dissection with all activations against one with the largest alone."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.table import Row, race
from cli.samples import write_samples
from service.analysis.conclusions import conclude
from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import name_findings
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.verdicts import DEFAULT_ERROR_LEVEL
from service.engine.architectures import open_target
from service.engine.dissect import dissect
from service.engine.dissectors import open_dissector
from service.engine.probing.activations import MOST_IN_MEMORY
from service.engine.probing.probe import ProbingPass
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from service.probes.phantoms import FINDINGS
from service.studies.phantom_targets import ARCHITECTURE

_PHANTOMS, _SERIES = 400, 18
_LAYERS = ("_blocks.7", "_blocks.10", "_blocks.15")
_CONCEPTS = builtin_concept_set("bi-rads")
_MOST = 1.1
_CPU = torch.device("cpu")


def run() -> list[Row]:
    """The whole job in one process: images, both networks, scores, evidence at its defaults, and verdicts."""
    with tempfile.TemporaryDirectory() as root:
        files = write_samples(Path(root), phantoms=_PHANTOMS, seed=_SERIES)
        probes = read_manifest(files.phantoms, name="phantoms")
        with_directions = ProbingPass(
            target=open_target(TargetSpec(files.checkpoint, ARCHITECTURE), _CPU),
            dissector=open_dissector(DissectorSpec(files.dissector), _CPU),
            images=open_images(probes),
            options=DissectionOptions(_LAYERS, Method.of().fitted_to(len(probes.items))),
            device=_CPU,
            most_activations=MOST_IN_MEMORY,
        )
        largest_alone = replace(with_directions, most_activations=0)
        timing = race(_dissecting(largest_alone), _dissecting(with_directions), rounds=3)

    ratio = 1 / timing.speedup
    name = f"{_PHANTOMS} phantoms, {len(_LAYERS)} layers: with directions and verdicts, agreement among them"
    return [Row(name, timing.baseline, timing.measured, "s", ratio, f"at most {_MOST}", ratio <= _MOST)]


def _dissecting(probing_pass: ProbingPass) -> Callable[[], object]:
    named = name_findings(_CONCEPTS, FINDINGS)

    def dissected() -> object:
        result = dissect(probing_pass, _CONCEPTS, finding_of_concept=named, progress=lambda _: None)
        return conclude(result.layers, result.evidence, _CONCEPTS, DEFAULT_ERROR_LEVEL)

    return dissected
