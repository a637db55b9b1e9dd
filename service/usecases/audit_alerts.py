"""Tell of audits that have ended, unless their deployment is silenced or has used up its budget of alerts."""

from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from service.analysis.verdict import weight
from service.db.alerts import count_alerts
from service.db.session import database_clock
from service.domain.alerts import JSON
from service.domain.audit_facts import Judgement
from service.domain.audits import Audit, Deployment
from service.domain.policies import Policy
from service.usecases.alerts import publish_alert

BUDGETED = ("audit.warned", "audit.failed", "audit.error")
"""What counts against a budget: good news never does."""

_DAY = timedelta(days=1)
_KINDS = {"pass": "audit.passed", "warn": "audit.warned", "fail": "audit.failed", None: "audit.error"}
_MOST_REASONS = 10

log = structlog.get_logger()


def tell_of_audit(session: Session, deployment: Deployment, audit: Audit) -> bool:
    """Publish an alert of an audit that has ended; False where none is due, which the audit's record does not need."""
    kind = _KINDS[audit.verdict]
    now = database_clock(session)
    if is_silenced(deployment, now):
        log.info("alert silenced", audit=str(audit.id), deployment=deployment.name, kind=kind)
        return False

    is_last = False
    if kind in BUDGETED and deployment.alert_budget is not None:
        alerts_today = count_alerts(session, BUDGETED, deployment.name, since=now - _DAY)
        if alerts_today >= deployment.alert_budget:
            log.warning("alert budget used up", audit=str(audit.id), deployment=deployment.name, kind=kind)
            return False
        is_last = alerts_today + 1 == deployment.alert_budget

    verdict = audit.verdict or "error"
    publish_alert(session, kind, _data(audit, is_last=is_last), subject=f"{deployment.name}: {verdict.upper()}")
    return True


def is_silenced(deployment: Deployment, now: datetime) -> bool:
    """Has somebody asked for no alerts on the deployment until later than now?"""
    return deployment.snooze is not None and now < deployment.snooze.until


def _data(audit: Audit, *, is_last: bool) -> dict[str, JSON]:
    reasons = [] if audit.judgement is None else _reasons(audit.policy, audit.judgement)
    if audit.problem is not None:
        reasons.append(str(audit.problem["detail"]))

    return {
        "audit": str(audit.id),
        "deployment": audit.deployment,
        "target": audit.target.reference,
        "candidate": audit.candidate,
        "policy": audit.policy_reference,
        "trigger": audit.trigger,
        "verdict": audit.verdict,
        "proposal": audit.proposal,
        "reasons": reasons[:_MOST_REASONS],
        "last_of_budget": is_last,
    }


def _reasons(policy: Policy, judgement: Judgement) -> list[str]:
    """Of every outcome that keeps the verdict from being a pass, what fails before what warns."""
    return [
        f"{outcome.rule}: {outcome.reason}"
        for grade in ("fail", "warn")
        for outcome in judgement.outcomes
        if weight(policy, outcome.outcome) == grade
    ]
