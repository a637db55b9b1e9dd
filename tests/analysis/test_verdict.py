"""Every rule kept, broken and not testable; and what the rules together make of an audit."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from service.analysis.policy_codec import policy_from
from service.analysis.verdict import judge
from service.domain.audit_facts import (
    AuditFacts,
    CategoryChange,
    DependenceFacts,
    Drift,
    Judgement,
    NetworkFacts,
    StratumFacts,
    UnitDependence,
)
from service.domain.comparisons import UNKNOWN, Measured
from service.domain.verdicts import VerdictCounts

NETWORK = NetworkFacts(
    refused=None,
    units=12,
    live=10,
    significant=6,
    stability=0.8,
    concepts={"spiculated mass": 4, "skin thickening": 2},
    categories={"mass margin": 4, "skin": 2},
    unseen={"milk of calcium": "untestable", "clip": "absent from the probe set"},
    responses=(("clip",), ("clip", "marker"), ("marker",)),
    halves=2,
    watched_halves={"clip": ((1, 1), (2, 2))},
    verdicts=VerdictCounts(named=3, unverified=1, unnamed=4, no_signal=2),
)
NOTHING = Measured(0.0, 0.1, False)
CHANGE = CategoryChange("mass margin", before=8, gain=-4.0, low=-6.0, high=-2.0, noise=3.0, exceeds_noise=True)
DRIFT = Drift(UUID(int=1), (CHANGE,), Measured(0.3, 0.1, True), Measured(0.4, 0.2, True), unpaired=2, unshared=())
STILL = Drift(UUID(int=2), (replace(CHANGE, gain=0.0),), NOTHING, NOTHING, unpaired=0, unshared=())
GONE = Drift(
    UUID(int=3),
    (CategoryChange("mass margin", before=8, gain=-8.0, low=None, high=None, noise=None, exceeds_noise=None),),
    UNKNOWN,
    UNKNOWN,
    unpaired=8,
    unshared=(),
)
"""As it is measured where the network has no label."""
FACTS = AuditFacts(NETWORK, baseline=replace(NETWORK, responses=(("clip",),)), drift=DRIFT)


def judged(facts: AuditFacts, *rules: dict[str, Any], **policy: Any) -> Judgement:
    return judge(policy_from({"rules": list(rules), **policy}), facts)


def outcome(facts: AuditFacts, **rule: Any) -> str:
    (one,) = judged(facts, rule).outcomes
    return one.outcome


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"rule": "significant-share", "at_least": 0.6}, "pass"),
        ({"rule": "significant-share", "at_least": 0.61}, "fail"),
        ({"rule": "significant-share", "at_least": 0.61, "severity": "warn"}, "warn"),
        ({"rule": "verdict-share", "verdict": "named", "at_least": 0.3}, "pass"),
        ({"rule": "verdict-share", "verdict": "named", "at_least": 0.31}, "fail"),
        ({"rule": "verdict-share", "verdict": "unverified", "at_most": 0.1}, "pass"),
        ({"rule": "verdict-share", "verdict": "no-signal", "at_least": 0.1, "at_most": 0.2}, "pass"),
        ({"rule": "verdict-share", "verdict": "unnamed", "at_least": 0.1, "at_most": 0.2}, "fail"),
        ({"rule": "required-concepts", "concepts": ["spiculated mass", "milk of calcium"]}, "pass"),
        ({"rule": "required-concepts", "concepts": ["spiculated mass", "architectural distortion"]}, "fail"),
        ({"rule": "required-concepts", "concepts": ["milk of calcium", "clip"]}, "not-testable"),
        ({"rule": "required-categories", "categories": ["mass margin"], "at_least": 4}, "pass"),
        ({"rule": "required-categories", "categories": ["mass margin", "skin"], "at_least": 3}, "fail"),
        ({"rule": "watched-share", "at_most": 0.3}, "pass"),
        ({"rule": "watched-share", "at_most": 0.29}, "fail"),
        ({"rule": "watched-share", "at_most": 0.2, "concepts": ["clip"]}, "pass"),
        ({"rule": "watched-share", "at_most": 0.29, "concepts": ["clip", "marker"]}, "fail"),
        ({"rule": "watched-share", "at_most": 0.2, "above_baseline": True}, "pass"),
        ({"rule": "watched-share", "at_most": 0.1, "above_baseline": True}, "fail"),
        ({"rule": "stability", "at_least": 0.8}, "pass"),
        ({"rule": "stability", "at_least": 0.81}, "fail"),
        ({"rule": "category-loss", "at_most": 0.5}, "pass"),
        ({"rule": "category-loss", "at_most": 0.49}, "fail"),
        ({"rule": "category-loss", "at_most": 0.1, "categories": ["skin"]}, "not-testable"),
        ({"rule": "divergence", "at_most": 0.3}, "pass"),
        ({"rule": "divergence", "at_most": 0.2}, "fail"),
        ({"rule": "label-churn", "at_most": 0.4}, "pass"),
        ({"rule": "label-churn", "at_most": 0.3}, "fail"),
    ],
)
def test_a_rule_is_kept_or_broken(rule: dict[str, Any], expected: str) -> None:
    assert outcome(FACTS, **rule) == expected


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "category-loss", "at_most": 0.0},
        {"rule": "divergence", "at_most": 0.0},
        {"rule": "label-churn", "at_most": 0.0},
    ],
)
def test_what_the_exams_alone_could_do_breaks_no_rule(rule: dict[str, Any]) -> None:
    within = replace(
        DRIFT,
        categories=(replace(CHANGE, noise=5.0, exceeds_noise=False),),
        divergence=Measured(0.3, 0.35, False),
        labels=Measured(0.4, 0.45, False),
    )
    assert outcome(FACTS, **rule) == "fail"
    assert outcome(replace(FACTS, drift=within), **rule) == "pass"


@pytest.mark.parametrize(
    ("concepts", "halves", "expected"),
    [
        (None, {"clip": ((3, 1), (1, 3)), "marker": ((0, 0), (0, 0))}, "pass"),
        (None, {"clip": ((3, 1), (1, 3)), "marker": ((1, 3), (3, 1))}, "fail"),
        (["clip"], {"clip": ((1, 1), (1, 1)), "marker": ((4, 0), (4, 0))}, "fail"),
        (["clip"], {"clip": ((2, 1), (2, 1)), "marker": ((1, 1), (1, 1))}, "pass"),
    ],
)
@pytest.mark.parametrize("noisy", ["network", "baseline"])
def test_what_halves_of_the_exams_name_after_watched_concepts_is_noise(
    concepts: list[str] | None, halves: dict[str, Any], expected: str, noisy: str
) -> None:
    """Ten neurons live: three respond to anything, two to the clip; in the baseline one responds to the clip."""
    rule = {"rule": "watched-share", "at_most": 0.05, "above_baseline": True, "concepts": concepts}
    assert FACTS.baseline is not None
    network, baseline = FACTS.network, FACTS.baseline
    if noisy == "network":
        network = replace(network, watched_halves=halves)
    else:
        baseline = replace(baseline, watched_halves=halves)
    assert outcome(AuditFacts(network, baseline=baseline), **rule) == expected


@pytest.mark.parametrize(
    ("concepts", "resampled", "expected"),
    [
        # Of ten neurons three respond, and one in the baseline: of ten, other units make so much of it.
        (None, {"clip": (3, 3), "marker": (1, 1)}, "pass"),
        # Of a hundred 30 and 10: other units make 11 % of it, and other exams up to 39 %.
        (None, {"clip": (30, 30), "marker": (10, 10)}, "fail"),
        (None, {"clip": (20, 40), "marker": (0, 0)}, "pass"),
        (None, {"clip": (20, 40), "marker": (40, 20)}, "fail"),
        (["marker"], {"clip": (20, 40), "marker": (2, 2)}, "fail"),
    ],
)
def test_what_other_exams_and_neurons_make_of_a_rise_is_noise(
    concepts: list[str] | None, resampled: dict[str, Any], expected: str
) -> None:
    rule = {"rule": "watched-share", "at_most": 0.05, "above_baseline": True, "concepts": concepts}
    assert FACTS.baseline is not None
    times = 1 if resampled["clip"] == (3, 3) else 10
    network, baseline = (
        replace(facts, live=10 * times, responses=facts.responses * times, resamples=2, watched_resamples=resampled)
        for facts in (FACTS.network, FACTS.baseline)
    )
    assert outcome(AuditFacts(network, baseline=baseline), **rule) == expected


def test_without_verdicts_their_shares_are_not_testable_and_the_reason_is_told() -> None:
    facts = replace(FACTS, network=replace(NETWORK, verdicts=None, no_verdicts="Activations were not kept."))
    (found,) = judged(facts, {"rule": "verdict-share", "verdict": "named", "at_least": 0.1}).outcomes
    assert (found.outcome, found.reason) == ("not-testable", "No neuron has a verdict. Activations were not kept.")


@pytest.mark.parametrize(
    ("watched", "concepts", "expected"),
    [
        (("clip", "marker"), None, "pass"),
        (("clip",), ["clip", "marker"], "pass"),
        (("clip",), ["marker"], "not-testable"),
        ((), None, "not-testable"),
    ],
)
def test_a_rule_on_what_nobody_could_look_for_is_not_testable(
    watched: tuple[str, ...], concepts: list[str] | None, expected: str
) -> None:
    facts = replace(FACTS, network=replace(NETWORK, watched=watched))
    rule = {"rule": "watched-share", "at_most": 0.5} | ({} if concepts is None else {"concepts": concepts})
    assert outcome(facts, **rule) == expected


def test_a_concept_that_the_baseline_could_not_be_tested_for_is_no_rise() -> None:
    """The marker alone rose, and the baseline's probe set did not show it."""
    baseline = replace(NETWORK, responses=(("clip",), ("clip",)), watched=("clip",))
    facts = replace(FACTS, network=replace(NETWORK, watched=("clip", "marker")), baseline=baseline)
    assert outcome(facts, rule="watched-share", at_most=0.0, above_baseline=True) == "pass"


