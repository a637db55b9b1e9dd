"""Reports say what a dissection was for, under which licences, and what was overridden and why."""

import json
from dataclasses import replace
from typing import Any

from service.domain.purposes import JobPurpose, Purpose, PurposeOverride, Terms
from service.reports.audit import audit_html, audit_json, report_audit
from service.reports.dissection import dissection_html, dissection_json
from service.reports.markdown import escaped
from service.reports.model_card import model_card
from service.reports.purpose_lines import override_sentence, purpose_lines
from tests.reports.audit_examples import MANIFEST, example_audit, example_parts
from tests.reports.examples import FACTS, example_layers, example_report
from tests.reports.page import Page

REASON = "Agreement <signed> on 3 May."
PURPOSE = JobPurpose(
    Purpose.CLINICAL,
    is_default=False,
    terms={
        "target": Terms(),
        "dissector": Terms("CC-BY-NC-4.0", (Purpose.RESEARCH,)),
        "probe_set": Terms("CC-BY-4.0"),
        "concept_set": Terms("Apache-2.0", tuple(Purpose)),
    },
    override=PurposeOverride(REASON, ("dissector reader@1",)),
)
ENTRIES: dict[str, Any] = {**PURPOSE.as_dict()}
LINES = [
    ["purpose", "clinical"],
    ["licence of the target", "none stated; for clinical and research (no purpose stated)"],
    ["licence of the dissector", "CC-BY-NC-4.0; for research"],
    ["licence of the probe set", "CC-BY-4.0; for clinical and research (no purpose stated)"],
    ["licence of the concept set", "Apache-2.0; for clinical and research"],
]
OVERRIDDEN = (
    "What is stated of dissector reader@1 does not allow it. "
    "The reason given for using all parts nevertheless: Agreement <signed> on 3 May."
)


def test_what_is_stored_is_read_as_it_was() -> None:
    assert JobPurpose.from_dict(PURPOSE.as_dict()) == PURPOSE
    assert JobPurpose.from_dict(JobPurpose().as_dict()) == JobPurpose()


def test_the_report_on_a_dissection() -> None:
    report = example_report(example_layers(units=4))
    facts = replace(FACTS, manifest={**FACTS.manifest, **ENTRIES})
    report = replace(report, facts=facts)
    page = Page(dissection_html(report, lambda _: None))
    assert all(line in page.rows["method"] for line in LINES)
    assert ["purpose overridden", OVERRIDDEN] in page.rows["method"]
    assert f"The purpose clinical was overridden. {OVERRIDDEN}" in page.text
    assert json.loads(dissection_json(report))["facts"]["manifest"]["override_purpose"]["reason"] == REASON


def test_the_report_on_an_audit_and_its_model_card() -> None:
    report = report_audit(example_audit(), example_parts(manifest={**MANIFEST, **ENTRIES}), None)
    page = Page(audit_html(report))
    rows = [row for section in page.rows.values() for row in section]
    assert all(line in rows for line in LINES)
    assert f"The purpose clinical was overridden. {OVERRIDDEN}" in page.text
    assert json.loads(audit_json(report))["manifest"]["override_purpose"]["reason"] == REASON
    assert escaped(OVERRIDDEN) in model_card(report)


def test_a_default_is_named_as_one_and_results_of_earlier_releases_state_none() -> None:
    assert purpose_lines({**JobPurpose().as_dict()}) == [("purpose", "research, because nobody said another")]
    assert purpose_lines({})[0][1].startswith("not stated")
    assert override_sentence({}) is None
    report = example_report(example_layers(units=4))
    assert "overridden" not in dissection_html(report, lambda _: None)


def test_an_override_that_nothing_needed() -> None:
    idle = replace(PURPOSE, override=PurposeOverride("To be sure.", ()))
    sentence = override_sentence({**idle.as_dict()})
    assert sentence is not None
    assert sentence.startswith("All parts allow it.")
