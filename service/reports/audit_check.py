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
    """A report whose signature is good."""

    report: AuditReport
    recomputed: Judgement | None
    """What its policy and facts give now; None where it holds no facts."""

    @property
    def faults(self) -> tuple[str, ...]:
        """Where the report does not say what its policy and facts give."""
        report = self.report
        recomputed = self.recomputed
        if recomputed is None:
            return () if report.verdict is None else (f"The report says {report.verdict}, and holds no facts.",)

        faults = []
        if report.verdict != recomputed.verdict:
            faults.append(f"The report says {report.verdict}; its facts and policy give {recomputed.verdict}.")

        reported = len(report.outcomes)
        given = len(recomputed.outcomes)
        if reported != given:
            faults.append(f"The report has {reported} outcomes; its policy gives {given}.")

        for outcome, again in zip(report.outcomes, recomputed.outcomes, strict=False):
            if outcome != again:
                where = outcome.rule if outcome.stratum is None else f"{outcome.rule} in {outcome.stratum}"
                what = "other figures" if outcome.outcome == again.outcome else again.outcome
                faults.append(f"{where}: the report says {outcome.outcome}; its facts give {what}.")

        return tuple(faults)


def check_report(document: bytes, signature: bytes, key: PublicKey) -> CheckedReport:
    """The report in a file whose signature is that key's, with its verdict computed once more.

    Nothing of the document is read before its signature is found to be good. Raises InvalidSignature where it is not,
    InvalidInput for a signed file that is not a report of the known form, and InvalidPolicy.
    """
    key.verify(document, Signature.from_bytes(signature))

    report = _read(document)
    if report.facts is None:
        return CheckedReport(report, None)

    policy = policy_from(dict(report.policy.document))
    return CheckedReport(report, judge(policy, report.facts))


def _read(document: bytes) -> AuditReport:
    try:
        value = json.loads(document)
        form = value.get("format") if isinstance(value, dict) else None
        if form == FORMAT:
            return AUDIT_REPORT.validate_json(document)
    except (ValueError, ValidationError):
        form = None
    raise InvalidInput(
        "The file is signed, but it is not an audit report that this release can read.",
        field="report",
        value=form,
        remedy=f"Give the JSON of `mammodissect audit-report`, of the form {FORMAT}.",
    )