@pytest.mark.parametrize("concepts", [None, ["marker"]])
def test_what_could_not_be_looked_for_in_the_baseline_is_not_testable(concepts: list[str] | None) -> None:
    network = replace(NETWORK, watched=("marker",))
    facts = replace(FACTS, network=network, baseline=replace(NETWORK, responses=(), watched=("clip",)))
    rule = {"rule": "watched-share", "at_most": 0.05, "above_baseline": True, "concepts": concepts}
    assert outcome(facts, **rule) == "not-testable"


def test_more_watched_neurons_without_halves_are_not_testable_and_no_more_pass() -> None:
    assert FACTS.baseline is not None
    undrawn = replace(FACTS, network=replace(NETWORK, halves=0, watched_halves={}))
    rule = {"rule": "watched-share", "above_baseline": True}
    assert outcome(undrawn, at_most=0.19, **rule) == "not-testable"
    assert outcome(undrawn, at_most=0.2, **rule) == "pass"


@pytest.mark.parametrize("kind", ["category-loss", "divergence", "label-churn"])
def test_without_a_baseline_nothing_is_known_of_drift(kind: str) -> None:
    assert outcome(AuditFacts(NETWORK), rule=kind, at_most=0.1) == "not-testable"


def test_without_a_baseline_nothing_is_above_it() -> None:
    rule = {"rule": "watched-share", "at_most": 0.1, "above_baseline": True}
    assert outcome(AuditFacts(NETWORK), **rule) == "not-testable"


