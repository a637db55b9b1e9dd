"""Policies from files: what is understood, and how an error names what is wrong."""

from typing import Any, cast

import pytest

from service.analysis.policy_codec import parse_policy, policy_as_json, policy_from, policy_schema
from service.domain.policies import CategoryLoss, Policy, RequiredConcepts
from service.errors import InvalidPolicy

POLICY = """
description: what every screening model must keep
not_testable: pass
rules:
  - rule: required-concepts
    concepts: [spiculated mass, clustered calcification]
    by: density
    least_exams: 40
  - rule: category-loss
    name: nothing is forgotten
    severity: warn
    at_most: 0.25
"""


def test_yaml_and_json_say_the_same() -> None:
    policy = parse_policy(POLICY)
    assert policy == Policy(
        description="what every screening model must keep",
        not_testable="pass",
        rules=(
            RequiredConcepts(concepts=("spiculated mass", "clustered calcification"), by="density", least_exams=40),
            CategoryLoss(name="nothing is forgotten", severity="warn", at_most=0.25),
        ),
    )
    assert policy_from(policy_as_json(policy)) == policy
    assert policy.strata == ("density",)
    assert policy.least_exams("density") == 40


@pytest.mark.parametrize(
    ("document", "field", "remedy"),
    [
        ({"rules": [{"rule": "signifcant-share", "at_least": 0.1}]}, "policy.rules.0.rule", "Did you mean significant"),
        ({"rules": [{"rule": "beauty"}]}, "policy.rules.0.rule", "There are significant-share"),
        ({"rules": [{"at_least": 0.1}]}, "policy.rules.0.rule", "There are significant-share"),
        ({"rules": [{"rule": "stability", "at_least": 1.5}]}, "policy.rules.0.at_least", "schema"),
        ({"rules": [{"rule": "stability"}]}, "policy.rules.0.at_least", "schema"),
        ({"rules": [{"rule": "stability", "at_least": 0.5, "atleast": 1}]}, "policy.rules.0.atleast", "schema"),
        ({"rules": [{"rule": "stability", "at_least": 0.5, "least_exams": 3}]}, "policy.rules.0.least_exams", "schema"),
        ({"rules": [{"rule": "required-concepts", "concepts": []}]}, "policy.rules.0.concepts", "schema"),
        ({"rules": []}, "policy.rules", "schema"),
        ({"rulez": []}, "policy.rules", "schema"),
        (["rules"], "policy", "schema"),
    ],
)
def test_an_error_names_the_field_and_the_remedy(document: Any, field: str, remedy: str) -> None:
    with pytest.raises(InvalidPolicy) as error:
        policy_from(document)
    assert error.value.field == field
    assert remedy in str(error.value.remedy)


@pytest.mark.parametrize(
    ("bounds", "complaint"),
    [({}, "needs at_least, at_most, or both"), ({"at_least": 0.5, "at_most": 0.4}, "at least 0.5 and at most 0.4")],
)
def test_a_share_of_verdicts_has_bounds_that_can_be_kept(bounds: dict[str, float], complaint: str) -> None:
    with pytest.raises(InvalidPolicy, match=complaint) as error:
        policy_from({"rules": [{"rule": "verdict-share", "verdict": "unverified", **bounds}]})
    assert str(error.value.field).startswith("policy.rules.0")


def test_broken_yaml_names_the_line() -> None:
    with pytest.raises(InvalidPolicy, match=r"line 2, column 1") as error:
        parse_policy("rules: [\n")
    assert error.value.field == "policy"


def test_yaml_cannot_make_objects() -> None:
    with pytest.raises(InvalidPolicy):
        parse_policy("rules: !!python/object/apply:os.getcwd []")


def test_the_schema_lists_every_rule() -> None:
    kinds = cast("dict[str, Any]", policy_schema())["properties"]["rules"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == {
        "significant-share",
        "verdict-share",
        "required-concepts",
        "required-categories",
        "watched-share",
        "watched-dependence",
        "stability",
        "category-loss",
        "divergence",
        "label-churn",
    }
