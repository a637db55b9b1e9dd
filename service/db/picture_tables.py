"""The tables of what workers take from probe images, so that the API opens none: their sizes and small pictures."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Integer, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base


class ImageSizesRow(Base):
    """The sizes of a probe set's images in the order of its rows, which decide where its patches lie.

    probe_set: digest of the registered set. data: height and width of each image, little-endian unsigned integers of
    four bytes; zeros for one whose size could not be read.
    """

    __tablename__ = "image_sizes"

    probe_set: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ReportPictureRow(Base):
    """A picture for the report on a job.

    row: of the image in the manifest. box: left, top, width and height of a patch; empty for the whole image.
    jpeg: NULL where the image could not be read when the result was stored.
    """

    __tablename__ = "report_pictures"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    row: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    box: Mapped[list[int]] = mapped_column(ARRAY(Integer), primary_key=True)
    jpeg: Mapped[bytes | None]
