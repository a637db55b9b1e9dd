"""How often comparisons call a difference where there is none, and find what a training is known to have changed."""

import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from pathlib import Path

from scipy.stats import binomtest

from benchmarks.other_exams import Dissected, ShownExams, show
from benchmarks.planted_networks import on_other_exams as planted_on_other_exams
from benchmarks.planted_networks import p_values, with_another_seed
from benchmarks.table import Row
from cli.samples import write_samples
from service.analysis.comparison import compare
from service.domain.comparisons import CategoryRow, Comparison
from service.domain.concepts import ConceptSet
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.engine.fitting.fine_tuning import Examples, fine_tune
from service.probes.manifest import read_manifest
from service.probes.phantoms.plan import VIEWS
from service.studies.phantom_targets import (
    ARCHITECTURE,
    CALCIFICATIONS,
    PhantomTraining,
    fit_phantom_targets,
    open_phantom_target,
    phantom_examples,
    write_target,
)

_PHANTOMS, _SERIES = 1_200, 9
_LAYERS = ("_blocks.10", "_blocks.15", "_fc")
_SEEDS = (2, 3, 4)
_DRAWS = 1_000
_EXAMS, _PAIRS = 150, 20
_FALSE_ALARMS = 0.05
_PLANTED = 200
KNOWN = {
    "calcification distribution": 1,
    "calcification morphology": 1,
    "view and laterality": 1,
    "architectural distortion": -1,
    "breast density": -1,
}
"""What training on calcifications alone is known to do to categories (docs/phantoms.md): 1 for gains, -1 for losses."""


def run() -> list[Row]:
    """Networks are taken from the folder that PHANTOM_TARGETS names, if it holds them; otherwise they are fitted.

    Twenty minutes of one core, and six more where networks are fitted.
    """
    with tempfile.TemporaryDirectory() as root:
        files = write_samples(Path(root), phantoms=_PHANTOMS, seed=_SERIES)
        fitted = Path(os.environ.get("PHANTOM_TARGETS", root))
        targets = fit_phantom_targets(files.checkpoint, fitted, lambda _: None)
        again = fit_with_other_seeds(targets.mammography, fitted, _SEEDS)
        probes = read_manifest(files.phantoms, name="phantoms")
        before, *after = (
            show(TargetSpec(path, ARCHITECTURE), DissectorSpec(files.dissector), probes, _LAYERS)
            for path in (targets.mammography, targets.calcifications, *again)
        )

    concept_set = before.concept_set
    reference, *tuned = (dissect_all(shown) for shown in (before, *after))
    return [
        *_planted(),
        *_known_changes([compare_two(reference, other, concept_set) for other in tuned]),
        *_false_alarms(
            "the same training with another seed",
            [compare_two(first, second, concept_set) for first, second in combinations(tuned, 2)],
        ),
        *_false_alarms(f"the same network on {_EXAMS} other exams", on_other_exams(before, _EXAMS, _PAIRS)),
    ]


def fit_with_other_seeds(mammography: Path, folder: Path, seeds: Sequence[int]) -> list[Path]:
    """The second training of `service.studies.phantom_targets` with other seeds; what is there is left."""
    training = PhantomTraining()
    spec = TargetSpec(mammography, ARCHITECTURE)
    paths = [folder / f"phantom-calcifications-seed-{seed}.safetensors" for seed in seeds]

    examples: Examples | None = None
    for seed, path in zip(seeds, paths, strict=True):
        if path.exists():
            continue
        if examples is None:
            blocks = training.calcifications.frozen_blocks
            examples = phantom_examples(spec, training.phantoms, training.seed, blocks, lambda _: None)
        network = open_phantom_target(spec)
        fine_tune(network, examples, replace(training.calcifications, seed=seed), findings=CALCIFICATIONS)
        write_target(network, path)
    return paths


def dissect_all(shown: ShownExams) -> Dissected:
    """The dissection on all exams."""
    return shown.dissect(shown.exams(), _options(_PHANTOMS))


