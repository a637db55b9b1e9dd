"""How often names are wrong, and how well that is known: planted units on phantoms.

`python -m benchmarks.verdicts IMAGES SERIES ...` prints the tables of docs/label-accuracy.md.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.label_accuracy import IMAGES_PER_EXAM, embed_phantoms, own_concepts
from benchmarks.table import Row
from service.analysis.discoveries import control_discoveries
from service.analysis.verdicts import give_verdicts
from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import name_findings
from service.domain.evidence import Evidence, JobEvidence, Qualification, Significance
from service.domain.models import DissectorSpec
from service.domain.neurons import ActivationSummary, LayerDissection, Neuron, RankedConcept
from service.domain.verdicts import DEFAULT_ERROR_LEVEL, JobVerdicts, UnitVerdict, Verdict
from service.engine.dissectors import open_dissector
from service.engine.dissectors.bundled import PHANTOM_DISSECTOR
from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.background import Background, background_of
from service.engine.evidence.directions import concept_correlations
from service.engine.evidence.exams import Exams
from service.engine.evidence.explaining import direction_figures
from service.engine.evidence.moments import FOLDS, Moments
from service.engine.evidence.null import null_table, tail_p
from service.engine.evidence.null_sets import draw_null_sets
from service.engine.evidence.qualification import qualify
from service.engine.similarity.contrast_scorer import ContrastScorer, spread_of_scores
from service.engine.similarity.scorer import ConceptColumns, best_concepts
from service.engine.top_k import top_k_images
from service.probes.phantoms import FINDINGS

SIGNALS = (1.0, 2.0)
"""What a finding adds to a unit's activation, in deviations of its noise."""

UNNAMED = (0.1, 0.45, 0.8)
"""The share of a mixed layer's units that follow a random direction of the dissector's embedding."""

_UNITS, _NOISE = 500, 0.1
_LAYERS = 3
_MIXTURES = 0.25
"""Of the units that follow findings."""

_ALONE = 20
"""Units for each finding where nothing else is in the layer but noise."""

_WEAK = 0.36
"""The deviation of a finding that one image in six has: an unnamed direction as strong as such a finding."""

_LEAST_VARIANCE = 1e-4
"""Of the largest: no unnamed direction is made of axes along which images differ less."""

_TOP_K, _DRAWS, _BLOCK = 100, 2000, 256
_MODERATE, _SERIES = 640, 31

Label = Callable[["Series", Tensor, Moments], tuple[Tensor, Tensor]]
"""From activations [N, U] and their moments to each unit's concept, int64 [U], and its p-value, float64 [U]."""


@dataclass(frozen=True, slots=True)
class Series:
    """Phantoms, and what is the same for all layers on them."""

    embeddings: Tensor
    """float32 [N, D]."""

    truth: Tensor
    """bool [N, F]."""

    texts: Tensor
    """float32 [C, D], of the concepts of `bi-rads`."""

    exams: Exams
    background: Background
    qualifications: tuple[Qualification, ...]

    @property
    def qualified(self) -> Tensor:
        """Which findings the dissector sees: bool [F]."""
        qualified = {entry.concept for entry in self.qualifications if entry.verdict == "qualified"}
        return torch.tensor([concept in qualified for concept in own_concepts().tolist()])


@dataclass(frozen=True, slots=True)
class Planted:
    """A layer whose units are known."""

    activations: Tensor
    """float32 [N, U]."""

    findings: tuple[frozenset[int] | None, ...]
    """Those that each unit follows: none for noise; None for an unnamed direction."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What verdicts say of a layer, as shares; NaN where there are no such units."""

    names: int
    named: int
    wrong: float
    """Of named and unverified units."""
    wrong_named: float
    """Of named ones."""
    estimate: float
    right: float
    """Of the units of one qualified finding: rightly named or unverified."""
    by_concept: float
    """Of these: by the concept itself."""
    right_named: float
    """As `right`, `named` alone."""
    refused: float
    """Of the units that follow no concept, called unnamed or no signal."""
    noise: float
    """Of the units of noise, with a name."""
    match: float


