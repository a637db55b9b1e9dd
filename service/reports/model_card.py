"""A model card from an audit, in markdown: what was measured, and gaps where only the deployer knows."""

from collections.abc import Iterator

from service.domain.manifests import entries_of
from service.reports.audit import AuditReport
from service.reports.audit_wording import measure, verdict_word
from service.reports.markdown import code, escaped, table
from service.reports.provenance import weights_words
from service.reports.purpose_lines import purpose_lines

_GAP = "_To be written by the deployer. This service does not know it._"


def model_card(report: AuditReport) -> str:
    """The card of the audited model."""
    target = next(part for part in report.parts if part.part == "target")
    lines = [
        f"# Model card: {escaped(target.reference)}",
        "",
        f"Written from audit {code(report.audit)} of the deployment {escaped(report.deployment)}. It holds what was "
        "measured inside the network, and claims nothing else.",
        "",
        "## Intended use",
        "",
        _GAP,
        "",
        "## Who may use it, and for whom it is not meant",
        "",
        _GAP,
        "",
        "## Training data and clinical performance",
        "",
        _GAP,
        "",
        *_verdict(report),
        *_measured(report),
        *_strata(report),
        *_purpose(report),
        "## Limits",
        "",
        *(f"* {escaped(sentence)}" for sentence in report.limits),
        "",
        *_digests(report),
    ]
    return "\n".join(lines)


def _verdict(report: AuditReport) -> Iterator[str]:
    yield from ("## What the audit found", "", f"**{verdict_word(report.verdict)}**. {escaped(report.means)}", "")
    yield from (f"What it does not say: {escaped(report.means_not)}", "")
    yield from (f"* {escaped(sentence)}" for sentence in report.summary)
    if report.problem is not None:
        yield f"* {escaped(report.problem.get('detail', ''))}"
    yield ""


def _measured(report: AuditReport) -> Iterator[str]:
    yield from ("## What was measured", "")
    if not report.figures:
        yield from ("Nothing was measured.", "")
        return

    figures = [
        (escaped(figure.name), measure(figure.now, figure.unit), measure(figure.baseline, figure.unit))
        for figure in report.figures
    ]
    yield from (*table(("figure", "this model", "baseline"), figures), "")

    outcomes = [
        (outcome.outcome, escaped(outcome.rule), escaped(outcome.stratum or "all exams"), escaped(outcome.reason))
        for outcome in report.outcomes
    ]
    yield from (*table(("outcome", "rule", "in", "why"), outcomes), "")


def _strata(report: AuditReport) -> Iterator[str]:
    yield from ("## Strata", "")
    if not report.strata:
        yield from ("No stratum was dissected.", "")
        return

    rows = [
        (
            escaped(f"{line.stratum} = {line.value}"),
            str(line.exams),
            measure(line.significant_share, "share"),
            measure(line.watched_share, "share"),
            measure(line.stability, "share"),
            escaped(line.reason or ""),
        )
        for line in report.strata
    ]
    yield from (*table(("exams with", "exams", "significant", "respond to watched", "stability", "note"), rows), "")


def _purpose(report: AuditReport) -> Iterator[str]:
    if report.manifest is None:
        return
    yield from ("## What the audit was for, and licences", "")
    yield from (f"* {escaped(name)}: {escaped(words)}" for name, words in purpose_lines(report.manifest))
    yield ""


def _digests(report: AuditReport) -> Iterator[str]:
    yield from ("## Digests", "")
    weights = weights_words(report.manifest)
    if weights:
        yield from (escaped(" ".join(weights)), "")

    rows = [(escaped(part.part), escaped(part.reference), code(part.digest)) for part in report.parts]
    rows.append(("policy", escaped(report.policy.reference), code(report.policy.digest)))

    target = entries_of(report.manifest, "target")
    rows += [
        (f"target, {escaped(name)}", "", code(value)) for name, value in target.items() if isinstance(value, str | int)
    ]

    versions = entries_of(report.manifest, "versions")
    rows += [(f"version of {escaped(name)}", "", code(value)) for name, value in versions.items()]

    yield from (*table(("part", "reference", "digest"), rows), "")
