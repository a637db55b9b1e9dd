"""Audits, and one audit: its verdict with every rule's figures, and who has seen it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import SessionDep
from api.pages.checked import checked
from api.pages.forms import FormDep, PageRoute, see_other
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from api.schemas.audits import AcknowledgementIn
from service.domain.audits import Audit, AuditStatus
from service.errors import Conflict
from service.reports.audit_wording import figure_words, measure, rule_words
from service.usecases import audits, deployments
from service.usecases.audit_reports import read_audit_report
from service.usecases.jobs import find_job

router = APIRouter(include_in_schema=False, route_class=PageRoute)

VERDICTS = ("pass", "warn", "fail")
_WORST_FIRST = ("fail", "warn", "not-testable", "pass")


@router.get("/ui/audits")
def show_audits(
    request: Request,
    session: SessionDep,
    deployment: Annotated[str, Query(max_length=80)] = "",
    verdict: str = "",
    cursor: Cursor = None,
) -> Response:
    """Audits, newest first. deployment, verdict: empty for all, as a form sends them. Raises NotFound."""
    audited = deployments.find_deployment(session, deployment) if deployment else None
    wanted = verdict if verdict in VERDICTS else None
    listed = audits.list_audits(
        session, deployment=audited, verdict=wanted, limit=PAGE_SIZE, after=decode_cursor(cursor)
    )
    return page(
        request,
        "audits.html",
        audits=listed.items,
        deployment=deployment,
        verdict=wanted,
        verdicts=VERDICTS,
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/audits/{audit_id}")
def show_audit(request: Request, audit_id: UUID, session: SessionDep) -> Response:
    """One audit. Raises NotFound."""
    audit = audits.find_audit(session, audit_id)
    if audit.status is AuditStatus.RUNNING:
        return _running(request, session, audit)

    report = read_audit_report(session, audit_id)
    drift = None if report.facts is None else report.facts.drift
    return page(
        request,
        "audit.html",
        audit=audit,
        report=report,
        drift=drift,
        worst_first=sorted(report.outcomes, key=lambda outcome: _WORST_FIRST.index(outcome.outcome)),
        may_pin=report.proposal and report.job is not None and report.status is AuditStatus.JUDGED,
        figure_words=figure_words,
        measure=measure,
    )


@router.post("/ui/audits/{audit_id}/acknowledge")
def acknowledge(audit_id: UUID, form: FormDep, session: SessionDep, response: Response) -> Response:
    """Note who has seen the verdict. Raises InvalidInput, NotFound, and Conflict where that was noted before."""
    seen = checked(AcknowledgementIn, {"by": form.text("by"), "reason": form.text("reason")})
    audits.acknowledge_audit(session, audit_id, by=seen.by, reason=seen.reason)
    return see_other(response, f"/ui/audits/{audit_id}")


@router.post("/ui/audits/{audit_id}/cancel")
def cancel(audit_id: UUID, session: SessionDep, response: Response) -> Response:
    """End a running audit without a verdict. Raises NotFound, and Conflict once it has ended."""
    audits.cancel_audit(session, audit_id)
    return see_other(response, f"/ui/audits/{audit_id}")


@router.post("/ui/audits/{audit_id}/baseline")
def pin_baseline(audit_id: UUID, session: SessionDep, response: Response) -> Response:
    """Compare later audits of the deployment with this one's dissection.

    Raises NotFound, and Conflict where it has none or audits could not be compared with it.
    """
    audit = audits.find_audit(session, audit_id)
    if audit.job is None:
        raise Conflict(f"Audit {audit_id} has no dissection.", field="audit", value=audit_id)

    deployment = deployments.pin_baseline(session, audit.deployment, audit.job)
    return see_other(response, f"/ui/deployments/{deployment.name}")


def _running(request: Request, session: SessionDep, audit: Audit) -> Response:
    rules = [(rule.name or rule.rule, rule_words(rule), rule.severity) for rule in audit.policy.rules]
    job = None if audit.job is None else find_job(session, audit.job)
    return page(request, "audit_running.html", audit=audit, rules=rules, job=job)
