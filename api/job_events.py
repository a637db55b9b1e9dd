"""A job's history as a stream: what happened, in order, and how far the work is in between."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.schemas import JobOut
from service.db.session import Sessions, transaction
from service.domain.jobs import ENDED, Job
from service.domain.work import JobEvent
from service.usecases.jobs import job_events

_EVERY_S = 0.5


async def job_stream(sessions: Sessions, job_id: UUID, last_id: int) -> AsyncIterator[ServerSentEvent]:
    """Events behind `last_id`, then the new ones as they come, until the job has ended and all were told.

    No transaction stays open between two looks. An unreachable database ends the stream; the client reconnects.
    """

    def look() -> tuple[Job, list[JobEvent]]:
        with transaction(sessions) as session:
            return job_events(session, job_id, after=last_id)

    told = None
    while True:
        job, events = await run_in_threadpool(look)
        for event in events:
            last_id = event.id
            yield ServerSentEvent(data={**event.data, "at": event.at}, event=event.kind, id=str(event.id))
        out = JobOut.of(job)
        if out.progress != told:
            told = out.progress
            yield ServerSentEvent(data={"status": out.status, "progress": out.progress}, event="progress")
        if not events and job.status in ENDED:
            return
        await asyncio.sleep(_EVERY_S)
