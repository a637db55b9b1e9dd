"""What fine-tuning for calcifications alone gains and loses against the noise of the exams, on known networks."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.table import Row
from cli.samples import write_samples
from service.analysis.compared_labels import read_labels
from service.analysis.comparison import compare
from service.concepts.builtin import builtin_concept_set
from service.domain.comparisons import UNKNOWN, CategoryRow, Comparison, Measured
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection
from service.domain.probes import ProbeSet
from service.engine.dissectors import open_dissector
from service.engine.dissectors.bundled import PHANTOM_DISSECTOR
from service.engine.scoring import embed_concepts
from service.probes.manifest import read_manifest
from service.studies.dissection import DissectionPlan, run_dissection
from service.studies.phantom_targets import ARCHITECTURE, fit_phantom_targets

_PHANTOMS, _SERIES = 1_200, 9
_LAYERS = ("_blocks.10", "_blocks.15", "_fc")


def run() -> list[Row]:
    """Targets are taken from the folder that PHANTOM_TARGETS names, if it holds them; otherwise they are fitted."""
    with tempfile.TemporaryDirectory() as root:
        files = write_samples(Path(root), phantoms=_PHANTOMS, seed=_SERIES)
        fitted = Path(os.environ.get("PHANTOM_TARGETS", root))
        targets = fit_phantom_targets(files.checkpoint, fitted, lambda _: None)
        probes = read_manifest(files.phantoms, name="phantoms")
        before, after = (
            _dissect(path, files.dissector, probes) for path in (targets.mammography, targets.calcifications)
        )
    again, tuned = _compare(before, before), _compare(before, after)
    return [*_rows(tuned), *_moved(again, tuned), *_unchanged(again)]


def _dissect(checkpoint: Path, dissector: Path, probes: ProbeSet) -> Dissection:
    plan = DissectionPlan(
        target=TargetSpec(checkpoint, ARCHITECTURE),
        dissector=DissectorSpec(dissector),
        probe_set=probes,
        concept_set=builtin_concept_set("bi-rads"),
        options=DissectionOptions(_LAYERS, Method.of().fitted_to(len(probes.items))),
        device="cpu",
    )
    return run_dissection(plan, lambda _: None)[0]


def _compare(first: Dissection, second: Dissection) -> Comparison:
    networks = [read_labels(dissection.layers) for dissection in (first, second)]
    concepts = builtin_concept_set("bi-rads")
    dissector = open_dissector(DissectorSpec(PHANTOM_DISSECTOR), torch.device("cpu"))
    texts = embed_concepts(dissector, concepts.texts).numpy()
    return compare(networks, [ARCHITECTURE] * 2, concepts, not_tested_reasons=[None, None], concept_embeddings=texts)


def _rows(comparison: Comparison) -> list[Row]:
    """Beyond the noise, some category of calcifications must gain and none lose, and some other must lose."""
    categories = sorted(comparison.network.categories.rows, key=lambda row: -row.changes[0].gain)
    beyond = [row for row in categories if row.changes[0].exceeds_noise]
    gained, lost = (
        [row.name.startswith("calcification") for row in beyond if row.changes[0].gain * sign > 0] for sign in (1, -1)
    )
    divergence = comparison.network.categories.divergence[0]
    expected, met = gained.count(True) + lost.count(False), any(gained) and bool(lost) and not any(lost)
    return [
        *map(_row, categories),
        Row("as expected, of those beyond the noise (*)", len(beyond), expected, "", expected, "gains and losses", met),
        Row("divergence against its noise", divergence.noise or 0, divergence.value or 0, "bits", 0),
    ]


def _row(row: CategoryRow) -> Row:
    change = row.changes[0]
    mark = " *" if change.exceeds_noise else ""
    interval = f"{change.low:+.0f} to {change.high:+.0f}, noise {change.noise:.0f}{mark}"
    return Row(f"{row.name}: {interval}", row.neurons[0], row.neurons[1], "neurons", change.gain)


def _moved(again: Comparison, tuned: Comparison) -> list[Row]:
    """How far the labels of units named in both have moved in meaning."""
    itself, moved = (_semantic(comparison) for comparison in (again, tuned))
    value, unchanged = moved.value or 0, itself.value == 0
    return [
        Row("labels moved in meaning, against the noise", moved.noise or 0, value, "1 - cosine", value),
        Row("the same, against itself", itself.noise or 0, itself.value or 0, "1 - cosine", 0, "exactly 0", unchanged),
    ]


def _semantic(comparison: Comparison) -> Measured:
    (churn,) = comparison.network.churn
    return UNKNOWN if churn is None else churn.semantic


def _unchanged(comparison: Comparison) -> Iterable[Row]:
    changes = [row.changes[0] for row in comparison.network.categories.rows]
    most = max(max(abs(change.gain), abs(change.low or 0), abs(change.high or 0)) for change in changes)
    return [Row("the network against itself: largest change", 0, most, "neurons", most, "exactly 0", most == 0)]
