"""How each kind of rule is tested against the facts of an audit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from service.analysis.differences import LEAST_RESAMPLES, Spread, variance_of_exams, variance_of_units
from service.analysis.noise import FLOOR, Floats, largest, percentile
from service.domain.audit_facts import AuditFacts, CategoryChange, Figure, NetworkFacts, UnitDependence
from service.domain.comparisons import Measured
from service.domain.policies import (
    CategoryLoss,
    Divergence,
    LabelChurn,
    RequiredCategories,
    RequiredConcepts,
    Rule,
    SignificantShare,
    Stability,
    VerdictShare,
    WatchedDependence,
    WatchedShare,
)


@dataclass(frozen=True, slots=True)
class TestResult:
    """What a rule's test says, before the rule's severity counts."""

    __test__ = False  # pytest takes every class named Test... for a test

    kept: bool | None
    """None where the rule cannot be tested."""
    reason: str
    """As a sentence."""
    figures: Mapping[str, Figure] = field(default_factory=dict)


class RuleTest(NamedTuple):
    """The test of one kind of rule."""

    test: Callable[[Any, AuditFacts], TestResult]
    """Takes a rule of that kind, and the facts of a network in which something is alive and judged."""
    needs_drift: bool
    """Whether the rule measures how far the network has moved from a baseline."""


NO_BASELINE = TestResult(None, "No baseline is pinned.")


def test_rule(rule: Rule, facts: AuditFacts) -> TestResult:
    """Test one rule. A dead network breaks every rule; one of which nothing was inferred leaves every rule untested."""
    unjudged = _if_unjudged(facts.network)
    if unjudged is not None:
        return unjudged

    rule_test = TESTS[type(rule)]
    if rule_test.needs_drift and facts.drift is None:
        return NO_BASELINE

    return rule_test.test(rule, facts)


def test_significant_share(rule: SignificantShare, facts: AuditFacts) -> TestResult:
    """See `SignificantShare`."""
    network = facts.network
    share = network.significant / network.live

    reason = f"{network.significant} of {network.live} live neurons have a significant label ({share:.1%})."
    return TestResult(share >= rule.at_least, reason, {"share": share, "at_least": rule.at_least})


def test_verdict_share(rule: VerdictShare, facts: AuditFacts) -> TestResult:
    """See `VerdictShare`."""
    network = facts.network
    if network.verdicts is None:
        why = f" {network.no_verdicts}" if network.no_verdicts else ""
        return TestResult(None, f"No neuron has a verdict.{why}")

    count = network.verdicts.count_of(rule.verdict)
    share = count / network.live
    figures: dict[str, Figure] = {"verdict": rule.verdict.value, "share": share}
    figures |= {name: bound for name in ("at_least", "at_most") if (bound := getattr(rule, name)) is not None}

    enough = rule.at_least is None or share >= rule.at_least
    few_enough = rule.at_most is None or share <= rule.at_most
    reason = f"{count} of {network.live} live neurons are {rule.verdict.in_words} ({share:.1%})."
    return TestResult(enough and few_enough, reason, figures)


def test_required_concepts(rule: RequiredConcepts, facts: AuditFacts) -> TestResult:
    """See `RequiredConcepts`."""
    network = facts.network
    required = len(rule.concepts)
    without_neuron = [text for text in rule.concepts if not network.concepts.get(text)]
    missing = tuple(text for text in without_neuron if text not in network.unseen)
    untestable = tuple(f"{text}: {network.unseen[text]}" for text in without_neuron if text in network.unseen)
    figures: dict[str, Figure] = {"required": required, "missing": missing, "not_testable": untestable}

    if missing:
        return TestResult(False, f"No neuron stands for {listed(missing)}.", figures)
    if len(untestable) == required:
        return TestResult(None, "None of the concepts can be tested.", figures)

    untested = f"; {len(untestable)} cannot be tested" if untestable else ""
    return TestResult(True, f"{required - len(untestable)} of {required} concepts have a neuron{untested}.", figures)


def test_required_categories(rule: RequiredCategories, facts: AuditFacts) -> TestResult:
    """See `RequiredCategories`."""
    neurons = {name: facts.network.categories.get(name, 0) for name in rule.categories}
    too_few = [name for name, count in neurons.items() if count < rule.at_least]
    figures = {"at_least": rule.at_least, **neurons}

    if too_few:
        return TestResult(False, f"Fewer than {rule.at_least} neurons stand for {listed(too_few)}.", figures)
    return TestResult(True, f"Each of {len(rule.categories)} categories has {rule.at_least} neurons or more.", figures)


def test_watched_share(rule: WatchedShare, facts: AuditFacts) -> TestResult:
    """See `WatchedShare`."""
    not_looked_for = _if_nobody_looked(facts.network, rule.concepts)
    if not_looked_for is not None:
        return not_looked_for

    share = _watched_share(facts.network, rule.concepts)
    figures: dict[str, Figure] = {"share": share, "at_most": rule.at_most}
    if not rule.above_baseline:
        return TestResult(share <= rule.at_most, f"{_watched_sentence(share, rule.concepts)}.", figures)
    if facts.baseline is None:
        return TestResult(None, NO_BASELINE.reason, figures)
    return _if_unjudged(facts.baseline) or _test_above_baseline(rule, facts.network, facts.baseline)


def test_watched_dependence(rule: WatchedDependence, facts: AuditFacts) -> TestResult:
    """See `WatchedDependence`. A neuron breaks it where the whole interval of its effect is above the threshold."""
    dependence = facts.dependence
    if dependence is None or dependence.refused is not None:
        reason = "Nothing was ablated." if dependence is None else dependence.refused
        return TestResult(None, f"It cannot be asked whether the outputs depend on them. {reason}")

    wanted = None if rule.concepts is None else set(rule.concepts)
    units = [unit for unit in dependence.units if wanted is None or not wanted.isdisjoint(unit.concepts)]
    figures: dict[str, Figure] = {"neurons": len(units), "at_most": rule.at_most}
    if not units and not dependence.left_out:
        whom = "watched concepts" if rule.concepts is None else listed(rule.concepts)
        return TestResult(True, f"No neuron responds to {whom}.", figures)

    most = max((unit for unit in units if unit.absolute is not None), key=_dependence_of, default=None)
    if most is not None:
        figures |= {"most": most.absolute, "low": most.low, "output": most.output, "neuron": _named(most)}
    return _test_dependences(rule, units, dependence.left_out, figures)


def test_stability(rule: Stability, facts: AuditFacts) -> TestResult:
    """See `Stability`."""
    stability = facts.network.stability
    figures: dict[str, Figure] = {"stability": stability, "at_least": rule.at_least}

    if not facts.network.significant:
        return TestResult(False, "No neuron has a significant label.", figures)
    if stability is None:
        return TestResult(None, "No significant label was resampled.", figures)

    reason = f"The median label is kept in {stability:.0%} of the resamples."
    return TestResult(stability >= rule.at_least, reason, figures)


def test_category_loss(rule: CategoryLoss, facts: AuditFacts) -> TestResult:
    """See `CategoryLoss`."""
    assert facts.drift is not None  # noqa: S101 - the table says that it is needed
    changes = [change for change in facts.drift.categories if rule.categories is None or change.name in rule.categories]
    known = {change.name for change in changes}
    absent = tuple(name for name in rule.categories or () if name not in known)
    figures: dict[str, Figure] = {"at_most": rule.at_most, "not_in_baseline": absent}

    if not any(change.before for change in changes):
        return TestResult(None, "The baseline has no neuron in these categories.", figures)
    return _if_every_label_is_lost(facts) or _test_losses(changes, rule.at_most, figures)


def test_divergence(rule: Divergence, facts: AuditFacts) -> TestResult:
    """See `Divergence`."""
    assert facts.drift is not None  # noqa: S101 - the table says that it is needed
    moved = facts.drift.divergence
    return _if_every_label_is_lost(facts) or _test_measured(
        moved, rule.at_most, f"The composition moved by {moved.value or 0:.3g} bits"
    )


def test_label_churn(rule: LabelChurn, facts: AuditFacts) -> TestResult:
    """See `LabelChurn`."""
    assert facts.drift is not None  # noqa: S101 - the table says that it is needed
    all_lost = _if_every_label_is_lost(facts)
    if all_lost is not None:
        return all_lost

    labels = facts.drift.labels
    if labels is None:
        return TestResult(None, "Another architecture has no units to pair with the baseline's.")
    return _test_measured(labels, rule.at_most, f"{labels.value or 0:.1%} of the labels differ")


TESTS: Mapping[type, RuleTest] = {
    SignificantShare: RuleTest(test_significant_share, needs_drift=False),
    VerdictShare: RuleTest(test_verdict_share, needs_drift=False),
    RequiredConcepts: RuleTest(test_required_concepts, needs_drift=False),
    RequiredCategories: RuleTest(test_required_categories, needs_drift=False),
    WatchedShare: RuleTest(test_watched_share, needs_drift=False),
    WatchedDependence: RuleTest(test_watched_dependence, needs_drift=False),
    Stability: RuleTest(test_stability, needs_drift=False),
    CategoryLoss: RuleTest(test_category_loss, needs_drift=True),
    Divergence: RuleTest(test_divergence, needs_drift=True),
    LabelChurn: RuleTest(test_label_churn, needs_drift=True),
}
"""The test of every kind of rule that a policy may hold."""


def _test_above_baseline(rule: WatchedShare, network: NetworkFacts, baseline: NetworkFacts) -> TestResult:
    concepts = _looked_for_in_both(network, baseline, rule.concepts)
    if concepts is not None and not concepts:
        return TestResult(None, "None of the watched concepts could be looked for in the baseline as well.")

    share = _watched_share(network, concepts)
    before = _watched_share(baseline, concepts)
    noise = _watched_noise(network, baseline, concepts)
    figures: dict[str, Figure] = {"share": share, "at_most": rule.at_most, "baseline": before, "noise": noise}
    named = None if rule.concepts is None else concepts
    sentence = f"{_watched_sentence(share, named)}, {before:.1%} in the baseline"

    if share - before <= rule.at_most:
        return TestResult(True, f"{sentence}.", figures)
    if noise is None:
        return TestResult(
            None, f"{sentence}; exams were neither resampled nor split, so nothing is known of the noise.", figures
        )
    return TestResult(share - before <= noise, f"{sentence}; exams alone: {noise:.1%}.", figures)


def _looked_for_in_both(
    network: NetworkFacts, baseline: NetworkFacts, concepts: Sequence[str] | None
) -> Sequence[str] | None:
    """The rule's concepts that could be looked for in both; None for any, where every watched one counts in both."""
    wanted = concepts
    for facts in (network, baseline):
        if facts.watched is not None:
            wanted = facts.watched if wanted is None else [text for text in wanted if text in facts.watched]
    return wanted


