"""From a policy and the facts of an audit to its verdict: a pure function, so that anybody can compute it again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from service.analysis.noise import FLOOR, largest, percentile
from service.domain.audit_facts import (
    AuditFacts,
    CategoryChange,
    Figure,
    Judgement,
    NetworkFacts,
    RuleOutcome,
    StratumFacts,
)
from service.domain.comparisons import Measured
from service.domain.policies import (
    CategoryLoss,
    Divergence,
    LabelChurn,
    Outcome,
    Policy,
    RequiredCategories,
    RequiredConcepts,
    Rule,
    SignificantShare,
    Stability,
    StratifiedRule,
    Verdict,
    WatchedShare,
)

REPRODUCIBILITY = "reproducibility"
"""The rule that no policy has to name: the baseline's network gives the baseline's result."""

_Found = tuple[bool | None, str, Mapping[str, Figure]]
"""Is the rule kept (None: it cannot be tested)? The reason as a sentence; the figures."""

_SEVERITY: Mapping[Verdict, int] = {"pass": 0, "warn": 1, "fail": 2}
_NO_BASELINE = "No baseline is pinned."


def judge(policy: Policy, facts: AuditFacts) -> Judgement:
    """The outcome of every rule and the worst of them as the verdict.

    policy: bound to the audit's concept set, see `bind_policy`. A network that is the baseline's and does not give the
    baseline's very result fails whatever the rules say, for then nothing measured here can be trusted. Where it was
    dissected on another device or by other versions, whose numbers need not be the same bit by bit, that is not tested.
    """
    outcomes = tuple(_outcomes(policy, facts))
    worst = max((weight(policy, one.outcome) for one in outcomes), key=_SEVERITY.__getitem__)
    return Judgement(worst, outcomes)


def weight(policy: Policy, outcome: Outcome) -> Verdict:
    """What an outcome by itself makes of the audit: what cannot be tested weighs as the policy says."""
    return policy.not_testable if outcome == "not-testable" else outcome


def _outcomes(policy: Policy, facts: AuditFacts) -> Iterator[RuleOutcome]:
    if facts.same_network:
        yield _reproduced(facts)
    for rule in policy.rules:
        if not isinstance(rule, StratifiedRule) or rule.by is None:
            yield _outcome(rule, None, _test(rule, facts))
            continue
        for stratum in facts.strata.get(rule.by, ()):
            yield _outcome(rule, f"{rule.by}={stratum.value}", _test_stratum(rule, stratum, facts))
        if not facts.strata.get(rule.by):
            yield _outcome(rule, rule.by, (None, f"No image of the probe set has a value for {rule.by}.", {}))


def _reproduced(facts: AuditFacts) -> RuleOutcome:
    outcome: Outcome
    if bool(facts.identical) and facts.drift is not None and facts.drift.zero:
        outcome, reason = "pass", "The baseline's network gave the baseline's result bit by bit."
    elif facts.made_otherwise:
        made = _listed(facts.made_otherwise)
        outcome, reason = "not-testable", f"Not bit by bit the baseline's result, which was made otherwise: {made}."
    else:
        outcome = "fail"
        reason = "Not reproducible: the baseline's network did not give the baseline's result."
    return RuleOutcome(REPRODUCIBILITY, REPRODUCIBILITY, None, outcome, reason)


def _outcome(rule: Rule, stratum: str | None, found: _Found) -> RuleOutcome:
    kept, reason, figures = found
    outcome: Outcome = "not-testable" if kept is None else "pass" if kept else rule.severity
    return RuleOutcome(rule.name or rule.rule, rule.rule, stratum, outcome, reason, figures)


def _test_stratum(rule: StratifiedRule, stratum: StratumFacts, facts: AuditFacts) -> _Found:
    figures = {"exams": stratum.exams}
    if stratum.exams < rule.least_exams:
        return None, f"{stratum.exams} exams, and the rule wants {rule.least_exams}.", figures
    if stratum.network is None:
        return None, stratum.reason or "These exams were not dissected.", figures
    kept, reason, more = _test(rule, AuditFacts(stratum.network, baseline=facts.baseline))
    return kept, reason, {**figures, **more}


@singledispatch
def _test(rule: Any, facts: AuditFacts) -> _Found:
    raise TypeError(f"no test for {type(rule).__name__}: {facts}")


@_test.register
def _(rule: SignificantShare, facts: AuditFacts) -> _Found:
    network = facts.network
    if unjudged := _unjudged(network):
        return unjudged
    share = network.significant / network.live
    reason = f"{network.significant} of {network.live} live neurons have a significant label ({share:.1%})."
    return share >= rule.at_least, reason, {"share": share, "at_least": rule.at_least}


@_test.register
def _(rule: RequiredConcepts, facts: AuditFacts) -> _Found:
    network = facts.network
    if unjudged := _unjudged(network):
        return unjudged
    without = [text for text in rule.concepts if not network.concepts.get(text)]
    unseen = tuple(f"{text}: {network.unseen[text]}" for text in without if text in network.unseen)
    missing = tuple(text for text in without if text not in network.unseen)
    figures: dict[str, Figure] = {"required": len(rule.concepts), "missing": missing, "not_testable": unseen}
    if missing:
        return False, f"No neuron stands for {_listed(missing)}.", figures
    apart = f"; {len(unseen)} cannot be tested" if unseen else ""
    if len(unseen) == len(rule.concepts):
        return None, "None of the concepts can be tested.", figures
    return True, f"{len(rule.concepts) - len(unseen)} of {len(rule.concepts)} concepts have a neuron{apart}.", figures


@_test.register
def _(rule: RequiredCategories, facts: AuditFacts) -> _Found:
    network = facts.network
    if unjudged := _unjudged(network):
        return unjudged
    short = tuple(name for name in rule.categories if network.categories.get(name, 0) < rule.at_least)
    figures = {"at_least": rule.at_least, **{name: network.categories.get(name, 0) for name in rule.categories}}
    if short:
        return False, f"Fewer than {rule.at_least} neurons stand for {_listed(short)}.", figures
    return True, f"Each of {len(rule.categories)} categories has {rule.at_least} neurons or more.", figures


@_test.register
def _(rule: WatchedShare, facts: AuditFacts) -> _Found:
    if unjudged := _unjudged(facts.network):
        return unjudged
    share = _watching(facts.network, rule.concepts)
    figures: dict[str, Figure] = {"share": share, "at_most": rule.at_most}
    whom = "watched concepts" if rule.concepts is None else _listed(rule.concepts)
    if rule.above_baseline:
        if facts.baseline is None:
            return None, _NO_BASELINE, figures
        if unjudged := _unjudged(facts.baseline):
            return unjudged
        return _watching_more(rule, facts.network, facts.baseline, f"{share:.1%} of the live neurons respond to {whom}")
    return share <= rule.at_most, f"{share:.1%} of the live neurons respond to {whom}.", figures


@_test.register
def _(rule: Stability, facts: AuditFacts) -> _Found:
    if unjudged := _unjudged(facts.network):
        return unjudged
    stability = facts.network.stability
    figures: dict[str, Figure] = {"stability": stability, "at_least": rule.at_least}
    if not facts.network.significant:
        return False, "No neuron has a significant label.", figures
    if stability is None:
        return None, "No significant label was resampled.", figures
    return stability >= rule.at_least, f"The median label is kept in {stability:.0%} of the resamples.", figures


@_test.register
def _(rule: CategoryLoss, facts: AuditFacts) -> _Found:
    if unjudged := _unjudged(facts.network):
        return unjudged
    if facts.drift is None:
        return None, _NO_BASELINE, {}
    watched = [one for one in facts.drift.categories if rule.categories is None or one.name in rule.categories]
    absent = tuple(name for name in rule.categories or () if name not in {one.name for one in watched})
    figures: dict[str, Figure] = {"at_most": rule.at_most, "not_in_baseline": absent}
    if not any(one.before for one in watched):
        return None, "The baseline has no neuron in these categories.", figures
    return _nothing_left(facts) or _lost(watched, rule.at_most, figures)


@_test.register
def _(rule: Divergence, facts: AuditFacts) -> _Found:
    if unjudged := _unjudged(facts.network):
        return unjudged
    if facts.drift is None:
        return None, _NO_BASELINE, {}
    if nothing_left := _nothing_left(facts):
        return nothing_left
    return _moved(facts.drift.divergence, rule.at_most, lambda value: f"The composition moved by {value:.3g} bits")


@_test.register
def _(rule: LabelChurn, facts: AuditFacts) -> _Found:
    if unjudged := _unjudged(facts.network):
        return unjudged
    if facts.drift is None:
        return None, _NO_BASELINE, {}
    if nothing_left := _nothing_left(facts):
        return nothing_left
    if facts.drift.labels is None:
        return None, "Another architecture has no units to pair with the baseline's.", {}
    return _moved(facts.drift.labels, rule.at_most, lambda value: f"{value:.1%} of the labels differ")


def _lost(watched: Sequence[CategoryChange], at_most: float, figures: Mapping[str, Figure]) -> _Found:
    if any(one.exceeds_noise is None for one in watched):
        return None, "Exams were not resampled, so nothing is known of the noise.", figures
    lost = [one for one in watched if one.exceeds_noise and _loss(one) > at_most]
    figures = {
        **figures,
        **{one.name: f"{one.before} to {one.before + one.gain:g} (noise {one.noise:.3g})" for one in lost},
    }
    if lost:
        return False, f"Lost beyond the noise: {_listed(f'{one.name} ({_loss(one):.0%})' for one in lost)}.", figures
    return True, f"No category lost more than {at_most:.0%} beyond the noise.", figures


def _moved(measured: Measured, at_most: float, told: Callable[[float], str]) -> _Found:
    figures = {"value": measured.value, "noise": measured.noise, "at_most": at_most}
    if measured.value is None or measured.noise is None:
        return None, "There is nothing to measure it by.", figures
    kept = measured.value <= at_most or not measured.exceeds_noise
    return kept, f"{told(measured.value)}; exams alone: {measured.noise:.3g}.", figures


def _unjudged(network: NetworkFacts) -> _Found | None:
    if network.refused is not None:
        return None, f"Nothing was inferred. {network.refused}", {}
    if network.live == 0:
        return False, "Every neuron is dead.", {"live": 0, "units": network.units}
    return None


def _nothing_left(facts: AuditFacts) -> _Found | None:
    """Without a single label there is nothing to measure drift by, and all that the baseline had is lost."""
    before = 0 if facts.baseline is None else facts.baseline.significant
    if facts.network.significant or not before:
        return None
    reason = f"No neuron has a significant label; {before} had one in the baseline."
    return False, reason, {"significant": 0, "baseline": before}


def _watching(network: NetworkFacts, concepts: Iterable[str] | None) -> float:
    wanted = None if concepts is None else set(concepts)
    return sum(wanted is None or bool(wanted.intersection(one)) for one in network.responses) / network.live


def _watching_more(rule: WatchedShare, network: NetworkFacts, baseline: NetworkFacts, told: str) -> _Found:
    share, before = _watching(network, rule.concepts), _watching(baseline, rule.concepts)
    noise = largest(_watching_noise(network, rule.concepts), _watching_noise(baseline, rule.concepts))
    figures: dict[str, Figure] = {"share": share, "at_most": rule.at_most, "baseline": before, "noise": noise}
    if share - before <= rule.at_most:
        return True, f"{told}, {before:.1%} in the baseline.", figures
    if noise is None:
        return (
            None,
            f"{told}, {before:.1%} in the baseline; exams were not split, so nothing is known of the noise.",
            figures,
        )
    return share - before <= noise, f"{told}, {before:.1%} in the baseline; exams alone: {noise:.1%}.", figures


def _watching_noise(network: NetworkFacts, concepts: Iterable[str] | None) -> float | None:
    """How far two halves of the exams differ in the share that they name after the concepts; None without halves."""
    if not network.halves:
        return None
    wanted = network.watched_halves if concepts is None else set(concepts).intersection(network.watched_halves)
    counts = np.array([network.watched_halves[text] for text in wanted]).reshape(-1, network.halves, 2).sum(axis=0)
    return percentile(np.abs(counts[:, 0] - counts[:, 1]) / network.live, FLOOR)


def _loss(change: CategoryChange) -> float:
    return -change.gain / change.before if change.before else 0.0


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
