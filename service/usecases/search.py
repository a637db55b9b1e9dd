"""Search all dissections for neurons near to a concept, another neuron, a text or an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from service.db import neuron_search as queries
from service.db.half_vectors import Vector
from service.db.known_concepts import embedding_of, find_known_concept, known_texts, read_concept_sets
from service.db.resources import get_resource
from service.db.search_vectors import find_search_vector
from service.domain.layers import canonical_layer
from service.domain.pages import Page, Position
from service.domain.resources import Resource, ResourceKind, parse_reference
from service.domain.search import (
    HitFilter,
    LeftOut,
    NeuronHit,
    NeuronPlace,
    Scope,
    ScopeFilter,
    SearchKind,
    Space,
)
from service.domain.specs import dissector_place
from service.domain.verdicts import Verdict
from service.errors import Conflict, InvalidInput, NotFound, NotReadYet, as_error
from service.ports import JobQueue
from service.usecases.jobs import choose_job
from service.usecases.neurons import find_neuron, no_directions
from service.usecases.preparations import ask_vector
from service.usecases.resources import find_resource

_MOST_DISSECTORS_NAMED = 10


@dataclass(frozen=True, slots=True)
class Question:
    """What a search goes by, and what it is limited to, as the request says it; exactly one of the first four."""

    concept: str | None = None
    neuron: str | None = None
    """JOB/LAYER/UNIT."""
    text: str | None = None
    image: str | None = None
    """JOB/ROW."""

    dissector: str | None = None
    job: UUID | None = None
    model: str | None = None
    layer: str | None = None
    verdicts: tuple[Verdict, ...] | None = None
    category: str | None = None
    min_z: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The neurons that a search has found, nearest first, and among which."""

    dissector: Resource
    searched_by: str
    """What the neurons are near to, in words."""
    scope: Scope
    exact: bool
    page: Page[NeuronHit]
    left_out: LeftOut


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the neurons are to be near to."""

    space: Space
    vector: Vector
    words: str
    neuron: NeuronPlace | None = None


def search_neurons(
    session: Session, queue: JobQueue, question: Question, *, limit: int, after: Position | None
) -> Answer | NotReadYet:
    """The neurons nearest to what is asked by, or NotReadYet where a worker is asked to read that first.

    Raises InvalidInput for what cannot be searched by, NotFound, and Conflict where several dissectors are possible,
    where nothing was dissected so that it can be searched, or where a worker could not read what is searched by.
    """
    _check_one_way(question)
    where = _scope_of(session, question)
    wanted = _wanted(session, queue, question, where)
    if isinstance(wanted, NotReadYet):
        return wanted
    if not np.any(wanted.vector):
        raise InvalidInput("The dissector makes nothing of it.", remedy="Search by something else.")

    scope = queries.find_scope(session, wanted.space.dissector, where)
    hits = HitFilter(question.verdicts, question.category, question.min_z)
    found = queries.find_nearest(session, scope, wanted.vector, hits, but=wanted.neuron, limit=limit, after=after)
    return Answer(
        dissector=get_resource(session, wanted.space.dissector_id),
        searched_by=wanted.words,
        scope=scope,
        exact=found.exact,
        page=found.page,
        left_out=queries.find_left_out(session, wanted.space.dissector, where),
    )


def searchable_dissectors(session: Session, question: Question) -> list[Resource]:
    """The dissectors by whom there are dissections to search, that of the newest first.

    Raises NotFound and Conflict for a job or model that cannot be searched.
    """
    spaces = queries.spaces(session, _scope_of(session, question))
    return [get_resource(session, space.dissector_id) for space in spaces]


def _check_one_way(question: Question) -> None:
    ways = {name: getattr(question, name) for name in ("concept", "neuron", "text", "image")}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        what = "nothing to search by" if not given else f"{' and '.join(given)} to search by"
        raise InvalidInput(
            f"The request gives {what}.",
            field=given[1] if given else "concept",
            remedy="Give exactly one of concept=, neuron=JOB/LAYER/UNIT, text= and image=JOB/ROW.",
        )
    if not str(ways[given[0]]).strip():
        raise InvalidInput(f"{given[0]} is empty.", field=given[0], value="", remedy="Say what to search by.")


def _scope_of(session: Session, question: Question) -> ScopeFilter:
    """Which layers are searched. Raises NotFound and Conflict for a job or model that cannot be."""
    job_id = None if question.job is None else choose_job(session, job_id=question.job, model=None)
    model = None
    if question.model is not None:
        find_resource(session, ResourceKind.MODEL, question.model, field="model")
        model = parse_reference(question.model, field="model")
    layer = None if question.layer is None else canonical_layer(question.layer)
    return ScopeFilter(job_id, model, layer)


def _wanted(session: Session, queue: JobQueue, question: Question, where: ScopeFilter) -> _Wanted | NotReadYet:
    if question.neuron is not None:
        return _by_neuron(session, question, question.neuron)
    if question.image is not None:
        return _by_image(session, queue, question, question.image)

    space = _chosen_space(session, question, where)
    if question.concept is not None:
        return _by_concept(session, space, question.concept)
    text = " ".join(str(question.text).split())
    return _read_by_worker(session, queue, space, SearchKind.TEXT, text, f"the text '{text}'")


def _by_neuron(session: Session, question: Question, named: str) -> _Wanted:
    place = parse_neuron(named)
    job_id = choose_job(session, job_id=place.job_id, model=None)
    neuron = find_neuron(session, job_id, place.layer, place.unit)

    stored = queries.direction_of(session, place)
    if stored is None:
        raise no_directions(job_id)
    dissector, width, direction = stored
    if direction is None or neuron.neuron.dead:
        raise Conflict(
            f"Unit {place.unit} of layer {place.layer} is the same for every image, so it has no direction.",
            field="neuron",
            value=named,
            remedy="Search by another neuron.",
        )

    own_space = next(
        space for space in queries.spaces(session, ScopeFilter(job_id=job_id)) if space.dissector == dissector
    )
    _check_same_space(session, question, Space(dissector, own_space.dissector_id, width))
    return _Wanted(own_space, direction, f"unit {place.unit} of layer {place.layer} of job {job_id}", place)


def _by_image(session: Session, queue: JobQueue, question: Question, named: str) -> _Wanted | NotReadYet:
    job_id, row = parse_image(named)
    choose_job(session, job_id=job_id, model=None)
    of_job = queries.spaces(session, ScopeFilter(job_id=job_id))
    if not of_job:
        raise no_directions(job_id)
    _check_same_space(session, question, of_job[0])
    words = f"the image of manifest row {row} in job {job_id}"
    return _read_by_worker(session, queue, of_job[0], SearchKind.IMAGE, f"{job_id}/{row}", words)


def _by_concept(session: Session, space: Space, concept: str) -> _Wanted:
    dissector = get_resource(session, space.dissector_id)
    prompts = dissector_place(dissector).get("prompts")
    read = read_concept_sets(session, space.dissector, dissector.id, prompts)

    known = find_known_concept(session, read, concept.strip())
    if known is None:
        near = get_close_matches(concept, known_texts(session, read), n=3, cutoff=0.5)
        matches = f"Near matches: {', '.join(near)}. " if near else ""
        raise NotFound(
            f"{dissector.reference} has read no concept '{concept[:120]}'.",
            field="concept",
            value=concept,
            remedy=f"{matches}text= searches by any text.",
        )
    return _Wanted(space, embedding_of(session, space.dissector, known), f"the concept '{known.text}'")


def _read_by_worker(
    session: Session, queue: JobQueue, space: Space, kind: SearchKind, query: str, words: str
) -> _Wanted | NotReadYet:
    reading = find_search_vector(session, space.dissector_id, kind, query)
    if reading is not None and reading.vector is not None:
        return _Wanted(space, reading.vector, words)

    dissector = get_resource(session, space.dissector_id)
    if reading is not None and reading.problem is not None and not reading.is_old:
        problem = as_error(reading.problem)
        raise Conflict(
            f"{dissector.reference} could not read {words}. {problem.detail}",
            field=str(kind),
            value=query,
            remedy=problem.remedy,
        )

    if reading is None or reading.problem is not None:
        ask_vector(session, queue, dissector, kind, query)
    return NotReadYet(
        f"No worker has read {words} yet.",
        field=str(kind),
        value=query,
        remedy="Send the same request again: what a worker has read is kept. Check that a worker runs.",
    )


def _chosen_space(session: Session, question: Question, where: ScopeFilter) -> Space:
    """The dissector's space that is asked for, or the only one. Raises NotFound and Conflict."""
    spaces = queries.spaces(session, where)
    if question.dissector is not None:
        return _space_of(session, question.dissector, spaces)
    if not spaces:
        raise Conflict(
            "No dissection that fits has directions to search.",
            remedy="Submit a job, and search once it has succeeded; filters by job, model and layer may leave none.",
        )
    if len(spaces) > 1:
        raise Conflict(
            f"The dissections are by {len(spaces)} dissectors, whose spaces cannot be compared.",
            field="dissector",
            remedy=f"Give dissector= one of {_names(session, spaces)}.",
        )
    return spaces[0]


