"""How often each similarity names a unit after the finding that it responds to: planted units on phantoms.

`python -m benchmarks.label_accuracy IMAGES SERIES ...` prints the tables of docs/label-accuracy.md.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from benchmarks.table import Row
from service.concepts.builtin import builtin_concept_set
from service.concepts.text import folded
from service.domain.concepts import Concept
from service.domain.models import DissectorSpec
from service.engine import similarity
from service.engine.dissectors import open_dissector
from service.engine.phantom_dissector import PHANTOM_DISSECTOR
from service.engine.recognition import recognise
from service.probes.phantoms import FINDINGS, generate_range
from service.probes.pixels import DecodedImage
from service.probes.prepare import prepare, to_eight_bit

Noise = Literal["normal", "heavy-tailed", "exam"]
Method = Callable[[Tensor, Tensor], Tensor]

SIGNALS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""What a finding adds to a unit's activation, in deviations of its noise."""

_UNITS = 20
_IMAGES_PER_EXAM = 4
_MODERATE, _SERIES, _CLEAR = 640, 13, 3.0
_PUBLISHED, _OURS = "soft-WPMI (K = 100)", "contrast (K = 100)"

METHODS: dict[str, Method] = {
    _OURS: similarity.contrast,
    "contrast (K = 24)": partial(similarity.contrast, top_k=24),
    "contrast (K = 200)": partial(similarity.contrast, top_k=200),
    "contrast without prior (K = 100)": partial(similarity.contrast, lam=0.0),
    _PUBLISHED: similarity.soft_wpmi,
    "soft-WPMI (K = 24)": partial(similarity.soft_wpmi, top_k=24),
    "soft-WPMI (K = 100, a = 2, lam = 0.6)": partial(similarity.soft_wpmi, temperature=2.0, lam=0.6),
    "WPMI (K = 28)": similarity.wpmi,
    "cosine": similarity.cosine,
    "cosine cubed": similarity.cosine_cubed,
    "rank reorder": lambda scores, activations: similarity.rank_reorder(
        scores, activations, generator=torch.Generator().manual_seed(0)
    ).nan_to_num(nan=-torch.inf),
}
"""With the published defaults (contrast: ours), and with the top_k and parameters that the name says."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A series of phantoms: cosines float32 [N, C] to the concepts, truth bool [N, F], and what may be asked.

    qualified: findings that the dissector tells with AUROC >= 0.7, lower end of the interval >= 0.5. recognised: lower
    end >= 0.8. Both bool [F].
    """

    scores: Tensor
    truth: Tensor
    qualified: Tensor
    recognised: Tensor


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of units named by their finding's own concept, and of recognised findings' units named by its category."""

    qualified: float
    recognised: float
    category: float


def run() -> list[Row]:
    measured = measure(draw_probe(_SERIES, _MODERATE), (_CLEAR,), "normal", _SERIES)
    published = measured[_PUBLISHED][_CLEAR].recognised
    rows = []
    for method, figures in measured.items():
        found = figures[_CLEAR].recognised
        goal, met = ("10 points more, and 0.9", found >= max(published + 0.1, 0.9)) if method == _OURS else ("", None)
        name = f"right labels at {_CLEAR:g} deviations, {method}, against {_PUBLISHED}"
        rows.append(Row(name, published, found, "share", found / max(published, 1e-9), goal, met))
    return rows


def draw_probe(series: int, images: int) -> Probe:
    """Draw phantoms, one exam of four after the other, and embed them and the concepts; a tenth of a second each."""
    dissector = open_dissector(DissectorSpec(PHANTOM_DISSECTOR), torch.device("cpu"))
    embedded, truth = [], []
    for phantom in generate_range(series, 0, images):
        eight_bit = to_eight_bit(DecodedImage(phantom.pixels, from_dicom=False))
        embedded.append(
            dissector.embed_images(torch.from_numpy(prepare(eight_bit, dissector.preprocessing, None))[None])
        )
        truth.append([finding in phantom.findings for finding in FINDINGS])
    embeddings, labels = torch.cat(embedded), torch.tensor(truth)
    by_name = (embeddings @ dissector.embed_texts(FINDINGS).t()).numpy()
    exams = [index // _IMAGES_PER_EXAM for index in range(images)]
    told = [recognise(by_name[:, f], labels[:, f].numpy(), exams) for f in range(len(FINDINGS))]
    return Probe(
        scores=embeddings @ dissector.embed_texts(builtin_concept_set("bi-rads").texts).t(),
        truth=labels,
        qualified=torch.tensor([one is not None and one.auroc >= 0.7 and one.low >= 0.5 for one in told]),
        recognised=torch.tensor([one is not None and one.low >= 0.8 for one in told]),
    )


def plant(truth: Tensor, signal: float, noise: Noise, seed: int) -> tuple[Tensor, Tensor]:
    """A layer of 20 units for each finding and as many that know nothing: activations [N, U], finding of each [U / 2].

    exam: half of the noise's variance is shared by the images of an exam. heavy-tailed: Student's t, three degrees.
    """
    generator = torch.Generator().manual_seed(seed)
    findings = torch.arange(truth.shape[1]).repeat_interleave(_UNITS)
    images, units = len(truth), 2 * len(findings)
    activations = torch.randn(images, units, generator=generator)
    if noise == "exam":
        exams = torch.randn(-(-images // _IMAGES_PER_EXAM), units, generator=generator)
        activations = 0.5**0.5 * (activations + exams[torch.arange(images) // _IMAGES_PER_EXAM])
    if noise == "heavy-tailed":
        squares = torch.randn(3, images, units, generator=generator).square().sum(dim=0)
        activations /= squares.sqrt()  # deviation 1: sqrt(3) for the mean of three squares, sqrt(3) for t's deviation
    activations[:, : len(findings)] += signal * truth[:, findings]
    return activations, findings


def measure(probe: Probe, signals: Sequence[float], noise: Noise, seed: int) -> dict[str, dict[float, Accuracy]]:
    """Accuracy of each method at each signal."""
    concepts = builtin_concept_set("bi-rads").concepts
    own = torch.tensor([_concept_of(finding, concepts) for finding in FINDINGS])
    numbers = {category: number for number, category in enumerate({concept.category for concept in concepts})}
    category = torch.tensor([numbers[concept.category] for concept in concepts])
    found: dict[str, dict[float, Accuracy]] = {method: {} for method in METHODS}
    for step, signal in enumerate(signals):
        activations, findings = plant(probe.truth, signal, noise, 100 * seed + step)
        for method, function in METHODS.items():
            label = function(probe.scores, activations)[: len(findings)].argmax(dim=1)
            right = (label == own[findings]).float()
            near = (category[label] == category[own[findings]]).float()
            found[method][signal] = Accuracy(
                float(right[probe.qualified[findings]].mean()),
                float(right[probe.recognised[findings]].mean()),
                float(near[probe.recognised[findings]].mean()),
            )
    return found


def _concept_of(finding: str, concepts: Sequence[Concept]) -> int:
    """The concept that names the finding by its text or a synonym."""
    names = [[folded(text) for text in (concept.text, *concept.synonyms)] for concept in concepts]
    return next(index for index, texts in enumerate(names) if folded(finding) in texts)


def _print_tables(images: int, series: Sequence[int]) -> None:
    kinds: tuple[Noise, ...] = ("normal", "heavy-tailed", "exam")
    for one in series:
        probe = draw_probe(one, images)
        asked = f"{int(probe.qualified.sum())} qualified, {int(probe.recognised.sum())} recognised"
        for noise in kinds:
            measured = measure(probe, SIGNALS, noise, one)
            for what in ("recognised", "qualified", "category"):
                print(f"\nSeries {one}, {images} images ({asked} findings), {noise} noise: {what}\n")
                print(f"| method | {' | '.join(f'{signal:g}' for signal in SIGNALS)} |")
                print("|---|" + "---|" * len(SIGNALS))
                for method, figures in measured.items():
                    shares = " | ".join(f"{100 * getattr(figures[signal], what):.0f}" for signal in SIGNALS)
                    print(f"| {method} | {shares} |")


if __name__ == "__main__":
    _print_tables(int(sys.argv[1]), [int(number) for number in sys.argv[2:]])