def on_other_exams(shown: ShownExams, exams: int, pairs: int) -> Iterator[Comparison]:
    """One network on so many exams and on as many others, as on two parts of one probe set."""
    options = _options(exams * len(VIEWS))
    for seed in range(pairs):
        drawn = random.Random(seed).sample(shown.exams(), 2 * exams)
        first, second = (shown.dissect(part, options) for part in (drawn[:exams], drawn[exams:]))
        yield compare_two(first, second, shown.concept_set, parts=("one", "other"))


def compare_two(
    reference: Dissected, other: Dissected, concept_set: ConceptSet, *, parts: Sequence[str] | None = None
) -> Comparison:
    """parts: see `service.analysis.comparison.compare`."""
    return compare(
        [reference.labels, other.labels],
        [ARCHITECTURE] * 2,
        concept_set,
        not_tested_reasons=[None, None],
        concept_embeddings=None,
        parts=parts,
    )


def _options(images: int) -> DissectionOptions:
    return DissectionOptions(_LAYERS, Method.of().fitted_to(images), evidence=EvidenceOptions(draws=_DRAWS))


def _planted() -> Iterator[Row]:
    """How often a group of units differs (p <= 0.05) between planted networks that are alike, by each variance."""
    draws = {"another seed": with_another_seed, "other exams": planted_on_other_exams}
    for (what, draw), common in product(draws.items(), (0.0, 0.5, 1.5)):
        p = p_values(partial(draw, common=common), _PLANTED)
        shares = {judged_by: float((values <= _FALSE_ALARMS).mean()) for judged_by, values in p.items()}
        name = f"planted, {what}, exams in common {common}: groups that differ"
        name += f" (exams alone {shares['exams']:.1%}, units alone {shares['units']:.1%})"
        yield Row(name, _FALSE_ALARMS, shares["both"], "of groups", shares["both"] / _FALSE_ALARMS)


def _known_changes(comparisons: Sequence[Comparison]) -> Iterator[Row]:
    """Found are changes in the known direction; the first network is the one that docs/phantoms.md describes."""
    for number, comparison in enumerate(comparisons):
        rows = {row.name: row for row in comparison.network.categories.rows}
        found = [name for name, sign in KNOWN.items() if name in rows and _gain(rows[name]) * sign > 0]
        others = [
            f"{row.name} ({row.changes[0].gain:+.0f})" for row in rows.values() if _gain(row) and row.name not in KNOWN
        ]
        missed = [name for name in KNOWN if name not in found]
        name = f"calcifications alone, seed {(1, *_SEEDS)[number]}: known changes found"
        name += f"; missed: {', '.join(missed) or 'none'}; beside them: {', '.join(others) or 'none'}"
        yield Row(name, len(KNOWN), len(found), "changes", len(found) / len(KNOWN), "all", len(found) == len(KNOWN))

    for name in KNOWN:
        (row,) = [row for row in comparisons[0].network.categories.rows if row.name == name]
        change = row.changes[0]
        interval = f"{change.low:+.0f} to {change.high:+.0f}, q {change.q:.2g}, halves {change.halves:.0f}"
        yield Row(f"{name}: {interval}", row.neurons[0], row.neurons[1], "neurons", change.gain)


def _false_alarms(what: str, comparisons: Iterable[Comparison]) -> Iterator[Row]:
    alarms = tests = alarmed = count = 0
    for comparison in comparisons:
        rows = comparison.network.categories.rows
        differing = sum(_gain(row) != 0 for row in rows)
        alarms, tests = alarms + differing, tests + len(rows)
        alarmed, count = alarmed + (differing > 0), count + 1

    for unit, part, whole in (("categories", alarms, tests), ("comparisons", alarmed, count)):
        share = part / whole
        high = binomtest(part, whole).proportion_ci(method="exact").high
        name = f"{what}: {unit} that differ ({part} of {whole}, up to {high:.1%})"
        goal, met = ("at most 5 %", share <= _FALSE_ALARMS)
        yield Row(name, _FALSE_ALARMS, share, f"of {unit}", share / _FALSE_ALARMS, goal, met)


def _gain(row: CategoryRow) -> float:
    """The gain where it is a difference, otherwise 0."""
    change = row.changes[0]
    return change.gain if change.exceeds_noise else 0.0