def _space_of(session: Session, reference: str, spaces: Sequence[Space]) -> Space:
    """The space of a registered dissector, in which a search goes by its own prompts. Raises NotFound, Conflict."""
    dissector = find_resource(session, ResourceKind.DISSECTOR, reference, field="dissector")
    content = dissector_place(dissector).get("content") or dissector.digest
    for space in spaces:
        if space.dissector == content:
            return Space(content, dissector.id, space.width)

    choices = f"Give dissector= one of {_names(session, spaces)}." if spaces else "Submit a job with it first."
    raise Conflict(
        f"No dissection that fits has directions by {dissector.reference}.",
        field="dissector",
        value=reference,
        remedy=choices,
    )


def _check_same_space(session: Session, question: Question, space: Space) -> None:
    """Raise InvalidInput where another dissector is asked for than that of the job that is searched by."""
    if question.dissector is None:
        return
    dissector = find_resource(session, ResourceKind.DISSECTOR, question.dissector, field="dissector")
    content = dissector_place(dissector).get("content") or dissector.digest
    if content != space.dissector:
        own = get_resource(session, space.dissector_id).reference
        raise InvalidInput(
            f"The job was dissected by {own}, whose space is not that of {dissector.reference}.",
            field="dissector",
            value=question.dissector,
            remedy=f"Leave dissector out, or give {own}.",
        )