def run() -> list[Row]:
    """Rows of `python -m benchmarks verdicts`: one series of 640 phantoms, the default method's labels."""
    series = draw_series(_SERIES, _MODERATE)
    rows = []
    for signal in SIGNALS:
        counts = [judge_mixed(series, by_contrast, signal, unnamed, _SERIES) for unnamed in UNNAMED]
        for unnamed, of_layer in zip(UNNAMED, counts, strict=True):
            name = f"wrong names, signal {signal:g}, {unnamed:.0%} of the units unnamed"
            met = of_layer.names == 0 or of_layer.wrong <= DEFAULT_ERROR_LEVEL
            rows.append(Row(name, of_layer.estimate, of_layer.wrong, "share", of_layer.wrong, "at most 0.1", met))
            name = f"no concept, not named, signal {signal:g}, {unnamed:.0%} of the units unnamed"
            met = of_layer.refused >= 0.9
            rows.append(Row(name, 0, of_layer.refused, "share", of_layer.refused, "0.9", met))
    return rows


def draw_series(series: int, images: int) -> Series:
    """Draw and embed phantoms, a tenth of a second each, and ask what the dissector sees of them."""
    dissector = open_dissector(DissectorSpec(PHANTOM_DISSECTOR), torch.device("cpu"))
    embeddings, truth = embed_phantoms(series, images)
    return series_of(embeddings, truth, dissector.embed_texts(builtin_concept_set("bi-rads").texts))


def series_of(embeddings: Tensor, truth: Tensor, texts: Tensor) -> Series:
    """A series whose images are embedded already: float32 [N, D], findings bool [N, F], concepts float32 [C, D]."""
    concept_set = builtin_concept_set("bi-rads")
    named = name_findings(concept_set, FINDINGS)
    of_image = torch.arange(len(embeddings)) // IMAGES_PER_EXAM
    exams = Exams(of_image, int(of_image[-1]) + 1, "exam")
    findings = [frozenset(name for name, has in zip(FINDINGS, row, strict=True) if has) for row in truth.tolist()]
    qualifications = qualify(embeddings, texts, concept_set.texts, named, findings, of_image.tolist())
    seen = {entry.concept: entry.text for entry in qualifications if entry.verdict == "qualified"}
    return Series(
        embeddings=embeddings,
        truth=truth,
        texts=texts,
        exams=exams,
        background=background_of(
            lambda: torch.split(embeddings, _BLOCK), exams, concept_set, texts, named, findings, seen
        ),
        qualifications=qualifications,
    )


def mixed_layer(series: Series, signal: float, unnamed: float, seed: int) -> Planted:
    """500 units: a share of unnamed directions, a tenth noise, and of the rest a quarter mixtures of two findings.

    Noise of deviation 1 is in every unit. Of the unnamed directions one half is drawn in the space of the embeddings,
    so that it lies where images differ most, the other among the axes of their differences, all alike; one half of each
    has the deviation of the signal, the other that of a finding with this signal.
    """
    generator = torch.Generator().manual_seed(1000 * seed + round(100 * unnamed) + round(10 * signal))
    count_unnamed, count_noise = round(_UNITS * unnamed), round(_UNITS * _NOISE)
    count_mixed = round((_UNITS - count_unnamed - count_noise) * _MIXTURES)
    count_single = _UNITS - count_unnamed - count_noise - count_mixed

    singles = torch.randint(len(FINDINGS), (count_single,), generator=generator).tolist()
    pairs = [torch.randperm(len(FINDINGS), generator=generator)[:2].tolist() for _ in range(count_mixed)]
    findings = [frozenset({single}) for single in singles] + [frozenset(pair) for pair in pairs]

    followed = torch.stack([series.truth[:, list(own)].sum(dim=1) for own in findings], dim=1).float()
    strength = torch.tensor([1.0, _WEAK]).repeat(count_unnamed)[:count_unnamed]
    directions = _unnamed_directions(series, count_unnamed, generator) * strength
    noise = torch.zeros(len(followed), count_noise)

    activations = signal * torch.cat([followed, directions, noise], dim=1)
    activations += torch.randn(activations.shape, generator=generator)
    return Planted(activations, (*findings, *[None] * count_unnamed, *[frozenset[int]()] * count_noise))


def finding_layer(series: Series, signal: float, seed: int) -> Planted:
    """20 units for each finding, as many of noise."""
    generator = torch.Generator().manual_seed(1000 * seed + round(10 * signal) + 500)
    findings = [finding for finding in range(len(FINDINGS)) for _ in range(_ALONE)]
    followed = series.truth[:, findings].float()
    activations = signal * torch.cat([followed, torch.zeros_like(followed)], dim=1)
    activations += torch.randn(activations.shape, generator=generator)
    singles = [frozenset({finding}) for finding in findings]
    return Planted(activations, (*singles, *[frozenset[int]()] * len(findings)))


