"""The images of neurons on pages: which can be shown, where they are, and the small ones that came with the result."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy.orm import Session

from api.dependencies import SessionDep
from api.pages.forms import PageRoute
from api.picture_access import may_see_pictures, pictures_allowed
from service.domain.neurons import Place, Region, TopImage
from service.domain.probes import Box, ImagePlace
from service.usecases import report_pictures

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
_WAIT_S = 10
"""So long a browser waits for a worker to draw a picture; then it shows the small one, or says that there is none."""

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
    """The address of the small picture that came with the result; None where there is none."""
    medium: str | None
    """The address of one at a size that shows calcifications, which a worker may have to draw."""
    large: str | None
    """The same at its largest, with what drives the activation outlined."""
    heat: str | None
    """The same coloured by what the neuron does over space."""


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

        def drawn(**asked: object) -> str | None:
            return drawn_picture(self.job, place, layer, unit, **asked) if self.allowed else None

        return ShownImage(
            row=image.row,
            frame=image.frame,
            box=image.box,
            activation=image.activation,
            region=image.region,
            places=image.places,
            small=small_picture(self.job, place) if self.allowed and place in self.kept else None,
            medium=drawn(size="medium"),
            large=drawn(size="large", region="true"),
            heat=drawn(size="large", heat="true"),
        )


def gallery(request: Request, session: Session, job_id: UUID, images: Iterable[TopImage]) -> Gallery:
    """The pictures of these images, as far as there are any and the reader may see them."""
    allowed = may_see_pictures(request)
    places = (_place(image) for image in images) if allowed else ()
    kept = report_pictures.pictured_places(session, job_id, places)
    return Gallery(job_id, allowed, frozenset(kept))


def small_picture(job_id: UUID, place: ImagePlace) -> str:
    """The address of the small picture that was stored with the result."""
    query = _query_of(place)
    address = f"/ui/jobs/{job_id}/pictures/{place.row}"
    return f"{address}?{urlencode(query, safe=',')}" if query else address


def drawn_picture(job_id: UUID, place: ImagePlace, layer: str, unit: int, **asked: object) -> str:
    """The address of a picture that workers draw for that neuron. asked: size, region and heat, as the API has them."""
    query = {"layer": layer, "unit": unit, **_query_of(place), **asked, "wait": _WAIT_S}
    return f"/jobs/{job_id}/images/{place.row}?{urlencode(query, safe=',')}"


def _query_of(place: ImagePlace) -> dict[str, object]:
    query: dict[str, object] = {}
    if place.box is not None:
        query["box"] = f"{place.box.left},{place.box.top},{place.box.width},{place.box.height}"
    if place.frame is not None:
        query["frame"] = place.frame
    return query


@router.get("/ui/jobs/{job_id}/pictures/{row}", dependencies=[Depends(pictures_allowed)])
def read_picture(
    job_id: UUID,
    row: Annotated[int, Path(ge=0, lt=2**31)],
    session: SessionDep,
    box: Annotated[str | None, Query(pattern=_BOX)] = None,
    frame: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> Response:
    """A picture as a JPEG. Raises NotFound where there is none."""
    numbers = None if box is None else [min(int(number), 2**31 - 1) for number in box.split(",")]
    place = ImagePlace(row, None if numbers is None else Box(*numbers), frame)
    return Response(report_pictures.read_picture(session, job_id, place), 200, _HEADERS, "image/jpeg")


def _place(image: TopImage) -> ImagePlace:
    return ImagePlace(image.row, image.box, image.frame)
