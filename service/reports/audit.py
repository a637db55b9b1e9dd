"""The report on an audit: its content, as HTML and as the JSON that is signed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from service.analysis.policy_codec import policy_as_json
from service.domain.audit_facts import AuditFacts, RuleOutcome
from service.domain.audits import Acknowledgement, Audit, AuditStatus, Trigger
from service.domain.json_values import JsonObject
from service.domain.manifests import images_shown, input_warnings
from service.domain.policies import Severity, Verdict
from service.domain.resources import Resource
from service.reports.audit_figures import (
    KeyFigure,
    SinceLast,
    StratumLine,
    in_utc,
    key_figures,
    since_last,
    strata_lines,
)
from service.reports.audit_wording import (
    audit_limits,
    audit_sentences,
    figure_words,
    meaning,
    measure,
    rule_words,
    verdict_word,
)
from service.reports.finding_lines import finding_sentences
from service.reports.html import render

FORMAT: Final = "mammodissect-audit-report/1"

_WORST_FIRST = ("fail", "warn", "not-testable", "pass")


@dataclass(frozen=True, slots=True)
class Part:
    """A registered thing that the audit was made with."""

    part: str
    """What it is: target, probe set, ..."""
    reference: str
    digest: str
    """Of its content."""


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule in words."""

    name: str
    kind: str
    asks: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class AppliedPolicy:
    """The policy as it was bound when the audit began."""

    reference: str
    digest: str
    """Of the registered version."""
    registered_at: datetime | None
    fixed_at: datetime | None
    """When the audit began; nothing was measured before."""
    document: JsonObject
    """As it was applied."""
    rules: tuple[RuleLine, ...]


@dataclass(frozen=True, slots=True)
class BaselineLine:
    """The dissection that the audit was compared with."""

    job: UUID
    target: str
    target_digest: str
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditParts:
    """What an audit was made with."""

    resources: Sequence[tuple[str, Resource]]
    """Each with what it is: target, probe set, ..."""
    policy: Resource
    baseline: BaselineLine | None
    manifest: JsonObject | None
    """Of its dissection, without the evidence; None where it has no result."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Everything that a report on an audit says: the JSON holds exactly this.

    Nothing in it depends on when or where the report is made. verdict follows from policy.document and facts, so that
    anybody can compute it again.
    """

    format: str
    audit: UUID
    deployment: str
    status: AuditStatus
    verdict: Verdict | None
    means: str
    means_not: str
    summary: tuple[str, ...]
    trigger: Trigger
    schedule: UUID | None
    fire_time: datetime | None
    began_at: datetime | None
    finished_at: datetime | None
    candidate: bool
    proposal: bool
    job: UUID | None
    parts: tuple[Part, ...]
    policy: AppliedPolicy
    outcomes: tuple[RuleOutcome, ...]
    figures: tuple[KeyFigure, ...]
    strata: tuple[StratumLine, ...]
    baseline: BaselineLine | None
    since_last: SinceLast | None
    acknowledgement: Acknowledgement | None
    problem: JsonObject | None
    facts: AuditFacts | None
    manifest: JsonObject | None
    limits: tuple[str, ...]


AUDIT_REPORT = TypeAdapter(AuditReport)


def report_audit(audit: Audit, parts: AuditParts, last: Audit | None) -> AuditReport:
    """Sum up an audit that has ended. last: the last audit of the deployment that was judged before this one began."""
    facts = audit.facts
    manifest = parts.manifest
    outcomes = () if audit.judgement is None else audit.judgement.outcomes
    means, means_not = meaning(audit.status, audit.judgement)

    since = None if last is None else since_last(audit, last)
    last_facts = None if last is None else last.facts

    return AuditReport(
        format=FORMAT,
        audit=audit.id,
        deployment=audit.deployment,
        status=audit.status,
        verdict=audit.verdict,
        means=means,
        means_not=means_not,
        summary=tuple(audit_sentences(outcomes, facts, since, candidate=audit.candidate)),
        trigger=audit.trigger,
        schedule=audit.schedule,
        fire_time=in_utc(audit.fire_time),
        began_at=in_utc(audit.created_at),
        finished_at=in_utc(audit.finished_at),
        candidate=audit.candidate,
        proposal=audit.proposal,
        job=audit.job,
        parts=tuple(Part(part, resource.reference, resource.digest) for part, resource in parts.resources),
        policy=_applied(audit, parts.policy),
        outcomes=outcomes,
        figures=() if facts is None else key_figures(facts, last_facts),
        strata=() if facts is None else strata_lines(facts, outcomes),
        baseline=parts.baseline,
        since_last=since,
        acknowledgement=_acknowledged_in_utc(audit.acknowledgement),
        problem=audit.problem,
        facts=facts,
        manifest=manifest,
        limits=(
            *audit_limits(audit.policy, outcomes, images_shown(manifest)),
            *input_warnings(manifest),
            *finding_sentences(manifest),
        ),
    )


def audit_json(report: AuditReport) -> bytes:
    """The report as UTF-8 JSON: always the same bytes for the same report, because these are signed."""
    return AUDIT_REPORT.dump_json(report, indent=1) + b"\n"


def audit_html(report: AuditReport) -> str:
    """The report as one HTML file. It names the SHA-256 of the JSON, which is what is signed."""
    worst_first = sorted(report.outcomes, key=lambda outcome: _WORST_FIRST.index(outcome.outcome))

    return render(
        "audit.html",
        report=report,
        word=verdict_word(report.verdict),
        word_of=verdict_word,
        tone=report.verdict or "none",
        worst_first=worst_first,
        figure_words=figure_words,
        measure=measure,
        json_sha256=hashlib.sha256(audit_json(report)).hexdigest(),
    )


def _applied(audit: Audit, policy: Resource) -> AppliedPolicy:
    rules = (
        RuleLine(name=rule.name or rule.rule, kind=rule.rule, asks=rule_words(rule), severity=rule.severity)
        for rule in audit.policy.rules
    )
    return AppliedPolicy(
        reference=audit.policy_reference,
        digest=audit.policy_digest,
        registered_at=in_utc(policy.created_at),
        fixed_at=in_utc(audit.created_at),
        document=policy_as_json(audit.policy),
        rules=tuple(rules),
    )


def _acknowledged_in_utc(acknowledgement: Acknowledgement | None) -> Acknowledgement | None:
    if acknowledgement is None:
        return None
    return Acknowledgement(acknowledgement.by, acknowledgement.reason, acknowledgement.at.astimezone(UTC))