def _unnamed_directions(series: Series, units: int, generator: torch.Generator) -> Tensor:
    """Projections of deviation 1 on random directions, float32 [N, units]: alternately two of one kind and of another.

    Those of the first kind are normal in the space of the embeddings, those of the second along the axes of the images'
    covariance, each axis at a deviation of 1.
    """
    variances, axes = torch.linalg.eigh(torch.cov(series.embeddings.t()))
    among = torch.randn(len(axes), units, generator=generator)
    variances = variances.clamp_min(float(variances[-1]) * _LEAST_VARIANCE)
    along_axes = axes @ (torch.randn(len(axes), units, generator=generator) / variances.sqrt()[:, None])

    first = (torch.arange(units) // 2) % 2 == 0
    projections = series.embeddings @ torch.where(first, among, along_axes)
    return (projections - projections.mean(dim=0)) / projections.std(dim=0)


def by_contrast(series: Series, activations: Tensor, _moments: Moments) -> tuple[Tensor, Tensor]:
    """Labels of the default method, and their p by exchanged exams."""
    scores = series.embeddings @ series.texts.t()
    columns = ConceptColumns(len(scores), scores.shape[1], lambda start, stop: scores[:, start:stop], exist=True)
    scorer = ContrastScorer(columns, spread_of_scores(scores), 1.0)
    top = top_k_images(activations, min(_TOP_K, max(10, len(scores) // 8)))
    best = best_concepts(scorer, top, 1, check_cancelled=lambda: None)

    p = torch.empty(len(top), dtype=torch.float64)
    for group in draw_null_sets(series.exams, top, _DRAWS, 0):
        table = null_table(scorer, group.sets, best.prior, len(top), ())
        p[group.units] = tail_p(best.scores[group.units, 0], table.best)
    return best.indices[:, 0], p


def by_correlation(series: Series, _activations: Tensor, moments: Moments) -> tuple[Tensor, Tensor]:
    """The concept whose cosine correlates best, and its p against noise that is alike on all images of an exam."""
    best = concept_correlations(moments, series.texts).max(dim=1)
    return best.indices, tail_p(best.values, series.background.null.best)


LABELS: Mapping[str, Label] = {"contrast": by_contrast, "correlation": by_correlation}


def judge(series: Series, label: Label, planted: Planted, error_level: float = DEFAULT_ERROR_LEVEL) -> Counts:
    """Label the units of a layer, judge them as a job of one layer, and count."""
    moments = moments_of(series, planted.activations)
    labels, p = label(series, planted.activations, moments)
    layer, verdicts = verdicts_of(series, moments, labels, p, error_level)
    units = [neuron.evidence.verdict for neuron in layer.neurons if neuron.evidence and neuron.evidence.verdict]
    return count(series, planted, labels, units, verdicts)


def moments_of(series: Series, activations: Tensor) -> Moments:
    """Of activations [N, U] on the series' images."""
    blocks = zip(torch.split(series.embeddings, _BLOCK), torch.split(activations, _BLOCK), strict=True)
    return Moments.of_layer(blocks, series.background.folds, FOLDS)


def verdicts_of(
    series: Series, moments: Moments, labels: Tensor, p: Tensor, error_level: float
) -> tuple[LayerDissection, JobVerdicts]:
    """A job of one layer: labels int64 [U] and their p float64 [U]."""
    concept_set = builtin_concept_set("bi-rads")
    figures = direction_figures(moments, labels, series.background, series.texts, KeptAxes())
    flat = ActivationSummary(0, 1, -1, 1)
    neurons = [
        Neuron(
            unit,
            False,
            flat,
            (RankedConcept(concept, concept_set.texts[concept], 0.0),),
            (),
            Evidence(significance=Significance(unit_p, 0.0), direction=of_unit),
        )
        for unit, (concept, unit_p, of_unit) in enumerate(zip(labels.tolist(), p.tolist(), figures, strict=True))
    ]
    evidence = JobEvidence("exam", series.exams.count, None, FINDINGS, None, series.qualifications)
    layers, controlled = control_discoveries([LayerDissection("layer", tuple(neurons))], evidence, watched=0)
    if controlled is None:
        raise ValueError("a job with evidence has lost it")
    judged, verdicts = give_verdicts(layers, controlled, concept_set, error_level)
    return judged[0], verdicts


def count(
    series: Series, planted: Planted, labels: Tensor, units: Sequence[UnitVerdict], verdicts: JobVerdicts
) -> Counts:
    """What verdicts say, held against what was planted."""
    has_name = torch.tensor([unit.name is not None for unit in units])
    is_named = torch.tensor([unit.verdict is Verdict.NAMED for unit in units])
    right = torch.tensor(
        [
            _is_right(unit, label, own or frozenset())
            for unit, label, own in zip(units, labels.tolist(), planted.findings, strict=True)
        ]
    )
    exact = torch.tensor([unit.level == "concept" for unit in units])

    qualified = set(series.qualified.nonzero().squeeze(1).tolist())
    single = torch.tensor([own is not None and len(own) == 1 and own <= qualified for own in planted.findings])
    nothing = torch.tensor([not own for own in planted.findings])
    noise = torch.tensor([own is not None and not own for own in planted.findings])
    return Counts(
        names=int(has_name.sum()),
        named=int(is_named.sum()),
        wrong=_share(~right, has_name),
        wrong_named=_share(~right, is_named),
        estimate=float("nan") if verdicts.error is None else verdicts.error,
        right=_share(right & has_name, single),
        by_concept=_share(exact, single & right & has_name),
        right_named=_share(right & is_named, single),
        refused=_share(~has_name, nothing),
        noise=_share(has_name, noise),
        match=verdicts.decoy_match,
    )


def _is_right(unit: UnitVerdict, label: int, own: frozenset[int]) -> bool:
    """Does a name speak of a finding that the unit follows? A category does where the finding's concept is in it."""
    concepts = builtin_concept_set("bi-rads").concepts
    of_findings = [own_concepts().tolist()[finding] for finding in own]
    if unit.level == "concept":
        return label in of_findings
    if unit.level == "combination":
        return any(concepts[concept].text in (unit.name or "").split(" + ") for concept in of_findings)
    return any(unit.name in (concepts[concept].category, concepts[concept].broad_category) for concept in of_findings)


def judge_mixed(series: Series, label: Label, signal: float, unnamed: float, seed: int) -> Counts:
    """Of three mixed layers, each a job of its own: shares over the names, or units, of all of them."""
    layers = [mixed_layer(series, signal, unnamed, 10 * seed + number) for number in range(_LAYERS)]
    counts = [judge(series, label, planted) for planted in layers]

    def mean(field: str, weight: str | None = None) -> float:
        pairs = [(getattr(of_layer, field), getattr(of_layer, weight) if weight else 1) for of_layer in counts]
        total = sum(weight for _, weight in pairs)
        return sum(share * weight for share, weight in pairs if weight) / total if total else float("nan")

    return Counts(
        names=sum(of_layer.names for of_layer in counts),
        named=sum(of_layer.named for of_layer in counts),
        wrong=mean("wrong", "names"),
        wrong_named=mean("wrong_named", "named"),
        estimate=mean("estimate", "names"),
        right=float("nan"),
        by_concept=float("nan"),
        right_named=float("nan"),
        refused=mean("refused"),
        noise=mean("noise"),
        match=mean("match"),
    )


def _share(true: Tensor, among: Tensor) -> float:
    return float(true[among].double().mean())


def _print_tables(images: int, numbers: Sequence[int]) -> None:
    for number in numbers:
        series = draw_series(number, images)
        print(f"\nSeries {number}, {images} images, {int(series.qualified.sum())} qualified findings")
        print_series(series, number)


def print_series(series: Series, seed: int) -> None:
    """Print the two tables of one series, in %."""
    for method, label in LABELS.items():
        print(f"\n{method}\n")
        print("| signal | unnamed | names | wrong | of named | estimate | no concept, not named | noise | match |")
        print("|---|---|---|---|---|---|---|---|---|")
        for signal in SIGNALS:
            for unnamed in UNNAMED:
                counts = judge_mixed(series, label, signal, unnamed, seed)
                shares = (counts.wrong, counts.wrong_named, counts.estimate, counts.refused, counts.noise)
                cells = " | ".join(f"{100 * share:.1f}" for share in shares)
                print(f"| {signal:g} | {unnamed:.0%} | {counts.names} | {cells} | {counts.match:.2f} |", flush=True)

        print("\n| signal | right and given | by the concept | right and named | noise |\n|---|---|---|---|---|")
        for signal in SIGNALS:
            counts = judge(series, label, finding_layer(series, signal, seed))
            figures = (counts.right, counts.by_concept, counts.right_named, counts.noise)
            print(f"| {signal:g} | {' | '.join(f'{100 * share:.1f}' for share in figures)} |", flush=True)


if __name__ == "__main__":
    _print_tables(int(sys.argv[1]), [int(number) for number in sys.argv[2:]])
