"""What was inferred in a dissection as a whole, and what its dissector can see."""

from collections.abc import Sequence

import torch

from service.domain.evidence import JobEvidence, Qualification
from service.domain.probes import ProbeItem
from service.domain.watching import KnownByColumn, known_by_columns
from service.engine.evidence.qualification import qualify
from service.engine.evidence.scoring_context import ScoringContext


def job_evidence(context: ScoringContext) -> JobEvidence | None:
    """None where no evidence was asked for. The number of tests and the largest significant p are not known yet."""
    if not context.options.evidence.asked_for:
        return None

    known = any(findings is not None for findings in context.findings)
    findings = sorted({finding for item in context.items for finding in item.findings or ()})
    why_not_tested = context.why_not_tested
    why_no_agreement = why_not_tested or _no_agreement(context, known=known)

    qualifications = _qualifications(context)
    return JobEvidence(
        drawn_by=context.exams.unit,
        units=context.exams.count,
        refused=why_not_tested,
        findings=tuple(findings) if known else None,
        no_agreement=why_no_agreement,
        qualifications=qualifications,
        nameless=context.groups.nameless,
        repeated=context.groups.repeated,
        independent=context.independent,
        watched=_watched(context, qualifications),
    )


def _no_agreement(context: ScoringContext, *, known: bool) -> str | None:
    """Why agreement was not measured. known: whether the findings of any image are."""
    if not known:
        return "The probe set's manifest has no findings."
    if not context.finding_of_concept:
        return "No concept names a finding of the probe set."
    if context.options.evidence.halves == 0:
        return "No splits into halves were asked for."
    return context.why_no_activations


def _qualifications(context: ScoringContext) -> tuple[Qualification, ...]:
    labelled = _labelled_once(context.items)
    if not labelled or not context.finding_of_concept:
        return ()

    positions = torch.tensor(labelled)
    return qualify(
        context.read_embeddings(positions).to(context.concept_embeddings.device),
        context.concept_embeddings,
        context.concept_set.texts,
        context.finding_of_concept,
        [context.findings[position] for position in labelled],
        context.exams.of_image[positions].tolist(),
    )


def _watched(context: ScoringContext, qualifications: Sequence[Qualification]) -> tuple[Qualification, ...]:
    """The watched concepts that a finding names, or that a column of the manifest knows."""
    watched = set(context.concept_set.watched)
    by_finding = [known for known in qualifications if known.concept in watched]
    named = {known.concept for known in by_finding}

    by_column: list[Qualification] = []
    for known in known_by_columns(context.concept_set, context.items):
        if known.concept not in named:
            by_column += _qualified_by_column(context, known)
    return tuple(sorted([*by_finding, *by_column], key=lambda known: known.concept))


def _qualified_by_column(context: ScoringContext, known: KnownByColumn) -> tuple[Qualification, ...]:
    shown = [position for position, shows in enumerate(known.shown) if shows is not None]
    positions = torch.tensor(shown)
    return qualify(
        context.read_embeddings(positions).to(context.concept_embeddings.device),
        context.concept_embeddings,
        context.concept_set.texts,
        {known.concept: known.words},
        [frozenset([known.words] if known.shown[position] else []) for position in shown],
        context.exams.of_image[positions].tolist(),
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
        content = (item.sha256, item.box, item.frame, item.findings)
        if item.sha256 is not None and content in seen:
            continue
        seen.add(content)
        labelled.append(position)
    return labelled
