"""The report on an audit: the verdict first, figures from the facts, nothing that runs, the same bytes anywhere."""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from service.domain.audit_facts import AuditFacts, StratumFacts
from service.domain.audits import Acknowledgement, AuditStatus
from service.domain.input_contract import LibraryInput, given_input, resolve_input
from service.domain.preprocessing import Preprocessing
from service.reports.audit import AUDIT_REPORT, AuditReport, audit_html, audit_json, report_audit
from service.reports.markdown import escaped
from service.reports.model_card import model_card
from tests.reports.audit_examples import (
    FAILED_FACTS,
    FAILED_NETWORK,
    MANIFEST,
    PASSED_FACTS,
    STRATA,
    Rules,
    earlier_audit,
    example_audit,
    example_parts,
)
from tests.reports.page import Page

CONTRACT = Preprocessing(224, 224, (0.5,) * 3, (0.25,) * 3)
LIBRARY = LibraryInput("timm", CONTRACT, {"height": 224, "width": 224}, general_purpose=True)
SHARE: dict[str, Any] = {"rule": "significant-share", "at_least": 0.3}


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return report_audit(example_audit(), example_parts(), earlier_audit())


@pytest.fixture(scope="module")
def page(report: AuditReport) -> Page:
    return Page(audit_html(report))


def sentences(facts: AuditFacts | None, rules: Rules | None = None, **changes: Any) -> str:
    report = report_audit(example_audit(facts, rules or [SHARE], **changes), example_parts(), None)
    return " ".join((report.means, *report.summary))


def test_the_verdict_comes_first_with_what_it_means_and_what_it_does_not(report: AuditReport, page: Page) -> None:
    assert report.verdict == "fail"
    before, _, _ = page.text.partition("In short")
    assert "FAIL" in before
    assert report.means in before
    assert report.means_not in before
    assert [sentence for sentence in (*report.summary, *report.limits) if sentence not in page.text] == []
    assert any("PASS does not prove safety" in sentence for sentence in report.limits)


def test_figures_and_twin_agree(report: AuditReport, page: Page) -> None:
    twin = json.loads(audit_json(report))
    assert [(row[0], row[1].split(" (")[0], row[2], row[3]) for row in page.rows["rules"][1:]] == [
        (one["outcome"], one["rule"], one["stratum"] or "all exams", one["reason"])
        for wanted in ("fail", "warn", "not-testable", "pass")
        for one in twin["outcomes"]
        if one["outcome"] == wanted
    ]
    assert [row[:3] for row in page.rows["strata"][1:]] == [
        [one["stratum"], one["value"], str(one["exams"])] for one in twin["strata"]
    ]
    assert page.rows["strata"][3][4:] == ["8.2 %", "9.6 %", "74.0 %", "fail"]
    assert page.rows["figures"][2] == ["neurons with a significant label", "171", "230", "230"]
    assert [row[0] for row in page.rows["drift"] if len(row) == 6][1:] == [
        one["name"] for one in twin["facts"]["drift"]["categories"]
    ]
    assert "0.140 bits (exams alone: 0.020; beyond it)" in page.rows["drift"][0][1]
    digests = {value for row in page.rows["digests"] for value in row[1].split()}
    assert {one["digest"] for one in (*twin["parts"], twin["policy"])} <= digests
    assert {MANIFEST["target"]["sha256"], MANIFEST["versions"]["service"]} <= digests
    assert hashlib.sha256(audit_json(report)).hexdigest() in page.text


def test_thresholds_are_shown_with_the_moment_that_fixed_them(report: AuditReport, page: Page) -> None:
    assert report.policy.fixed_at == report.began_at
    assert "bound to this audit when that began, 9 March 2026, 02:00 UTC" in page.text
    assert [row[1] for row in page.rows["policy"][1:]] == [rule.asks for rule in report.policy.rules]
    rules = [
        {"rule": "required-categories", "categories": ["skin", "nipple"], "at_least": 2},
        {"rule": "watched-share", "at_most": 0.05, "concepts": ["marker"]},
        {"rule": "stability", "at_least": 0.6},
        {"rule": "label-churn", "at_most": 0.4},
        {"rule": "category-loss", "at_most": 0.5, "categories": ["skin"]},
    ]
    told = report_audit(example_audit(rules=rules), example_parts(), None).policy.rules
    assert [rule.asks for rule in told] == [
        "at least 2 neurons for each of: skin, nipple",
        "at most 5 % of the live neurons respond to marker",
        "the median significant label is kept in at least 60 % of the resamples",
        "at most 40 % of the labels are not the baseline's, beyond the noise",
        "none of skin has lost more than 50 % of the baseline's neurons, beyond the noise",
    ]


