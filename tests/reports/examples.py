"""A dissection with evidence that looks like a real one: planted concepts in deeper layers, chance in the first."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from service.analysis.compared_labels import read_labels
from service.analysis.comparison import compare
from service.analysis.coverage import cover
from service.analysis.watch_list import watch
from service.concepts.builtin import builtin_concept_set
from service.concepts.must_have import match_concepts, read_must_have
from service.domain.comparisons import Comparison
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import (
    Agreement,
    Evidence,
    JobEvidence,
    LabelStability,
    LayerNull,
    Qualification,
    QualificationStatus,
    Quality,
    Significance,
    Watched,
)
from service.domain.methods import Method
from service.domain.neurons import ActivationSummary, LayerDissection, Neuron, RankedConcept, TopImage
from service.domain.probes import Box
from service.reports.dissection import DissectionReport, report_dissection
from service.reports.provenance import Provenance

LAYERS = ("_blocks.2", "_blocks.10", "_blocks.15")

FACTS = Provenance(
    job="0199f2c1-0000-7000-8000-000000000001",
    target="screening-b5@3",
    probe_set="phantoms@1",
    concept_set="bi-rads@1",
    dissector="phantom-reader@2",
    method=Method.of(top_k=24),
    manifest={
        "target": {"architecture": "efficientnet-lite0", "sha256": "5f" * 32, "preprocessing": "a1" * 32},
        "dissector": {"digest": "b2" * 32, "preprocessing": "a1" * 32},
        "probe_set": {"digest": "c3" * 32, "images": "d4" * 32},
        "concept_set": "e5" * 32,
        "layers": list(LAYERS),
        "images_used": 240,
        "rows_skipped": [],
        "device": "cpu",
    },
    finished_at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
)

NULL_LABELS = tuple((concept, 1 / 200) for concept in range(200))
KEPT = (0.8, 0.05, 0.05, 0.05, 0.05)
CONCEPTS = builtin_concept_set("bi-rads")
SURGICAL_CLIP = CONCEPTS.texts.index("surgical clip")


def _tested(text: str, finding: str, verdict: QualificationStatus, *figures: float) -> Qualification:
    return Qualification(CONCEPTS.texts.index(text), text, finding, verdict, 61, 179, *figures)


EVIDENCE = JobEvidence(
    drawn_by="exam",
    units=60,
    refused=None,
    findings=("calcification", "mass", "architectural distortion"),
    no_agreement=None,
    qualifications=(
        _tested("mass", "mass", "qualified", 0.91, 0.87, 0.94),
        _tested("spiculated mass", "spiculated mass", "qualified", 0.88, 0.82, 0.93),
        _tested("circumscribed mass", "circumscribed mass", "qualified", 0.86, 0.81, 0.92),
        _tested("suspicious calcifications", "calcification", "qualified", 0.84, 0.78, 0.9),
        _tested("architectural distortion", "architectural distortion", "untestable", 0.53, 0.41, 0.65),
        _tested("skin thickening", "skin thickening", "absent"),
    ),
    tests=174,
    largest_p=0.018,
)


def example_report(layers: Sequence[LayerDissection], evidence: JobEvidence | None = EVIDENCE) -> DissectionReport:
    """The report on these layers."""
    coverage = cover(layers, CONCEPTS, evidence, match_concepts(CONCEPTS, read_must_have()))
    watch_list = watch(layers, CONCEPTS, evidence)
    return report_dissection(FACTS, layers, CONCEPTS, evidence, coverage, watch_list)


def example_layers(*, units: int = 60, images: int = 240, seed: int = 5) -> list[LayerDissection]:
    """Layers of `units` neurons; deeper ones carry more significant concepts, two of each are dead."""
    random = np.random.default_rng(seed)
    return [
        _layer(name, CONCEPTS, units, images, share, random)
        for name, share in zip(LAYERS, (0.05, 0.3, 0.55), strict=True)
    ]


def dead_neuron(unit: int) -> Neuron:
    return Neuron(unit, dead=True, activation=ActivationSummary(0.0, 0.0, 0.0, 0.0))


def untested(layer: LayerDissection) -> LayerDissection:
    """The layer as it is where no evidence was asked for."""
    return LayerDissection(layer.layer, tuple(replace(neuron, evidence=None) for neuron in layer.neurons), None)


def _layer(
    name: str, concepts: ConceptSet, units: int, images: int, share: float, random: np.random.Generator
) -> LayerDissection:
    draws = random.gumbel(1.0, 0.35, 10_000)
    null = LayerNull(
        10_000, float(draws.mean()), float(draws.std()), tuple(np.percentile(draws, range(101)).tolist()), NULL_LABELS
    )
    neurons = [dead_neuron(0), dead_neuron(1)]
    for unit in range(2, units):
        planted = random.random() < share
        score = float(random.normal(4.5, 1.2) if planted else random.gumbel(1.0, 0.35))
        neurons.append(_neuron(unit, score, planted, null, concepts.concepts, images, random))
    return LayerDissection(name, tuple(neurons), null)


def _neuron(
    unit: int,
    score: float,
    planted: bool,
    null: LayerNull,
    concepts: tuple[Concept, ...],
    images: int,
    random: np.random.Generator,
) -> Neuron:
    pool = range(200) if planted else range(len(concepts))
    ranked = random.choice(pool, 5, replace=False).tolist()
    z = (score - null.mean) / null.std
    p = float(max(1e-9, min(1.0, np.exp(-max(z, 0) * 1.6))))
    often = [SURGICAL_CLIP] * 12 if unit % 17 == 0 else []
    evidence = Evidence(
        significance=Significance(p, z, q=min(1.0, p * 4)),
        stability=LabelStability(float(random.beta(6, 2)), 0.9, tuple(concepts[one].text for one in ranked[:2])),
        agreement=Agreement("mass", 0.84, 0.61, 0.37) if planted and unit % 2 else None,
        quality=Quality(0.6, 0.2, 0.5, None),
        watched=(Watched(SURGICAL_CLIP, "surgical clip", 0.001, 3.4, 0.03),) if unit % 17 == 0 else (),
        resampled=(*random.choice(ranked, 40, p=KEPT).tolist()[len(often) :], *often),
        halves=tuple(random.choice(ranked, 40, p=KEPT).tolist()),
    )
    rows = random.choice(images, 5, replace=False) + 1
    return Neuron(
        unit=unit,
        dead=False,
        activation=ActivationSummary(0.5, 0.25, 0.0, 3.0),
        concepts=tuple(RankedConcept(one, concepts[one].text, score - 0.4 * place) for place, one in enumerate(ranked)),
        images=tuple(
            TopImage(
                f"secret-{row}",
                int(row),
                2.0 - 0.1 * place,
                Box(40, 120, 160, 160) if unit % 5 == 0 else None,
                (0.3, 0.4, 0.25, 0.2) if unit % 3 else None,
            )
            for place, row in enumerate(rows)
        ),
        evidence=evidence,
    )


def example_comparison(*others: Sequence[LayerDissection]) -> Comparison:
    """The example against others of the same architecture."""
    networks = [read_labels(layers) for layers in (example_layers(), *others)]
    texts = np.random.default_rng(1).normal(size=(len(CONCEPTS.concepts), 24)).astype(np.float32)
    return compare(
        networks,
        ["b5"] * len(networks),
        CONCEPTS,
        not_tested_reasons=[None] * len(networks),
        concept_embeddings=texts,
    )
