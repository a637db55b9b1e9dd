"""The report on a probe set's images: what a check before any job has found, as HTML and as JSON."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from service.domain.checks import Reason, SetCheck, count_of
from service.domain.findings import FindingsEntry
from service.reports.html import render
from service.reports.wording import counted

HEADINGS: Mapping[str, str] = {
    Reason.UNREADABLE: "Images that cannot be read",
    Reason.CONTRADICTORY: "Copies of which the manifest says something else",
    Reason.SAME_BYTES: "Copies of other images",
    Reason.FOR_PROCESSING: "Raw images (FOR PROCESSING)",
    Reason.WIDE_PADDING: "Wide padding",
    Reason.CONSTANT: "Images without any contrast",
    Reason.TINY: "Tiny images",
    Reason.SEVERAL_FRAMES: "Images of several frames",
    Reason.UNUSUAL_BITS: "Unusual bits",
    Reason.COLOUR: "Images in colour",
    Reason.REGION_OUTSIDE: "Boxes and masks outside their image",
}
"""What is said of the images that a check names, by reason."""

COUNTED = {
    "sizes": "size in pixels (height x width)",
    "forms": "file format",
    "frames": "frames of an image",
    "bits": "bits of a pixel",
    "photometrics": "photometric interpretation",
    "intents": "presentation intent",
    "windows": "VOI window or lookup table",
}
"""What is counted of the files, in words."""

_NAMES_IN_WORDS = 10

LIMITS = (
    "It does not say whether an image shows what the manifest says of it.",
    "Damage that a format does not notice is not noticed here: JPEG-LS, JPEG 2000, lossy JPEG and uncompressed pixels "
    "have no checksum.",
    "Copies are files with equal bytes. The same image saved twice in different ways is not recognised.",
    "Files that change after the check are not checked again; a job reads them as they are then.",
)


@dataclass(frozen=True, slots=True)
class ProbeSetReport:
    """Everything that a report on a probe set says."""

    name: str
    """Its reference, or the manifest's name where nothing was registered."""

    checked_at: datetime | None
    on_unreadable: str
    check: SetCheck
    summary: tuple[str, ...]

    meanings: FindingsEntry | None
    """What the findings mean among the concepts of a set; None where the manifest names none."""

    concept_set: str | None
    """That set."""

    limits: tuple[str, ...] = LIMITS


def report_probe_set(
    name: str,
    check: SetCheck,
    *,
    on_unreadable: str,
    checked_at: datetime | None,
    meanings: tuple[str, FindingsEntry] | None = None,
) -> ProbeSetReport:
    """Sum up what a check has found.

    name: how the set is called in the report. meanings: a concept set, and what the findings mean in it.
    """
    concept_set, entry = meanings or (None, None)
    summary = tuple(summary_of(check, on_unreadable, meanings))
    return ProbeSetReport(name, checked_at, on_unreadable, check, summary, entry, concept_set)


def probe_set_json(report: ProbeSetReport) -> bytes:
    """The report as UTF-8 JSON."""
    content = asdict(report)
    checked_at = report.checked_at
    content["checked_at"] = None if checked_at is None else checked_at.isoformat()
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def probe_set_html(report: ProbeSetReport) -> str:
    """The report as one HTML file."""
    check = report.check
    return render(
        "probe_set.html",
        report=report,
        images=counted(check["images"], "image"),
        unknown=counted(check["findings"]["unknown"], "image"),
        reasons=[(HEADINGS.get(entry["reason"], entry["reason"]), entry) for entry in check["reasons"]],
        columns=list(check["manifest"].items()),
        said_of=said_of(report.meanings),
        files=[(COUNTED.get(name, name), values) for name, values in check["files"].items() if values["distinct"]],
    )


def said_of(meanings: FindingsEntry | None) -> dict[str, str]:
    """What each finding means, in words."""
    if meanings is None:
        return {}
    said = {match["finding"]: ", ".join(match["concepts"]) for match in meanings["matched"]}
    said |= {finding["finding"]: "no concept, as is known" for finding in meanings["no_concept"]}
    for finding in meanings["unmatched"]:
        could_be = f": {', '.join(finding['concepts'])}" if finding["concepts"] else ""
        said[finding["finding"]] = f"{finding['why']}{could_be}"
    return said


