"""How often each similarity names a unit after the finding that it responds to: planted units on phantoms.

`python -m benchmarks.label_accuracy IMAGES SERIES ...` prints the tables of docs/label-accuracy.md.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from scipy.stats import false_discovery_control
from torch import Tensor

from benchmarks.table import Row
from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import name_findings
from service.domain.evidence import LEVEL
from service.domain.models import DissectorSpec
from service.engine import similarity
from service.engine.dissectors import open_dissector
from service.engine.dissectors.bundled import PHANTOM_DISSECTOR
from service.engine.evidence.exams import Exams
from service.engine.evidence.null import null_table, tail_p
from service.engine.evidence.null_sets import draw_null_sets
from service.engine.evidence.qualification import LEAST_AUROC
from service.engine.evidence.recognition import recognise
from service.engine.similarity.contrast_scorer import ContrastScorer, spread_of_scores
from service.engine.similarity.scorer import ConceptColumns, Scorer, best_concepts
from service.engine.similarity.wpmi_scorer import WpmiParameters, WpmiScorer
from service.engine.top_k import top_k_images
from service.probes.phantoms import FINDINGS, generate_range
from service.probes.pixels import DecodedImage
from service.probes.prepare import prepare, to_eight_bit

Noise = Literal["normal", "heavy-tailed", "exam", "shifted"]
Method = Callable[[Tensor, Tensor], Tensor]

SIGNALS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""What a finding adds to a unit's activation, in deviations of its noise."""

SHARING = (20, 1)
"""Units of a layer that respond to the same finding."""

_UNITS, _TOP_K, _DEEPEST, _DRAWS = 20, 100, 400, 2000
IMAGES_PER_EXAM = 4
_MODERATE, _SERIES, _CLEAR = 640, 13, 3.0
_PUBLISHED, _OURS, _SCAN = "soft-WPMI (K = 100)", "contrast (K = 100)", "contrast scan (K = 400)"

METHODS: dict[str, Method] = {
    _OURS: similarity.contrast,
    _SCAN: similarity.contrast_scan,
    "contrast (K = 24)": partial(similarity.contrast, top_k=24),
    "contrast (K = 200)": partial(similarity.contrast, top_k=200),
    "contrast without prior (K = 100)": partial(similarity.contrast, lam=0.0),
    _PUBLISHED: similarity.soft_wpmi,
    "soft-WPMI (K = 24)": partial(similarity.soft_wpmi, top_k=24),
    "soft-WPMI (K = 100, a = 2, lam = 0.6)": partial(similarity.soft_wpmi, temperature=2.0, lam=0.6),
    "WPMI (K = 28)": similarity.wpmi,
    "cosine": similarity.cosine,
    "cosine cubed": similarity.cosine_cubed,
    "correlation": similarity.correlation,
    "rank reorder": lambda scores, activations: similarity.rank_reorder(
        scores, activations, generator=torch.Generator().manual_seed(0)
    ).nan_to_num(nan=-torch.inf),
}
"""With the published defaults (contrast: ours), and with the top_k and parameters that the name says."""


