"""The sentences of a report on an audit, for a reader who decides whether a model stays in use."""

from collections.abc import Iterable, Iterator, Mapping

from service.domain.audit_facts import AuditFacts, CategoryChange, Drift, Figure, Judgement, RuleOutcome
from service.domain.audits import AuditStatus
from service.domain.comparisons import Measured, beyond_noise
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
    VerdictShare,
    WatchedDependence,
    WatchedShare,
)
from service.reports.audit_figures import FigureUnit, SinceLast
from service.reports.figures import percent, signed
from service.reports.wording import EXAMS_ARE_PATIENTS, GENERAL_LIMITS, counted, listed

_NAMED = 4
NO_VERDICT = "NO VERDICT"

_MEANS: Mapping[Verdict, str] = {
    "pass": "Every rule that could be tested on this probe set is kept. The rules were fixed before the audit began.",
    "warn": "No rule that fails the audit is broken, but something was found, or could not be tested, that somebody "
    "should look at before relying on the model as before.",
    "fail": "At least one rule that fails the audit is broken. Whoever answers for the model should decide now whether "
    "it stays in use.",
}
_MEANS_NOT: Mapping[Verdict, str] = {
    "pass": "It does not prove safety. It says what the inside of the network responds to, not how well it reads "
    "mammograms, and nothing about findings that the probe set does not show.",
    "warn": "It is neither a clearance nor a finding that the model harms anybody.",
    "fail": "It does not say that any patient was read wrongly, nor what has caused the change.",
}
_UNTESTED: Mapping[Verdict, str] = {
    "pass": "No rule could be tested on this probe set, and the policy lets that pass: nothing is known of the model.",
    "warn": _MEANS["warn"],
    "fail": "No tested rule that fails the audit is broken, but something could not be tested, and by the policy that "
    "fails the audit.",
}
_NOT_AUDITED: Mapping[AuditStatus, str] = {
    AuditStatus.ERROR: "The audit could not be carried out, so nothing is known of the model. That is not a pass.",
    AuditStatus.CANCELLED: "Somebody cancelled the audit, so nothing is known of the model. That is not a pass.",
}


def verdict_word(verdict: Verdict | None) -> str:
    """The verdict in capitals."""
    return NO_VERDICT if verdict is None else verdict.upper()


def meaning(status: AuditStatus, judgement: Judgement | None) -> tuple[str, str]:
    """What the verdict means, and what it does not."""
    if judgement is None:
        return _NOT_AUDITED[status], "It is not a verdict on the model either way."

    verdict = judgement.verdict
    decided_by_a_rule = any(outcome.outcome == verdict for outcome in judgement.outcomes)
    means = _MEANS if decided_by_a_rule else _UNTESTED
    return means[verdict], _MEANS_NOT[verdict]


def audit_sentences(
    outcomes: tuple[RuleOutcome, ...], facts: AuditFacts | None, last: SinceLast | None, *, candidate: bool
) -> Iterator[str]:
    """What decided, what could not be tested, how far the network has moved, and what is new since the last audit."""
    if candidate:
        yield "The audited version was not the one in use when the audit began: it is a candidate."
    if facts is None:
        return

    yield from _decisive(outcomes)
    yield drift_sentence(facts)
    yield last_sentence(last)


def _decisive(outcomes: tuple[RuleOutcome, ...]) -> Iterator[str]:
    passed = len(_with_outcome(outcomes, "pass"))
    verb = "is" if passed == 1 else "are"
    yield f"{passed} of {counted(len(outcomes), 'test')} {verb} passed."

    yield from _named_with_reason("Broken", _with_outcome(outcomes, "fail"))
    yield from _named_with_reason("To be looked at", _with_outcome(outcomes, "warn"))

    untested = _with_outcome(outcomes, "not-testable")
    if untested:
        yield f"Not testable: {listed(map(_where, untested), _NAMED)}. Nothing is known of these."


