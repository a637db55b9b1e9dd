"""Pictures of probe images that workers draw when somebody asks for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from service.domain.probes import ImagePlace
from service.errors import ProblemFields

MEDIA_TYPE = "image/webp"
"""Of the pictures that are drawn when they are asked for."""

MEDIA_TYPE_OF_REPORTS = "image/jpeg"
"""Of the small pictures that were drawn for the job's report."""

MOST_WAITING = 100
"""Pictures of one job that wait for a worker."""

MOST_BYTES = 256 << 20
"""Of one job's pictures: the oldest go, and are drawn again when somebody asks."""


class PictureSize(StrEnum):
    """How large a picture is at most."""

    THUMBNAIL = "thumbnail"
    MEDIUM = "medium"
    LARGE = "large"

    @property
    def side(self) -> int:
        """Pixels of the longer side; a smaller image stays as it is."""
        return _SIDES[self]


_SIDES: Mapping[PictureSize, int] = MappingProxyType(
    {PictureSize.THUMBNAIL: 160, PictureSize.MEDIUM: 640, PictureSize.LARGE: 1600}
)


class PictureStage(StrEnum):
    """What the work item of a picture does."""

    DRAW = "draw"


@dataclass(frozen=True, slots=True)
class UnitMarks:
    """What of one unit is drawn into a picture (stored)."""

    layer: str
    unit: int

    region: bool = False
    """An outline around the part that drives the unit."""

    heat: bool = False
    """What the unit does over space, in colour."""


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """What a picture shows (stored)."""

    place: ImagePlace
    size: PictureSize
    marks: UnitMarks | None = None


@dataclass(frozen=True, slots=True)
class PictureState:
    """Where a picture that somebody asked for stands."""

    sha256: str | None
    """Of its bytes; None while it is not drawn."""

    problem: ProblemFields | None
    """Why it could not be drawn."""

    is_taken: bool
    """Is it in a worker's hands?"""

    age_s: float
    """Since it waits for a worker, was drawn, or could not be."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is sent."""

    data: bytes = field(repr=False)
    sha256: str
    media_type: str
