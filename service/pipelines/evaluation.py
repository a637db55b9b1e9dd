"""A folder of mammograms evaluated: one half of the patients fits a dissector, the other half is dissected with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from service.analysis.discoveries import control_discoveries
from service.analysis.layer_codec import digest_of_layer
from service.analysis.survival import Judgement, judge_survival
from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import concepts_of_findings, name_findings
from service.domain.concepts import ConceptSet
from service.domain.digests import digest_of
from service.domain.evidence import LEAST_EXAMS, EvidenceOptions
from service.domain.jobs import DissectionOptions, Progress, Stage
from service.domain.methods import Method, Similarity
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection
from service.domain.probes import ProbeItem, ProbeSet
from service.engine.architectures import open_target
from service.engine.dissect import name_neurons, show_images
from service.engine.dissectors import open_dissector
from service.engine.networks import Dissector, Target
from service.engine.probing import Probing
from service.engine.scoring import embed_concepts
from service.engine.shards import shard_spans
from service.errors import InvalidInput
from service.pipelines.keys import device_name
from service.pipelines.manifest import describe
from service.pipelines.patients import owner, split_by_patient
from service.ports import ProgressListener
from service.probes.images import open_images
from service.probes.manifest import digest_images

VOCABULARY = "bi-rads"
METHODS: tuple[Similarity, ...] = ("contrast", "soft_wpmi")
_BATCH, _SHARD = 8, 256


@dataclass(frozen=True, slots=True)
class Halves:
    """Two probe sets without a common patient: one to fit a dissector on, one to dissect."""

    fit: ProbeSet
    dissected: ProbeSet


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What is dissected with what. layers: None for the target's main layers; top_k: None for an eighth of the images.

    probe_set: of patients that the dissector has not seen.
    """

    target: TargetSpec
    dissector: DissectorSpec
    probe_set: ProbeSet
    layers: tuple[str, ...] | None
    top_k: int | None
    evidence: EvidenceOptions
    device: torch.device


@dataclass(frozen=True, slots=True)
class EvaluatedDissection:
    """One concept set and method: the dissection, its manifest, and what it amounts to."""

    concept_set: ConceptSet
    method: Method
    dissection: Dissection
    manifest: dict[str, Any]
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class _Networks:
    target: Target
    dissector: Dissector


def halve_patients(probe_set: ProbeSet, seed: int) -> Halves:
    """Draw half of the patients (exams where no patient is named) to fit on; the others are to be dissected.

    In the second half an image without an exam gets its patient as exam. Raises InvalidInput where an image names
    neither, where there are no reports, or where there are too few patients to infer anything from one half.
    """
    items = probe_set.items
    if not any(item.text for item in items):
        raise InvalidInput(
            "The manifest has no reports, and a dissector is fitted on them.",
            field="text",
            remedy="Add a column 'text' with each image's report.",
        )
    patients, least = len({owner(item) for item in items}), 2 * LEAST_EXAMS
    if patients < least:
        raise InvalidInput(
            f"There are {patients} patients; an evaluation needs at least {least}, half to fit on and half to dissect.",
            field="patient_id",
            value=patients,
            remedy="Bring images of more patients.",
        )
    split = split_by_patient(items, held_back_share=0.0, held_out_share=0.5, seed=seed)
    fit = sorted([*split.fit, *split.held_back])
    others = [replace(items[row], exam_id=items[row].exam_id or items[row].patient_id) for row in split.held_out]
    return Halves(_part(probe_set, "fit", [items[row] for row in fit]), _part(probe_set, "dissected", others))


def evaluate(plan: EvaluationPlan, progress: ProgressListener) -> tuple[EvaluatedDissection, ...]:
    """Dissect with `bi-rads` and with the findings as concepts, by contrast and by soft-WPMI.

    The images are shown once; everything else is scored from that. Each dissection is judged with exams exchanged and
    with images exchanged as if each were an exam. Without findings in the manifest there is no second concept set.
    Raises the errors of `open_target`, `open_dissector` and `dissect`.
    """
    progress(Progress(Stage.LOAD, 0, 2))
    target = open_target(plan.target, plan.device, keep_layers=plan.layers or ())
    progress(Progress(Stage.LOAD, 1, 2))
    networks = _Networks(target, open_dissector(plan.dissector, plan.device))
    progress(Progress(Stage.LOAD, 2, 2))
    probing = show_images(
        target,
        networks.dissector,
        open_images(plan.probe_set),
        _options(plan, "contrast"),
        device=plan.device,
        batch_size=_BATCH,
        shard_size=_SHARD,
        on_unreadable=plan.probe_set.on_unreadable,
        progress=progress,
    )
    concept_sets = list(_concept_sets(plan.probe_set))
    pairs = [(concepts, method) for concepts in concept_sets for method in METHODS]
    return tuple(
        _evaluated(plan, networks, probing, concepts, _options(plan, method), _Share(progress, number, len(pairs)))
        for number, (concepts, method) in enumerate(pairs)
    )


