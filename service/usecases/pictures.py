"""Pictures of a job's probe images: those that are there, and those that a worker is asked to draw."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import drawings as queries
from service.db.pictures import find_picture
from service.db.session import on_commit
from service.db.work import next_turn
from service.domain.digests import digest_of_bytes
from service.domain.layers import canonical_layer
from service.domain.pictures import (
    MEDIA_TYPE_OF_REPORTS,
    MOST_WAITING,
    Picture,
    PictureRequest,
    PictureSize,
    PictureState,
    UnitMarks,
)
from service.domain.probes import Box, ImagePlace
from service.errors import InvalidInput, NotFound, Overloaded, PictureUnavailable, ProblemFields, Unavailable
from service.ports import JobQueue
from service.usecases.jobs import choose_job
from service.usecases.neurons import find_neuron
from service.usecases.wake import wake_worker

QUEUE = "_pictures"
"""No job's queue may have this name, so that pictures take turns with all of them."""

PRIORITY = 100
"""As the most urgent jobs: somebody is looking at a page, and a picture takes a second."""

NOT_TAKEN_S = 8.0
"""After so long without a worker, whoever asks hears that none has begun."""

ASK_AGAIN_S = 60.0
"""A picture that could not be drawn is drawn again for who asks so much later."""


@dataclass(frozen=True, slots=True)
class AskedPicture:
    """A picture as the caller asks for it."""

    row: int
    size: PictureSize
    layer: str | None = None
    unit: int | None = None
    region: bool = False
    heat: bool = False

    box: Box | None = None
    """The patch; None for the whole image, or with a unit for what it saw first."""

    frame: int | None = None


@dataclass(frozen=True, slots=True)
class AwaitedPicture:
    """A picture that is not drawn yet."""

    is_taken: bool
    """Is it in a worker's hands?"""


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """A picture that the caller has already."""

    sha256: str


def find_or_draw(
    session: Session,
    queue: JobQueue,
    job_id: UUID,
    asked: AskedPicture,
    *,
    is_known: Callable[[str], bool] = lambda _: False,
) -> Picture | KnownPicture | AwaitedPicture:
    """The picture, or word that a worker is to draw it, which is asked for that.

    is_known: whether the caller has the picture with that SHA-256. Raises InvalidInput for a unit that is half given,
    NotFound, Conflict for a job without a result, PictureUnavailable where it could not be drawn, Overloaded where too
    many of the job wait, and Unavailable while no worker has begun it for a while.
    """
    choose_job(session, job_id=job_id, model=None)
    request = _resolve(session, job_id, asked)

    if request.marks is None and request.size is PictureSize.THUMBNAIL:
        jpeg = find_picture(session, job_id, request.place)
        if jpeg is not None:
            picture = Picture(jpeg, digest_of_bytes(jpeg), MEDIA_TYPE_OF_REPORTS)
            return KnownPicture(picture.sha256) if is_known(picture.sha256) else picture

    state = queries.find_state(session, job_id, request)
    if state is not None and state.sha256 is not None:
        if is_known(state.sha256):
            return KnownPicture(state.sha256)
        drawn = queries.read_picture(session, job_id, request)
        if drawn is not None:
            return drawn
        state = None  # it went to make room

    if state is not None and state.problem is not None:
        if state.age_s < ASK_AGAIN_S:
            raise _unavailable(asked.row, state.problem)
        queries.forget_picture(session, job_id, request)
        state = None

    if state is None:
        if asked.unit is None:
            _check_top_image(session, job_id, request.place)
        _ask(session, queue, job_id, request)
        return AwaitedPicture(is_taken=False)
    return _awaited(state, asked.row)


def _awaited(state: PictureState, row: int) -> AwaitedPicture:
    """Raises Unavailable while no worker has begun it for a while."""
    if not state.is_taken and state.age_s > NOT_TAKEN_S:
        raise Unavailable(
            f"No worker has begun to draw the image of manifest row {row}: all are busy, or none is running.",
            field="row",
            value=row,
            remedy="Retry after the number of seconds in the header Retry-After: it stays asked for. "
            "If that does not help, see that a worker runs.",
        )
    return AwaitedPicture(state.is_taken)


