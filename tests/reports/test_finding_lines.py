"""What reports say of findings that are no concept's name."""

from dataclasses import replace

from service.concepts.findings import match_findings
from service.domain.concepts import Concept, ConceptSet
from service.domain.findings import LISTED, findings_entry
from service.domain.findings_map import FindingsMap
from service.domain.json_values import JsonObject
from service.reports.dissection import dissection_html, dissection_json
from service.reports.finding_lines import finding_sentences
from service.reports.provenance import manifest_lines
from tests.reports.examples import EVIDENCE, FACTS, example_layers, example_report
from tests.reports.page import Page

CONCEPTS = ConceptSet("small", (Concept("mass"), Concept("calcifications")))
MAP = FindingsMap("/ward/maps/own.csv", (("lump", ("mass",)), ("normal", ()), ("shadow", ("opacity",))))


def manifest(findings_map: FindingsMap | None = None, /, **counts: int) -> JsonObject:
    return {"findings": findings_entry(match_findings(CONCEPTS, counts, findings_map), CONCEPTS.texts)}


def test_unmatched_findings_are_named_the_commonest_first() -> None:
    assert list(finding_sentences(manifest(mass=3, tumour=2, lesion=9))) == [
        "2 findings of the probe set name no concept: lesion (9), tumour (2). A concept that one of them may mean is "
        "not called absent, but images with the finding count as images without that concept until a map of findings "
        "says what it means."
    ]
    many = next(iter(finding_sentences(manifest(None, **{f"thing{number}": 1 for number in range(1_300)}))))
    assert many.startswith("1,300 findings of the probe set name no concept: thing0 (1), ")
    assert "and 1,294 more." in many
    (one,) = finding_sentences(manifest(lesion=1))
    assert one.startswith("1 finding of the probe set names no concept: lesion (1). A concept that it may mean")


def test_what_was_decided_is_said() -> None:
    assert list(finding_sentences(manifest(MAP, masses=3, lump=2, normal=4))) == [
        "1 finding was taken for concepts of another spelling: masses (plural).",
        "The map of findings (own.csv) says what 1 finding means, and that normal means no concept.",
        "The concept set lacks what the map names: opacity (for shadow).",
    ]


def test_what_a_manifest_does_not_list_is_not_left_out_of_a_count() -> None:
    masses = {f"mass{'.' * number}": 1 for number in range(1, LISTED + 51)}
    (folded,) = finding_sentences(manifest(None, **masses))
    assert folded.startswith(f"At least {LISTED} findings were taken for concepts of another spelling: mass. (pun")
    any_mass = FindingsMap("own.csv", (("mass*", ("mass",)),))
    assert list(finding_sentences(manifest(any_mass, **masses))) == [
        f"The map of findings (own.csv) says what at least {LISTED} findings mean."
    ]


def test_nothing_is_said_where_every_finding_is_a_concept_s_name() -> None:
    assert list(finding_sentences(manifest(mass=3, calcifications=1))) == []
    assert list(finding_sentences({}, EVIDENCE)) == []
    assert list(finding_sentences(None)) == []


def test_of_a_job_of_an_earlier_release_the_evidence_tells() -> None:
    known = (*(EVIDENCE.findings or ()), "malignant mass")
    (one,) = finding_sentences({}, replace(EVIDENCE, findings=known))
    assert one.startswith("1 finding of the probe set names no concept: malignant mass.")


def test_a_report_shows_unmatched_findings_apart_from_the_manifest() -> None:
    report = example_report(example_layers())
    shown = replace(report, facts=replace(FACTS, manifest={**FACTS.manifest, **manifest(MAP, lesion=9, lumps=2)}))
    page = Page(dissection_html(shown, lambda _: None))
    assert page.rows["dissector"][-4:] == [
        ["finding", "images", "why", "concepts in question"],
        ["lesion", "9", "names no concept", ""],
        ["finding", "images", "taken for", "matched by"],
        ["lumps", "2", "mass", "map"],
    ]
    assert b'"malignant mass"' not in dissection_json(shown)
    names = dict(manifest_lines(shown.facts.manifest))
    assert (names["findings.unmatched_names"], names["findings.map.source"]) == ("1", MAP.source)
    assert "findings.unmatched" not in names