SCORERS: dict[str, Callable[[ConceptColumns, Tensor], Scorer]] = {
    _OURS: lambda columns, scores: ContrastScorer(columns, spread_of_scores(scores), 1.0),
    _SCAN: lambda columns, scores: ContrastScorer(columns, spread_of_scores(scores), 1.0, scan=True),
    _PUBLISHED: lambda columns, _: WpmiScorer(columns, WpmiParameters()),
    "soft-WPMI (K = 100, a = 2, lam = 0.6)": lambda columns, _: WpmiScorer(columns, WpmiParameters(2.0, 0.6)),
}
"""Those of the methods whose labels are held against the null."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A series of phantoms: cosines float32 [N, C] to the concepts, truth bool [N, F], and what may be asked.

    qualified: bool [F], the findings that the dissector can see, as `service.engine.evidence.qualification` has it.
    """

    scores: Tensor
    truth: Tensor
    qualified: Tensor


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of units named by their finding's own concept, of all and of qualified findings, and of the latter's units
    named by its category."""

    every: float
    qualified: float
    category: float


def run() -> list[Row]:
    probe = draw_probe(_SERIES, _MODERATE)
    return [row for sharing in SHARING for row in _compare(probe, sharing)]


def _compare(probe: Probe, sharing: int) -> list[Row]:
    measured = {
        method: figures[_CLEAR].qualified
        for method, figures in measure(probe, (_CLEAR,), "normal", sharing, _SERIES).items()
    }
    published = measured[_PUBLISHED]
    rows = []
    for method, share in measured.items():
        goal, met = ("0.1 more, and 0.9", share >= max(published + 0.1, 0.9)) if method == _OURS else ("", None)
        name = f"right labels, {sharing} units a finding: {method}"
        rows.append(Row(name, published, share, "share", share / max(published, 1e-9), goal, met))
    return rows


def draw_probe(series: int, images: int) -> Probe:
    """Draw phantoms, one exam of four after the other, and embed them and the concepts; a tenth of a second each."""
    dissector = open_dissector(DissectorSpec(PHANTOM_DISSECTOR), torch.device("cpu"))
    embeddings, labels = embed_phantoms(series, images)
    by_name = (embeddings @ dissector.embed_texts(FINDINGS).t()).numpy()
    exams = [index // IMAGES_PER_EXAM for index in range(images)]
    recognitions = [recognise(by_name[:, f], labels[:, f].numpy(), exams) for f in range(len(FINDINGS))]
    qualified = [recognition is not None and recognition.low >= LEAST_AUROC for recognition in recognitions]
    return Probe(
        scores=embeddings @ dissector.embed_texts(builtin_concept_set("bi-rads").texts).t(),
        truth=labels,
        qualified=torch.tensor(qualified),
    )


def embed_phantoms(series: int, images: int) -> tuple[Tensor, Tensor]:
    """The shipped dissector's embeddings of phantoms, float32 [N, D], and which findings they have, bool [N, F]."""
    dissector = open_dissector(DissectorSpec(PHANTOM_DISSECTOR), torch.device("cpu"))
    embedded, truth = [], []
    for phantom in generate_range(series, 0, images):
        eight_bit = to_eight_bit(DecodedImage(phantom.pixels, from_dicom=False))
        prepared = torch.from_numpy(prepare(eight_bit, dissector.preprocessing, None))
        embedded.append(dissector.embed_images(prepared[None]))
        truth.append([finding in phantom.findings for finding in FINDINGS])
    return torch.cat(embedded), torch.tensor(truth)


