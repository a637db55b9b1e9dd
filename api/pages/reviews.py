"""What readers say of a job's labels, the neurons that are left for a reader, and where a review is sent."""

from dataclasses import dataclass
from typing import Annotated, NoReturn
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from api.dependencies import CallerDep, QueueDep, SessionDep
from api.pages import addresses
from api.pages.forms import FormDep, LongPageRoute, Refused, see_other
from api.pages.layers import LayerName
from api.pages.neurons import Unit, neuron_page
from api.pages.rendering import page
from api.pages.review_form import ReviewForm, next_after_review
from api.problems import status_of
from service.analysis.agreement_of_readers import LEAST_NEURONS
from service.domain.review_lists import DEFAULT_SEED, Draw
from service.domain.reviews import Decision, Standing
from service.errors import Conflict, DissectError, InvalidInput
from service.ports import JobQueue
from service.usecases import known_concepts, review_lists, reviews

router = APIRouter(include_in_schema=False, route_class=LongPageRoute)

MOST_DRAWN = 500
_DEFAULT_COUNT = 50
_LARGEST_SEED = 2**31 - 1

Word = Annotated[str, Query(max_length=40)]


@dataclass(frozen=True, slots=True)
class AskedList:
    """Which work list is asked for."""

    draw: Draw
    count: int
    seed: int

    wrong: dict[str, str]
    """What is wrong with what was typed into a field, in whose place the default stands."""

    @property
    def query(self) -> dict[str, object]:
        """The list in an address."""
        return {"draw": self.draw.value, "count": self.count, "seed": self.seed}


@router.get("/ui/jobs/{job_id}/reviews")
def show_reviews(
    request: Request,
    job_id: UUID,
    session: SessionDep,
    caller: CallerDep,
    draw: Word = "",
    count: Word = "",
    seed: Word = "",
) -> Response:
    """What readers say in numbers, and a work list. draw, count, seed: empty for the defaults, as a form sends them.

    Raises NotFound, Conflict for a job without a result, and InvalidInput for a draw that there is not.
    """
    asked_for = _asked_list(draw, count, seed)
    dissection = known_concepts.find_dissection(session, job_id)
    summary = review_lists.sum_up_reviews(session, job_id, caller=caller, seed=asked_for.seed)
    work_list = review_lists.draw_work_list(
        session, job_id, asked_for.draw, reader=caller, count=asked_for.count, seed=asked_for.seed
    )

    follows = {
        neuron.place: addresses.next_review(job_id, **asked_for.query, at=neuron.place) for neuron in work_list.left
    }
    return page(
        request,
        "reviews.html",
        at=addresses,
        dissection=dissection,
        summary=summary,
        decisions=list(Decision),
        standings=list(Standing),
        needed=LEAST_NEURONS,
        work_list=work_list,
        follows=follows,
        begin=addresses.next_review(job_id, **asked_for.query),
        asked_for=asked_for,
        draws=list(Draw),
        most_drawn=MOST_DRAWN,
        largest_seed=_LARGEST_SEED,
    )


@router.get("/ui/jobs/{job_id}/reviews/next")
def go_on(
    job_id: UUID,
    session: SessionDep,
    caller: CallerDep,
    draw: Word = "",
    count: Word = "",
    seed: Word = "",
    at: Annotated[int, Query(ge=1, lt=2**31)] = 1,
    skip: bool = False,
) -> Response:
    """On to the first neuron from a place of a work list on that the reader has not reviewed, or back to the list.

    at: the place that the reader was at. What they review leaves the list, and from a list of disputed neurons the
    others move up. skip: whether they go on without a review. Raises NotFound, and Conflict for a job without a result.
    """
    asked_for = _asked_list(draw, count, seed)
    work_list = review_lists.draw_work_list(
        session, job_id, asked_for.draw, reader=caller, count=asked_for.count, seed=asked_for.seed
    )
    first = at + 1 if skip else at
    neuron = next((neuron for neuron in work_list.left if neuron.place >= first), None)
    if neuron is None:
        path = f"{addresses.reviews(job_id, **asked_for.query)}#list"
    else:
        follows = addresses.next_review(job_id, **asked_for.query, at=neuron.place)
        path = addresses.neuron(job_id, neuron.layer, neuron.unit, next=follows)
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})


@router.post("/ui/jobs/{job_id}/neurons/{layer:path}/{unit}/review")
def post_review(
    request: Request,
    job_id: UUID,
    layer: LayerName,
    unit: Unit,
    form: FormDep,
    session: SessionDep,
    queue: QueueDep,
    caller: CallerDep,
    response: Response,
) -> Response:
    """Say what a neuron's label is worth, and go on to the next of the work list, or back to the neuron.

    Raises NotFound, and Refused with the form where something is wrong or another window was faster.
    """
    follows = next_after_review(job_id, form.text("next"))
    filled = ReviewForm.sent(form)
    try:
        review, _ = reviews.submit_review(session, caller, job_id, filled.submission(layer, unit))
    except (Conflict, InvalidInput) as error:
        _refuse(request, session, queue, caller, job_id, layer, unit, follows=follows, filled=filled, error=error)
    path = follows or f"{addresses.neuron(job_id, review.layer, review.unit)}#reviews"
    return see_other(response, path, made=f"/jobs/{job_id}/reviews/{review.id}")


def _refuse(
    request: Request,
    session: Session,
    queue: JobQueue,
    caller: str,
    job_id: UUID,
    layer: str,
    unit: int,
    *,
    follows: str | None,
    filled: ReviewForm,
    error: DissectError,
) -> NoReturn:
    session.rollback()
    current = reviews.reviews_of(session, job_id, layer, unit, caller=caller).own
    answer = neuron_page(
        request,
        session,
        queue,
        caller,
        job_id,
        layer,
        unit,
        follows=follows,
        form=filled.refused(error, current),
        status_code=status_of(error),
    )
    raise Refused(answer)


def _asked_list(draw: str, count: str, seed: str) -> AskedList:
    """The work list that a form asks for. Raises InvalidInput for a draw that no form of ours sends."""
    wrong: dict[str, str] = {}
    return AskedList(
        draw=_draw(draw),
        count=_number("count", count, 1, MOST_DRAWN, _DEFAULT_COUNT, wrong),
        seed=_number("seed", seed, 0, _LARGEST_SEED, DEFAULT_SEED, wrong),
        wrong=wrong,
    )


def _draw(word: str) -> Draw:
    if not word:
        return Draw.RANDOM
    try:
        return Draw(word)
    except ValueError:
        remedy = f"Choose one of {', '.join(Draw)}."
        raise InvalidInput("There is no such draw.", field="draw", value=word, remedy=remedy) from None


def _number(name: str, text: str, least: int, most: int, default: int, wrong: dict[str, str]) -> int:
    text = text.strip()
    if not text:
        return default
    value = int(text) if text.isascii() and text.isdigit() else -1
    if least <= value <= most:
        return value
    wrong[name] = f"Write a whole number from {least:,} to {most:,}; {default} stands in its place."
    return default
