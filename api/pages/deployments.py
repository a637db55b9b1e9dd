"""Deployments, and one deployment: its verdicts over time, its drift, and when it is audited."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from sqlalchemy.orm import Session

from api.dependencies import SessionDep
from api.pages.forms import PageRoute
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page, spoken_time
from api.pages.spans import span_words
from api.pagination import Cursor, decode_cursor
from service.db.session import database_clock
from service.domain.audits import Audit, AuditStatus
from service.domain.layers import words_of_layers
from service.domain.schedules import Fire, Schedule, held_up
from service.reports.audit_wording import drift_sentence, verdict_word
from service.reports.time_line import Mark, verdict_line
from service.usecases import alerts, audits, deployments, schedules
from service.usecases.fleet import standing_of_deployment

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_AUDITS_SHOWN = 20
_FIRES_SHOWN = 5
_ALERTS_SHOWN = 10

SNOOZES = ((1, "1 hour"), (8, "8 hours"), (24, "1 day"), (72, "3 days"), (168, "1 week"), (720, "30 days"))
"""For how many hours alerts can be silenced, each in words."""


@dataclass(frozen=True, slots=True)
class ScheduleLine:
    """A schedule of the deployment, and what became of it."""

    schedule: Schedule
    upcoming: Sequence[datetime]
    notice: str | None
    fires: Sequence[Fire]


@router.get("/ui/deployments")
def show_deployments(request: Request, session: SessionDep, cursor: Cursor = None) -> Response:
    """All deployments, newest first."""
    listed = deployments.list_deployments(session, limit=PAGE_SIZE, after=decode_cursor(cursor))
    return page(
        request,
        "deployments.html",
        deployments=listed.items,
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/deployments/{name}")
def show_deployment(request: Request, name: str, session: SessionDep) -> Response:
    """One deployment. Raises NotFound."""
    deployment = deployments.find_deployment(session, name)
    history = audits.list_audits(
        session, deployment=deployment, verdict=None, limit=_AUDITS_SHOWN, after=None, with_facts=True
    )
    scheduled = _schedules(session, deployment.name)
    newest_judged = next((audit for audit in history.items if audit.facts is not None), None)
    facts = None if newest_judged is None else newest_judged.facts
    layers = deployment.request.options.layers

    return page(
        request,
        "deployment.html",
        deployment=deployment,
        layers="all blocks" if layers is None else words_of_layers(layers),
        standing=standing_of_deployment(session, deployment),
        history=history.items,
        has_more=history.next_position is not None,
        line=_line(history.items),
        judged=newest_judged,
        drift=None if facts is None else facts.drift,
        drift_words=None if facts is None else drift_sentence(facts),
        scheduled=scheduled,
        told=alerts.alerts_about(
            session, deployment.name, [line.schedule.name for line in scheduled], limit=_ALERTS_SHOWN
        ),
        snoozes=SNOOZES,
        span_words=span_words,
        needs_eyes=needs_eyes,
    )


def needs_eyes(audit: Audit) -> bool:
    """Should somebody acknowledge that audit who has not?"""
    is_bad = audit.verdict in ("warn", "fail") or audit.status is AuditStatus.ERROR
    return is_bad and audit.acknowledgement is None


def _schedules(session: Session, deployment: str) -> list[ScheduleLine]:
    listed = schedules.list_schedules(session, deployment=deployment, limit=PAGE_SIZE, after=None)
    now = database_clock(session)
    return [
        ScheduleLine(
            schedule=schedule,
            upcoming=schedules.upcoming_fires(schedule, 3),
            notice=held_up(schedule, now),
            fires=schedules.list_fires(session, schedule, limit=_FIRES_SHOWN, after=None).items,
        )
        for schedule in listed.items
    ]


def _line(history: Sequence[Audit]) -> Markup | None:
    """The drawing of the verdicts, the oldest first; None without audits."""
    if not history:
        return None

    oldest_first = list(reversed(history))
    marks = [Mark(audit.verdict, f"{spoken_time(audit.created_at)}: {_in_a_word(audit)}") for audit in oldest_first]
    first, last = _day(oldest_first[0]), _day(oldest_first[-1])
    return verdict_line(marks, first if first == last else f"{first} to {last}")


def _in_a_word(audit: Audit) -> str:
    if audit.verdict is None:
        return str(audit.status)
    return f"{verdict_word(audit.verdict)}{' (a candidate)' if audit.candidate else ''}"


def _day(audit: Audit) -> str:
    return audit.created_at.strftime("%-d %B %Y")
