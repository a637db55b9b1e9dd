"""The figures of an audit beside those of its baseline and of the audit before it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import UUID

from service.domain.audit_facts import AuditFacts, NetworkFacts, RuleOutcome, StratumFacts
from service.domain.audits import Audit
from service.domain.comparisons import Measured
from service.domain.policies import Outcome, Verdict
from service.domain.verdicts import Verdict as UnitVerdict

FigureUnit = Literal["neurons", "share", "bits"]

_NETWORK_FIGURES: tuple[tuple[str, FigureUnit], ...] = (
    ("live neurons", "neurons"),
    ("neurons with a significant label", "neurons"),
    ("share of the live ones with a significant label", "share"),
    ("share of the live ones that respond to watched concepts", "share"),
    ("resamples that keep the median label", "share"),
    ("share of the live ones that are named", "share"),
    ("share of the live ones that no concept says", "share"),
)


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A figure in this audit, in the baseline and in the last audit; None where it is not known there."""

    name: str
    unit: FigureUnit
    now: float | None
    baseline: float | None
    last: float | None

    @property
    def moved(self) -> bool:
        """Is it known in this audit and in the last one, and different?"""
        return self.now is not None and self.last is not None and self.now != self.last


@dataclass(frozen=True, slots=True)
class OutcomeChange:
    """A rule with another outcome than in the last audit; None where the rule was not there."""

    rule: str
    stratum: str | None
    then: Outcome | None
    now: Outcome | None


@dataclass(frozen=True, slots=True)
class PartChange:
    """Something that the audit was made with, where the last audit was made with something else."""

    part: str
    then: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class SinceLast:
    """What is different from the last audit of the deployment that had been judged when this one began."""

    audit: UUID
    finished_at: datetime | None
    then: Verdict | None
    now: Verdict | None
    parts: tuple[PartChange, ...]
    outcomes: tuple[OutcomeChange, ...]
    figures: tuple[KeyFigure, ...]


@dataclass(frozen=True, slots=True)
class StratumLine:
    """The exams with one value of a stratum in figures."""

    stratum: str
    value: str
    exams: int
    live: int | None
    significant_share: float | None
    watched_share: float | None
    stability: float | None
    outcomes: tuple[Outcome, ...]
    reason: str | None
    """Why they were not dissected, or why nothing was inferred."""


class _RuleKey(NamedTuple):
    """What a rule is known by from audit to audit."""

    name: str
    kind: str
    stratum: str | None
    turn: int
    """Its place among rules that are alike otherwise, because a policy may hold the same rule twice."""


def key_figures(facts: AuditFacts, last: AuditFacts | None) -> tuple[KeyFigure, ...]:
    """The figures that every audit has."""
    now = _of_network(facts.network)
    baseline = _of_network(facts.baseline)
    before = _of_network(None if last is None else last.network)

    figures = [
        KeyFigure(name, unit, now[place], baseline[place], before[place])
        for place, (name, unit) in enumerate(_NETWORK_FIGURES)
    ]
    figures.append(KeyFigure("divergence from the baseline", "bits", _divergence(facts), None, _divergence(last)))
    figures.append(KeyFigure("labels that are not the baseline's", "share", _labels(facts), None, _labels(last)))
    return tuple(figures)


def since_last(audit: Audit, last: Audit) -> SinceLast:
    """This audit against the last one."""
    figures: list[KeyFigure] = []
    if audit.facts is not None and last.facts is not None:
        figures += key_figures(audit.facts, last.facts)
        figures += _category_figures(audit.facts, last.facts)

    return SinceLast(
        audit=last.id,
        finished_at=in_utc(last.finished_at),
        then=last.verdict,
        now=audit.verdict,
        parts=tuple(_changed_parts(audit, last)),
        outcomes=() if audit.judgement is None else tuple(_changed_outcomes(audit, last)),
        figures=tuple(figure for figure in figures if figure.moved),
    )


def strata_lines(facts: AuditFacts, outcomes: tuple[RuleOutcome, ...]) -> tuple[StratumLine, ...]:
    """Every value of every stratum that a rule looked into."""
    lines: list[StratumLine] = []
    for stratum, values in facts.strata.items():
        lines += [_stratum_line(stratum, value, outcomes) for value in values]
    return tuple(lines)


def _stratum_line(stratum: str, value: StratumFacts, outcomes: tuple[RuleOutcome, ...]) -> StratumLine:
    network = value.network
    where = f"{stratum}={value.value}"

    return StratumLine(
        stratum=stratum,
        value=value.value,
        exams=value.exams,
        live=None if network is None else network.live,
        significant_share=None if network is None else network.significant_share,
        watched_share=None if network is None else network.watched_share,
        stability=None if network is None else network.stability,
        outcomes=tuple(outcome.outcome for outcome in outcomes if outcome.stratum == where),
        reason=value.reason or (None if network is None else network.refused),
    )


def in_utc(moment: datetime | None) -> datetime | None:
    """The same moment in UTC, so that a report does not depend on where it is made."""
    return None if moment is None else moment.astimezone(UTC)


def _changed_parts(audit: Audit, last: Audit) -> Iterator[PartChange]:
    parts = [
        ("target", last.target.reference, audit.target.reference),
        ("policy", last.policy_reference, audit.policy_reference),
        ("baseline", _text(last.baseline), _text(audit.baseline)),
    ]
    yield from (PartChange(part, then, now) for part, then, now in parts if then != now)


def _changed_outcomes(audit: Audit, last: Audit) -> Iterator[OutcomeChange]:
    then = _outcome_of_rule(last)
    now = _outcome_of_rule(audit)
    no_longer_there = [rule for rule in then if rule not in now]

    for rule in (*now, *no_longer_there):
        if then.get(rule) != now.get(rule):
            yield OutcomeChange(rule.name, rule.stratum, then.get(rule), now.get(rule))


def _outcome_of_rule(audit: Audit) -> dict[_RuleKey, Outcome]:
    outcomes = () if audit.judgement is None else audit.judgement.outcomes
    times_seen: Counter[tuple[str, str, str | None]] = Counter()

    outcome_of = {}
    for outcome in outcomes:
        rule = (outcome.rule, outcome.kind, outcome.stratum)
        outcome_of[_RuleKey(*rule, times_seen[rule])] = outcome.outcome
        times_seen[rule] += 1
    return outcome_of


def _category_figures(facts: AuditFacts, last: AuditFacts) -> Iterator[KeyFigure]:
    if facts.network.refused is not None or last.network.refused is not None:
        return

    now = facts.network.categories
    then = last.network.categories
    for name in sorted({*now, *then}):
        baseline = None if facts.baseline is None else facts.baseline.categories.get(name, 0)
        yield KeyFigure(f"neurons of {name}", "neurons", now.get(name, 0), baseline, then.get(name, 0))


def _of_network(network: NetworkFacts | None) -> tuple[float | None, ...]:
    """In the order of `_NETWORK_FIGURES`."""
    if network is None:
        return (None,) * len(_NETWORK_FIGURES)

    significant = network.significant if network.is_judged else None
    named, unnamed = network.share_of(UnitVerdict.NAMED), network.share_of(UnitVerdict.UNNAMED)
    return (
        network.live,
        significant,
        network.significant_share,
        network.watched_share,
        network.stability,
        named,
        unnamed,
    )


def _divergence(facts: AuditFacts | None) -> float | None:
    return None if facts is None or facts.drift is None else facts.drift.divergence.value


def _labels(facts: AuditFacts | None) -> float | None:
    measured: Measured | None = None if facts is None or facts.drift is None else facts.drift.labels
    return None if measured is None else measured.value


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