def test_units_of_another_architecture_have_no_churn() -> None:
    assert outcome(replace(FACTS, drift=replace(DRIFT, labels=None)), rule="label-churn", at_most=0.1) == "not-testable"


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "significant-share", "at_least": 0.0},
        {"rule": "required-concepts", "concepts": ["spiculated mass"]},
        {"rule": "required-categories", "categories": ["mass margin"]},
        {"rule": "watched-share", "at_most": 1.0},
        {"rule": "stability", "at_least": 0.0},
        {"rule": "category-loss", "at_most": 1.0},
        {"rule": "divergence", "at_most": 1.0},
        {"rule": "label-churn", "at_most": 1.0},
    ],
)
def test_where_nothing_was_inferred_nothing_is_tested_and_dead_networks_fail(rule: dict[str, Any]) -> None:
    refused = NetworkFacts("The probe set has 5 exams.", units=12, live=10, significant=0, stability=None)
    (one,) = judged(replace(FACTS, network=refused), rule).outcomes
    assert (one.outcome, one.reason) == ("not-testable", "Nothing was inferred. The probe set has 5 exams.")
    dead = replace(NETWORK, live=0, significant=0)
    (one,) = judged(replace(FACTS, network=dead, drift=GONE), rule).outcomes
    assert (one.outcome, one.reason) == ("fail", "Every neuron is dead.")