def _evaluated(
    plan: EvaluationPlan,
    networks: _Networks,
    probing: Probing,
    concept_set: ConceptSet,
    options: DissectionOptions,
    progress: "_Share",
) -> EvaluatedDissection:
    items = plan.probe_set.items
    alone = [replace(item, exam_id=None) for item in items]
    p_values = EvidenceOptions(options.evidence.draws, resamples=0, halves=0)
    by_exam = _named(networks.dissector, probing, items, concept_set, options, progress)
    by_image = _named(networks.dissector, probing, alone, concept_set, replace(options, evidence=p_values), progress)
    return EvaluatedDissection(
        concept_set=concept_set,
        method=options.method,
        dissection=by_exam,
        manifest=_manifest(plan, networks, concept_set, options, by_exam),
        judgement=judge_survival(by_exam, by_image),
    )


def _named(
    dissector: Dissector,
    probing: Probing,
    items: Sequence[ProbeItem],
    concept_set: ConceptSet,
    options: DissectionOptions,
    progress: "_Share",
) -> Dissection:
    findings = {finding for item in items for finding in item.findings or ()}
    found = name_neurons(
        probing,
        items,
        embed_concepts(dissector, concept_set.texts),
        concept_set,
        options,
        names=name_findings(concept_set, findings),
        progress=progress,
    )
    layers, evidence = control_discoveries(found.layers, found.evidence, watched=len(concept_set.watched))
    progress.passed(len(layers))
    return replace(found, layers=layers, evidence=evidence)


def _manifest(
    plan: EvaluationPlan,
    networks: _Networks,
    concept_set: ConceptSet,
    options: DissectionOptions,
    dissection: Dissection,
) -> dict[str, Any]:
    items = plan.probe_set.items
    return describe(
        target=networks.target,
        dissector=networks.dissector,
        probe_set=plan.probe_set.digest,
        concept_set=concept_set.digest,
        options=options,
        batch_size=_BATCH,
        shard_size=_SHARD,
        device=device_name(plan.device),
        images=[digest_images(items[span.start : span.stop]) for span in shard_spans(len(items), _SHARD)],
        used=dissection.images_used,
        skipped_rows=dissection.images_skipped,
        results={layer.layer: digest_of_layer(layer) for layer in dissection.layers},
        evidence=dissection.evidence,
    )


def _options(plan: EvaluationPlan, similarity: Similarity) -> DissectionOptions:
    top_k = plan.top_k or max(1, round(len(plan.probe_set.items) / 8))
    return DissectionOptions(plan.layers, Method.of(similarity, top_k=top_k), evidence=plan.evidence)


def _concept_sets(probe_set: ProbeSet) -> Iterator[ConceptSet]:
    vocabulary = builtin_concept_set(VOCABULARY)
    yield vocabulary
    if probe_set.findings:
        yield concepts_of_findings(probe_set.findings, vocabulary)


def _part(probe_set: ProbeSet, name: str, items: Sequence[ProbeItem]) -> ProbeSet:
    digest = digest_of({"of": probe_set.digest, "rows": [item.row for item in items]})
    return ProbeSet(f"{probe_set.name}, {name}", tuple(items), digest, probe_set.on_unreadable)


class _Share:
    """The progress of one of several dissections, each of which names every layer twice, as that of all together."""

    def __init__(self, progress: ProgressListener, number: int, count: int) -> None:
        self._progress, self._number, self._count = progress, number, count
        self._passed = 0

    def __call__(self, progress: Progress, /) -> None:
        layers = 2 * progress.total
        self._progress(
            replace(progress, done=self._number * layers + self._passed + progress.done, total=self._count * layers)
        )

    def passed(self, layers: int) -> None:
        """So many layers are named, and a second pass begins."""
        self._passed += layers
