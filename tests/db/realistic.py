"""Neurons as heavy as those of real dissections: ten concepts, five images, evidence, forty watched concepts."""

from collections.abc import Iterator

import numpy as np

from service.concepts.builtin import builtin_concept_set
from service.domain.evidence import Agreement, Evidence, LabelStability, Quality, Significance, Watched
from service.domain.neurons import ActivationSummary, Neuron, RankedConcept, TopImage
from service.domain.verdicts import DirectionFigures, UnitVerdict, Verdict

CONCEPTS = builtin_concept_set("bi-rads")
WATCHED = tuple(index for index, concept in enumerate(CONCEPTS.concepts) if concept.watched)

_RANKED, _IMAGES, _WATCHED = 10, 5, 40
_RESAMPLES, _HALVES = 200, 40


def realistic_neurons(count: int, seed: int = 0) -> Iterator[Neuron]:
    """Living, judged neurons of one layer, each with figures of its own."""
    random = np.random.default_rng(seed)
    for unit in range(count):
        yield _neuron(unit, random)


def _neuron(unit: int, random: np.random.Generator) -> Neuron:
    ranked = random.choice(len(CONCEPTS.concepts), _RANKED, replace=False).tolist()
    scores = sorted(random.gamma(4.0, 1.0, _RANKED).tolist(), reverse=True)
    rows = random.choice(20_000, _IMAGES, replace=False).tolist()
    return Neuron(
        unit=unit,
        dead=False,
        activation=ActivationSummary(*random.random(4).tolist()),
        concepts=tuple(
            RankedConcept(index, CONCEPTS.texts[index], score) for index, score in zip(ranked, scores, strict=True)
        ),
        images=tuple(
            TopImage(f"exam-{row:05}-L-CC.dcm", row, float(random.random()), region=(0.125, 0.25, 0.375, 0.5))
            for row in rows
        ),
        evidence=_evidence(ranked, random),
    )


def _direction(ranked: list[int], random: np.random.Generator) -> DirectionFigures:
    fit, fit_p, correlation, explained, decoy_explained = random.random(5).tolist()
    return DirectionFigures(fit, fit_p, correlation, explained, decoy_explained, rivals=tuple(ranked[1:4]))


def _evidence(ranked: list[int], random: np.random.Generator) -> Evidence:
    p, z, q, *figures = random.random(12).tolist()
    watched = random.choice(WATCHED, _WATCHED).tolist()
    return Evidence(
        significance=Significance(p / 20, 4 * z, q / 20),
        stability=LabelStability(figures[0], figures[1], tuple(CONCEPTS.texts[index] for index in ranked[:8])),
        agreement=Agreement("suspicious calcification", figures[2], figures[3], figures[4]),
        quality=Quality(figures[5], figures[6], figures[7], int(random.integers(0, 500))),
        watched=tuple(Watched(index, CONCEPTS.texts[index], *(random.random(5) / 20).tolist()) for index in watched),
        resampled=tuple(random.choice(ranked, _RESAMPLES).tolist()),
        halves=tuple(random.choice(ranked, _HALVES).tolist()),
        direction=_direction(ranked, random),
        verdict=UnitVerdict(Verdict.NAMED, CONCEPTS.texts[ranked[0]], "concept", float(random.random())),
    )