@pytest.mark.parametrize("kind", ["category-loss", "divergence", "label-churn"])
def test_a_network_that_lost_every_label_has_drifted(kind: str) -> None:
    """Nothing is left to measure it by, which is no excuse where the baseline had labels."""
    mute = replace(NETWORK, significant=0, stability=None, concepts={}, categories={})
    (one,) = judged(replace(FACTS, network=mute, drift=GONE), {"rule": kind, "at_most": 0.9}).outcomes
    assert (one.outcome, one.reason) == ("fail", "No neuron has a significant label; 6 had one in the baseline.")
    assert outcome(AuditFacts(mute, baseline=mute, drift=GONE), rule=kind, at_most=0.9) == "not-testable"


def test_a_network_that_lost_every_label_has_lost_no_category_that_the_baseline_lacked() -> None:
    mute = replace(NETWORK, significant=0, stability=None, concepts={}, categories={})
    rule = {"rule": "category-loss", "at_most": 0.1, "categories": ["skin"]}
    assert outcome(replace(FACTS, network=mute, drift=GONE), **rule) == "not-testable"


def test_without_a_significant_label_nothing_is_stable() -> None:
    mute = replace(NETWORK, significant=0, stability=None)
    (one,) = judged(AuditFacts(mute), {"rule": "stability", "at_least": 0.1}).outcomes
    assert (one.outcome, one.reason) == ("fail", "No neuron has a significant label.")
    unsampled = replace(NETWORK, stability=None)
    assert outcome(AuditFacts(unsampled), rule="stability", at_least=0.1) == "not-testable"


def test_the_verdict_is_the_worst_outcome_and_silence_warns_unless_the_policy_says_otherwise() -> None:
    kept = {"rule": "significant-share", "at_least": 0.1}
    silent = {"rule": "divergence", "at_most": 0.1}
    broken = {"rule": "stability", "at_least": 0.9}
    facts = AuditFacts(NETWORK)
    assert judged(facts, kept).verdict == "pass"
    assert judged(facts, kept, silent).verdict == "warn"
    assert judged(facts, kept, silent, not_testable="pass").verdict == "pass"
    assert judged(facts, kept, silent, not_testable="fail").verdict == "fail"
    assert judged(facts, kept, broken, silent).verdict == "fail"
    assert judged(facts, kept, {**broken, "severity": "warn"}).verdict == "warn"


@pytest.mark.parametrize(
    ("identical", "drift", "verdict"), [(True, STILL, "pass"), (False, STILL, "fail"), (True, DRIFT, "fail")]
)
def test_the_baselines_own_network_must_give_its_very_result(identical: bool, drift: Drift, verdict: str) -> None:
    facts = replace(FACTS, same_network=True, identical=identical, drift=drift)
    found = judged(facts, {"rule": "significant-share", "at_least": 0.1})
    assert (found.verdict, found.outcomes[0].rule, found.outcomes[0].outcome) == (verdict, "reproducibility", verdict)


@pytest.mark.parametrize(("identical", "outcome"), [(True, "pass"), (False, "not-testable")])
def test_on_another_device_the_result_may_differ_in_its_last_bits(identical: bool, outcome: str) -> None:
    facts = replace(
        FACTS, same_network=True, identical=identical, drift=STILL, made_otherwise=("device A100, now cpu",)
    )
    [found, _] = judged(facts, {"rule": "significant-share", "at_least": 0.1}).outcomes
    assert found.outcome == outcome
    assert ("A100" in found.reason) is not identical