def _test_dependences(
    rule: WatchedDependence, units: Sequence[UnitDependence], left_out: int, figures: Mapping[str, Figure]
) -> TestResult:
    above = [unit for unit in units if unit.low is not None and unit.low > rule.at_most]
    if above:
        worst = max(above, key=_dependence_of)
        return TestResult(
            False,
            f"The outputs depend on {len(above)} of {len(units)} neurons by more than {rule.at_most:g} deviations: "
            f"output {worst.output} changes by {worst.absolute:.3g} without {_named(worst)}.",
            figures,
        )

    unsure = [unit for unit in units if unit.absolute is None or (unit.low is None and unit.absolute > rule.at_most)]
    if unsure:
        return TestResult(None, f"Of {len(unsure)} neurons there is no interval to judge by.", figures)
    if left_out:
        return TestResult(None, f"{left_out} more neurons respond, less strongly, and were not ablated.", figures)
    return TestResult(
        True, f"No output depends on any of {len(units)} neurons by more than {rule.at_most:g} deviations.", figures
    )


def _dependence_of(unit: UnitDependence) -> float:
    return unit.absolute or 0.0


def _named(unit: UnitDependence) -> str:
    return f"neuron {unit.unit} of {unit.layer}"


def _test_losses(changes: Sequence[CategoryChange], at_most: float, figures: Mapping[str, Figure]) -> TestResult:
    if any(change.exceeds_noise is None for change in changes):
        return TestResult(None, "Exams were not resampled, so nothing is known of the noise.", figures)

    lost = [change for change in changes if change.exceeds_noise and _loss(change) > at_most]
    if not lost:
        return TestResult(True, f"No category lost more than {at_most:.0%} beyond the noise.", figures)

    before_and_after = {
        change.name: f"{change.before} to {change.before + change.gain:g} (noise {change.noise:.3g})" for change in lost
    }
    losses = listed(f"{change.name} ({_loss(change):.0%})" for change in lost)
    return TestResult(False, f"Lost beyond the noise: {losses}.", {**figures, **before_and_after})