def test_the_difference_to_the_last_audit_names_what_changed(report: AuditReport, page: Page) -> None:
    since = report.since_last
    assert since is not None
    assert (since.then, since.now) == ("warn", "fail")
    assert [(one.part, one.then, one.now) for one in since.parts] == [("target", "screening-b5@3", "screening-b5@4")]
    changed = {(one.rule, one.stratum): (one.then, one.now) for one in since.outcomes}
    assert changed == {
        ("what it must see", None): ("pass", "fail"),
        ("significant-share", "density=d"): ("pass", "fail"),
        ("category-loss", None): ("pass", "fail"),
        ("watched-share", None): ("pass", "warn"),
        ("divergence", None): ("pass", "fail"),
        ("reproducibility", None): ("pass", None),
    }
    moved = {one.name: (one.last, one.now) for one in since.figures}
    assert [*moved["neurons of mass margin"]] == [40, 3]
    assert "live neurons" not in moved
    assert ["neurons of mass margin", "40", "3"] in page.rows["since"]
    same = report_audit(example_audit(), example_parts(), example_audit())
    assert same.since_last is not None
    assert not [*same.since_last.outcomes, *same.since_last.figures, *same.since_last.parts]
    assert "No rule has another outcome." in Page(audit_html(same)).text
    assert "no rule has another outcome and no figure moved" in same.summary[-1]


def test_a_policy_may_hold_the_same_rule_twice() -> None:
    twice = [SHARE, {**SHARE, "at_least": 0.9}]
    since = report_audit(
        example_audit(FAILED_FACTS, twice), example_parts(), example_audit(PASSED_FACTS, twice)
    ).since_last
    assert since is not None
    assert [(one.rule, one.then, one.now) for one in since.outcomes] == [("reproducibility", "pass", None)]


def test_exactly_nothing_changed_is_said_so() -> None:
    told = sentences(PASSED_FACTS)
    assert "Every rule that could be tested" in told
    assert "not by a single neuron, and the baseline's network gave its result again bit by bit" in told
    assert "Exactly zero drift." in Page(audit_html(report_audit(earlier_audit(), example_parts(), None))).text


@pytest.mark.parametrize(
    ("not_testable", "hint"),
    [("pass", "nothing is known of the model"), ("fail", "by the policy that fails the audit"), ("warn", "look at")],
)
def test_what_could_not_be_tested_is_no_rule_that_was_kept(not_testable: str, hint: str) -> None:
    unseen = AuditFacts(replace(FAILED_NETWORK, refused="The probe set has 9 exams."))
    audit = example_audit(unseen, [SHARE])
    policy = replace(audit.policy, not_testable=not_testable)  # type: ignore[arg-type]
    assert audit.judgement is not None
    judgement = replace(audit.judgement, verdict=not_testable)  # type: ignore[arg-type]
    report = report_audit(replace(audit, policy=policy, judgement=judgement), example_parts(), None)
    assert hint in report.means
    assert any("Not testable: significant-share." in sentence for sentence in report.summary)
    assert any("neither kept nor broken: significant-share" in sentence for sentence in report.limits)
    assert "No label was tested: The probe set has 9 exams." in Page(audit_html(report)).text


def test_concepts_that_nobody_can_see_are_listed(report: AuditReport) -> None:
    assert any("milk of calcium: untestable" in sentence for sentence in report.limits)


def test_without_a_baseline_nothing_is_said_of_a_change() -> None:
    audit = example_audit(AuditFacts(FAILED_NETWORK), baseline=None)
    report = report_audit(audit, example_parts(baseline=None), None)
    assert report.proposal
    assert any(sentence.startswith("No baseline is pinned") for sentence in report.summary)
    page = Page(audit_html(report))
    assert "can be pinned as one" in page.text
    assert "No stratum was dissected" in page.text


def test_drift_without_halves_or_pairs() -> None:
    drift = FAILED_FACTS.drift
    assert drift is not None
    blind = tuple(replace(one, low=None, high=None, noise=None, exceeds_noise=None) for one in drift.categories)
    told = sentences(replace(FAILED_FACTS, drift=replace(drift, categories=blind, labels=None)))
    assert "there is no noise floor to judge its changes by" in told
    assert "labels of single neurons cannot be compared" in told
    still = tuple(replace(one, exceeds_noise=False) for one in drift.categories)
    small = replace(FAILED_FACTS, drift=replace(drift, categories=still))
    assert "no category changed by more than the choice of exams alone" in sentences(small)
    Page(audit_html(report_audit(example_audit(small), example_parts(), None)))


