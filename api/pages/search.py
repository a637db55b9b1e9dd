"""The one box of the head: what has these words in its name, and the neurons nearest to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import FiniteFloat
from sqlalchemy.orm import Session
from starlette.types import Message

from api.awaited_work import AwaitedWorkRoute
from api.dependencies import QueueDep, SessionDep
from api.pages import addresses
from api.pages.errors import with_links
from api.pages.filters import read_verdicts
from api.pages.forms import PageRoute
from api.pages.layers import UnitNumber
from api.pages.named_lines import NamedGroup, groups_of
from api.pages.paging import first_page, next_page
from api.pages.pictures import small_picture
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from api.picture_access import may_see_pictures
from service.domain.pages import Position
from service.domain.probes import ImagePlace
from service.domain.resources import Resource
from service.domain.search import NamedThing, NeuronPlace
from service.domain.verdicts import Verdict
from service.errors import Conflict, DissectError, InvalidInput, NotFound, NotReadYet
from service.ports import JobQueue
from service.usecases import report_pictures, search
from service.usecases.named_things import find_named
from service.usecases.search import Answer, Question, parse_image, parse_neuron

_NAMED = 10
"""The most of each kind."""
_NEURONS = 50
_ID_START = 8
"""So many characters that begin a job's id are meant as one, and not as a text."""
_BEING_READ = 202


class SearchPageRoute(AwaitedWorkRoute, PageRoute):
    """A page whose 202 means that a worker reads; it waits for that where its address says `wait=`."""

    takes_long = True

    def is_awaited(self, answer: list[Message]) -> bool:
        """Whether what is searched by is still to be read."""
        return bool(answer) and answer[0].get("status") == _BEING_READ


router = APIRouter(include_in_schema=False, route_class=SearchPageRoute)


@dataclass(frozen=True, slots=True)
class Nearest:
    """The neurons nearest to what is asked by; or, without an answer, why there are none."""

    asked: Question
    dissectors: Sequence[Resource] = ()
    """Those in whose spaces words can be searched; none where a neuron or an image is searched by."""
    answer: Answer | None = None
    is_being_read: bool = False
    problem: DissectError | None = None

    @property
    def by_words(self) -> bool:
        """Whether words are searched by, which each dissector reads in its own way."""
        return self.asked.neuron is None and self.asked.image is None

    @property
    def next_position(self) -> Position | None:
        """Where the following page begins."""
        return None if self.answer is None else self.answer.page.next_position


@router.get("/ui/search")
def show_search(
    request: Request,
    session: SessionDep,
    queue: QueueDep,
    q: Annotated[str, Query(max_length=300)] = "",
    neuron: Annotated[str, Query(max_length=300)] = "",
    image: Annotated[str, Query(max_length=60)] = "",
    dissector: Annotated[str, Query(max_length=80)] = "",
    model: Annotated[str, Query(max_length=80)] = "",
    cursor: Cursor = None,
) -> Response:
    """What is named so, and the neurons of all dissections nearest to these words, a neuron or an image."""
    words = " ".join(q.split())
    named = find_named(session, words, limit=_NAMED) if words else {}
    question = _question_of(words, neuron.strip(), image.strip(), named)

    nearest = None
    if question is not None:
        verdicts = read_verdicts(request.query_params)
        asked = replace(question, dissector=dissector or None, model=model.strip() or None, verdicts=verdicts)
        nearest = _nearest(session, queue, asked, decode_cursor(cursor, tuple[FiniteFloat, UUID, UnitNumber]))

    remedy = None if nearest is None or nearest.problem is None else nearest.problem.remedy
    return page(
        request,
        "search.html",
        status_code=_BEING_READ if nearest is not None and nearest.is_being_read else 200,
        at=addresses,
        request=request,
        sought=words,
        named=_groups(named),
        most_named=_NAMED,
        nearest=nearest,
        neuron=None if nearest is None else _neuron_of(nearest.asked),
        picture=None if nearest is None else _picture_of(request, session, nearest.asked),
        remedy=None if remedy is None else with_links(remedy),
        verdict_options=list(Verdict),
        next_page=None if nearest is None else next_page(request, nearest.next_position),
        first_page=first_page(request),
    )


def _groups(named: Mapping[str, Sequence[NamedThing]]) -> list[NamedGroup]:
    return [group for group in groups_of(named) if group.lines]


def _question_of(words: str, neuron: str, image: str, named: Mapping[str, Sequence[NamedThing]]) -> Question | None:
    """What neurons are to be near to; None where nothing is asked for, or a job by its id."""
    if neuron or image:
        return Question(neuron=neuron or None, image=image or None)
    if not words or _is_job(words, named):
        return None

    try:
        parse_neuron(words)
    except InvalidInput:
        return Question(concept=words)
    return Question(neuron=words)


def _is_job(words: str, named: Mapping[str, Sequence[NamedThing]]) -> bool:
    return len(words) >= _ID_START and any(job.name.startswith(words.lower()) for job in named["jobs"])


def _nearest(session: Session, queue: JobQueue, asked: Question, after: Position | None) -> Nearest:
    nearest = Nearest(asked)
    try:
        if nearest.by_words:
            nearest = replace(nearest, dissectors=search.searchable_dissectors(session, asked))
            is_undecided = asked.dissector is None and len(nearest.dissectors) != 1
            if is_undecided:
                return nearest
        answer = _search(session, queue, asked, after)
    except (InvalidInput, NotFound, Conflict) as error:
        return replace(nearest, problem=error)

    if isinstance(answer, NotReadYet):
        return replace(nearest, is_being_read=True)  # not raised: what a worker is asked for is to be committed
    return replace(nearest, answer=answer)


def _search(session: Session, queue: JobQueue, asked: Question, after: Position | None) -> Answer | NotReadYet:
    """Search; words that are no concept of the dissector's are a text, which a worker reads."""
    try:
        return search.search_neurons(session, queue, asked, limit=_NEURONS, after=after)
    except NotFound as error:
        if error.field != "concept":
            raise
    as_text = replace(asked, concept=None, text=asked.concept)
    return search.search_neurons(session, queue, as_text, limit=_NEURONS, after=after)


def _neuron_of(asked: Question) -> NeuronPlace | None:
    """The neuron that is searched by, there or not."""
    try:
        return None if asked.neuron is None else parse_neuron(asked.neuron)
    except InvalidInput:
        return None


def _picture_of(request: Request, session: Session, asked: Question) -> str | None:
    """The address of a small picture of the image that is searched by, where there is one and the reader may see it."""
    if asked.image is None or not may_see_pictures(request):
        return None
    try:
        job_id, row = parse_image(asked.image)
    except InvalidInput:
        return None

    place = ImagePlace(row, None)
    is_kept = place in report_pictures.pictured_places(session, job_id, [place])
    return small_picture(job_id, place) if is_kept else None