def _test_measured(measured: Measured, at_most: float, sentence: str) -> TestResult:
    """sentence: what was measured, for the case that it was."""
    figures = {"value": measured.value, "noise": measured.noise, "at_most": at_most}
    if measured.value is None or measured.noise is None:
        return TestResult(None, "There is nothing to measure it by.", figures)

    kept = measured.value <= at_most or not measured.exceeds_noise
    return TestResult(kept, f"{sentence}; exams alone: {measured.noise:.3g}.", figures)


def _if_unjudged(network: NetworkFacts) -> TestResult | None:
    if network.refused is not None:
        return TestResult(None, f"Nothing was inferred. {network.refused}")
    if network.live == 0:
        return TestResult(False, "Every neuron is dead.", {"live": 0, "units": network.units})
    return None


def _if_nobody_looked(network: NetworkFacts, concepts: Iterable[str] | None) -> TestResult | None:
    """A network that no image could show to respond to the concepts keeps no rule on them."""
    if network.watched is None:
        return None

    wanted = None if concepts is None else set(concepts)
    looked_for = network.watched if wanted is None else wanted.intersection(network.watched)
    if looked_for:
        return None
    return TestResult(None, "No image shows any of the watched concepts as far as is known, or the dissector is blind.")


def _if_every_label_is_lost(facts: AuditFacts) -> TestResult | None:
    """Without a single label there is nothing to measure drift by, and all that the baseline had is lost."""
    before = 0 if facts.baseline is None else facts.baseline.significant
    if facts.network.significant or not before:
        return None

    reason = f"No neuron has a significant label; {before} had one in the baseline."
    return TestResult(False, reason, {"significant": 0, "baseline": before})


