"""Queries on what workers take from probe images: their sizes, and the pictures of reports."""

from collections.abc import Mapping, Sequence
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
    heights_and_widths = [size or (0, 0) for size in sizes]
    data = np.array(heights_and_widths, dtype=_STORED).tobytes()
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
    pairs = np.frombuffer(data, _STORED).reshape(-1, 2).tolist()
    return [(height, width) if height and width else None for height, width in pairs]


def add_pictures(session: Session, job_id: UUID, pictures: Mapping[ImagePlace, bytes | None]) -> None:
    """Store the pictures for the report on a job."""
    rows = [
        {"job_id": job_id, "row": place.row, "box": _box_as_list(place.box), "jpeg": jpeg}
        for place, jpeg in pictures.items()
    ]
    if rows:
        session.execute(insert(ReportPictureRow), rows)


def find_pictures(session: Session, job_id: UUID) -> dict[ImagePlace, bytes | None]:
    """The pictures for the report on a job. None stands for an image that could not be read."""
    query = select(ReportPictureRow.row, ReportPictureRow.box, ReportPictureRow.jpeg)
    rows = session.execute(query.where(ReportPictureRow.job_id == job_id))
    return {ImagePlace(row, Box(*box) if box else None): jpeg for row, box, jpeg in rows}


def _box_as_list(box: Box | None) -> list[int]:
    return [] if box is None else [box.left, box.top, box.width, box.height]
