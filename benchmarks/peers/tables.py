"""What each method does on planted units, and on the units of a head that is known."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.label_accuracy import embed_phantoms
from benchmarks.peers.methods import PEERS
from benchmarks.peers.ours import ours
from benchmarks.peers.trial import HEADS, Split, Trial, held_out_images, try_methods
from benchmarks.table import Row
from benchmarks.verdicts import Planted, Series, finding_layer, mixed_layer, series_of
from cli.samples import lite0_weights
from service.concepts.builtin import builtin_concept_set
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.verdicts import DEFAULT_ERROR_LEVEL
from service.engine import similarity
from service.engine.dissectors import open_dissector
from service.engine.dissectors.bundled import PHANTOM_DISSECTOR
from service.engine.fitting.fine_tuning import classify
from service.probes.phantoms import FINDINGS
from service.studies.phantom_targets import (
    ARCHITECTURE,
    PhantomTraining,
    fit_phantom_targets,
    open_phantom_target,
    phantom_examples,
)

_IMAGES, _SERIES = 800, 41
_SIGNALS = (2.0, 1.0)
_UNNAMED = 0.45
_OURS = "verdicts (correlation)"


@dataclass(frozen=True, slots=True)
class Phantoms:
    """A series and what the dissector makes of it."""

    number: int
    embeddings: Tensor
    truth: Tensor
    naming: Series
    template: Tensor
    held_out: Tensor

    @classmethod
    def drawn(cls, number: int, images: int) -> "Phantoms":
        """The first images of a series; a quarter of the exams names nothing."""
        return cls.of(number, *embed_phantoms(number, images))

    @classmethod
    def of(cls, number: int, embeddings: Tensor, truth: Tensor) -> "Phantoms":
        """Of phantoms that are embedded already: float32 [N, D] and bool [N, F]."""
        dissector = open_dissector(DissectorSpec(PHANTOM_DISSECTOR), torch.device("cpu"))
        held_out = held_out_images(len(embeddings))
        texts = dissector.embed_texts(builtin_concept_set("bi-rads").texts)
        _warm_up()
        naming = series_of(embeddings[~held_out], truth[~held_out], texts)
        return cls(number, embeddings, truth, naming, dissector.embed_texts(("",))[0], held_out)

    def trials(self, planted: Planted) -> dict[str, Trial]:
        """Every method on a layer of all images."""
        split = Split(self.embeddings, self.truth, self.naming, self.template, planted, self.held_out)
        return try_methods(split, {**PEERS, **ours(self.naming)})

    def everything(self) -> Series:
        """All images, to plant units on; nothing is named by it."""
        return series_of(self.embeddings, self.truth, self.naming.texts)


def run() -> list[Row]:
    """Rows of `python -m benchmarks peers`: 600 phantoms name, 200 measure."""
    phantoms = Phantoms.drawn(_SERIES, _IMAGES)
    rows = []
    for what, trials in _planted_trials(phantoms):
        for method, trial in trials.items():
            goal = ("at most 0.1", trial.wrong <= DEFAULT_ERROR_LEVEL) if method == _OURS else ("", None)
            rows.append(Row(f"{what}: wrong names, {method}", 0, trial.wrong, "share", trial.wrong, *goal))
            rows.append(Row(f"{what}: simulation, {method}", 0, trial.simulation, "correlation", trial.simulation))
    return rows


def print_tables(images: int, numbers: Sequence[int]) -> None:
    """The tables of each series; the head's network is taken from PHANTOM_TARGETS or fitted."""
    for number in numbers:
        phantoms = Phantoms.drawn(number, images)
        counts = f"{int((~phantoms.held_out).sum())} images name, {int(phantoms.held_out.sum())} measure"
        print(f"\nSeries {number}: {counts}; {int(phantoms.naming.qualified.sum())} findings qualified", flush=True)
        for what, trials in _planted_trials(phantoms):
            _print_table(what, trials)
        _print_table("units of the head", phantoms.trials(_head_units(number, images)))


def _planted_trials(phantoms: Phantoms) -> Iterator[tuple[str, dict[str, Trial]]]:
    everything = phantoms.everything()
    for signal in _SIGNALS:
        yield (
            f"mixed layer, signal {signal:g}",
            phantoms.trials(mixed_layer(everything, signal, _UNNAMED, phantoms.number)),
        )
        yield (
            f"findings and noise, signal {signal:g}",
            phantoms.trials(finding_layer(everything, signal, phantoms.number)),
        )


def _warm_up() -> None:
    """What is compiled at its first call is no part of what a method takes."""
    for function in (similarity.soft_wpmi, similarity.contrast):
        function(torch.rand(200, 5), torch.rand(200, 3))


def _head_units(number: int, images: int) -> Planted:
    """The head of the network trained on phantoms: unit i follows finding i, as far as it has learned to."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(os.environ.get("PHANTOM_TARGETS", root))
        targets = fit_phantom_targets(lite0_weights(), folder, lambda _: None)
        spec = TargetSpec(targets.mammography, ARCHITECTURE)
        blocks = PhantomTraining().all_findings.frozen_blocks
        examples = phantom_examples(spec, images, number, blocks, lambda _: None)
        logits = classify(open_phantom_target(spec), examples.maps, blocks)
    return Planted(logits, tuple(frozenset({finding}) for finding in range(len(FINDINGS))))


def _print_table(title: str, trials: dict[str, Trial]) -> None:
    print(f"\n{title}\n\n| method {HEADS}\n|---|{'---|' * (HEADS.count('|') - 1)}")
    for method, trial in trials.items():
        print(f"| {method} | {trial.as_cells()} |", flush=True)
