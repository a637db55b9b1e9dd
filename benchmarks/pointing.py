"""Do units that are named after a mass or a kind of calcifications point at it? On phantoms, against exchanged places.

`python -m benchmarks.pointing CHECKPOINT IMAGES SERIES ...` prints the tables of docs/where.md.
"""

import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.table import Row
from cli.samples import write_samples
from service.concepts.builtin import builtin_concept_set
from service.domain.evidence import LEVEL, EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.localisation import Localisation, LocalisationOptions
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.probes import ProbeSet
from service.engine.dissectors.bundled import PHANTOM_DISSECTOR
from service.probes.manifest import read_manifest
from service.studies.dissection import DissectionPlan, run_dissection
from service.studies.phantom_targets import ARCHITECTURE, PhantomTraining, fit_phantom_targets

LAYERS = ("_blocks.10", "_blocks.15", "_conv_head")
"""Late layers with maps of 24 x 15, 12 x 8 and 12 x 8 cells."""

_CONCEPTS = builtin_concept_set("bi-rads")
_PHANTOMS, _SERIES = 800, 18
_EVIDENCE = EvidenceOptions(resamples=0, halves=1)
_GOAL = 0.8
_KINDS = ("mass", "calcifications")


@dataclass(frozen=True, slots=True)
class Pointing:
    """A unit that is named after a mass or a kind of calcifications, and where it looks."""

    layer: str
    unit: int
    looks: Localisation

    def above(self, figure: str) -> bool:
        """Is a figure of it above that of exchanged places?"""
        against = getattr(self.looks, figure)
        return bool(against.value > against.exchanged)

    def clearly(self, figure: str) -> bool:
        """And with a p of at most LEVEL?"""
        return self.above(figure) and getattr(self.looks, figure).p <= LEVEL


def run() -> list[Row]:
    """The target is taken from the folder that PHANTOM_TARGETS names, if it is there; otherwise it is fitted."""
    with tempfile.TemporaryDirectory() as root:
        files = write_samples(Path(root), phantoms=_PHANTOMS, seed=_SERIES)
        fitted = Path(os.environ.get("PHANTOM_TARGETS", root))
        targets = fit_phantom_targets(files.checkpoint, fitted, lambda _: None, PhantomTraining())
        probes = read_manifest(files.phantoms, name="phantoms")

        trained = measure(TargetSpec(targets.mammography, ARCHITECTURE), probes)
        shuffled = measure(TargetSpec(targets.mammography, ARCHITECTURE, shuffled=1), probes)
    return [
        _row(f"{kind}, {figure} above exchanged places", trained, shuffled, kind, figure)
        for kind in ("", *_KINDS)
        for figure in ("pointing", "iou", "auroc")
    ]


def measure(target: TargetSpec, probes: ProbeSet) -> list[Pointing]:
    """Dissect late layers, and look where the units look that are named after a mass or a kind of calcifications."""
    plan = DissectionPlan(
        target=target,
        dissector=DissectorSpec(PHANTOM_DISSECTOR),
        probe_set=probes,
        concept_set=_CONCEPTS,
        options=DissectionOptions(
            LAYERS,
            Method.of().fitted_to(len(probes.items)),
            evidence=_EVIDENCE,
            localisation=LocalisationOptions(),
        ),
        device="cpu",
    )
    dissection, _ = run_dissection(plan, lambda _: None)
    return [
        Pointing(layer.layer, neuron.unit, looks)
        for layer in dissection.layers
        for neuron in layer.neurons
        for looks in (() if neuron.evidence is None else neuron.evidence.localisations)
        if looks.why_not is None and looks.finding.endswith(_KINDS)
    ]


def _row(name: str, trained: Sequence[Pointing], shuffled: Sequence[Pointing], kind: str, figure: str) -> Row:
    of_trained = [unit for unit in trained if unit.looks.finding.endswith(kind)]
    of_shuffled = [unit for unit in shuffled if unit.looks.finding.endswith(kind)]
    share = _share(of_trained, figure)
    baseline = _share(of_shuffled, figure)

    has_goal = figure == "pointing"
    goal = f"at least {_GOAL}" if has_goal else ""
    met = share >= _GOAL if has_goal else None
    title = f"{name or 'all'}: {len(of_trained)} units, {len(of_shuffled)} of shuffled weights"
    return Row(title.lstrip(", "), baseline, share, "share", share / max(baseline, 1e-9), goal, met)


def _share(units: Sequence[Pointing], figure: str) -> float:
    return sum(unit.above(figure) for unit in units) / max(len(units), 1)


def _print_tables(checkpoint: Path, images: int, series: Iterable[int]) -> None:
    with tempfile.TemporaryDirectory() as root:
        for seed in series:
            probes = read_manifest(write_samples(Path(root), phantoms=images, seed=seed).phantoms, name="phantoms")
            for shuffled in (None, 1):
                units = measure(TargetSpec(checkpoint, ARCHITECTURE, shuffled=shuffled), probes)
                _print_table(f"Series {seed}, {images} phantoms, shuffled: {shuffled}", units)


def _print_table(title: str, units: Sequence[Pointing]) -> None:
    print(f"\n{title}\n")
    print(
        "| layer | finding | units | points at it (exchanged) | above, of these p <= 0.05 | IoU above | AUROC above |"
    )
    print("|---|---|---|---|---|---|---|")
    groups = sorted({(unit.layer, unit.looks.finding) for unit in units})
    for layer, finding in [*groups, ("", "")]:
        among = [unit for unit in units if not layer or (unit.layer, unit.looks.finding) == (layer, finding)]
        if not among:
            continue
        pointing = [unit.looks.pointing for unit in among if unit.looks.pointing is not None]
        value = sum(figure.value for figure in pointing) / len(pointing)
        exchanged = sum(figure.exchanged for figure in pointing) / len(pointing)
        cells = [
            f"{sum(unit.above(figure) for unit in among)}, {sum(unit.clearly(figure) for unit in among)}"
            for figure in ("pointing", "iou", "auroc")
        ]
        print(
            f"| {layer or 'all'} | {finding} | {len(among)} | {value:.2f} ({exchanged:.2f}) | {' | '.join(cells)} |",
            flush=True,
        )


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("THREADS", torch.get_num_threads())))
    _print_tables(Path(sys.argv[1]), int(sys.argv[2]), [int(number) for number in sys.argv[3:]])
