"""What was inferred in a dissection as a whole, and what its dissector can see."""

from service.domain.evidence import JobEvidence
from service.domain.verdicts import JobVerdicts
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.evidence.watched_known import qualify_watched


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
        watched=qualify_watched(context, context.qualifications),
        verdicts=_no_verdicts(context),
    )


def _no_verdicts(context: ScoringContext) -> JobVerdicts | None:
    """That there are none, where activations were not kept; otherwise nothing is known before all layers are."""
    refused = context.why_no_activations
    if refused is None:
        return None
    allowed_error = context.options.evidence.allowed_error
    return JobVerdicts(allowed_error, None, 0.0, 0, 0.0, refused=refused)


def _no_agreement(context: ScoringContext, *, known: bool) -> str | None:
    """Why agreement was not measured. known: whether the findings of any image are."""
    if not known:
        return "The probe set's manifest has no findings."
    if not context.finding_of_concept:
        return "No concept names a finding of the probe set."
    if context.options.evidence.halves == 0:
        return "No splits into halves were asked for."
    return context.why_no_activations
