"""The small pictures that were stored with a result: which there are, and one of them."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import pictures as queries
from service.domain.probes import ImagePlace
from service.errors import NotFound
from service.usecases.jobs import choose_job


def pictured_places(session: Session, job_id: UUID, places: Iterable[ImagePlace]) -> set[ImagePlace]:
    """Those of the places that there is a picture of."""
    wanted = set(places)
    return wanted & queries.pictured_places(session, job_id, {place.row for place in wanted}) if wanted else wanted


def read_picture(session: Session, job_id: UUID, place: ImagePlace) -> bytes:
    """The picture of a place, as a JPEG.

    Raises NotFound where there is none, and Conflict for a job without a result.
    """
    choose_job(session, job_id=job_id, model=None)
    jpeg = queries.find_picture(session, job_id, place)
    if jpeg is None:
        raise NotFound(
            f"There is no picture of row {place.row} with the result of job {job_id}.",
            field="row",
            value=place.row,
            remedy="Pictures are kept of the strongest neurons' images alone, where these could be read.",
        )
    return jpeg
