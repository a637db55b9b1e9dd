"""Pictures of the probe images that excite neurons."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Response, status
from fastapi.responses import JSONResponse

from api.awaited_work import MOST_WAIT_S, PictureRoute
from api.dependencies import QueueDep, SessionDep
from api.picture_access import pictures_allowed
from api.preferences import preferred_wait
from api.schemas.pictures import PictureAwaitedOut
from service.domain.pictures import MEDIA_TYPE, MEDIA_TYPE_OF_REPORTS, PictureSize
from service.domain.probes import Box
from service.usecases.pictures import AskedPicture, AwaitedPicture, KnownPicture, find_or_draw

router = APIRouter(prefix="/jobs", tags=["pictures"], route_class=PictureRoute)

RETRY_AFTER_S = 1
_MAX_AGE_S = 3600
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_BOX = r"^\d{1,7},\d{1,7},[1-9]\d{0,6},[1-9]\d{0,6}$"


@router.get(
    "/{job_id}/images/{row}",
    dependencies=[Depends(pictures_allowed)],
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": {MEDIA_TYPE: {}, MEDIA_TYPE_OF_REPORTS: {}}},
        202: {"description": "A worker is to draw it; ask again.", "model": PictureAwaitedOut},
        304: {"description": "It is the one that the caller has."},
    },
)
def read_picture(
    job_id: UUID,
    row: Annotated[int, Path(ge=1, lt=2**31, description="The image's row in the manifest.")],
    session: SessionDep,
    queue: QueueDep,
    size: Annotated[
        PictureSize, Query(description="At most 160, 640 or 1600 pixels on the longer side; none is enlarged.")
    ] = PictureSize.MEDIUM,
    layer: Annotated[
        str | None, Query(max_length=200, description="With `unit`: the neuron whose top image it is.")
    ] = None,
    unit: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    region: Annotated[bool, Query(description="Outline what drives the unit, where the layer has a map.")] = False,
    heat: Annotated[bool, Query(description="Colour the image by what the unit does over space.")] = False,
    box: Annotated[
        str | None, Query(pattern=_BOX, description="The patch: `left,top,width,height` in pixels of the image.")
    ] = None,
    frame: Annotated[int | None, Query(ge=1, lt=2**31, description="The frame, where each is an image.")] = None,
    wait: Annotated[
        int, Query(ge=0, le=MOST_WAIT_S, description="Seconds to wait for a worker, as `Prefer: wait=` asks, too.")
    ] = 0,
    if_none_match: Annotated[str, Header(max_length=4_000)] = "",
    prefer: Annotated[str, Header(max_length=1_000, description="`wait=10`: wait so many seconds.")] = "",
) -> Response:
    """A probe image among the top images of a neuron, as the target was shown it.

    Workers draw it when it is asked for first: until then the answer is 202, or 503 while no worker has begun it.
    """
    asked = AskedPicture(row, size, layer, unit, region, heat, _box(box), frame)
    answer = find_or_draw(session, queue, job_id, asked, is_known=lambda digest: _names(if_none_match, digest))

    preferred = None if wait else preferred_wait([prefer], MOST_WAIT_S)
    applied = {} if preferred is None else {"Preference-Applied": f"wait={preferred}"}
    if isinstance(answer, AwaitedPicture):
        state = PictureAwaitedOut(
            job=job_id,
            row=row,
            state="drawing" if answer.is_taken else "waiting",
            retry_after_s=RETRY_AFTER_S,
        )
        headers = {"Retry-After": str(RETRY_AFTER_S), "Cache-Control": "no-store", **applied}
        return JSONResponse(state.model_dump(mode="json"), status.HTTP_202_ACCEPTED, headers)

    headers = {**_cached(answer.sha256), **applied}
    if isinstance(answer, KnownPicture):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(answer.data, media_type=answer.media_type, headers=headers)


def _cached(sha256: str) -> dict[str, str]:
    """What a browser may keep: for the one who asked alone, as somebody else may have no right to see it."""
    return {
        "ETag": f'"{sha256}"',
        "Cache-Control": f"private, max-age={_MAX_AGE_S}",
        "Vary": "Authorization, Cookie",
        "X-Content-Type-Options": "nosniff",
    }


def _names(if_none_match: str, sha256: str) -> bool:
    """Does the header name the picture with that digest?"""
    return if_none_match.strip() == "*" or sha256 in _TAG.findall(if_none_match)


def _box(written: str | None) -> Box | None:
    return None if written is None else Box(*map(int, written.split(",")))