def _ask(session: Session, queue: JobQueue, job_id: UUID, request: PictureRequest) -> None:
    """Raises Overloaded where too many wait."""
    if queries.count_waiting(session, job_id) >= MOST_WAITING:
        raise Overloaded(
            f"{MOST_WAITING} pictures of job {job_id} are waiting to be drawn already.",
            field="job",
            value=job_id,
            remedy="Retry after the number of seconds in the header Retry-After.",
        )

    turn = next_turn(session, QUEUE)
    picture_id = queries.add_picture(session, job_id, request, queue=QUEUE, priority=PRIORITY, turn=turn)
    if picture_id is not None:
        on_commit(session, lambda: wake_worker(queue, picture_id))


def _resolve(session: Session, job_id: UUID, asked: AskedPicture) -> PictureRequest:
    """What the picture shows. Raises InvalidInput for a unit that is half given, and NotFound."""
    place = ImagePlace(asked.row, asked.box, asked.frame)
    if asked.layer is None or asked.unit is None:
        _check_no_unit(asked)
        return PictureRequest(place, asked.size)

    seen = _place_seen(session, job_id, asked, asked.layer, asked.unit)
    if not (asked.region or asked.heat):
        return PictureRequest(seen, asked.size)
    marks = UnitMarks(canonical_layer(asked.layer), asked.unit, asked.region, asked.heat)
    return PictureRequest(seen, asked.size, marks)


def _check_no_unit(asked: AskedPicture) -> None:
    """Raise InvalidInput where a unit is half given, or needed."""
    for given, field, lacking in ((asked.layer, "unit", asked.unit), (asked.unit, "layer", asked.layer)):
        if given is not None and lacking is None:
            raise InvalidInput(
                "A unit is named by its layer and its number.", field=field, remedy="Give both `layer` and `unit`."
            )
    if asked.region or asked.heat:
        what = "region" if asked.region else "heat"
        raise InvalidInput(
            f"Nothing says whose {what} is to be drawn.",
            field=what,
            value="true",
            remedy="Give `layer` and `unit`, too.",
        )


def _place_seen(session: Session, job_id: UUID, asked: AskedPicture, layer: str, unit: int) -> ImagePlace:
    """Where the image is that the unit saw; its strongest part where several are asked for. Raises NotFound."""
    neuron = find_neuron(session, job_id, layer, unit).neuron
    for image in neuron.images:
        in_box = asked.box is None or asked.box == image.box
        in_frame = asked.frame is None or asked.frame == image.frame
        if image.row == asked.row and in_box and in_frame:
            return ImagePlace(image.row, image.box, image.frame)

    raise NotFound(
        f"The image of manifest row {asked.row} is not among the top images of unit {unit} of layer "
        f"{canonical_layer(layer)[:120]}.",
        field="row",
        value=asked.row,
        remedy=f"GET /neurons/{canonical_layer(layer)[:120]}/{unit}?job={job_id} lists them.",
    )


def _check_top_image(session: Session, job_id: UUID, place: ImagePlace) -> None:
    """Raise NotFound for an image that is not among the top images of any neuron of the job."""
    if queries.is_top_image(session, job_id, place):
        return

    raise NotFound(
        f"The image of manifest row {place.row} is not among the top images of any neuron of job {job_id}; "
        "only those are drawn.",
        field="row",
        value=place.row,
        remedy="GET /neurons/{layer}/{unit} lists a neuron's top images. Where these are patches or frames, name "
        "`layer` and `unit`, or `box` and `frame`.",
    )


def _unavailable(row: int, problem: ProblemFields) -> PictureUnavailable:
    remedy = problem.get("remedy", "Look into the workers' logs.")
    return PictureUnavailable(
        f"The image of manifest row {row} could not be drawn: {problem['detail']}",
        field="row",
        value=row,
        remedy=f"{remedy} Ask again a minute later, and it is drawn again.",
    )
