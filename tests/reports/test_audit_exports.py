"""What is written from an audit's report: a model card, and pointers to evidence that claim nothing."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.errors import InvalidInput
from service.reports.audit import AuditReport, audit_json, report_audit
from service.reports.evidence_map import NO_CLAIM, evidence_map_json, evidence_map_markdown, map_evidence, read_mapping
from service.reports.markdown import escaped
from service.reports.model_card import model_card
from tests.reports.audit_examples import FAILED_FACTS, STRATA, earlier_audit, example_audit, example_parts

MAPPING: dict[str, Any] = {
    "frameworks": [
        {
            "name": "House rules",
            "title": "Rules of the house",
            "applies": [{"date": "2031-05-04", "what": "everything", "source": "the board"}],
            "items": [{"item": "1", "title": "Look", "note": "A note.", "evidence": ["verdict", "trail"]}],
        }
    ]
}


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return report_audit(example_audit(), example_parts(), earlier_audit())


def tables(markdown: str) -> list[list[str]]:
    rows = [line for line in markdown.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in row.replace("\\|", "/").strip("|").split("|")] for row in rows]


def test_a_model_card_has_the_figures_and_gaps_for_what_only_the_deployer_knows(report: AuditReport) -> None:
    card = model_card(report)
    assert card.startswith("# Model card: screening-b5@4\n")
    assert card.count("_To be written by the deployer. This service does not know it._") == 3
    rows = tables(card)
    assert ["neurons with a significant label", "171", "230"] in rows
    assert ["density = d", "64", "8.2 %", "9.6 %", "74.0 %", ""] in rows
    assert ["target", "screening-b5@4", f"`{'5e' * 32}`"] in rows
    assert ["target, sha256", "", f"`{'5f' * 32}`"] in rows
    assert ["version of service", "", "`0.1.0`"] in rows
    assert "**FAIL**" in card
    assert all(escaped(sentence) in card for sentence in (*report.summary, *report.limits))


def test_a_model_card_of_an_audit_without_a_verdict_measures_nothing() -> None:
    audit = example_audit(None, problem={"detail": "Another file."})
    card = model_card(report_audit(audit, example_parts(manifest=None), None))
    assert "**NO VERDICT**" in card
    assert "* Another file." in card
    assert "Nothing was measured." in card


def test_no_text_becomes_markup() -> None:
    evil = "# <b>x</b> | [a](b) `c` *d*\n\n1. e"
    strata = {"density": tuple(replace(one, value=evil, reason=evil) for one in STRATA["density"])}
    audit = example_audit(replace(FAILED_FACTS, strata=strata), deployment=evil)
    report = report_audit(audit, example_parts(), None)
    for text in (model_card(report), evidence_map_markdown(map_evidence(report, read_mapping(), key_id=None))):
        plain = re.sub(r"`[^`\n]*`", "", text)
        assert "<b>" not in plain.replace("\\<b", "")
        assert "[a]" not in plain
        assert "\n1. e" not in text
        columns = [line.count("|") - line.count("\\|") for line in text.splitlines()]
        assert set(columns) <= {0, 4, 5, 7}, "no bar of a text ends a cell"
    assert (escaped("12. a"), escaped("8.3")) == ("12\\. a", "8.3")
    assert escaped(" - a-b") == "\\- a-b"


def test_the_map_points_to_evidence_of_this_audit_and_claims_nothing(report: AuditReport) -> None:
    found = map_evidence(report, read_mapping(), key_id="ab" * 32)
    value = json.loads(evidence_map_json(found))
    assert value["no_claim"] == NO_CLAIM
    assert "claims no compliance" in NO_CLAIM
    says = {one["evidence"]: one["value"] for one in value["evidence"]}
    assert says["verdict"] == "FAIL"
    assert says["signature"] == f"Ed25519, key {'ab' * 32}"
    assert "5e" * 32 in says["model"]
    assert says["schedule"].startswith(f"schedule {report.schedule}, due 2026-03-09")
    assert says["acknowledgement"].startswith("by Medical physics, 2026-03-09")
    assert {key for framework in value["frameworks"] for item in framework["items"] for key in item["evidence"]} <= set(
        says
    )
    assert str(report.audit) in next(one["where"] for one in value["evidence"] if one["evidence"] == "report")
    markdown = evidence_map_markdown(found)
    assert NO_CLAIM in markdown
    for text in ("Article 12", "Article 19", "Article 26", "Article 72", "Modification Protocol", "| 8.3 |"):
        assert text in markdown
    assert "comply" not in markdown.replace(NO_CLAIM, "").lower()


def test_what_an_audit_lacks_is_said_in_the_map() -> None:
    report = report_audit(
        example_audit(None, schedule=None, fire_time=None, trigger="request", acknowledgement=None),
        example_parts(manifest=None),
        None,
    )
    says = {one.evidence: one.value for one in map_evidence(report, read_mapping(), key_id=None).evidence}
    assert says["signature"] == "no signing key is set"
    assert says["schedule"] == "asked for by request"
    assert says["drift"] == "no baseline was compared"
    assert says["acknowledgement"] == "nobody has yet"
    assert says["code"] == "not recorded"


def test_the_dates_come_from_a_file_that_can_be_replaced(report: AuditReport, tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(MAPPING))
    markdown = evidence_map_markdown(map_evidence(report, read_mapping(path), key_id=None))
    assert "* 2031-05-04: everything. Source: the board." in markdown
    assert "EU AI Act" not in markdown
    assert "2031" not in evidence_map_markdown(map_evidence(report, read_mapping(), key_id=None))


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda framework: framework["items"][0]["evidence"].append("oath"), "frameworks.0.items.0.evidence.2"),
        (lambda framework: framework["applies"][0].update(date="soon"), "frameworks.0.applies.0.date"),
        (lambda framework: framework.update(extra=1), "frameworks.0"),
        (lambda framework: framework["items"].clear() or framework.pop("title"), "frameworks.0.title"),
    ],
)
def test_a_wrong_mapping_is_named_by_its_field(tmp_path: Path, change: Any, hint: str) -> None:
    mapping = json.loads(json.dumps(MAPPING))
    change(mapping["frameworks"][0])
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(mapping))
    with pytest.raises(InvalidInput, match="is wrong at") as refused:
        read_mapping(path)
    assert hint in refused.value.detail
    assert refused.value.field == "evidence_map"


def test_a_mapping_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_mapping(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InvalidInput, match="is wrong at its beginning"):
        read_mapping(tmp_path / "broken.json")


def test_the_digest_in_the_map_is_of_the_signed_json(report: AuditReport) -> None:
    says = {one.evidence: one.value for one in map_evidence(report, read_mapping(), key_id=None).evidence}
    assert says["report"] == f"SHA-256 {hashlib.sha256(audit_json(report)).hexdigest()}"