@pytest.mark.parametrize("status", [AuditStatus.ERROR, AuditStatus.CANCELLED])
def test_an_audit_without_a_verdict_is_no_pass(status: AuditStatus) -> None:
    problem = {"code": "digest-mismatch", "title": "Checkpoint digest mismatch", "detail": "Another file."}
    audit = example_audit(None, status=status, problem=problem, job=None, candidate=True, acknowledgement=None)
    page = Page(audit_html(report_audit(audit, example_parts(manifest=None), earlier_audit())))
    assert "NO VERDICT" in page.text
    assert "That is not a pass." in page.text
    assert "Checkpoint digest mismatch. Another file." in page.text
    assert "it is a candidate" in page.text
    assert "Nobody has acknowledged this audit yet." in page.text


def test_many_broken_rules_do_not_hide_the_rest() -> None:
    told = report_audit(example_audit(FAILED_FACTS, [{**SHARE, "at_least": 0.9}] * 9), example_parts(), None).summary
    assert sum(sentence.startswith("Broken: significant-share.") for sentence in told) == 4
    assert "Broken: 5 more, see the table of rules." in told


def test_the_bytes_depend_on_nothing_but_the_audit(report: AuditReport) -> None:
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    audit, last = example_audit(), earlier_audit()
    assert audit.finished_at is not None
    assert audit.fire_time is not None
    assert audit.acknowledgement is not None
    assert last.finished_at is not None
    seen = replace(audit.acknowledgement, at=audit.acknowledgement.at.astimezone(elsewhere))
    moved = replace(
        audit,
        created_at=audit.created_at.astimezone(elsewhere),
        finished_at=audit.finished_at.astimezone(elsewhere),
        fire_time=audit.fire_time.astimezone(elsewhere),
        acknowledgement=seen,
    )
    again = report_audit(moved, example_parts(), replace(last, finished_at=last.finished_at.astimezone(elsewhere)))
    assert audit_json(again) == audit_json(report)
    assert AUDIT_REPORT.validate_json(audit_json(report)) == report


def test_the_file_needs_nothing_else_and_no_text_becomes_markup() -> None:
    evil = "<script>alert('&\"')</script>"
    strata = {evil: (StratumFacts(evil, 30, None, evil), *STRATA["density"])}
    facts = replace(FAILED_FACTS, strata=strata)
    rules: Rules = [{**SHARE, "name": evil, "by": evil}, {"rule": "required-concepts", "concepts": [evil]}]
    seen = Acknowledgement(evil, evil, example_audit().created_at)
    audit = example_audit(
        facts, rules, description=evil, acknowledgement=seen, deployment=evil, problem={"title": evil, "detail": evil}
    )
    html = audit_html(report_audit(audit, example_parts(manifest={evil: evil}), earlier_audit()))
    page = Page(html)
    assert "<script" not in html
    assert page.text.count(evil) > 12
    assert page.attributes("src") == page.attributes("style") == []
    assert {link.removeprefix("#") for link in page.attributes("href")} <= set(page.attributes("id"))


def test_how_images_reached_the_network_and_what_is_to_be_known_of_it() -> None:
    contract = resolve_input(given_input({"height": 96, "window": "voi"}), LIBRARY, stem=3)
    target = {**MANIFEST["target"], "input": contract.entries(), "warnings": list(contract.warnings)}
    manifest = {**MANIFEST, "target": target, "layers_asked": ["stages", "_blocks.1?"]}
    report = report_audit(example_audit(), example_parts(manifest=manifest), None)
    page = Page(audit_html(report))
    rows = [row for section in page.rows.values() for row in section]

    assert len(contract.warnings) == 2
    assert report.limits[-2:] == contract.warnings
    assert [warning for warning in contract.warnings if warning not in page.text] == []
    assert ["height", "96", "given"] in rows
    assert ["width", "224", "library"] in rows
    assert ["crop_to_breast", "no", "default"] in rows
    assert ["layers_asked", "stages, _blocks.1?"] in rows
    assert [warning for warning in contract.warnings if escaped(warning) not in model_card(report)] == []


def test_without_a_contract_in_the_manifest_there_is_no_table_of_it(page: Page) -> None:
    assert "How images reached the network" not in page.text
