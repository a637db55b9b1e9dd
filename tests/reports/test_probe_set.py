"""The report on a probe set: its sentences, and that what a manifest says stays text."""

import json
from datetime import UTC, datetime
from typing import Any, cast

from service.domain.checks import ROWS_NAMED, SEEN, THRESHOLDS, CountedValues, Reason, SetCheck
from service.domain.findings import FindingsEntry
from service.reports.probe_set import probe_set_html, probe_set_json, report_probe_set, summary_of
from tests.reports.page import Page

NOTHING: CountedValues = {"distinct": 0, "without": 0, "values": []}
NO_FINDINGS: FindingsEntry = {
    "map": None,
    "names": 0,
    "matched": [],
    "matched_names": 0,
    "unmatched": [],
    "unmatched_names": 0,
    "no_concept": [],
    "no_concept_names": 0,
    "not_in_set": [],
    "not_in_set_entries": 0,
}


def check(**changes: Any) -> SetCheck:
    whole: dict[str, Any] = {
        "images": 3,
        "readable": 3,
        "unreadable": 0,
        "merged_rows": 0,
        "reasons": [],
        "rows_named": ROWS_NAMED,
        "exams": None,
        "patients": None,
        "independent": {"unit": "image", "count": 3, "largest": 1},
        "findings": {"named": NOTHING, "unknown": 3},
        "manifest": {},
        "files": dict.fromkeys(SEEN, NOTHING),
        "thresholds": THRESHOLDS,
    }
    return cast("SetCheck", whole | changes)


def reason(reason: Reason, *rows: int) -> dict[str, Any]:
    return {"reason": reason, "count": len(rows), "rows": [{"row": row, "why": f"see {row}"} for row in rows]}


def test_of_a_set_without_remarks_little_is_said() -> None:
    assert list(summary_of(check(), "fail")) == [
        "3 images; the manifest names neither patients nor exams. What counts as independent is the image: there are "
        "3, the largest with 1 image.",
        "All of them can be read.",
        "The manifest says nothing of findings.",
    ]


def test_verbs_go_with_their_numbers() -> None:
    findings = {"named": {"distinct": 1, "without": 1, "values": [{"value": "mass", "images": 1}]}, "unknown": 1}
    single = check(
        patients=1,
        exams=2,
        merged_rows=1,
        findings=findings,
        reasons=[reason(Reason.UNREADABLE, 1), reason(Reason.CONTRADICTORY, 2), reason(Reason.TINY, 3)],
        unreadable=1,
    )
    assert list(summary_of(single, "fail"))[1:] == [
        "1 row of the manifest was merged with an earlier row about the same image.",
        "1 image cannot be read; a job on the set fails.",
        "1 image has the bytes of another of which the manifest says something else.",
        "Also remarked: tiny images (1).",
        "The manifest names 1 finding; 1 image has none. Of 1 image it says nothing.",
    ]

    several = check(merged_rows=2, reasons=[reason(Reason.CONTRADICTORY, 2, 3)])
    sentences = list(summary_of(several, "fail"))
    assert sentences[1] == "2 rows of the manifest were merged with an earlier row about the same image."
    assert sentences[3] == "2 images have the bytes of another of which the manifest says something else."


def test_raw_images_are_counted_beside_the_others() -> None:
    raw = [reason(Reason.FOR_PROCESSING, 1, 2)]
    shown = {"distinct": 1, "without": 0, "values": [{"value": "FOR PRESENTATION", "images": 1}]}
    alone = list(summary_of(check(reasons=raw), "fail"))
    assert "2 raw images (FOR PROCESSING)." in alone
    mixed = list(summary_of(check(reasons=raw, files={**dict.fromkeys(SEEN, NOTHING), "intents": shown}), "fail"))
    assert "2 raw images (FOR PROCESSING) among 1 FOR PRESENTATION: their grey levels differ." in mixed


def test_a_manifest_whose_images_all_have_no_finding_says_nothing_of_concepts() -> None:
    healthy = check(findings={"named": {"distinct": 0, "without": 3, "values": []}, "unknown": 0})
    sentences = list(summary_of(healthy, "fail", ("bi-rads", NO_FINDINGS)))
    assert sentences[-1] == "The manifest names 0 findings; 3 images have none."


def test_the_page_and_the_json_say_the_same_and_what_a_manifest_says_stays_text() -> None:
    site: CountedValues = {"distinct": 1, "without": 2, "values": [{"value": "<b>n</b>", "images": 1}]}
    checked_at = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
    report = report_probe_set(
        "probes@1",
        check(manifest={"site": site}, reasons=[reason(Reason.TINY, 2)]),
        on_unreadable="skip",
        checked_at=checked_at,
    )
    page = Page(probe_set_html(report))
    assert ["<b>n</b>", "1"] in page.rows["manifest"]
    assert ["2", "see 2", ""] in page.rows["images"]
    assert "3 images, each decoded once as a job decodes them, 2026-11-28 09:30 UTC." in page.text
    assert all(sentence in page.text for sentence in report.limits)

    content = json.loads(probe_set_json(report))
    assert content["summary"] == list(report.summary)
    assert content["checked_at"] == checked_at.isoformat()
    assert content["check"]["reasons"][0]["rows"] == [{"row": 2, "why": "see 2"}]
