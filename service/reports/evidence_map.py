"""Which evidence of an audit speaks to which item of regulations and standards: pointers, never claims."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal
from uuid import UUID

from annotated_types import Len
from pydantic import TypeAdapter, ValidationError

from service.domain.manifests import entries_of
from service.errors import InvalidInput
from service.files import ANYWHERE
from service.reports.audit import AuditReport, audit_json
from service.reports.audit_wording import verdict_word
from service.reports.markdown import code, escaped, table

NO_CLAIM: Final = (
    "This table claims no compliance with anything. It points to evidence that this service holds of one audit; "
    "whether that evidence is relevant, sufficient or asked for, only those who answer for the system can say."
)

EvidenceKey = Literal[
    "verdict",
    "report",
    "signature",
    "recomputation",
    "policy",
    "model",
    "data",
    "method",
    "code",
    "drift",
    "strata",
    "since-last",
    "limits",
    "acknowledgement",
    "schedule",
    "history",
    "deployment",
    "trail",
]
Text = Annotated[str, Len(1, 2_000)]


@dataclass(frozen=True, slots=True)
class Applicability:
    """From when something applies, and who says so."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    date: date
    what: Text
    source: Text


@dataclass(frozen=True, slots=True)
class FrameworkItem:
    """An article or clause, what of it the evidence may speak to, and the evidence."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    item: Text
    title: Text
    note: Text
    evidence: Annotated[tuple[EvidenceKey, ...], Len(1, 50)]


@dataclass(frozen=True, slots=True)
class Framework:
    """A regulation, guidance or standard."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: Text
    title: Text
    applies: tuple[Applicability, ...]
    items: tuple[FrameworkItem, ...]


