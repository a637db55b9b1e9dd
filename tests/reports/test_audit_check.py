"""A signed report is checked without the service: any changed byte is found, and a verdict that does not follow."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.audit_facts import AuditFacts, NetworkFacts
from service.errors import InvalidInput, InvalidSignature
from service.reports.audit import AuditReport, audit_json, report_audit
from service.reports.audit_check import check_report
from service.signatures import SigningKey
from tests.reports.audit_examples import earlier_audit, example_audit, example_parts


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.create(tmp_path / "key.pem")


@pytest.fixture
def report() -> AuditReport:
    return report_audit(example_audit(), example_parts(), earlier_audit())


def signed(key: SigningKey, document: bytes) -> bytes:
    return key.sign(document).as_bytes()


def test_a_good_report_is_read_back_and_gives_its_verdict_again(key: SigningKey, report: AuditReport) -> None:
    document = audit_json(report)
    checked = check_report(document, signed(key, document), key.public)
    assert checked.report == report
    assert checked.recomputed is not None
    assert (checked.recomputed.verdict, checked.recomputed.outcomes) == ("fail", report.outcomes)
    assert checked.faults == ()


def test_a_report_in_the_words_of_an_earlier_release_is_good(key: SigningKey, report: AuditReport) -> None:
    outcomes = tuple(replace(outcome, reason="In other words.") for outcome in report.outcomes)
    document = audit_json(replace(report, outcomes=outcomes))
    assert check_report(document, signed(key, document), key.public).faults == ()


def test_a_report_without_a_verdict_has_nothing_to_compute(key: SigningKey) -> None:
    document = audit_json(report_audit(example_audit(None), example_parts(), None))
    checked = check_report(document, signed(key, document), key.public)
    assert (checked.recomputed, checked.faults) == (None, ())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda one: replace(one, verdict="pass"), "The report says pass; its facts and policy give fail."),
        (lambda one: replace(one, outcomes=one.outcomes[1:]), "The report has 7 outcomes; its policy gives 8."),
        (
            lambda one: replace(one, outcomes=(replace(one.outcomes[0], outcome="fail"), *one.outcomes[1:])),
            "significant-share: the report says fail; its facts give pass.",
        ),
        (
            lambda one: replace(one, outcomes=(replace(one.outcomes[0], figures={"value": 0.9}), *one.outcomes[1:])),
            "significant-share: the report says pass; its facts give other figures.",
        ),
        (
            lambda one: replace(
                one, facts=replace(one.facts, network=replace(one.facts.network, concepts={"spiculated mass": 9}))
            ),
            "what it must see: the report says fail; its facts give pass.",
        ),
        (lambda one: replace(one, facts=None), "The report says fail, and holds no facts."),
    ],
)
def test_a_verdict_that_does_not_follow_is_named_whoever_signed_it(
    key: SigningKey, report: AuditReport, change: Any, fault: str
) -> None:
    document = audit_json(change(report))
    assert fault in check_report(document, signed(key, document), key.public).faults


def test_another_keys_signature_is_refused(key: SigningKey, report: AuditReport, tmp_path: Path) -> None:
    document = audit_json(report)
    other = SigningKey.create(tmp_path / "other.pem")
    with pytest.raises(InvalidSignature, match="another key"):
        check_report(document, signed(other, document), key.public)


@pytest.mark.parametrize("document", [b"[]", b"no json", b'{"format": "mammodissect-audit-report/9"}', b"\xff"])
def test_what_is_signed_and_no_report_is_said_to_be_none(key: SigningKey, document: bytes) -> None:
    with pytest.raises(InvalidInput, match="not an audit report") as refused:
        check_report(document, signed(key, document), key.public)
    assert not isinstance(refused.value, InvalidSignature)


def test_a_report_of_this_form_with_wrong_fields_is_said_to_be_none(key: SigningKey, report: AuditReport) -> None:
    value = json.loads(audit_json(report))
    value["facts"]["network"]["live"] = "many"
    document = json.dumps(value).encode()
    with pytest.raises(InvalidInput, match="not an audit report"):
        check_report(document, signed(key, document), key.public)


def test_any_changed_byte_of_a_report_is_found(key: SigningKey) -> None:
    network = NetworkFacts(None, 3, 3, 2, 0.9, {"mass": 2}, {"findings": 2})
    audit = example_audit(AuditFacts(network), [{"rule": "significant-share", "at_least": 0.5}], strata=())
    document = audit_json(report_audit(audit, example_parts(manifest=None), None))
    original = key.sign(document)
    signature = original.as_bytes()
    missed = []
    for position in range(len(document)):
        changed = with_bit_flipped(document, position)
        forged = replace(original, sha256=hashlib.sha256(changed).hexdigest()).as_bytes()
        if not (refused(changed, signature, key) and refused(changed, forged, key)):
            missed.append(position)
    assert missed == []
    for cut in (document[:-1], document[1:], document + b"\n", b" " + document, b""):
        assert refused(cut, signature, key)


def test_any_changed_byte_of_a_signature_is_found(key: SigningKey, report: AuditReport) -> None:
    document = audit_json(report)
    signature = signed(key, document)
    assert not refused(document, signature, key)
    every = range(len(signature))
    assert [one for one in every if not refused(document, with_bit_flipped(signature, one), key)] == []


def with_bit_flipped(document: bytes, position: int) -> bytes:
    changed = bytearray(document)
    changed[position] ^= 1 << position % 8
    return bytes(changed)


def refused(document: bytes, signature: bytes, key: SigningKey) -> bool:
    try:
        check_report(document, signature, key.public)
    except InvalidSignature:
        return True
    return False
