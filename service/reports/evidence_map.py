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
    """The file that says what is mapped to what, with the dates."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    frameworks: tuple[Framework, ...]


@dataclass(frozen=True, slots=True)
class Pointer:
    """A piece of evidence of this audit. where: the call or command that shows it. value: what it says, in short."""

    evidence: EvidenceKey
    what: str
    where: str
    value: str


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
    """The mapping in a file; without a path, the one that comes along. Raises InvalidInput that names the field."""
    if path is None:
        return _built_in()
    try:
        return _MAPPED.validate_json(ANYWHERE.read(path, most=_MOST_BYTES))
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "its beginning"
        raise _unusable(path, f"is wrong at {where}: {first['msg']}") from None


def map_evidence(report: AuditReport, mapping: Mapped, *, key_id: str | None) -> EvidenceMap:
    """What the audit has for each item. key_id: of the key that signs reports, None where there is none."""
    return EvidenceMap(report.audit, report.deployment, NO_CLAIM, tuple(_pointers(report, key_id)), mapping.frameworks)


def evidence_map_json(found: EvidenceMap) -> bytes:
    """The map as UTF-8 JSON."""
    return _MAP.dump_json(found, indent=1)


def evidence_map_markdown(found: EvidenceMap) -> str:
    """The map as markdown: a table for each framework, and the evidence."""
    pointers: Mapping[str, Pointer] = {one.evidence: one for one in found.evidence}
    lines = [f"# Evidence of audit {code(found.audit)} of {escaped(found.deployment)}", "", found.no_claim, ""]
    for framework in found.frameworks:
        lines += [f"## {escaped(framework.name)}", "", escaped(framework.title), ""]
        for one in framework.applies:
            lines += [f"* {one.date.isoformat()}: {escaped(one.what)}. Source: {escaped(one.source)}."]
        lines += [""] if framework.applies else []
        rows = [
            (
                escaped(item.item),
                escaped(item.title),
                "; ".join(f"{escaped(pointers[key].what)} {code(pointers[key].where)}" for key in item.evidence),
                escaped(item.note),
            )
            for item in framework.items
        ]
        lines += [*table(("item", "title", "pointers to evidence", "note"), rows), ""]
    rows_of = [(escaped(one.what), code(one.where), escaped(one.value)) for one in found.evidence]
    lines += ["## Evidence", "", *table(("evidence", "where", "says"), rows_of), ""]
    return "\n".join(lines)


def _pointers(report: AuditReport, key_id: str | None) -> Iterator[Pointer]:
    audit = f"GET /audits/{report.audit}"
    yield Pointer("verdict", "verdict and outcomes", audit, verdict_word(report.verdict))
    twin = hashlib.sha256(audit_json(report)).hexdigest()
    yield Pointer("report", "report", f"{audit}/report?format=json", f"SHA-256 {twin}")
    signed = "no signing key is set" if key_id is None else f"Ed25519, key {key_id}"
    yield Pointer("signature", "signature of the report", f"{audit}/report/signature", signed)
    yield Pointer("recomputation", "the verdict computed again", f"{audit}/recomputed", "from the stored facts")
    yield from _made_with(report)
    yield from _found(report, audit)
    yield from _kept(report, audit)


def _made_with(report: AuditReport) -> Iterator[Pointer]:
    parts = {one.part: one for one in report.parts}
    policy, target, probes = report.policy, parts["target"], parts["probe set"]
    fixed = "" if policy.fixed_at is None else f", fixed at {policy.fixed_at.isoformat()}"
    where = f"GET /policies/{policy.reference}"
    yield Pointer("policy", "policy with thresholds", where, f"digest {policy.digest}{fixed}")
    yield Pointer("model", "audited model", f"GET /models/{target.reference}", f"digest {target.digest}")
    yield Pointer("data", "probe set", f"GET /probe-sets/{probes.reference}", f"digest {probes.digest}")
    dissector, concepts = parts["dissector"], parts["concept set"]
    seen = f"{dissector.reference} digest {dissector.digest}, {concepts.reference} digest {concepts.digest}"
    yield Pointer("method", "dissector and concept set", f"GET /dissectors/{dissector.reference}", seen)
    versions = (report.manifest or {}).get("versions", {})
    told = ", ".join(f"{name} {version}" for name, version in versions.items()) or "not recorded"
    yield Pointer("code", "versions of the code", f"GET /audits/{report.audit}/report?format=json", told)


def _found(report: AuditReport, audit: str) -> Iterator[Pointer]:
    drift = None if report.facts is None else report.facts.drift
    if drift is None:
        yield Pointer("drift", "drift against the baseline", audit, "no baseline was compared")
    else:
        moved = "exactly zero" if drift.zero else "see the comparison"
        yield Pointer("drift", "drift against the baseline", f"GET /comparisons/{drift.comparison}", moved)
    strata = ", ".join(f"{one.stratum}={one.value}" for one in report.strata) or "none was looked into"
    yield Pointer("strata", "strata", f"{audit}/report", strata)
    last = "none before" if report.since_last is None else f"against audit {report.since_last.audit}"
    yield Pointer("since-last", "difference to the last audit", f"{audit}/report", last)
    yield Pointer("limits", "limits", f"{audit}/report", f"{len(report.limits)} of them, in plain words")


def _kept(report: AuditReport, audit: str) -> Iterator[Pointer]:
    seen = report.acknowledgement
    told = "nobody has yet" if seen is None else f"by {seen.by}, {seen.at.isoformat()}"
    yield Pointer("acknowledgement", "who has seen the verdict", audit, told)
    due = "" if report.fire_time is None else f", due {report.fire_time.isoformat()}"
    asked = f"asked for by {report.trigger}" if report.schedule is None else f"schedule {report.schedule}{due}"
    yield Pointer("schedule", "what asked for the audit", audit, asked)
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