def _with_outcome(outcomes: tuple[RuleOutcome, ...], outcome: Outcome) -> list[RuleOutcome]:
    return [tested for tested in outcomes if tested.outcome == outcome]


def _named_with_reason(words: str, outcomes: list[RuleOutcome]) -> Iterator[str]:
    for outcome in outcomes[:_NAMED]:
        yield f"{words}: {_where(outcome)}. {outcome.reason}"
    if len(outcomes) > _NAMED:
        yield f"{words}: {len(outcomes) - _NAMED} more, see the table of rules."


def drift_sentence(facts: AuditFacts) -> str:
    """How far the network has moved from its baseline, beside what the choice of exams alone would do."""
    drift = facts.drift
    if drift is None:
        return "No baseline is pinned, so nothing is known of a change; this audit's dissection can be pinned as one."
    if drift.zero:
        copy = ", and the baseline's network gave its result again bit by bit" if facts.identical else ""
        return f"Against the baseline nothing has changed, not by a single neuron{copy}."

    changes_beyond_noise = [change for change in drift.categories if beyond_noise(change)]
    if changes_beyond_noise:
        what = f"beyond the noise it changed in {listed(map(_change, changes_beyond_noise))}"
    elif any(change.exceeds_noise is None for change in drift.categories):
        what = "there is no noise floor to judge its changes by"
    elif any(change.q is None for change in drift.categories):
        what = "no category changed by more than the choice of exams alone would do"
    else:
        what = "no category changed by more than other exams and other units would make of it"
    return f"Against the baseline {what}. {_moved(drift)}"


def last_sentence(last: SinceLast | None) -> str:
    """The verdict then and now."""
    if last is None:
        return "No earlier audit of this deployment had been judged when this one began."

    when = "" if last.finished_at is None else f" of {last.finished_at:%-d %B %Y}"
    verdicts = f"{verdict_word(last.then)} then, {verdict_word(last.now)} now"

    rules = "no rule has"
    if last.outcomes:
        verb = "has" if len(last.outcomes) == 1 else "have"
        rules = f"{counted(len(last.outcomes), 'rule')} {verb}"
    figures = counted(len(last.figures), "figure") if last.figures else "no figure"
    return f"Since the last judged audit{when} ({verdicts}) {rules} another outcome and {figures} moved."


def rule_words(rule: Rule) -> str:
    """What a rule asks for, with its threshold."""
    words = _asked(rule)
    if not isinstance(rule, StratifiedRule) or rule.by is None:
        return words
    return f"{words}; in each value of {rule.by} with {rule.least_exams} exams"


def _asked(rule: Rule) -> str:  # noqa: PLR0911 - one answer for each kind of rule
    match rule:
        case SignificantShare():
            return f"at least {percent(rule.at_least)} of the live neurons have a significant label"
        case VerdictShare():
            return f"{_bounds(rule)} of the live neurons are {rule.verdict.in_words}"
        case RequiredConcepts():
            return f"a neuron for each of: {', '.join(rule.concepts)}"
        case RequiredCategories():
            return f"at least {counted(rule.at_least, 'neuron')} for each of: {', '.join(rule.categories)}"
        case WatchedShare():
            whom = "watched concepts" if rule.concepts is None else ", ".join(rule.concepts)
            more = " more than in the baseline" if rule.above_baseline else ""
            return f"at most {percent(rule.at_most)} of the live neurons{more} respond to {whom}"
        case WatchedDependence():
            whom = "watched concepts" if rule.concepts is None else ", ".join(rule.concepts)
            return f"no output depends by more than {rule.at_most:g} deviations on a neuron that responds to {whom}"
        case Stability():
            return f"the median significant label is kept in at least {percent(rule.at_least)} of the resamples"
        case CategoryLoss():
            which = "no category" if rule.categories is None else f"none of {', '.join(rule.categories)}"
            return f"{which} has lost more than {percent(rule.at_most)} of the baseline's neurons, beyond the noise"
        case Divergence():
            return f"the composition is at most {rule.at_most:g} bits from the baseline's, beyond the noise"
        case LabelChurn():
            return f"at most {percent(rule.at_most)} of the labels are not the baseline's, beyond the noise"