def plant(truth: Tensor, signal: float, noise: Noise, sharing: int, seed: int) -> tuple[Tensor, Tensor]:
    """A layer: `sharing` units for each finding, as many that know nothing: activations [N, U], findings [U / 2].

    Noise `exam`: half of its variance is shared by the images of an exam. `heavy-tailed`: Student's t, three degrees.
    `shifted`: normal, around 3 instead of 0, as pooled activations are seldom centred.
    """
    generator = torch.Generator().manual_seed(seed)
    findings = torch.arange(truth.shape[1]).repeat_interleave(sharing)
    images, units = len(truth), 2 * len(findings)
    activations = torch.randn(images, units, generator=generator)
    if noise == "exam":
        exams = torch.randn(-(-images // IMAGES_PER_EXAM), units, generator=generator)
        activations = 0.5**0.5 * (activations + exams[torch.arange(images) // IMAGES_PER_EXAM])
    if noise == "heavy-tailed":
        squares = torch.randn(3, images, units, generator=generator).square().sum(dim=0)
        activations /= squares.sqrt()  # deviation 1: sqrt(3) for the mean of three squares, sqrt(3) for t's deviation
    if noise == "shifted":
        activations += 3
    activations[:, : len(findings)] += signal * truth[:, findings]
    return activations, findings


def measure(
    probe: Probe, signals: Sequence[float], noise: Noise, sharing: int, seed: int
) -> dict[str, dict[float, Accuracy]]:
    """Accuracy of each method at each signal, over 20 units for each finding in as many layers as that takes."""
    accuracies: dict[str, dict[float, Accuracy]] = {method: {} for method in METHODS}
    for step, signal in enumerate(signals):
        layers = [
            plant(probe.truth, signal, noise, sharing, 1000 * seed + 100 * step + layer)
            for layer in range(_UNITS // sharing)
        ]
        findings = torch.cat([own for _, own in layers])
        for method, function in METHODS.items():
            scored = [function(probe.scores, activations)[: len(own)] for activations, own in layers]
            accuracies[method][signal] = _accuracy(torch.cat(scored).argmax(dim=1), findings, probe)
    return accuracies


def discover(probe: Probe, signals: Sequence[float], seed: int) -> dict[str, dict[float, tuple[float, ...]]]:
    """Of qualified findings' units, the share with a significant label and with one that is also right; and the share
    of the units that know nothing with a significant label. 20 units a finding, normal noise."""
    shares_of: dict[str, dict[float, tuple[float, ...]]] = {method: {} for method in SCORERS}
    images, concepts = probe.scores.shape
    columns = ConceptColumns(images, concepts, lambda start, stop: probe.scores[:, start:stop], exist=True)
    exams = Exams(torch.arange(images) // IMAGES_PER_EXAM, -(-images // IMAGES_PER_EXAM), "exam")
    for step, signal in enumerate(signals):
        activations, findings = plant(probe.truth, signal, "normal", _UNITS, 1000 * seed + 100 * step)
        for method, make in SCORERS.items():
            top = top_k_images(activations, _DEEPEST if method == _SCAN else _TOP_K)
            groups = draw_null_sets(exams, top, _DRAWS, seed)
            scorer = make(columns, probe.scores)
            best = best_concepts(scorer, top, 1, check_cancelled=lambda: None)
            p = torch.empty(len(top), dtype=torch.float64)
            for group in groups:
                table = null_table(scorer, group.sets, best.prior, len(top), ())
                p[group.units] = tail_p(best.scores[group.units, 0], table.best)
            significant = torch.tensor(false_discovery_control(p.numpy())) <= LEVEL
            know, qualified = significant[: len(findings)], probe.qualified[findings]
            right = best.indices[: len(findings), 0] == own_concepts()[findings]
            shares = (know[qualified], (know & right)[qualified], significant[len(findings) :])
            shares_of[method][signal] = tuple(float(share.float().mean()) for share in shares)
    return shares_of


def _accuracy(label: Tensor, findings: Tensor, probe: Probe) -> Accuracy:
    concepts = builtin_concept_set("bi-rads").concepts
    own = own_concepts()[findings]
    numbers = {category: number for number, category in enumerate({concept.category for concept in concepts})}
    category = torch.tensor([numbers[concept.category] for concept in concepts])
    right, near = (label == own).float(), (category[label] == category[own]).float()
    qualified = probe.qualified[findings]
    return Accuracy(float(right.mean()), float(right[qualified].mean()), float(near[qualified].mean()))


def own_concepts() -> Tensor:
    """For each finding the concept that names it by its text or a synonym: int64 [F]."""
    named = name_findings(builtin_concept_set("bi-rads"), FINDINGS)
    concept = {finding: index for index, finding in named.items()}
    return torch.tensor([concept[finding] for finding in FINDINGS])


def _print_tables(images: int, series: Sequence[int]) -> None:
    kinds: tuple[tuple[Noise, int], ...] = (
        ("normal", 20),
        ("normal", 1),
        ("shifted", 20),
        ("heavy-tailed", 20),
        ("exam", 20),
    )
    for seed in series:
        probe = draw_probe(seed, images)
        print(f"Series {seed}, {images} images ({int(probe.qualified.sum())} qualified findings)")
        discovered = discover(probe, SIGNALS, seed)
        for place, what in enumerate(("significant", "significant and right", "significant noise")):
            _print_table(what, {m: {s: f[place] for s, f in figures.items()} for m, figures in discovered.items()})
        for noise, sharing in kinds:
            measured = measure(probe, SIGNALS, noise, sharing, seed)
            for what in ("qualified", "every", "category"):
                shares = {m: {s: getattr(f, what) for s, f in figures.items()} for m, figures in measured.items()}
                _print_table(f"{noise} noise, {sharing} units a finding: {what}", shares)


def _print_table(title: str, shares: dict[str, dict[float, float]]) -> None:
    print(f"\n{title}, % by signal\n\n| method | {' | '.join(f'{signal:g}' for signal in SIGNALS)} |")
    print("|---|" + "---|" * len(SIGNALS))
    for method, by_signal in shares.items():
        print(f"| {method} | {' | '.join(f'{100 * share:.0f}' for share in by_signal.values())} |", flush=True)


if __name__ == "__main__":
    _print_tables(int(sys.argv[1]), [int(number) for number in sys.argv[2:]])
