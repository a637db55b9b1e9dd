"""Does it matter: units of a dissected network held at one value, and what becomes of its own outputs."""

from uuid import UUID

from fastapi import APIRouter, Request, Response, status

from api.dependencies import QueueDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.ablations import AblationBriefOut, AblationIn, AblationOut
from service.usecases import ablations

router = APIRouter(prefix="/jobs", tags=["ablations"], route_class=OneThreadRoute)


@router.post("/{job_id}/ablations", status_code=status.HTTP_202_ACCEPTED)
def post_ablation(
    job_id: UUID, body: AblationIn, session: SessionDep, queue: QueueDep, response: Response
) -> AblationOut:
    """Hold units of a succeeded job. The answer comes at once; workers show the images again.

    The same request again gives the same ablation, and has one that failed or was cancelled go on. 422 `no-outputs` for
    tables and ONNX graphs; an ablation of a network without a classifier fails with that problem.
    """
    ablation = ablations.submit_ablation(session, queue, job_id, body.submission())
    response.headers["Location"] = f"/jobs/{job_id}/ablations/{ablation.id}"
    return AblationOut.of(ablation)


@router.get("/{job_id}/ablations")
def list_ablations(
    job_id: UUID,
    session: SessionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOut[AblationBriefOut]:
    """The job's ablations in brief, newest first."""
    page = ablations.list_ablations(session, job_id, limit=limit, after=decode_cursor(cursor))
    items = [AblationBriefOut.of(ablation) for ablation in page.items]
    return PageOut[AblationBriefOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{job_id}/ablations/{ablation_id}")
def read_ablation(job_id: UUID, ablation_id: UUID, session: SessionDep) -> AblationOut:
    """One ablation: status, progress, and what changed."""
    return AblationOut.of(ablations.find_ablation(session, job_id, ablation_id))


@router.post("/{job_id}/ablations/{ablation_id}/cancel")
def cancel_ablation(job_id: UUID, ablation_id: UUID, session: SessionDep) -> AblationOut:
    """Cancel an ablation: running work stops within a batch. 409 if it has already ended."""
    return AblationOut.of(ablations.cancel_ablation(session, job_id, ablation_id))
