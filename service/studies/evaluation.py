"""A folder of mammograms evaluated: one half of the patients fits a dissector, the other half is dissected with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from service.analysis.conclusions import conclude
from service.analysis.layer_codec import digest_of_layer
from service.analysis.outlines import with_regions
from service.analysis.survival import SurvivalSummary, judge_survival
from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import concepts_of_findings, matches_in
from service.domain.concepts import ConceptSet
from service.domain.digests import digest_of
from service.domain.evidence import LEAST_EXAMS, EvidenceOptions
from service.domain.findings import FindingMatches
from service.domain.groups import group_images
from service.domain.jobs import BATCH_SIZE, SHARD_SIZE, DissectionOptions
from service.domain.manifests import JobManifest
from service.domain.methods import DEFAULT, Method, Similarity
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection, LayerDissection
from service.domain.probes import ProbeItem, ProbeSet
from service.domain.table_targets import is_table
from service.domain.verdicts import DEFAULT_ERROR_LEVEL
from service.engine.architectures import open_target
from service.engine.dissect import name_neurons, show_images
from service.engine.dissectors import open_dissector
from service.engine.networks.protocols import Dissector
from service.engine.probing.probe import Probing, ProbingPass
from service.engine.probing.shards import shard_spans
from service.engine.scoring import embed_concepts
from service.errors import InvalidInput
from service.pipelines.manifest import ShownImages, describe, with_no_concept
from service.pipelines.regions import regions_of_cards
from service.ports import ProgressListener
from service.probes.images import open_images
from service.probes.manifest import digest_images, with_digests
from service.studies.patients import split_by_patient

VOCABULARY = "bi-rads"
METHODS: tuple[Similarity, ...] = (DEFAULT, "soft_wpmi")
SHUFFLED = 1
"""Seed of the weights that know nothing."""


@dataclass(frozen=True, slots=True)
class Halves:
    """Two probe sets without a common patient: one to fit a dissector on, one to dissect."""

    fit: ProbeSet
    dissected: ProbeSet


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What is dissected with what."""

    target: TargetSpec
    dissector: DissectorSpec

    probe_set: ProbeSet
    """A probe set of patients that the dissector has not seen."""

    layers: tuple[str, ...] | None
    """None for the target's main layers."""

    top_k: int | None
    """None for what `Method.fitted_to` says."""

    evidence: EvidenceOptions
    device: torch.device


@dataclass(frozen=True, slots=True)
class EvaluatedDissection:
    """One target, concept set and method: the dissection, its manifest, and what it amounts to."""

    target: TargetSpec
    concept_set: ConceptSet
    method: Method
    dissection: Dissection
    manifest: JobManifest
    judgement: SurvivalSummary

    @property
    def reported(self) -> bool:
        """Whether it is one to look at closely: of the network itself, by the default method."""
        return self.target.shuffled is None and self.method.similarity == DEFAULT


@dataclass(frozen=True, slots=True)
class _Concepts:
    """A concept set and its embeddings, float32 [C, D], and what the findings of the probe set mean in it."""

    concept_set: ConceptSet
    embeddings: Tensor
    findings: FindingMatches | None


@dataclass(frozen=True, slots=True)
class _Shown:
    """A target, how it was shown the images, and what is left of that."""

    spec: TargetSpec
    probing_pass: ProbingPass
    probing: Probing


def halve_patients(probe_set: ProbeSet, seed: int) -> Halves:
    """Draw half of the patients (exams where no patient is named) to fit on; the others are to be dissected.

    Every image is read once, because images with the same bytes must not be in both halves. Raises InvalidInput where
    an image names neither patient nor exam, where there are no reports, or where there are too few patients to infer
    anything from one half.
    """
    items = with_digests(probe_set.items, probe_set.roots)
    if not any(item.text for item in items):
        raise InvalidInput(
            "The manifest has no reports, which the dissector must be fitted on.",
            field="text",
            remedy="Add a column 'text' with each image's report.",
        )

    patients = group_images(items).count
    least = 2 * LEAST_EXAMS
    if patients < least:
        raise InvalidInput(
            f"There are {patients} patients; an evaluation needs at least {least}, half to fit on and half to dissect.",
            field="patient_id",
            value=patients,
            remedy="Add images of more patients.",
        )

    split = split_by_patient(items, held_back_share=0.0, held_out_share=0.5, seed=seed)
    fit = [items[row] for row in sorted([*split.fit, *split.held_back])]
    dissected = [items[row] for row in split.held_out]
    return Halves(_part(probe_set, "fit", fit), _part(probe_set, "dissected", dissected))


def evaluate(plan: EvaluationPlan, progress: ProgressListener) -> Iterator[EvaluatedDissection]:
    """Dissect with `bi-rads` and with the findings as concepts, by contrast and by soft-WPMI.

    Then, by contrast alone, the same network with shuffled weights, which has learned nothing; a table has no weights.
    Each network sees the images once; everything else is scored from that. Each dissection is judged with exams
    exchanged and with images exchanged as if each were an exam. Without findings in the manifest there is no second
    concept set.
    Raises the errors of `open_target`, `open_dissector` and `dissect`.
    """
    items = with_digests(plan.probe_set.items, plan.probe_set.roots)
    plan = replace(plan, probe_set=replace(plan.probe_set, items=items))
    dissector = open_dissector(plan.dissector, plan.device)
    embedded = [
        _Concepts(concept_set, embed_concepts(dissector, concept_set.texts), findings)
        for concept_set, findings in _concept_sets(plan.probe_set)
    ]

    networks = [(plan.target, METHODS)]
    if not is_table(plan.target.architecture):
        networks.append((replace(plan.target, shuffled=SHUFFLED), METHODS[:1]))
    for spec, methods in networks:
        shown = _show(plan, spec, dissector, progress)
        for concepts in embedded:
            for method in methods:
                yield _evaluated(plan, shown, concepts, _options(plan, method), progress)


