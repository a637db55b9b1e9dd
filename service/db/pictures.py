"""Queries on what workers take from probe images: their sizes, and the pictures of reports."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.picture_tables import ImageSizesRow, ReportPictureRow
from service.domain.probes import Box, ImagePlace, ImageSize

_STORED = np.dtype("<u4")


def keep_sizes(session: Session, probe_set: str, sizes: Sequence[ImageSize | None]) -> None:
    """Keep the sizes of a probe set's images, in order, unless some are kept. probe_set: its digest."""
    entries: list[tuple[int, int]] = []
    for size in sizes:
        entries.append((0, 0) if size is None else (size.height, size.width))
        if size is not None and size.frames > 1:
            entries.append((0, size.frames))
    data = np.array(entries, dtype=_STORED).tobytes()
    statement = insert(ImageSizesRow).values(probe_set=probe_set, data=data)
    session.execute(statement.on_conflict_do_nothing())


def forget_sizes(session: Session, probe_set: str) -> None:
    """Have them measured again by whoever needs them. probe_set: its digest."""
    session.execute(delete(ImageSizesRow).where(ImageSizesRow.probe_set == probe_set))


def find_sizes(session: Session, probe_set: str) -> list[ImageSize | None] | None:
    """The sizes that are kept of a probe set's images; None where nobody has measured them."""
    data = session.scalar(select(ImageSizesRow.data).where(ImageSizesRow.probe_set == probe_set))
    if data is None:
        return None

    sizes: list[ImageSize | None] = []
    for height, width in np.frombuffer(data, _STORED).reshape(-1, 2).tolist():
        if height:
            sizes.append(ImageSize(height, width))
        elif width and sizes[-1] is not None:
            sizes[-1] = sizes[-1]._replace(frames=width)
        else:
            sizes.append(None)
    return sizes


def add_pictures(session: Session, job_id: UUID, pictures: Mapping[ImagePlace, bytes | None]) -> None:
    """Store the pictures for the report on a job."""
    rows = [
        {"job_id": job_id, "row": place.row, "box": _numbers(place), "jpeg": jpeg} for place, jpeg in pictures.items()
    ]
    if rows:
        session.execute(insert(ReportPictureRow), rows)


def find_pictures(session: Session, job_id: UUID) -> dict[ImagePlace, bytes | None]:
    """The pictures for the report on a job. None stands for an image that could not be read."""
    query = select(ReportPictureRow.row, ReportPictureRow.box, ReportPictureRow.jpeg)
    rows = session.execute(query.where(ReportPictureRow.job_id == job_id))
    return {_place(row, numbers): jpeg for row, numbers, jpeg in rows}


def find_picture(session: Session, job_id: UUID, place: ImagePlace) -> bytes | None:
    """The JPEG of an image for the report on a job; None where there is none, or it could not be read."""
    query = select(ReportPictureRow.jpeg).where(ReportPictureRow.job_id == job_id, ReportPictureRow.row == place.row)
    return session.scalar(query.where(ReportPictureRow.box == _numbers(place)))


def pictured_places(session: Session, job_id: UUID, rows: Collection[int]) -> set[ImagePlace]:
    """The places in the images of these manifest rows that the report on a job has pictures of."""
    query = select(ReportPictureRow.row, ReportPictureRow.box).where(
        ReportPictureRow.job_id == job_id, ReportPictureRow.row.in_(rows), ReportPictureRow.jpeg.is_not(None)
    )
    return {_place(row, numbers) for row, numbers in session.execute(query)}


def _numbers(place: ImagePlace) -> list[int]:
    box = place.box
    numbers = [] if box is None else [box.left, box.top, box.width, box.height]
    return numbers if place.frame is None else [*numbers, place.frame]


def _place(row: int, numbers: list[int]) -> ImagePlace:
    box = Box(*numbers[:4]) if len(numbers) >= 4 else None
    frame = numbers[-1] if len(numbers) in {1, 5} else None
    return ImagePlace(row, box, frame)