def _bounds(rule: VerdictShare) -> str:
    bounds = (("at least", rule.at_least), ("at most", rule.at_most))
    return " and ".join(f"{words} {percent(share)}" for words, share in bounds if share is not None)


def measure(value: float | None, unit: FigureUnit) -> str:
    """A figure as it is read: `23.4 %`, `0.012 bits`, `48`; a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "bits":
        return f"{value:.3g} bits"
    return f"{value:,.0f}"


def figure_words(figures: Mapping[str, Figure]) -> str:
    """Figures in one line: `share 0.42; at least 0.3`."""
    return "; ".join(f"{name.replace('_', ' ')} {_figure(value)}" for name, value in figures.items())


def audit_limits(policy: Policy, outcomes: tuple[RuleOutcome, ...], images: int | None) -> tuple[str, ...]:
    """What an audit does not say."""
    size = "The probe set" if images is None else f"The probe set of {counted(images, 'image')}"
    return (
        "PASS does not prove safety. It says that the rules of this policy were kept on this probe set by this "
        "dissector's reading. A model may pass and still read badly.",
        *GENERAL_LIMITS,
        *_untested(policy, outcomes),
        f"{size} decides what can be found. What it does not show, nobody has looked for; patients, devices and "
        "findings of your own hospital are covered only as far as it holds them.",
        "A change within the noise may still be real; this probe set cannot show it. Noise is what other exams would "
        "make of a figure, and of a count of neurons what other units would, too.",
        EXAMS_ARE_PATIENTS,
        "Rules look at counts and shares of neurons. A network may keep all of them and use its neurons differently.",
        "The signature proves that this report was not changed since the service signed it. It does not prove that "
        "what was registered was the model that reads your patients: compare the checkpoint's SHA-256 with the file "
        "in use.",
    )


def _untested(policy: Policy, outcomes: tuple[RuleOutcome, ...]) -> Iterator[str]:
    untested = _with_outcome(outcomes, "not-testable")
    if untested:
        listing = "; ".join(f"{_where(outcome)} ({outcome.reason.rstrip('.')})" for outcome in untested)
        yield (
            f"Not testable, so neither kept nor broken: {listing}. By the policy a rule that cannot be tested makes "
            f"the audit {verdict_word(policy.not_testable)}."
        )

    for outcome in outcomes:
        concepts = outcome.figures.get("not_testable")
        if isinstance(concepts, tuple) and concepts:
            yield f"Required concepts set apart in {_where(outcome)}, of which nothing is known: {'; '.join(concepts)}."


def _where(outcome: RuleOutcome) -> str:
    return outcome.rule if outcome.stratum is None else f"{outcome.rule} in {outcome.stratum}"


def _change(change: CategoryChange) -> str:
    after = change.before + change.gain
    return f"{change.name} ({change.before} to {after:.0f}, {signed(change.gain)})"


def _moved(drift: Drift) -> str:
    sentences = [f"Its composition moved by {_beside_noise(drift.divergence, '{:.3g} bits')}."]

    if drift.labels is None:
        sentences.append("The architectures differ, so labels of single neurons cannot be compared.")
    elif drift.labels.value is not None:
        sentences.append(f"Of the labels that both have, {_beside_noise(drift.labels, '{:.1%}')} differ.")

    return " ".join(sentences)


def _beside_noise(measured: Measured, form: str) -> str:
    if measured.value is None:
        return "an unknown amount"

    noise = "no noise floor" if measured.noise is None else f"exams alone: {form.format(measured.noise)}"
    return f"{form.format(measured.value)} ({noise})"


def _figure(value: Figure) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, tuple):
        return _listed_or_none(value)
    return "not known" if value is None else str(value)


def _listed_or_none(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"
