"""Audits of deployed models."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.audits import AcknowledgementIn, AuditBriefOut, AuditIn, AuditListedOut, AuditOut, RecomputedOut
from api.targets import target_of
from service.domain.audits import Audit, Occasion
from service.domain.policies import Verdict
from service.usecases import audit_verdicts, audits, deployments

router = APIRouter(prefix="/audits", tags=["audits"], route_class=OneThreadRoute)


@router.post("", status_code=status.HTTP_202_ACCEPTED)
def post_audit(
    body: AuditIn, session: SessionDep, queue: QueueDep, roots: RootsDep, readings: ReadingsDep, response: Response
) -> AuditOut:
    """Audit a deployment now: the version in use, or a candidate."""

    def start() -> Audit:
        deployment = deployments.find_deployment(session, body.deployment)
        target = None if body.target is None else target_of(session, queue, roots, body.target, readings=readings)
        reason = None if body.override_purpose is None else body.override_purpose.reason
        occasion = Occasion("request", target, override_reason=reason)
        return audits.start_audit(session, queue, deployment, occasion, roots, readings)

    audit = readings.complete(session, start)
    response.headers["Location"] = f"/audits/{audit.id}"
    return AuditOut.of(audit)


@router.get("")
def list_audits(
    session: SessionDep,
    request: Request,
    response: Response,
    deployment: Annotated[str | None, Query(description="Only audits of this deployment.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only audits with this verdict.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOut[AuditListedOut]:
    """Audits in brief, newest first, with counts of rule outcomes. GET /audits/{id} lists the outcomes with reasons."""
    audited = None if deployment is None else deployments.find_deployment(session, deployment)
    after = decode_cursor(cursor)
    page = audits.list_audits(session, deployment=audited, verdict=verdict, limit=limit, after=after)
    items = list(map(AuditListedOut.of, page.items))
    return PageOut[AuditListedOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{audit_id}")
def read_audit(audit_id: UUID, session: SessionDep) -> AuditOut:
    """One audit: its verdict, the outcome of every rule, and the facts behind them."""
    return AuditOut.of(audits.find_audit(session, audit_id))


@router.post("/{audit_id}/cancel")
def cancel_audit(audit_id: UUID, session: SessionDep) -> AuditBriefOut:
    """End a running audit without a verdict."""
    return AuditBriefOut.of(audits.cancel_audit(session, audit_id))


@router.post("/{audit_id}/acknowledge")
def acknowledge_audit(audit_id: UUID, body: AcknowledgementIn, session: SessionDep) -> AuditBriefOut:
    """Record who has seen the verdict and what they do about it."""
    return AuditBriefOut.of(audits.acknowledge_audit(session, audit_id, by=body.by, reason=body.reason))


@router.get("/{audit_id}/recomputed")
def recompute_verdict(audit_id: UUID, session: SessionDep) -> RecomputedOut:
    """Compute the verdict again from the facts on record."""
    audit = audits.find_audit(session, audit_id)
    judgement = audit_verdicts.recompute(audit)
    return RecomputedOut.of(judgement, same=judgement == audit.judgement)
