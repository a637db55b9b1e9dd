"""What a deployed model must fulfil: rules that are fixed before an audit is made.

The stored types are rows of the database, users' policy files and part of signed reports:
`tests/domain/test_stored_names.py` says what a rename costs.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, Discriminator

from service.domain.verdicts import Verdict as UnitVerdict

Severity = Literal["fail", "warn"]
"""What a rule that is broken makes of the audit."""

Outcome = Literal["pass", "warn", "fail", "not-testable"]
"""What became of a rule. not-testable: the evidence cannot say, and the outcome says why."""

Verdict = Literal["pass", "warn", "fail"]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("No text may hold the character NUL, which the database does not store")
    return text


Share = Annotated[float, Ge(0), Le(1)]
Text = Annotated[str, Len(1, 200), AfterValidator(_without_nul)]
Texts = Annotated[tuple[Text, ...], Len(1, 1_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """What every rule has (stored)."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "use_attribute_docstrings": True}

    name: Text | None = None
    """How reports call the rule: its kind, where nobody chose a name."""
    severity: Severity = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class StratifiedRule(_Rule):
    """A rule that may be asked of each part of the probe set (stored)."""

    by: Text | None = None
    """A stratum of the probe set (density, device, age band ...); the rule then holds in each of its values."""
    least_exams: Annotated[int, Ge(20)] = 20
    """Values of the stratum with fewer exams are not testable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignificantShare(StratifiedRule):
    """At least this share of the live neurons has a significant label (stored)."""

    rule: Literal["significant-share"] = "significant-share"
    at_least: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictShare(StratifiedRule):
    """The share of the live neurons that have a verdict is at least, or at most, so large (stored).

    Of `unverified`, say, at most a tenth. Not testable where the dissection has no verdicts.
    """

    rule: Literal["verdict-share"] = "verdict-share"
    verdict: UnitVerdict
    at_least: Share | None = None
    at_most: Share | None = None
    """One of the two has to be given; both may be."""

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ValueError("verdict-share needs at_least, at_most, or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"no share is at least {self.at_least:g} and at most {self.at_most:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredConcepts(StratifiedRule):
    """Each of the concepts (texts or synonyms) has a neuron (stored).

    A named one where the dissection has verdicts, else one with a significant label.
    Concepts that the probe set lacks or the dissector cannot see are set apart; without any other, not testable.
    """

    rule: Literal["required-concepts"] = "required-concepts"
    concepts: Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredCategories(StratifiedRule):
    """At least so many neurons stand for each of the categories (stored).

    Named ones where the dissection has verdicts, else those with a significant label.
    """

    rule: Literal["required-categories"] = "required-categories"
    categories: Texts
    at_least: Annotated[int, Ge(1)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedShare(StratifiedRule):
    """At most this share of the live neurons responds to watched concepts (stored)."""

    rule: Literal["watched-share"] = "watched-share"
    at_most: Share
    concepts: Texts | None = None
    """To any of these, which must be watched concepts; left out: to any watched concept at all."""
    above_baseline: bool = False
    """Whether the share is measured from the baseline's.

    Then only what the model leans more on them than the baseline did counts, and only beyond what other exams and other
    units would make of it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedDependence(_Rule):
    """No output of the network depends by more than this on a neuron that responds to watched concepts (stored).

    Measured by an ablation of each such neuron: in deviations of the output, beyond what the choice of exams makes.
    """

    rule: Literal["watched-dependence"] = "watched-dependence"
    at_most: Annotated[float, Ge(0), Le(100)]
    concepts: Texts | None = None
    """To any of these, which must be watched concepts; left out: to any watched concept at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability(StratifiedRule):
    """The median significant label is kept in at least this share of the resamples (stored)."""

    rule: Literal["stability"] = "stability"
    at_least: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryLoss(_Rule):
    """No category has lost more than this share of the baseline's neurons, beyond the noise (stored)."""

    rule: Literal["category-loss"] = "category-loss"
    at_most: Share
    categories: Texts | None = None
    """These categories; left out: all that the baseline has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence(_Rule):
    """The composition by category is at most this far from the baseline's, beyond the noise (stored).

    Jensen-Shannon divergence, in bits.
    """

    rule: Literal["divergence"] = "divergence"
    at_most: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChurn(_Rule):
    """At most this share of the labels that baseline and model both have differs, beyond the noise (stored)."""

    rule: Literal["label-churn"] = "label-churn"
    at_most: Share


Rule = Annotated[
    SignificantShare
    | VerdictShare
    | RequiredConcepts
    | RequiredCategories
    | WatchedShare
    | WatchedDependence
    | Stability
    | CategoryLoss
    | Divergence
    | LabelChurn,
    Discriminator("rule"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of an audit (stored)."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "use_attribute_docstrings": True}

    rules: Annotated[tuple[Rule, ...], Len(1, 200)]
    not_testable: Verdict = "warn"
    """What a rule that cannot be tested makes of the audit. Silence is no evidence, so it warns by default."""
    description: Annotated[str, Len(0, 2_000), AfterValidator(_without_nul)] = ""

    @property
    def strata(self) -> tuple[str, ...]:
        """Every stratum that a rule looks into, in the order of the rules."""
        return tuple(dict.fromkeys(rule.by for rule in self.rules if isinstance(rule, StratifiedRule) and rule.by))

    def least_exams(self, stratum: str) -> int:
        """The fewest exams with which some rule looks at a value of the stratum."""
        return min(rule.least_exams for rule in self.rules if isinstance(rule, StratifiedRule) and rule.by == stratum)
