"""Check a signed report without the service that made it: the signature, and the verdict from its own figures."""

import json
from dataclasses import dataclass

from pydantic import ValidationError

from service.analysis.policy_codec import policy_from
from service.analysis.verdict import judge
from service.domain.audit_facts import Judgement
from service.errors import InvalidInput
from service.reports.audit import AUDIT_REPORT, FORMAT, AuditReport
from service.signatures import PublicKey, Signature


@dataclass(frozen=True, slots=True)
class CheckedReport:
    """A report whose signature is good, and what its policy and facts give now; None where it reports no verdict."""

    report: AuditReport
    recomputed: Judgement | None

    @property
    def faults(self) -> tuple[str, ...]:
        """Where the report does not say what its policy and facts give."""
        report, again = self.report, self.recomputed
        if again is None:
            return () if report.verdict is None else (f"The report says {report.verdict}, and holds no facts.",)
        faults = []
        if report.verdict != again.verdict:
            faults.append(f"The report says {report.verdict}; its facts and policy give {again.verdict}.")
        if len(report.outcomes) != len(again.outcomes):
            faults.append(f"The report has {len(report.outcomes)} outcomes; its policy gives {len(again.outcomes)}.")
        for told, found in zip(report.outcomes, again.outcomes, strict=False):
            if told != found:
                where = told.rule if told.stratum is None else f"{told.rule} in {told.stratum}"
                faults.append(f"{where}: the report says {told.outcome}; its facts give {found.outcome}.")
        return tuple(faults)


def check_report(document: bytes, signature: bytes, key: PublicKey) -> CheckedReport:
    """The report in a file whose signature is that key's, with its verdict computed once more.

    Nothing of the document is read before its signature is found to be good. Raises InvalidSignature where it is not,
    InvalidInput for what is signed and no report of the known form, and InvalidPolicy.
    """
    key.verify(document, Signature.from_bytes(signature))
    report = _read(document)
    if report.facts is None:
        return CheckedReport(report, None)
    return CheckedReport(report, judge(policy_from(dict(report.policy.document)), report.facts))


def _read(document: bytes) -> AuditReport:
    try:
        value = json.loads(document)
        form = value.get("format") if isinstance(value, dict) else None
        if form == FORMAT:
            return AUDIT_REPORT.validate_json(document)
    except (ValueError, ValidationError):
        form = None
    raise InvalidInput(
        "The file is signed, and no report on an audit that this release can read.",
        field="report",
        value=form,
        remedy=f"Give the JSON of `mammodissect audit-report`, of the form {FORMAT}.",
    )
