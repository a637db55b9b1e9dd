"""Are the units of a head that is known named after the findings that they were trained for? On unseen phantoms.

`python -m benchmarks.head_units CHECKPOINT IMAGES SERIES ...` prints the tables of docs/label-accuracy.md.
"""

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.table import Row
from cli.samples import write_samples
from service.analysis.discoveries import control_discoveries
from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import name_findings
from service.domain.concepts import Concept
from service.domain.evidence import EvidenceOptions, Qualification
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Neuron
from service.domain.probes import ProbeItem, ProbeSet
from service.engine.architectures import open_target
from service.engine.dissect import name_neurons, show_images
from service.engine.dissectors import open_dissector
from service.engine.dissectors.bundled import PHANTOM_DISSECTOR
from service.engine.evidence.qualification import LEAST_AUROC
from service.engine.evidence.recognition import Recognition, recognise
from service.engine.probing.probe import Probing, ProbingPass
from service.engine.scoring import embed_concepts
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from service.probes.phantoms import FINDINGS
from service.studies.phantom_targets import ARCHITECTURE, PhantomTraining, fit_phantom_targets

HEAD = "_fc"

_DEFAULT, _SCAN, _PUBLISHED = "contrast", "contrast scan", "soft-WPMI"
METHODS: dict[str, Method] = {
    _DEFAULT: Method.of(),
    _SCAN: Method.of("contrast_scan"),
    _PUBLISHED: Method.of("soft_wpmi"),
    "soft-WPMI (a = 2, lam = 0.6)": Method.of("soft_wpmi", temperature=2.0, lam=0.6),
}
"""The default first; soft-WPMI as published, and as docs/label-accuracy.md sets it."""

_CONCEPTS = builtin_concept_set("bi-rads")
_PHANTOMS, _SERIES = 1_200, 16
_EVIDENCE = EvidenceOptions(resamples=0, halves=1)

Right = Literal["exact", "synonym", "no"]


@dataclass(frozen=True, slots=True)
class HeadUnit:
    """A unit beside the finding that it was trained for. dissector: can it see the finding? unit: can the unit itself?

    neurons: what each method calls it.
    """

    finding: str
    dissector: Qualification
    unit: Recognition
    neurons: Mapping[str, Neuron]

    @property
    def qualified(self) -> bool:
        """Does the dissector see the finding?"""
        return self.dissector.verdict == "qualified"

    @property
    def able(self) -> bool:
        """Does the unit itself tell its finding as well as a dissector has to?"""
        return self.unit.low >= LEAST_AUROC

    def right(self, method: str) -> bool:
        """Is its best concept the finding's own?"""
        return names_finding(_CONCEPTS.concepts[self.neurons[method].concepts[0].concept], self.finding) != "no"


def names_finding(concept: Concept, finding: str) -> Right:
    """Is the finding's name the concept's text, or one of its synonyms?"""
    if concept.text == finding:
        return "exact"
    return "synonym" if finding in name_findings(replace(_CONCEPTS, concepts=(concept,)), (finding,)).values() else "no"


def run() -> list[Row]:
    """The target, trained longer, is taken from the folder `longer` in the one that PHANTOM_TARGETS names, if it is
    there; otherwise it is fitted, in some 20 minutes."""
    with tempfile.TemporaryDirectory() as root:
        files = write_samples(Path(root), phantoms=_PHANTOMS, seed=_SERIES)
        fitted = Path(os.environ.get("PHANTOM_TARGETS", root)) / "longer"
        targets = fit_phantom_targets(files.checkpoint, fitted, lambda _: None, PhantomTraining.longer())
        units = measure_head(targets.mammography, read_manifest(files.phantoms, name="phantoms"))
    return [*_rows("head units", [unit for unit in units if unit.qualified]), *_rows("  able ones", _fair(units))]