def _watched_sentence(share: float, concepts: Sequence[str] | None) -> str:
    watched = "watched concepts" if concepts is None else listed(concepts)
    return f"{share:.1%} of the live neurons respond to {watched}"


def _watched_share(network: NetworkFacts, concepts: Iterable[str] | None) -> float:
    """The share of the live neurons that respond to these watched concepts; None: to any."""
    if concepts is None:
        return len(network.responses) / network.live

    wanted = set(concepts)
    responding = sum(not wanted.isdisjoint(responses) for responses in network.responses)
    return responding / network.live


def _watched_noise(network: NetworkFacts, baseline: NetworkFacts, concepts: Iterable[str] | None) -> float | None:
    """What other exams and other neurons make of the difference of the two shares; None where nobody knows.

    Half of the interval of 95 % (`service.analysis.differences`), exams drawn independently for the two. Without
    resamples, as in older audits: how far two halves of the exams differ in the share that they name after the
    concepts, in the noisier of the two.
    """
    if min(network.resamples, baseline.resamples) < LEAST_RESAMPLES:
        return largest(_watched_between_halves(network, concepts), _watched_between_halves(baseline, concepts))

    before, after = (_watched_in_resamples(facts, concepts) / facts.live for facts in (baseline, network))
    responding = [round(_watched_share(facts, concepts) * facts.live) for facts in (baseline, network)]
    units = variance_of_units(responding[0], baseline.live, responding[1], network.live) / baseline.live**2
    return Spread(exams=variance_of_exams(before, after, paired=False), units=units).half_width


def _watched_in_resamples(facts: NetworkFacts, concepts: Iterable[str] | None) -> Floats:
    """How many neurons each resample of the exams names after the concepts [B]."""
    counts = [facts.watched_resamples[text] for text in _watched_among(facts.watched_resamples, concepts)]
    totals: Floats = np.array(counts, float).reshape(-1, facts.resamples).sum(axis=0)
    return totals


def _watched_between_halves(network: NetworkFacts, concepts: Iterable[str] | None) -> float | None:
    """None without halves."""
    if not network.halves:
        return None

    counts_of_concepts = np.array(
        [network.watched_halves[text] for text in _watched_among(network.watched_halves, concepts)]
    )
    counts = counts_of_concepts.reshape(-1, network.halves, 2).sum(axis=0)
    return percentile(np.abs(counts[:, 0] - counts[:, 1]) / network.live, FLOOR)


def _watched_among(known: Mapping[str, object], concepts: Iterable[str] | None) -> list[str]:
    return list(known) if concepts is None else sorted(set(concepts).intersection(known))


def _loss(change: CategoryChange) -> float:
    return -change.gain / change.before if change.before else 0.0


def listed(words: Iterable[str]) -> str:
    """Words as an enumeration."""
    return ", ".join(words)
