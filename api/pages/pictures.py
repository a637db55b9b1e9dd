"""The images of neurons on pages: which can be shown, where they are, and the small ones that came with the result."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.orm import Session

from api.dependencies import SessionDep
from api.pages.forms import PageRoute
from service.domain.neurons import Place, Region, TopImage
from service.domain.probes import Box, ImagePlace
from service.errors import Forbidden
from service.usecases import report_pictures

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
_BOX = r"^\d{1,9},\d{1,9},\d{1,9},\d{1,9}$"


@dataclass(frozen=True, slots=True)
class ShownImage:
    """A top image as pages show it: by its row, never by its name, because names may identify a patient."""

    row: int
    frame: int | None
    box: Box | None
    activation: float
    region: Region | None
    """What drives the activation."""
    places: tuple[Place, ...]
    """Where findings are, as the manifest says."""
    small: str | None
    """The address of a small picture; None where there is none."""
    large: str | None
    """The address of a larger one."""


@dataclass(frozen=True)
class Gallery:
    """The pictures that a page may show of a job's images."""

    job: UUID
    allowed: bool
    """Whether the reader may see pictures."""
    kept: frozenset[ImagePlace]
    """The places of which there are pictures."""

    def show(self, images: Iterable[TopImage], layer: str, unit: int) -> list[ShownImage]:
        """A neuron's images."""
        return [self._shown(image, layer, unit) for image in images]

    def _shown(self, image: TopImage, layer: str, unit: int) -> ShownImage:
        place = _place(image)
        is_there = self.allowed and place in self.kept
        return ShownImage(
            row=image.row,
            frame=image.frame,
            box=image.box,
            activation=image.activation,
            region=image.region,
            places=image.places,
            small=small_picture(self.job, place) if is_there else None,
            large=large_picture(self.job, place, layer, unit) if is_there else None,
        )


def gallery(request: Request, session: Session, job_id: UUID, images: Iterable[TopImage]) -> Gallery:
    """The pictures of these images, as far as there are any and the reader may see them."""
    allowed = may_see_pictures(request)
    places = (_place(image) for image in images) if allowed else ()
    return Gallery(job_id, allowed, frozenset(report_pictures.pictured_places(session, job_id, places)))


def may_see_pictures(request: Request) -> bool:  # noqa: ARG001 - whoever may see pages may see their pictures
    """Whether the reader may see pictures of probe images."""
    return True


def small_picture(job_id: UUID, place: ImagePlace) -> str:
    """The address of the small picture that was stored with the result."""
    query: dict[str, object] = {}
    if place.box is not None:
        query["box"] = f"{place.box.left},{place.box.top},{place.box.width},{place.box.height}"
    if place.frame is not None:
        query["frame"] = place.frame
    address = f"/ui/jobs/{job_id}/pictures/{place.row}"
    return f"{address}?{urlencode(query, safe=',')}" if query else address


def large_picture(job_id: UUID, place: ImagePlace, layer: str, unit: int) -> str | None:  # noqa: ARG001
    """The address of a picture at a size that shows calcifications; None where none is drawn."""
    return None


@router.get("/ui/jobs/{job_id}/pictures/{row}")
def read_picture(
    request: Request,
    job_id: UUID,
    row: Annotated[int, Path(ge=0, lt=2**31)],
    session: SessionDep,
    box: Annotated[str | None, Query(pattern=_BOX)] = None,
    frame: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> Response:
    """A picture as a JPEG. Raises NotFound where there is none, and Forbidden for who may see none."""
    numbers = None if box is None else [min(int(number), 2**31 - 1) for number in box.split(",")]
    place = ImagePlace(row, None if numbers is None else Box(*numbers), frame)
    if not may_see_pictures(request):
        raise Forbidden("Pictures of probe images are not shown to you.", field="row", value=row)
    return Response(report_pictures.read_picture(session, job_id, place), 200, _HEADERS, "image/jpeg")


def _place(image: TopImage) -> ImagePlace:
    return ImagePlace(image.row, image.box, image.frame)
