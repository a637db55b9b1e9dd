"""What can be done with a deployment at its page: audit it, silence its alerts, run, pause and resume its schedules."""

from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.dependencies import AuditsDep, QueueDep, ReadingsDep, RootsDep, SessionDep
from api.pages.checked import checked
from api.pages.deployments import SNOOZES
from api.pages.forms import FormDep, PageRoute, see_other
from api.schemas.deployments import SnoozeIn
from service.db.session import database_clock
from service.domain.audits import Audit, Occasion, Snooze
from service.errors import InvalidInput
from service.usecases import audits, deployments, schedules

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Named = Annotated[str, Path(max_length=80)]


@router.post("/ui/deployments/{name}/audit")
def audit_now(
    name: Named, session: SessionDep, queue: QueueDep, roots: RootsDep, readings: ReadingsDep, response: Response
) -> Response:
    """Audit the version in use now. Raises NotFound, and what keeps an audit from being begun."""

    def start() -> Audit:
        deployment = deployments.find_deployment(session, name)
        return audits.start_audit(session, queue, deployment, Occasion("request"), roots, readings)

    audit = readings.complete(session, start)
    return see_other(response, f"/ui/audits/{audit.id}", made=f"/audits/{audit.id}")


@router.post("/ui/deployments/{name}/snooze")
def snooze(name: Named, form: FormDep, session: SessionDep, response: Response) -> Response:
    """Silence the alerts for so many hours. Raises InvalidInput, NotFound."""
    now = database_clock(session)
    until = now + timedelta(hours=_hours(form.text("hours")))
    wanted = checked(SnoozeIn, {"until": until, "by": form.text("by"), "reason": form.text("reason")})
    deployments.snooze_deployment(session, name, Snooze(wanted.until, wanted.by, wanted.reason), now)
    return see_other(response, f"/ui/deployments/{name}")


@router.post("/ui/deployments/{name}/unsnooze")
def unsnooze(name: Named, session: SessionDep, response: Response) -> Response:
    """Let the alerts sound again. Raises NotFound."""
    deployments.snooze_deployment(session, name, None, database_clock(session))
    return see_other(response, f"/ui/deployments/{name}")


@router.post("/ui/schedules/{name}/run")
def run_schedule(
    name: Named, session: SessionDep, audits_of_schedules: AuditsDep, readings: ReadingsDep, response: Response
) -> Response:
    """Fire the schedule now.

    Raises NotFound, and Conflict where an audit of it runs and its overlap forbids another.
    """
    fire = readings.complete(session, partial(schedules.run_schedule, session, audits_of_schedules, name))
    if fire.audit_id is None:
        return _to_deployment(session, name, response)
    return see_other(response, f"/ui/audits/{fire.audit_id}", made=f"/audits/{fire.audit_id}")


@router.post("/ui/schedules/{name}/pause")
def pause_schedule(name: Named, session: SessionDep, response: Response) -> Response:
    """Keep the schedule from firing. Raises NotFound."""
    schedules.pause_schedule(session, name)
    return _to_deployment(session, name, response)


@router.post("/ui/schedules/{name}/resume")
def resume_schedule(name: Named, session: SessionDep, response: Response) -> Response:
    """Let the schedule fire again. Raises NotFound."""
    schedules.resume_schedule(session, name)
    return _to_deployment(session, name, response)


def _to_deployment(session: SessionDep, schedule: str, response: Response) -> Response:
    deployment = schedules.find_schedule(session, schedule).deployment
    return see_other(response, f"/ui/deployments/{deployment}#schedules")


def _hours(text: str) -> int:
    known = {str(hours): hours for hours, _ in SNOOZES}
    if text not in known:
        raise InvalidInput(
            "Nobody has said for how long.",
            field="hours",
            value=text,
            remedy=f"Choose one of {', '.join(words for _, words in SNOOZES)}.",
        )
    return known[text]
