"""What was inferred in a dissection as a whole, and what its dissector can see."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence, Qualification
from service.domain.groups import group_images
from service.domain.jobs import DissectionOptions
from service.domain.probes import ProbeItem
from service.engine.evidence.exams import Exams
from service.engine.evidence.judging import refusal
from service.engine.evidence.qualification import qualify


def job_evidence(
    items: Sequence[ProbeItem],
    embeddings: Callable[[Tensor], Tensor],
    texts: Tensor,
    concept_set: ConceptSet,
    options: DissectionOptions,
    names: Mapping[int, str],
    *,
    every_activation: bool,
) -> JobEvidence | None:
    """None where no evidence was asked for. The number of tests and the largest significant p are not known yet.

    items, embeddings, texts, names: as for `score_layer`. every_activation: whether all activations were kept.
    """
    if options.evidence.draws == 0:
        return None
    groups = group_images(items)
    exams = Exams.of(groups)
    findings = sorted({finding for item in items for finding in item.findings or ()})
    known, refused = any(item.findings is not None for item in items), refusal(exams, options)

    return JobEvidence(
        drawn_by=exams.unit,
        units=exams.count,
        refused=refused,
        findings=tuple(findings) if known else None,
        no_agreement=refused or _no_agreement(known, options, names, every_activation),
        qualifications=_qualifications(items, embeddings, texts, concept_set, exams, names),
        nameless=groups.nameless,
        repeated=groups.repeated,
    )


def _no_agreement(
    known: bool, options: DissectionOptions, names: Mapping[int, str], every_activation: bool
) -> str | None:
    if not known:
        return "The probe set's manifest has no findings."
    if not names:
        return "No concept names a finding of the probe set."
    if options.evidence.halves == 0:
        return "No splits into halves were asked for."
    return None if every_activation else "All activations of these layers and images are too many to keep."


def _qualifications(
    items: Sequence[ProbeItem],
    embeddings: Callable[[Tensor], Tensor],
    texts: Tensor,
    concept_set: ConceptSet,
    exams: Exams,
    names: Mapping[int, str],
) -> tuple[Qualification, ...]:
    labelled = _labelled_once(items)
    if not labelled or not names:
        return ()

    positions = torch.tensor(labelled)
    return qualify(
        embeddings(positions).to(texts.device),
        texts,
        concept_set.texts,
        names,
        [items[position].findings for position in labelled],
        exams.of_image[positions].tolist(),
    )


def _labelled_once(items: Sequence[ProbeItem]) -> list[int]:
    """Positions of the items whose findings are known; of files with the same bytes and findings the first only.

    Copies would make a few images look like enough of them.
    """
    labelled = []
    seen = set()
    for position, item in enumerate(items):
        if item.findings is None:
            continue
        content = (item.sha256, item.box, item.findings)
        if item.sha256 is not None and content in seen:
            continue
        seen.add(content)
        labelled.append(position)
    return labelled
