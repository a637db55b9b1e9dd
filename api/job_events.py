"""A job's history as a stream: what happened, in order, and how far the work is in between."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from fastapi.sse import ServerSentEvent

from api.schemas.jobs import StageOut
from api.shared_looks import SharedLook
from service.domain.jobs import ENDED
from service.domain.work import JobNews
from service.errors import NotFound

_EVERY_S = 0.5

JobLook = SharedLook[tuple[UUID, int], JobNews]
"""Looks for the news of jobs, each behind the last event that somebody has seen of it."""


async def job_stream(look: JobLook, job_id: UUID, last_id: int) -> AsyncIterator[ServerSentEvent]:
    """Events behind `last_id`, then the new ones as they come, until the job has ended and all were told.

    All streams look at the same moments, so that one look serves them all. An unreachable database ends the stream; the
    client reconnects.
    """
    sent_progress = None
    while (news := await look.ask((job_id, last_id))) is not None:
        for event in news.events:
            last_id = event.id
            yield ServerSentEvent(data={**event.data, "at": event.at}, event=event.kind, id=str(event.id))

        if news.progress != sent_progress:
            sent_progress = news.progress
            stages = [StageOut.model_validate(stage, from_attributes=True) for stage in news.progress]
            yield ServerSentEvent(data={"status": news.status, "progress": stages}, event="progress")

        if not news.events and news.status in ENDED:
            return

        await _next_look()


async def wait_for_end(look: JobLook, job_id: UUID, seconds: float) -> bool:
    """Wait until the job has ended, so long at most; whether it has. False at once where there is no such job."""
    try:
        async with asyncio.timeout(seconds):
            while (news := await look.ask((job_id, _NEVER))) is not None:
                if news.status in ENDED:
                    return True
                await _next_look()
    except TimeoutError:
        pass
    return False


async def check_job(look: JobLook, job_id: UUID) -> None:
    """Raise NotFound where there is no such job."""
    if await look.ask((job_id, _NEVER)) is None:
        raise NotFound(f"There is no job {job_id}.", field="job", value=job_id, remedy="GET /jobs lists all jobs.")


async def _next_look() -> None:
    await asyncio.sleep(_EVERY_S - asyncio.get_running_loop().time() % _EVERY_S)


_NEVER = 2**63 - 1
"""An id behind which there is no event."""