def summary_of(check: SetCheck, on_unreadable: str, meanings: tuple[str, FindingsEntry] | None = None) -> Iterator[str]:
    """What is to be known first, in whole sentences. meanings: as in `report_probe_set`."""
    units = check["independent"]
    yield (
        f"{counted(check['images'], 'image')}{_groups(check)}. What counts as independent is the {units['unit']}: "
        f"there are {units['count']:,}, the largest with {counted(units['largest'], 'image')}."
    )
    merged_rows = check["merged_rows"]
    if merged_rows:
        were = "was" if merged_rows == 1 else "were"
        yield f"{counted(merged_rows, 'row')} of the manifest {were} merged with an earlier row about the same image."
    yield _readable(check, on_unreadable)
    yield from _remarks(check)
    yield _findings(check)
    if meanings is not None:
        yield from _meanings(*meanings)


def _groups(check: SetCheck) -> str:
    known = [
        counted(number, what) for number, what in ((check["patients"], "patient"), (check["exams"], "exam")) if number
    ]
    return f" of {' and '.join(known)}" if known else "; the manifest names neither patients nor exams"


def _readable(check: SetCheck, on_unreadable: str) -> str:
    unreadable = check["unreadable"]
    if unreadable == 0:
        return "All of them can be read."
    what = "leaves them out" if on_unreadable == "skip" else "fails"
    return f"{counted(unreadable, 'image')} cannot be read; a job on the set {what}."


def _remarks(check: SetCheck) -> Iterator[str]:
    intents = {entry["value"]: entry["images"] for entry in check["files"]["intents"]["values"]}
    raw = count_of(check, Reason.FOR_PROCESSING)
    raw_images = f"{counted(raw, 'raw image')} (FOR PROCESSING)"
    shown = intents.get("FOR PRESENTATION", 0)
    if raw and shown:
        yield f"{raw_images} among {shown:,} FOR PRESENTATION: their grey levels differ."
    elif raw:
        yield f"{raw_images}."

    copies = count_of(check, Reason.CONTRADICTORY)
    if copies:
        have = "has" if copies == 1 else "have"
        yield f"{counted(copies, 'image')} {have} the bytes of another of which the manifest says something else."
    said = {Reason.UNREADABLE, Reason.FOR_PROCESSING, Reason.CONTRADICTORY}
    others = [entry for entry in check["reasons"] if entry["reason"] not in said]
    if others:
        remarks = (f"{HEADINGS.get(entry['reason'], entry['reason']).lower()} ({entry['count']:,})" for entry in others)
        yield f"Also remarked: {', '.join(remarks)}."


def _findings(check: SetCheck) -> str:
    findings = check["findings"]
    named = findings["named"]
    if findings["unknown"] == check["images"]:
        return "The manifest says nothing of findings."
    unknown = f" Of {counted(findings['unknown'], 'image')} it says nothing." if findings["unknown"] else ""
    without = counted(named["without"], "image")
    have = "has" if named["without"] == 1 else "have"
    return f"The manifest names {counted(named['distinct'], 'finding')}; {without} {have} none.{unknown}"


def _meanings(concept_set: str, entry: FindingsEntry) -> Iterator[str]:
    unmatched = entry["unmatched_names"]
    if entry["names"] == 0:
        return
    if unmatched == 0:
        yield f"Each of them names a concept of {concept_set}, or is known to mean none."
        return

    names = [f"{finding['finding']} ({finding['images']:,})" for finding in entry["unmatched"][:_NAMES_IN_WORDS]]
    more = f" and {unmatched - len(names):,} more" if unmatched > len(names) else ""
    name = "names" if unmatched == 1 else "name"
    yield (
        f"{counted(unmatched, 'finding')} of them {name} no concept of {concept_set} for certain: "
        f"{', '.join(names)}{more}. A `findings_map` says what they mean."
    )
