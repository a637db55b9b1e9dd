"""From a policy and the facts of an audit to its verdict: a pure function, so that anybody can compute it again."""

from collections.abc import Iterator, Mapping

from service.analysis.rule_tests import TestResult, listed, test_rule
from service.domain.audit_facts import AuditFacts, Judgement, RuleOutcome, StratumFacts
from service.domain.policies import Outcome, Policy, Rule, StratifiedRule, Verdict

REPRODUCIBILITY = "reproducibility"
"""The rule that no policy has to name: the baseline's network gives the baseline's result."""

_SEVERITY: Mapping[Verdict, int] = {"pass": 0, "warn": 1, "fail": 2}


def judge(policy: Policy, facts: AuditFacts) -> Judgement:
    """The outcome of every rule and the worst of them as the verdict.

    policy: bound to the audit's concept set, see `bind_policy`. A network that is the baseline's and does not give the
    baseline's very result fails whatever the rules say, for then nothing measured here can be trusted. Where it was
    dissected on another device or by other versions, whose numbers need not be the same bit by bit, that is not tested.
    """
    outcomes = tuple(_outcomes(policy, facts))
    weights = [weight(policy, outcome.outcome) for outcome in outcomes]
    return Judgement(max(weights, key=_SEVERITY.__getitem__), outcomes)


def weight(policy: Policy, outcome: Outcome) -> Verdict:
    """What an outcome by itself makes of the audit: what cannot be tested weighs as the policy says."""
    return policy.not_testable if outcome == "not-testable" else outcome


def _outcomes(policy: Policy, facts: AuditFacts) -> Iterator[RuleOutcome]:
    if facts.same_network:
        yield _reproducibility(facts)

    for rule in policy.rules:
        if isinstance(rule, StratifiedRule) and rule.by is not None:
            yield from _outcomes_by_stratum(rule, rule.by, facts)
        else:
            yield _outcome(rule, None, test_rule(rule, facts))


def _outcomes_by_stratum(rule: Rule, by: str, facts: AuditFacts) -> Iterator[RuleOutcome]:
    strata = facts.strata.get(by, ())
    if not strata:
        yield _outcome(rule, by, TestResult(None, f"No image of the probe set has a value for {by}."))

    for stratum in strata:
        yield _outcome(rule, f"{by}={stratum.value}", _test_stratum(rule, stratum, facts))


def _reproducibility(facts: AuditFacts) -> RuleOutcome:
    outcome: Outcome
    if bool(facts.identical) and facts.drift is not None and facts.drift.zero:
        outcome = "pass"
        reason = "The baseline's network gave the baseline's result bit by bit."
    elif facts.made_otherwise:
        differences = listed(facts.made_otherwise)
        outcome = "not-testable"
        reason = f"The result differs from the baseline's, which was computed in another environment: {differences}."
    else:
        outcome = "fail"
        reason = "Not reproducible: the baseline's network did not give the baseline's result."

    return RuleOutcome(REPRODUCIBILITY, REPRODUCIBILITY, None, outcome, reason)


def _outcome(rule: Rule, stratum: str | None, result: TestResult) -> RuleOutcome:
    outcome: Outcome
    if result.kept is None:
        outcome = "not-testable"
    else:
        outcome = "pass" if result.kept else rule.severity

    return RuleOutcome(rule.name or rule.rule, rule.rule, stratum, outcome, result.reason, result.figures)


def _test_stratum(rule: Rule, stratum: StratumFacts, facts: AuditFacts) -> TestResult:
    assert isinstance(rule, StratifiedRule)  # noqa: S101 - only these are asked of strata
    figures = {"exams": stratum.exams}
    if stratum.exams < rule.least_exams:
        return TestResult(None, f"{stratum.exams} exams, and the rule wants {rule.least_exams}.", figures)
    if stratum.network is None:
        return TestResult(None, stratum.reason or "These exams were not dissected.", figures)

    result = test_rule(rule, AuditFacts(stratum.network, baseline=facts.baseline))
    return TestResult(result.kept, result.reason, {**figures, **result.figures})