def measure_head(checkpoint: Path, probes: ProbeSet) -> list[HeadUnit]:
    """Dissect the head on phantoms by every method, from one pass. Findings too rare to be judged are left out."""
    device = torch.device("cpu")
    methods = {name: method.fitted_to(len(probes.items)) for name, method in METHODS.items()}
    options = DissectionOptions((HEAD,), methods[_SCAN], evidence=_EVIDENCE)
    dissector, images = open_dissector(DissectorSpec(PHANTOM_DISSECTOR), device), open_images(probes)
    target = open_target(TargetSpec(checkpoint, ARCHITECTURE), device, keep_layers=(HEAD,))
    probing = show_images(ProbingPass(target, dissector, images, options, device), progress=lambda _: None)
    texts, names = embed_concepts(dissector, _CONCEPTS.texts), name_findings(_CONCEPTS, FINDINGS)
    neurons: dict[str, tuple[Neuron, ...]] = {}
    verdicts: dict[str, Qualification] = {}
    for name, method in methods.items():
        own_options = replace(options, method=method)
        named = name_neurons(
            probing, images.items, texts, _CONCEPTS, own_options, finding_of_concept=names, progress=lambda _: None
        )
        layers, evidence = control_discoveries(named.layers, named.evidence, watched=0)
        neurons[name] = layers[0].neurons
        verdicts |= {verdict.finding: verdict for verdict in (evidence.qualifications if evidence else ())}
    recognised = _recognised(probing, images.items)
    return [
        HeadUnit(finding, verdicts[finding], own, {name: of_layer[unit] for name, of_layer in neurons.items()})
        for unit, (finding, own) in enumerate(zip(FINDINGS, recognised, strict=True))
        if own is not None
    ]


def _recognised(probing: Probing, items: Sequence[ProbeItem]) -> list[Recognition | None]:
    """How well each unit tells its own finding."""
    kept = probing.layers[HEAD].activations
    assert kept is not None  # noqa: S101 - so few take little memory
    activations = kept.matrix()
    exams = [item.exam_id for item in items]
    return [
        recognise(activations[:, unit].numpy(), np.array([finding in (item.findings or ()) for item in items]), exams)
        for unit, finding in enumerate(FINDINGS)
    ]


def _fair(units: Iterable[HeadUnit]) -> list[HeadUnit]:
    """A unit that cannot tell its finding cannot be named after it."""
    return [unit for unit in units if unit.qualified and unit.able]


def _rows(what: str, units: Sequence[HeadUnit]) -> list[Row]:
    shares = {method: sum(unit.right(method) for unit in units) / len(units) for method in METHODS}
    published = shares[_PUBLISHED]
    return [
        Row(
            f"{what} named rightly, {len(units)} findings: {method}",
            published,
            share,
            "share",
            share / max(published, 1e-9),
            *(("at least 0.9", share >= 0.9) if method == _DEFAULT else ("", None)),
        )
        for method, share in shares.items()
    ]


def _print_tables(checkpoint: Path, images: int, series: Sequence[int]) -> None:
    with tempfile.TemporaryDirectory() as root:
        for seed in series:
            probes = read_manifest(write_samples(Path(root), phantoms=images, seed=seed).phantoms, name="phantoms")
            _print_table(f"Series {seed}, {images} phantoms", measure_head(checkpoint, probes))


def _print_table(title: str, units: Sequence[HeadUnit]) -> None:
    print(f"\n{title}\n\n| finding | dissector | head unit | {' | '.join(METHODS)} |")
    print("|---|---|---|" + "---|" * len(METHODS))
    for unit in units:
        dissector = f"{unit.dissector.auroc or 0:.3f}" + (", qualified" if unit.qualified else "")
        auroc = f"{unit.unit.auroc:.3f}" + ("" if unit.able else " (weak)")
        cells = (_cell(unit, method) for method in METHODS)
        print(f"| {unit.finding} | {dissector} | {auroc} | {' | '.join(cells)} |")
    for what, among in (
        ("qualified", [unit for unit in units if unit.qualified]),
        ("qualified and able", _fair(units)),
        ("every", units),
    ):
        counts = (f"{sum(unit.right(method) for unit in among)} of {len(among)}" for method in METHODS)
        print(f"| **{what}** | | | {' | '.join(counts)} |", flush=True)


def _cell(unit: HeadUnit, method: str) -> str:
    neuron = unit.neurons[method]
    best = neuron.concepts[0]
    right = names_finding(_CONCEPTS.concepts[best.concept], unit.finding)
    label = {"exact": "exact", "synonym": f"synonym: {best.text}", "no": f"**{best.text}**"}[right]
    return label if neuron.significant else f"{label} (not significant)"


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("THREADS", torch.get_num_threads())))
    _print_tables(Path(sys.argv[1]), int(sys.argv[2]), [int(number) for number in sys.argv[3:]])
