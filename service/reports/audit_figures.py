"""The figures of an audit beside those of its baseline and of the audit before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from service.domain.audit_facts import AuditFacts, NetworkFacts, RuleOutcome
from service.domain.audits import Audit
from service.domain.comparisons import Measured
from service.domain.policies import Outcome, Verdict

FigureUnit = Literal["neurons", "share", "bits"]

_NETWORK_FIGURES: tuple[tuple[str, FigureUnit], ...] = (
    ("live neurons", "neurons"),
    ("neurons with a significant label", "neurons"),
    ("share of the live ones with a significant label", "share"),
    ("share of the live ones that respond to watched concepts", "share"),
    ("resamples that keep the median label", "share"),
)


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A figure in this audit, in the baseline and in the last audit. None: it is not known there."""

    name: str
    unit: FigureUnit
    now: float | None
    baseline: float | None
    last: float | None

    @property
    def moved(self) -> bool:
        """Is it known in both audits, and another?"""
        return self.now is not None and self.last is not None and self.now != self.last


@dataclass(frozen=True, slots=True)
class OutcomeChange:
    """A rule with another outcome than in the last audit. None: the rule was not there."""

    rule: str
    stratum: str | None
    then: Outcome | None
    now: Outcome | None


@dataclass(frozen=True, slots=True)
class PartChange:
    """Something that the audit was made with, and the last audit with something else."""

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
    """The exams with one value of a stratum in figures; without a dissection, or any inference, the reason."""

    stratum: str
    value: str
    exams: int
    live: int | None
    significant_share: float | None
    watched_share: float | None
    stability: float | None
    outcomes: tuple[Outcome, ...]
    reason: str | None


def key_figures(facts: AuditFacts, last: AuditFacts | None) -> tuple[KeyFigure, ...]:
    """The figures that every audit has."""
    networks = (facts.network, facts.baseline, None if last is None else last.network)
    columns = zip(*map(_of_network, networks), strict=True)
    figures = [KeyFigure(name, unit, *values) for (name, unit), values in zip(_NETWORK_FIGURES, columns, strict=True)]
    figures.append(KeyFigure("divergence from the baseline", "bits", _divergence(facts), None, _divergence(last)))
    figures.append(KeyFigure("labels that are not the baseline's", "share", _labels(facts), None, _labels(last)))
    return tuple(figures)


def since_last(audit: Audit, last: Audit) -> SinceLast:
    """This audit against the last one."""
    figures: tuple[KeyFigure, ...] = ()
    if audit.facts is not None and last.facts is not None:
        both = (*key_figures(audit.facts, last.facts), *_category_figures(audit.facts, last.facts))
        figures = tuple(one for one in both if one.moved)
    return SinceLast(
        audit=last.id,
        finished_at=in_utc(last.finished_at),
        then=last.verdict,
        now=audit.verdict,
        parts=tuple(_changed_parts(audit, last)),
        outcomes=() if audit.judgement is None else tuple(_changed_outcomes(audit, last)),
        figures=figures,
    )


def strata_lines(facts: AuditFacts, outcomes: tuple[RuleOutcome, ...]) -> tuple[StratumLine, ...]:
    """Every value of every stratum that a rule looked into."""
    return tuple(
        StratumLine(
            stratum=name,
            value=one.value,
            exams=one.exams,
            live=None if one.network is None else one.network.live,
            significant_share=None if one.network is None else one.network.significant_share,
            watched_share=None if one.network is None else one.network.watched_share,
            stability=None if one.network is None else one.network.stability,
            outcomes=tuple(found.outcome for found in outcomes if found.stratum == f"{name}={one.value}"),
            reason=one.reason or (None if one.network is None else one.network.refused),
        )
        for name, its in facts.strata.items()
        for one in its
    )


def in_utc(moment: datetime | None) -> datetime | None:
    """The same moment in UTC, so that a report does not depend on where it is made."""
    return None if moment is None else moment.astimezone(UTC)


def _changed_parts(audit: Audit, last: Audit) -> Iterator[PartChange]:
    pairs = [
        ("target", last.target.reference, audit.target.reference),
        ("policy", last.policy_reference, audit.policy_reference),
        ("baseline", _text(last.baseline), _text(audit.baseline)),
    ]
    yield from (PartChange(part, then, now) for part, then, now in pairs if then != now)


def _changed_outcomes(audit: Audit, last: Audit) -> Iterator[OutcomeChange]:
    then, now = _by_rule(last), _by_rule(audit)
    for key in (*now, *(key for key in then if key not in now)):
        if then.get(key) != now.get(key):
            rule, _, stratum, _ = key
            yield OutcomeChange(rule, stratum, then.get(key), now.get(key))


def _by_rule(audit: Audit) -> dict[tuple[str, str, str | None, int], Outcome]:
    """Outcomes by name, kind and stratum; a policy may hold the same rule twice, so by its turn among those, too."""
    found: dict[tuple[str, str, str | None, int], Outcome] = {}
    for one in () if audit.judgement is None else audit.judgement.outcomes:
        turn = 0
        while (one.rule, one.kind, one.stratum, turn) in found:
            turn += 1
        found[one.rule, one.kind, one.stratum, turn] = one.outcome
    return found


def _category_figures(facts: AuditFacts, last: AuditFacts) -> Iterator[KeyFigure]:
    if facts.network.refused is not None or last.network.refused is not None:
        return
    now, then = facts.network.categories, last.network.categories
    for name in sorted({*now, *then}):
        before = None if facts.baseline is None else facts.baseline.categories.get(name, 0)
        yield KeyFigure(f"neurons of {name}", "neurons", now.get(name, 0), before, then.get(name, 0))


def _of_network(network: NetworkFacts | None) -> tuple[float | None, ...]:
    """In the order of `_NETWORK_FIGURES`."""
    if network is None:
        return (None,) * len(_NETWORK_FIGURES)
    significant = network.significant if network.is_judged else None
    return network.live, significant, network.significant_share, network.watched_share, network.stability


def _divergence(facts: AuditFacts | None) -> float | None:
    return None if facts is None or facts.drift is None else facts.drift.divergence.value


def _labels(facts: AuditFacts | None) -> float | None:
    measured: Measured | None = None if facts is None or facts.drift is None else facts.drift.labels
    return None if measured is None else measured.value


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
