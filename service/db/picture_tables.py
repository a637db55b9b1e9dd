"""The tables of what workers take from probe images, so that the API opens none: their sizes and small pictures."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base
from service.domain.json_values import StoredJson
from service.errors import ProblemFields


class ImageSizesRow(Base):
    """The sizes of a probe set's images in the order of its rows, which decide where its patches lie."""

    __tablename__ = "image_sizes"

    probe_set: Mapped[str] = mapped_column(primary_key=True)
    """Digest of the registered set."""

    data: Mapped[bytes]
    """Height and width of each image, as little-endian unsigned integers of four bytes.

    Both are zero for an image whose size could not be read. Where an image has several frames, an entry of height zero
    follows, with their number in place of the width.
    """

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ImageListingRow(Base):
    """The rows of a manifest that a worker made of the headers of images."""

    __tablename__ = "image_listings"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    """Of the data."""

    data: Mapped[bytes]
    """See `encode_listing`."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class HeaderPartRow(Base):
    """Some of the headers that were read for a listing that has not ended, so that it can go on from there."""

    __tablename__ = "header_parts"

    probe_set_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True)
    part: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)

    data: Mapped[bytes]
    """See `RememberedHeaders`."""


class ReportPictureRow(Base):
    """A picture for the report on a job."""

    __tablename__ = "report_pictures"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)

    row: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """The image's row in the manifest."""

    box: Mapped[list[int]] = mapped_column(ARRAY(Integer), primary_key=True)
    """Left, top, width and height of a patch, none for the whole image; then the number of the frame, if it has one."""

    jpeg: Mapped[bytes | None]
    """NULL where the image could not be read when the result was stored."""


class PictureRow(Base):
    """A picture of a probe image that somebody asked for, and its bytes once a worker has drawn it."""

    __tablename__ = "pictures"
    __table_args__ = (
        UniqueConstraint("job_id", "request_digest"),
        CheckConstraint("num_nonnulls(data, sha256, size) IN (0, 3)", name="drawn"),
        CheckConstraint("data IS NULL OR problem IS NULL", name="problem"),
        Index(None, "job_id", "ended_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    request: Mapped[StoredJson]
    request_digest: Mapped[str]
    data: Mapped[bytes | None]

    sha256: Mapped[str | None]
    """Of the data."""

    size: Mapped[int | None]
    """Bytes of the data."""

    problem: Mapped[ProblemFields | None]
    """Why it could not be drawn."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    ended_at: Mapped[datetime | None]
    """When it was drawn, or could not be."""
