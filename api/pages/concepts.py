"""Concepts: which ones the neurons of a dissection are labelled with, who knows one, and who knows a category."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import FiniteFloat
from sqlalchemy.orm import Session

from api.dependencies import SessionDep
from api.pages import addresses
from api.pages.filters import read_job, read_verdicts
from api.pages.forms import PageRoute
from api.pages.paging import first_page, next_page
from api.pages.pictures import Gallery, gallery
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from service.domain.concepts import Concept
from service.domain.glances import DissectionLine, LabelCount, NeuronGlance
from service.domain.pages import Page
from service.domain.verdicts import Verdict
from service.reports.layers import UNCATEGORISED
from service.reports.neuron_wording import qualification_of, qualification_sentence, short_label
from service.usecases import known_concepts
from service.usecases.evidence import concept_set_of_job, evidence_of
from service.usecases.jobs import find_job

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_CARDS = 48
_DISSECTIONS = 50

Name = Annotated[str, Query(max_length=300)]


@router.get("/ui/concepts")
def show_concepts(
    request: Request,
    session: SessionDep,
    job: str = "",
    q: Name = "",
    cursor: Cursor = None,
) -> Response:
    """The labels of a dissection by category; q: the neurons of all labels that fit some words.

    job: the dissection; the newest one where none is given.
    """
    dissections = known_concepts.list_dissections(session, limit=_DISSECTIONS).items
    dissection = _chosen(session, job, dissections)
    if dissection is None:
        return page(request, "no_concepts.html")

    labels = known_concepts.count_labels(session, dissection.job)
    words = q.strip()
    fitting: Sequence[Concept] = ()
    if words:
        fitting = known_concepts.concepts_that_fit(concept_set_of_job(session, dissection.job), words)
    listed = _neurons(session, request, dissection.job, labels, fitting, cursor)

    return page(
        request,
        "concepts.html",
        at=addresses,
        request=request,
        dissection=dissection,
        dissections=_with(dissection, dissections),
        words_sought=words,
        fitting=fitting,
        labels=labels,
        neurons_of={label.concept: label for label in labels},
        by_category=_by_category(labels),
        uncategorised=UNCATEGORISED,
        neurons=listed.items,
        gallery=_gallery(request, session, dissection.job, listed),
        short_label=short_label,
        verdict_options=list(Verdict),
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/concepts/concept")
def show_concept(request: Request, session: SessionDep, name: Name, job: str = "", cursor: Cursor = None) -> Response:
    """Who knows a concept: the neurons of a dissection, and how many there are in others."""
    dissections = known_concepts.list_dissections(session, limit=_DISSECTIONS).items
    dissection = _chosen(session, job, dissections)
    if dissection is None:
        return page(request, "no_concepts.html")

    concept_set = concept_set_of_job(session, dissection.job)
    place = next((place for place, concept in enumerate(concept_set.concepts) if concept.text == name), None)
    concept = None if place is None else concept_set.concepts[place]
    evidence = evidence_of(find_job(session, dissection.job))
    qualification = None if place is None else qualification_of(evidence, place)

    return _page_of(
        request,
        session,
        "concept.html",
        dissection,
        dissections,
        () if concept is None else (concept,),
        cursor,
        {"name": name, "concept": concept, "sees": qualification_sentence(qualification)},
    )


@router.get("/ui/concepts/category")
def show_category(request: Request, session: SessionDep, name: Name, job: str = "", cursor: Cursor = None) -> Response:
    """Who knows a category: its concepts with their neurons."""
    dissections = known_concepts.list_dissections(session, limit=_DISSECTIONS).items
    dissection = _chosen(session, job, dissections)
    if dissection is None:
        return page(request, "no_concepts.html")

    concepts = known_concepts.concepts_of_category(concept_set_of_job(session, dissection.job), name)
    return _page_of(
        request,
        session,
        "category.html",
        dissection,
        dissections,
        concepts,
        cursor,
        {"name": name, "concepts": concepts},
    )


def _page_of(
    request: Request,
    session: Session,
    template: str,
    dissection: DissectionLine,
    dissections: Sequence[DissectionLine],
    sought: Sequence[Concept],
    cursor: str | None,
    content: Mapping[str, object],
) -> Response:
    """The page of a concept or a category: neurons of one dissection, and counts of the newest.

    content: what the template wants beside that.
    """
    labels = known_concepts.count_labels(session, dissection.job)
    listed = _neurons(session, request, dissection.job, labels, sought, cursor)
    shown = _with(dissection, dissections)
    texts = [concept.text for concept in sought][: known_concepts.MOST_CONCEPTS]
    return page(
        request,
        template,
        at=addresses,
        request=request,
        dissection=dissection,
        dissections=shown,
        known=known_concepts.known_in_dissections(session, shown, texts),
        neurons_of={label.concept: label for label in labels},
        neurons=listed.items,
        gallery=_gallery(request, session, dissection.job, listed),
        short_label=short_label,
        verdict_options=list(Verdict),
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
        content=content,
    )


def _chosen(session: Session, job: str, dissections: Sequence[DissectionLine]) -> DissectionLine | None:
    chosen = read_job(job)
    if chosen is not None:
        return known_concepts.find_dissection(session, chosen)
    return dissections[0] if dissections else None


def _with(dissection: DissectionLine, dissections: Sequence[DissectionLine]) -> list[DissectionLine]:
    """The newest dissections, with the chosen one if it is older."""
    return list(dissections) if dissection in dissections else [*dissections, dissection]


def _neurons(
    session: Session,
    request: Request,
    job_id: UUID,
    labels: Sequence[LabelCount],
    concepts: Sequence[Concept],
    cursor: str | None,
) -> Page[NeuronGlance]:
    wanted = {concept.text for concept in concepts}
    return known_concepts.neurons_knowing(
        session,
        job_id,
        [label.concept for label in labels if label.concept in wanted],
        verdicts=read_verdicts(request.query_params),
        limit=_CARDS,
        after=decode_cursor(cursor, tuple[FiniteFloat | None, int, int]),
    )


def _gallery(request: Request, session: Session, job_id: UUID, listed: Page[NeuronGlance]) -> Gallery:
    return gallery(request, session, job_id, [image for neuron in listed.items for image in neuron.images])


def _by_category(labels: Sequence[LabelCount]) -> list[tuple[str, list[LabelCount]]]:
    """The labels of each category, categories with most neurons first."""
    labels_of: dict[str, list[LabelCount]] = defaultdict(list)
    for label in labels:
        labels_of[label.category or UNCATEGORISED].append(label)
    return sorted(labels_of.items(), key=lambda item: (-sum(label.neurons for label in item[1]), item[0]))