@dataclass(frozen=True, slots=True)
class Mapped:
    """The content of the file that says which evidence speaks to which item, with the dates."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    frameworks: tuple[Framework, ...]


@dataclass(frozen=True, slots=True)
class Pointer:
    """A piece of evidence of this audit."""

    evidence: EvidenceKey
    what: str
    where: str
    """The call or command that shows it."""
    value: str
    """What it says, in short."""


@dataclass(frozen=True, slots=True)
class EvidenceMap:
    """The pointers of an audit, and the items that each may speak to."""

    audit: UUID
    deployment: str
    no_claim: str
    evidence: tuple[Pointer, ...]
    frameworks: tuple[Framework, ...]


_MOST_BYTES = 16 << 20
_MAPPED = TypeAdapter(Mapped)
_MAP = TypeAdapter(EvidenceMap)


def read_mapping(path: Path | None = None) -> Mapped:
    """The mapping in a file; without a path, the bundled one. Raises InvalidInput that names the field."""
    if path is None:
        return _built_in()

    try:
        return _MAPPED.validate_json(ANYWHERE.read(path, most=_MOST_BYTES))
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first_error = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first_error["loc"])) or "its beginning"
        raise _unusable(path, f"is wrong at {where}: {first_error['msg']}") from None


def map_evidence(report: AuditReport, mapping: Mapped, *, key_id: str | None) -> EvidenceMap:
    """What the audit has for each item. key_id: of the key that signs reports, None where there is none."""
    return EvidenceMap(
        audit=report.audit,
        deployment=report.deployment,
        no_claim=NO_CLAIM,
        evidence=tuple(_pointers(report, key_id)),
        frameworks=mapping.frameworks,
    )


def evidence_map_json(evidence_map: EvidenceMap) -> bytes:
    """The map as UTF-8 JSON."""
    return _MAP.dump_json(evidence_map, indent=1)


def evidence_map_markdown(evidence_map: EvidenceMap) -> str:
    """The map as markdown: a table for each framework, and the evidence."""
    audit, deployment = code(evidence_map.audit), escaped(evidence_map.deployment)
    lines = [f"# Evidence of audit {audit} of {deployment}", "", evidence_map.no_claim, ""]

    pointers: Mapping[str, Pointer] = {pointer.evidence: pointer for pointer in evidence_map.evidence}
    for framework in evidence_map.frameworks:
        lines += _framework_lines(framework, pointers)

    rows = [(escaped(pointer.what), code(pointer.where), escaped(pointer.value)) for pointer in evidence_map.evidence]
    lines += ["## Evidence", "", *table(("evidence", "where", "says"), rows), ""]
    return "\n".join(lines)


def _framework_lines(framework: Framework, pointers: Mapping[str, Pointer]) -> Iterator[str]:
    yield from (f"## {escaped(framework.name)}", "", escaped(framework.title), "")

    for applies in framework.applies:
        yield f"* {applies.date.isoformat()}: {escaped(applies.what)}. Source: {escaped(applies.source)}."
    if framework.applies:
        yield ""

    rows = [_item_cells(item, pointers) for item in framework.items]
    yield from (*table(("item", "title", "pointers to evidence", "note"), rows), "")


def _item_cells(item: FrameworkItem, pointers: Mapping[str, Pointer]) -> tuple[str, str, str, str]:
    evidence = [pointers[key] for key in item.evidence]
    listed = "; ".join(f"{escaped(pointer.what)} {code(pointer.where)}" for pointer in evidence)
    return escaped(item.item), escaped(item.title), listed, escaped(item.note)


def _pointers(report: AuditReport, key_id: str | None) -> Iterator[Pointer]:
    audit = f"GET /audits/{report.audit}"
    sha256 = hashlib.sha256(audit_json(report)).hexdigest()
    signed = "no signing key is set" if key_id is None else f"Ed25519, key {key_id}"

    yield Pointer("verdict", "verdict and outcomes", audit, verdict_word(report.verdict))
    yield Pointer("report", "report", f"{audit}/report?format=json", f"SHA-256 {sha256}")
    yield Pointer("signature", "signature of the report", f"{audit}/report/signature", signed)
    yield Pointer("recomputation", "the verdict computed again", f"{audit}/recomputed", "from the stored facts")

    yield from _what_it_was_made_with(report)
    yield from _what_it_found(report, audit)
    yield from _what_is_on_record(report, audit)


def _what_it_was_made_with(report: AuditReport) -> Iterator[Pointer]:
    policy = report.policy
    fixed = "" if policy.fixed_at is None else f", fixed at {policy.fixed_at.isoformat()}"
    where = f"GET /policies/{policy.reference}"
    yield Pointer("policy", "policy with thresholds", where, f"digest {policy.digest}{fixed}")

    parts = {part.part: part for part in report.parts}
    target, probe_set = parts["target"], parts["probe set"]
    yield Pointer("model", "audited model", f"GET /models/{target.reference}", f"digest {target.digest}")
    yield Pointer("data", "probe set", f"GET /probe-sets/{probe_set.reference}", f"digest {probe_set.digest}")

    dissector, concepts = parts["dissector"], parts["concept set"]
    digests = f"{dissector.reference} digest {dissector.digest}, {concepts.reference} digest {concepts.digest}"
    yield Pointer("method", "dissector and concept set", f"GET /dissectors/{dissector.reference}", digests)

    versions = entries_of(report.manifest, "versions")
    listed = ", ".join(f"{name} {version}" for name, version in versions.items()) or "not recorded"
    yield Pointer("code", "versions of the code", f"GET /audits/{report.audit}/report?format=json", listed)


def _what_it_found(report: AuditReport, audit: str) -> Iterator[Pointer]:
    drift = None if report.facts is None else report.facts.drift
    if drift is None:
        yield Pointer("drift", "drift against the baseline", audit, "no baseline was compared")
    else:
        moved = "exactly zero" if drift.zero else "see the comparison"
        yield Pointer("drift", "drift against the baseline", f"GET /comparisons/{drift.comparison}", moved)

    strata = ", ".join(f"{line.stratum}={line.value}" for line in report.strata) or "none was looked into"
    yield Pointer("strata", "strata", f"{audit}/report", strata)

    last = "none before" if report.since_last is None else f"against audit {report.since_last.audit}"
    yield Pointer("since-last", "difference to the last audit", f"{audit}/report", last)
    yield Pointer("limits", "limits", f"{audit}/report", f"{len(report.limits)} of them, in plain words")


def _what_is_on_record(report: AuditReport, audit: str) -> Iterator[Pointer]:
    acknowledged = "nobody has yet"
    if report.acknowledgement is not None:
        acknowledged = f"by {report.acknowledgement.by}, {report.acknowledgement.at.isoformat()}"
    yield Pointer("acknowledgement", "who has seen the verdict", audit, acknowledged)

    due = "" if report.fire_time is None else f", due {report.fire_time.isoformat()}"
    asked_by = f"asked for by {report.trigger}" if report.schedule is None else f"schedule {report.schedule}{due}"
    yield Pointer("schedule", "what asked for the audit", audit, asked_by)

    deployment = f"GET /deployments/{report.deployment}"
    yield Pointer("history", "the deployment's audits", f"{deployment}/history", "a time series")
    yield Pointer("deployment", "the deployment", deployment, "the version in use and how it is audited")
    subject = f"entries that name /audits/{report.audit} or /deployments/{report.deployment}"
    yield Pointer("trail", "trail of every changing call", "mammodissect admin verify-trail", subject)


@cache
def _built_in() -> Mapped:
    return _MAPPED.validate_json(files("service.reports").joinpath("data", "evidence_map.json").read_bytes())


def _unusable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"The mapping of evidence {why}.",
        field="evidence_map",
        value=path,
        remedy="Correct the file that EVIDENCE_MAP names, as docs/audit-reports.md says, or leave the setting empty.",
    )
