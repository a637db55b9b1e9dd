"""What was inferred in a dissection as a whole, and what its dissector can see."""

import torch

from service.domain.evidence import JobEvidence, Qualification
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

    return JobEvidence(
        drawn_by=context.exams.unit,
        units=context.exams.count,
        refused=why_not_tested,
        findings=tuple(findings) if known else None,
        no_agreement=why_no_agreement,
        qualifications=context.qualifications,
        nameless=context.groups.nameless,
        repeated=context.groups.repeated,
        independent=context.independent,
        watched=_watched(context),
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


def _watched(context: ScoringContext) -> tuple[Qualification, ...]:
    """The watched concepts that a finding names, or that a column of the manifest knows."""
    watched = set(context.concept_set.watched)
    by_finding = [known for known in context.qualifications if known.concept in watched]
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
