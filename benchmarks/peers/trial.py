"""Every method on the same units: right and wrong names, simulation on held-out exams, and the generator as judge."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import torch
from torch import Tensor

from benchmarks.label_accuracy import IMAGES_PER_EXAM, own_concepts
from benchmarks.peers.methods import Method, Names, Shown
from benchmarks.verdicts import Planted, Series
from service.engine.evidence.recognition import share_below

HELD_OUT = 4
"""The last of so many exams name nothing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a method did on one layer. Shares are NaN where there is nothing to count."""

    names: int

    wrong: float
    """Of the names given."""

    right: float
    """Of the units of one qualified finding: named by its concept, among others, or by a category that it is in."""

    exact: float
    """The same, by its concept alone or before all others."""

    refused: float
    """Of the units that follow no concept: not named."""

    simulation: float
    """Correlation of activation and prediction on held-out exams, on average over units of findings; not named: 0."""

    auc: float
    """How well activations tell held-out phantoms with the named finding from those without, on average over names."""

    mad: float
    """The difference of these activations' means, in deviations of those without."""

    drawable: float
    """Of the names, the share that names a finding: the generator draws no others."""

    seconds: float

    def as_cells(self) -> str:
        """The row of a table."""
        shares = (self.wrong, self.right, self.exact, self.refused, self.drawable)
        percent = " | ".join("-" if isnan(share) else f"{100 * share:.0f}" for share in shares)
        figures = f"{self.simulation:.2f} | {self.auc:.2f} | {self.mad:.2f} | {self.seconds:.2f}"
        return f"{self.names} | {percent} | {figures}"


HEADS = "| names | wrong | right | exact | no concept, not named | can be drawn | simulation | AUC | MAD | seconds |"


@dataclass(frozen=True, slots=True)
class Split:
    """A layer, and which of its images measure; the others name its units."""

    embeddings: Tensor
    """float32 [N, D]."""

    truth: Tensor
    """bool [N, F]."""

    naming: Series
    """The images that name units."""

    template: Tensor
    """float32 [D], of the text without a concept."""

    planted: Planted
    """Activations on all images."""

    held_out: Tensor
    """bool [N]."""

    @property
    def shown(self) -> Shown:
        """What methods may see."""
        kept = ~self.held_out
        return Shown(
            self.naming.embeddings,
            self.naming.texts,
            self.template,
            self.naming.truth,
            self.naming.exams.of_image,
            self.planted.activations[kept],
        )


def held_out_images(images: int) -> Tensor:
    """Those of the last exam of each HELD_OUT: bool [N]."""
    exams = torch.arange(images) // IMAGES_PER_EXAM
    return exams % HELD_OUT == HELD_OUT - 1


def try_methods(split: Split, methods: Mapping[str, Method]) -> dict[str, Trial]:
    """Each method on the layer."""
    trials = {}
    for name, method in methods.items():
        started = time.perf_counter()
        names = method(split.shown)
        trials[name] = measure(split, names, time.perf_counter() - started)
    return trials


def measure(split: Split, names: Names, seconds: float) -> Trial:
    """What the names are worth."""
    planted = split.planted.findings
    own = own_concepts().tolist()
    of_findings = [frozenset(own[finding] for finding in findings or ()) for findings in planted]
    has_name = torch.tensor([bool(concepts) for concepts in names.concepts])
    right = torch.tensor(
        [bool(set(concepts) & concepts_of) for concepts, concepts_of in zip(names.concepts, of_findings, strict=True)]
    )

    exact = torch.tensor(
        [
            unit not in names.categories and concepts[:1] == tuple(concepts_of)
            for unit, (concepts, concepts_of) in enumerate(zip(names.concepts, of_findings, strict=True))
        ]
    )

    qualified = set(split.naming.qualified.nonzero().flatten().tolist())
    single = torch.tensor(
        [findings is not None and len(findings) == 1 and findings <= qualified for findings in planted]
    )
    follows = torch.tensor([bool(findings) for findings in planted])
    drawn_activations = split.planted.activations[split.held_out]
    auc, mad = judge_by_generator(drawn_activations, split.truth[split.held_out], names)
    drawn = ~auc.isnan()
    return Trial(
        names=int(has_name.sum()),
        wrong=_share(~right, has_name),
        right=_share(right, single),
        exact=_share(exact, single),
        refused=_share(~has_name, ~follows),
        simulation=_mean(_simulation(split, names), follows),
        auc=_mean(auc, drawn),
        mad=_mean(mad, drawn),
        drawable=_share(drawn, has_name),
        seconds=seconds,
    )


def judge_by_generator(activations: Tensor, truth: Tensor, names: Names) -> tuple[Tensor, Tensor]:
    """AUC and MAD of each unit for the first concept of its name, [U] and [U]; NaN where the generator cannot draw it.

    activations: [N, U] on drawn phantoms with the findings truth, bool [N, F].

    CoSy (Kopf et al., NeurIPS 2024), section 3: activations on images drawn of the explanation against activations on
    control images; AUC, and the difference of means divided by the deviation of the control. Here the generator of
    phantoms draws, so that nothing is left to how well a diffusion model knows mammograms: the held-out phantoms with
    the finding, and those without.
    """
    finding_of = {concept: finding for finding, concept in enumerate(own_concepts().tolist())}
    activations = activations.double()
    auc = torch.full((activations.shape[1],), torch.nan, dtype=torch.float64)
    mad = auc.clone()
    for unit, concepts in enumerate(names.concepts):
        finding = finding_of.get(concepts[0]) if concepts else None
        if finding is None:
            continue

        has = truth[:, finding]
        drawn, control = activations[has, unit], activations[~has, unit]
        if min(len(drawn), len(control)) < 2:
            continue
        auc[unit] = float(share_below(drawn.numpy(), control.numpy()).mean())
        mad[unit] = (drawn.mean() - control.mean()) / control.std().clamp_min(1e-12)
    return auc, mad


def _simulation(split: Split, names: Names) -> Tensor:
    """Correlation of activations with what the names predict, on held-out exams: [U]; 0 where there is no name.

    Oikarinen and Weng (ICML 2024), section 4, with the dissector as simulator.
    """
    predicted = split.embeddings[split.held_out] @ split.naming.texts.t() @ names.weights.t()
    actual = split.planted.activations[split.held_out]
    predicted, actual = predicted - predicted.mean(dim=0), actual - actual.mean(dim=0)
    spread = (predicted.square().sum(dim=0) * actual.square().sum(dim=0)).sqrt()
    return (predicted * actual).sum(dim=0) / spread.clamp_min(1e-12)


def _share(true: Tensor, among: Tensor) -> float:
    return float(true[among].double().mean())


def _mean(values: Tensor, among: Tensor) -> float:
    return float(values[among].double().mean())