def _show(plan: EvaluationPlan, spec: TargetSpec, dissector: Dissector, progress: ProgressListener) -> _Shown:
    probing_pass = ProbingPass(
        target=open_target(spec, plan.device, keep_layers=plan.layers or ()),
        dissector=dissector,
        images=open_images(plan.probe_set, digested=True),
        options=_options(plan, METHODS[0]),
        device=plan.device,
        batch_size=BATCH_SIZE,
        on_unreadable=plan.probe_set.on_unreadable,
    )
    return _Shown(spec, probing_pass, show_images(probing_pass, shard_size=SHARD_SIZE, progress=progress))


def _evaluated(
    plan: EvaluationPlan,
    shown: _Shown,
    concepts: _Concepts,
    options: DissectionOptions,
    progress: ProgressListener,
) -> EvaluatedDissection:
    items = plan.probe_set.items
    named = _named(shown, items, concepts, options, progress)
    by_exam = _controlled(named, concepts)

    alone = [replace(item, exam_id=None, patient_id=None) for item in items]
    p_values = replace(options, evidence=EvidenceOptions(options.evidence.draws, resamples=0, halves=0))
    by_image = _controlled(_named(shown, alone, concepts, p_values, progress), concepts)

    evaluated = EvaluatedDissection(
        target=shown.spec,
        concept_set=concepts.concept_set,
        method=options.method,
        dissection=by_exam,
        manifest=_manifest(plan, shown, concepts, options, named.layers, by_exam),
        judgement=judge_survival(by_exam, by_image),
    )
    return _outlined(shown, evaluated) if evaluated.reported else evaluated


def _outlined(shown: _Shown, evaluated: EvaluatedDissection) -> EvaluatedDissection:
    """With the regions that its report outlines."""
    dissection = evaluated.dissection
    regions = regions_of_cards(dissection.layers, evaluated.concept_set, dissection.evidence, shown.probing_pass)
    outlined = replace(dissection, layers=with_regions(dissection.layers, regions))
    return replace(evaluated, dissection=outlined)


def _named(
    shown: _Shown,
    items: Sequence[ProbeItem],
    concepts: _Concepts,
    options: DissectionOptions,
    progress: ProgressListener,
) -> Dissection:
    return name_neurons(
        shown.probing,
        items,
        concepts.embeddings,
        concepts.concept_set,
        options,
        finding_of_concept={} if concepts.findings is None else concepts.findings.of_concept,
        progress=progress,
    )


def _controlled(dissection: Dissection, concepts: _Concepts) -> Dissection:
    """With q-values and verdicts."""
    evidence = with_no_concept(dissection.evidence, concepts.findings)
    layers, evidence = conclude(dissection.layers, evidence, concepts.concept_set, DEFAULT_ERROR_LEVEL)
    return replace(dissection, layers=layers, evidence=evidence)


def _manifest(
    plan: EvaluationPlan,
    shown: _Shown,
    concepts: _Concepts,
    options: DissectionOptions,
    scored: Sequence[LayerDissection],
    dissection: Dissection,
) -> JobManifest:
    """scored: the layers without q-values, which are no part of a layer's digest."""
    items = plan.probe_set.items
    digests = [digest_images(items[span.start : span.stop]) for span in shard_spans(len(items), SHARD_SIZE)]
    return describe(
        shown.probing_pass,
        plan.probe_set,
        concepts.concept_set,
        options=options,
        shown=ShownImages(SHARD_SIZE, digests, dissection.images_used, dissection.images_skipped),
        results={layer.layer: digest_of_layer(layer) for layer in scored},
        evidence=dissection.evidence,
        findings=concepts.findings,
    )


def _options(plan: EvaluationPlan, similarity: Similarity) -> DissectionOptions:
    """All methods rest on as many images, so that nothing but the method differs."""
    top_k = plan.top_k or Method.of(METHODS[0]).fitted_to(len(plan.probe_set.items)).top_k
    return DissectionOptions(plan.layers, Method.of(similarity, top_k=top_k), evidence=plan.evidence)


def _concept_sets(probe_set: ProbeSet) -> Iterator[tuple[ConceptSet, FindingMatches | None]]:
    """Each with what the findings mean in it. Among the findings themselves each means what it says, map or not."""
    vocabulary = builtin_concept_set(VOCABULARY)
    yield vocabulary, matches_in(vocabulary, probe_set)
    if probe_set.findings:
        concept_set = concepts_of_findings(probe_set.findings, vocabulary)
        yield concept_set, matches_in(concept_set, replace(probe_set, findings_map=None))


def _part(probe_set: ProbeSet, name: str, items: Sequence[ProbeItem]) -> ProbeSet:
    digest = digest_of({"of": probe_set.digest, "rows": [item.row for item in items]})
    return replace(probe_set, name=f"{probe_set.name}, {name}", items=tuple(items), digest=digest)
