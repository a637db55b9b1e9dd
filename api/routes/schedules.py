"""When deployed models are audited again."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response, status
from pydantic import AwareDatetime
from sqlalchemy.orm import Session

from api.dependencies import AuditsDep, ReadingsDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.schedules import FireOut, RunsOut, ScheduleChangesIn, ScheduleIn, ScheduleOut, UpcomingOut
from service.db.session import database_clock
from service.domain.schedules import Schedule
from service.usecases import schedules

router = APIRouter(prefix="/schedules", tags=["schedules"], route_class=OneThreadRoute)

Named = Annotated[str, Path(max_length=64, description="Name of the schedule.")]


@router.post("", status_code=status.HTTP_201_CREATED)
def create_schedule(body: ScheduleIn, session: SessionDep, response: Response) -> ScheduleOut:
    """Create a schedule. 409 if the name is taken."""
    schedule = schedules.create_schedule(session, name=body.name, deployment=body.deployment, terms=body.terms())
    response.headers["Location"] = f"/schedules/{schedule.name}"
    return _out(session, schedule)


@router.get("")
def list_schedules(
    session: SessionDep,
    request: Request,
    response: Response,
    deployment: Annotated[str | None, Query(max_length=80, description="Only schedules of that deployment.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOut[ScheduleOut]:
    """All schedules, newest first."""
    after = decode_cursor(cursor)
    page = schedules.list_schedules(session, deployment=deployment, limit=limit, after=after)
    now = database_clock(session)
    items = [ScheduleOut.of(schedule, now) for schedule in page.items]
    return PageOut[ScheduleOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{name}")
def read_schedule(name: Named, session: SessionDep) -> ScheduleOut:
    """One schedule, and when it fires next."""
    return _out(session, schedules.find_schedule(session, name))


@router.patch("/{name}")
def change_schedule(name: Named, body: ScheduleChangesIn, session: SessionDep) -> ScheduleOut:
    """Change cron expression, zone, catch-up, grace or overlap. Fields that you leave out stay as they are."""
    return _out(session, schedules.change_schedule(session, name, body.changes()))


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
def delete_schedule(name: Named, session: SessionDep) -> None:
    """Delete a schedule and the record of its fires. Its audits stay."""
    schedules.delete_schedule(session, name)


@router.post("/{name}/pause")
def pause_schedule(name: Named, session: SessionDep) -> ScheduleOut:
    """Pause the schedule. Fires that are due or waiting at that moment count as missed."""
    return _out(session, schedules.pause_schedule(session, name))


@router.post("/{name}/resume")
def resume_schedule(name: Named, session: SessionDep) -> ScheduleOut:
    """Resume the schedule. It does not make up for the fires of the pause."""
    return _out(session, schedules.resume_schedule(session, name))


@router.post("/{name}/run", status_code=status.HTTP_202_ACCEPTED)
def run_schedule(name: Named, session: SessionDep, audits: AuditsDep, readings: ReadingsDep) -> FireOut:
    """Fire the schedule now, even if it is paused. 409 if an audit of it is running and its overlap forbids another."""
    return FireOut.of(readings.complete(session, partial(schedules.run_schedule, session, audits, name)))


@router.get("/{name}/runs")
def list_runs(
    name: Named,
    session: SessionDep,
    request: Request,
    response: Response,
    upcoming: Annotated[
        int,
        Query(alias="next", ge=0, le=schedules.MOST_UPCOMING, description="How many future fires to list as well."),
    ] = 0,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RunsOut:
    """The outcomes of past fires, newest first, and the next fires."""
    schedule = schedules.find_schedule(session, name)
    page = schedules.list_fires(session, schedule, limit=limit, after=decode_cursor(cursor, tuple[AwareDatetime]))
    fires = [FireOut.of(fire) for fire in page.items]
    next_page = next_cursor(request, response, page.next_position)

    upcoming_times = schedules.upcoming_fires(schedule, upcoming)
    upcoming_fires = [UpcomingOut.of(fire_time, schedule.terms.zone) for fire_time in upcoming_times]
    return RunsOut(
        items=fires,
        next=next_page,
        upcoming=upcoming_fires,
    )


def _out(session: Session, schedule: Schedule) -> ScheduleOut:
    return ScheduleOut.of(schedule, database_clock(session))