def test_a_stratified_rule_has_an_outcome_for_each_value() -> None:
    weak = replace(NETWORK, significant=1)
    strata = {
        "density": (
            StratumFacts("a", 30, NETWORK),
            StratumFacts("b", 19, None),
            StratumFacts("c", 40, weak),
            StratumFacts("d", 25, None, "The dissection failed."),
        )
    }
    rule = {"rule": "significant-share", "at_least": 0.5, "by": "density", "name": "names in every density"}
    found = judged(AuditFacts(NETWORK, strata=strata), rule)
    assert [(one.rule, one.stratum, one.outcome) for one in found.outcomes] == [
        ("names in every density", "density=a", "pass"),
        ("names in every density", "density=b", "not-testable"),
        ("names in every density", "density=c", "fail"),
        ("names in every density", "density=d", "not-testable"),
    ]
    assert found.outcomes[1].reason == "19 exams, and the rule wants 20."
    assert found.outcomes[3].reason == "The dissection failed."


def test_a_stratum_that_no_image_has_is_not_testable() -> None:
    assert outcome(AuditFacts(NETWORK), rule="stability", at_least=0.5, by="device") == "not-testable"


DEPENDENCE = DependenceFacts(
    ablation=UUID(int=4),
    refused=None,
    units=(
        UnitDependence("blocks.0", 3, ("clip",), output=1, absolute=0.5, low=0.3),
        UnitDependence("blocks.0", 7, ("clip", "marker"), output=0, absolute=0.2, low=0.1),
    ),
)


@pytest.mark.parametrize(
    ("rule", "facts", "expected"),
    [
        ({"at_most": 0.3}, DEPENDENCE, "pass"),
        ({"at_most": 0.29}, DEPENDENCE, "fail"),
        ({"at_most": 0.29, "severity": "warn"}, DEPENDENCE, "warn"),
        ({"at_most": 0.1, "concepts": ["marker"]}, DEPENDENCE, "pass"),
        ({"at_most": 0.0, "concepts": ["marker"]}, DEPENDENCE, "fail"),
        ({"at_most": 0.0, "concepts": ["pacemaker"]}, DEPENDENCE, "pass"),
        ({"at_most": 0.3}, replace(DEPENDENCE, left_out=2), "not-testable"),
        ({"at_most": 0.2}, replace(DEPENDENCE, left_out=2), "fail"),
        ({"at_most": 0.0}, DependenceFacts(None, None), "pass"),
        ({"at_most": 0.0}, DependenceFacts(None, "The target is a table."), "not-testable"),
        ({"at_most": 0.0}, None, "not-testable"),
        (
            {"at_most": 0.3},
            replace(DEPENDENCE, units=(UnitDependence("blocks.0", 3, ("clip",), 1, 0.5, None),)),
            "not-testable",
        ),
        (
            {"at_most": 0.6},
            replace(DEPENDENCE, units=(UnitDependence("blocks.0", 3, ("clip",), 1, 0.5, None),)),
            "pass",
        ),
        (
            {"at_most": 0.3},
            replace(DEPENDENCE, units=(UnitDependence("blocks.0", 3, ("clip",), None, None, None),)),
            "not-testable",
        ),
    ],
)
def test_whether_the_outputs_depend_on_watched_neurons(
    rule: dict[str, Any], facts: DependenceFacts | None, expected: str
) -> None:
    assert outcome(replace(FACTS, dependence=facts), rule="watched-dependence", **rule) == expected


def test_the_worst_dependence_is_named() -> None:
    (worst,) = judged(replace(FACTS, dependence=DEPENDENCE), {"rule": "watched-dependence", "at_most": 0.05}).outcomes
    assert worst.reason == (
        "The outputs depend on 2 of 2 neurons by more than 0.05 deviations: output 1 changes by 0.5 without neuron 3 "
        "of blocks.0."
    )
    assert worst.figures == {
        "neurons": 2,
        "at_most": 0.05,
        "most": 0.5,
        "low": 0.3,
        "output": 1,
        "neuron": "neuron 3 of blocks.0",
    }


def test_facts_without_an_ablation_are_stored_as_before_there_were_any() -> None:
    stored = TypeAdapter(AuditFacts).dump_python(FACTS, mode="json")
    assert "dependence" not in stored
    assert TypeAdapter(AuditFacts).validate_python(stored) == FACTS
    with_one = replace(FACTS, dependence=DEPENDENCE)
    assert (
        TypeAdapter(AuditFacts).validate_python(TypeAdapter(AuditFacts).dump_python(with_one, mode="json")) == with_one
    )