def _names(session: Session, spaces: Sequence[Space]) -> str:
    named = [get_resource(session, space.dissector_id).reference for space in spaces[:_MOST_DISSECTORS_NAMED]]
    return ", ".join(named)


def parse_neuron(named: str) -> NeuronPlace:
    """The neuron that JOB/LAYER/UNIT names, there or not. Raises InvalidInput for another form."""
    form = "JOB/LAYER/UNIT"
    job, _, rest = named.partition("/")
    layer, _, unit = rest.rpartition("/")
    if not layer or not unit.isascii() or not unit.isdigit() or len(unit) > 9:
        raise _malformed(named, "neuron", form)
    return NeuronPlace(_parse_job(job, named, "neuron", form), canonical_layer(layer), int(unit))


def parse_image(named: str) -> tuple[UUID, int]:
    """The job and the manifest row that JOB/ROW names, there or not. Raises InvalidInput for another form."""
    form = "JOB/ROW"
    job, _, row = named.partition("/")
    job_id = _parse_job(job, named, "image", form)
    if not row.isascii() or not row.isdigit() or len(row) > 9:
        raise _malformed(named, "image", form)
    return job_id, int(row)


def _parse_job(job: str, named: str, field: str, form: str) -> UUID:
    try:
        return UUID(job)
    except ValueError:
        raise _malformed(named, field, form) from None


def _malformed(named: str, field: str, form: str) -> InvalidInput:
    return InvalidInput(
        f"'{named[:120]}' is not of the form {form}.",
        field=field,
        value=named,
        remedy=f"Write {form}, as in the items of a search: a job's id, and a number at the end.",
    )
