"""Exams that a network was shown once, of which any part can be dissected, compared and judged as in an audit."""

import os
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing import get_context
from typing import NamedTuple
from uuid import UUID

import torch
from torch import Tensor

from service.analysis.compared_labels import NetworkLabels, read_labels
from service.analysis.comparison import compare
from service.analysis.discoveries import control_discoveries
from service.analysis.network_facts import drift_facts, network_facts
from service.analysis.verdict import judge
from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import name_findings
from service.domain.audit_facts import AuditFacts, Judgement, NetworkFacts
from service.domain.concepts import ConceptSet
from service.domain.groups import group_images
from service.domain.jobs import DissectionOptions
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.policies import Policy
from service.domain.probes import ProbeItem, ProbeSet
from service.engine.architectures import open_target
from service.engine.dissect import name_neurons, show_images
from service.engine.dissectors import open_dissector
from service.engine.evidence.exams import Exams
from service.engine.probing.activations import LayerActivations, RunningSummary
from service.engine.probing.probe import LayerRecord, Probing, ProbingPass
from service.engine.scoring import embed_concepts
from service.probes.images import open_images

_NO_COMPARISON = UUID(int=0)


class Dissected(NamedTuple):
    """What an audit takes from a dissection."""

    labels: NetworkLabels
    facts: NetworkFacts


@dataclass(frozen=True)
class ShownExams:
    """What a network and a dissector made of images.

    layers: activations [N, U] of each. embeddings: of the same images [N, D]. texts: of the concepts [C, D]. names: see
    `service.engine.dissect.dissect`.
    """

    items: Sequence[ProbeItem]
    layers: Mapping[str, Tensor]
    embeddings: Tensor
    texts: Tensor
    concept_set: ConceptSet
    names: Mapping[int, str]

    def exams(self) -> list[list[int]]:
        """The images of each exam."""
        exams = Exams.of(group_images(self.items))
        images: list[list[int]] = [[] for _ in range(exams.count)]
        for image, exam in enumerate(exams.of_image.tolist()):
            images[exam].append(image)
        return images

    def dissect(self, exams: Sequence[Sequence[int]], options: DissectionOptions) -> Dissected:
        """The dissection that these exams alone would have given."""
        images = list(chain.from_iterable(exams))
        items = [self.items[image] for image in images]
        probing = Probing(
            {layer: _record(activations[images]) for layer, activations in self.layers.items()},
            [self.embeddings[images]],
            list(range(len(images))),
        )
        named = name_neurons(
            probing,
            items,
            self.texts,
            self.concept_set,
            options,
            finding_of_concept=self.names,
            progress=lambda _: None,
        )
        watched = len(self.concept_set.watched)
        layers, evidence = control_discoveries(named.layers, named.evidence, watched=watched)
        return Dissected(read_labels(layers), network_facts(layers, self.concept_set, evidence))


def facts_of_audit(baseline: Dissected, now: Dissected, concept_set: ConceptSet) -> AuditFacts:
    """The facts of an audit of another network of the same architecture."""
    comparison = compare(
        [baseline.labels, now.labels],
        ["one"] * 2,
        concept_set,
        not_tested_reasons=[None, None],
        concept_embeddings=None,
    )
    return AuditFacts(now.facts, baseline=baseline.facts, drift=drift_facts(_NO_COMPARISON, comparison))


def show(target: TargetSpec, dissector: DissectorSpec, probes: ProbeSet, layers: Sequence[str]) -> ShownExams:
    """Show all images of a probe set with findings to both networks, on the CPU."""
    device, concept_set = torch.device("cpu"), builtin_concept_set("bi-rads")
    opened = open_dissector(dissector, device)
    probing_pass = ProbingPass(
        target=open_target(target, device, keep_layers=layers),
        dissector=opened,
        images=open_images(probes),
        options=DissectionOptions(tuple(layers)),
        device=device,
    )
    probing = show_images(probing_pass, progress=lambda _: None)
    with torch.inference_mode():
        texts = embed_concepts(opened, concept_set.texts)
    records = probing.layers.items()
    activations = {layer: record.activations.matrix() for layer, record in records if record.activations is not None}
    names = name_findings(concept_set, probes.findings)
    return ShownExams(probes.items, activations, torch.cat(probing.embeddings), texts, concept_set, names)


def audit_other_exams(
    shown: ShownExams, policy: Policy, options: DissectionOptions, *, exams: int, audits: int
) -> list[tuple[AuditFacts, Judgement]]:
    """Audits of one network whose baseline saw as many other exams: each draws two sets that share none.

    One audit's exams may be another's. In one process a core, for threads would wait for each other.
    """
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _keep, (shown,)) as processes:
        return list(processes.map(partial(_audit_kept, policy, options, exams), range(audits)))


def audit_exams(
    shown: ShownExams, policy: Policy, options: DissectionOptions, exams: int, seed: int
) -> tuple[AuditFacts, Judgement]:
    """The audit of one draw. policy: bound."""
    drawn = random.Random(seed).sample(shown.exams(), 2 * exams)
    facts = facts_of_audit(
        shown.dissect(drawn[:exams], options), shown.dissect(drawn[exams:], options), shown.concept_set
    )
    return facts, judge(policy, facts)


_kept: list[ShownExams] = []


def _keep(shown: ShownExams) -> None:
    torch.set_num_threads(1)
    _kept[:] = [shown]


def _audit_kept(policy: Policy, options: DissectionOptions, exams: int, seed: int) -> tuple[AuditFacts, Judgement]:
    return audit_exams(_kept[0], policy, options, exams, seed)


def _record(activations: Tensor) -> LayerRecord:
    record = LayerRecord(None, RunningSummary(), LayerActivations())
    record.update(activations)
    return record
