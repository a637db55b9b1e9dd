"""What the labels of one dissection amount to."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from api.dependencies import SessionDep, SettingsDep
from api.one_thread import LongReadingRoute
from api.schemas.evidence import CoverageOut, WatchListOut
from api.tags import tag, version_of_file
from service.usecases import ablations, evidence, jobs

router = APIRouter(prefix="/jobs", tags=["evidence"], route_class=LongReadingRoute)


@router.get("/{job_id}/coverage")
def read_coverage(job_id: UUID, session: SessionDep, settings: SettingsDep, request: Request) -> CoverageOut:
    """Which concepts and categories the neurons represent, against chance, and which essential concepts they do not."""
    tag(request, jobs.choose_job(session, job_id=job_id, model=None), version_of_file(settings.must_have_path))
    return CoverageOut.of(job_id, evidence.read_coverage(session, job_id, must_have=settings.must_have_path))


@router.get("/{job_id}/watch-list")
def read_watch_list(
    job_id: UUID,
    session: SessionDep,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500, description="The most neurons to list in total and per concept.")] = 50,
) -> WatchListOut:
    """Neurons that respond to what should not drive a diagnosis, strongest first."""
    chosen = jobs.choose_job(session, job_id=job_id, model=None)
    tag(request, chosen, ablations.newest_result(session, chosen))
    watch_list = evidence.read_watch_list(session, job_id)
    return WatchListOut.of(job_id, watch_list, limit, ablations.dependences_of(session, job_id))
