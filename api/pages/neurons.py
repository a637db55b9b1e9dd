"""One neuron: what it is called, what it looks at, and everything that speaks for its label."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.orm import Session

from api.dependencies import CallerDep, QueueDep, SessionDep
from api.pages import addresses
from api.pages.forms import LongPageRoute
from api.pages.layers import LayerName
from api.pages.pictures import gallery
from api.pages.rendering import page
from api.pages.review_form import ReviewForm, next_after_review, review_block
from service.domain.neurons import LabelledNeuron, Neighbour, Neuron
from service.domain.search import NeuronHit
from service.errors import Conflict, InvalidInput, NotFound, NotReadYet
from service.ports import JobQueue
from service.reports import neuron_wording
from service.reports.where import localisation_words
from service.usecases import ablations, known_concepts, neurons
from service.usecases.evidence import concept_set_of_job, evidence_of
from service.usecases.jobs import find_job
from service.usecases.search import Question, search_neurons

router = APIRouter(include_in_schema=False, route_class=LongPageRoute)

_NEIGHBOURS = 8
_SEARCHED = 100
"""So many of the nearest neurons of all dissections are looked through for those of others."""

Unit = Annotated[int, Path(ge=0, lt=2**31)]


@router.get("/ui/jobs/{job_id}/neurons/{layer:path}/{unit}")
def show_neuron(
    request: Request,
    job_id: UUID,
    layer: LayerName,
    unit: Unit,
    session: SessionDep,
    queue: QueueDep,
    caller: CallerDep,
    next_page: Annotated[str, Query(alias="next", max_length=2_000)] = "",
) -> Response:
    """Everything that is known about one neuron. next_page: of a work list, the page that follows its review."""
    follows = next_after_review(job_id, next_page)
    return neuron_page(request, session, queue, caller, job_id, layer, unit, follows=follows)


def neuron_page(
    request: Request,
    session: Session,
    queue: JobQueue,
    caller: str,
    job_id: UUID,
    layer: str,
    unit: int,
    *,
    follows: str | None,
    form: ReviewForm | None = None,
    status_code: int = 200,
) -> Response:
    """The page of a neuron. follows: the page after its review; form: a refused review, as it was filled in.

    Raises NotFound, and Conflict for a job without a result.
    """
    dissection = known_concepts.find_dissection(session, job_id)
    labelled = neurons.find_neuron(session, job_id, layer, unit)
    neuron = labelled.neuron
    summary = next(summary for summary in neurons.list_layers(session, job_id) if summary.layer == labelled.layer)

    evidence = evidence_of(find_job(session, job_id))
    best = neuron.concepts[0] if neuron.concepts else None
    neighbours, no_neighbours = _neighbours(session, job_id, labelled.layer, unit)

    return page(
        request,
        "neuron.html",
        status_code=status_code,
        at=addresses,
        wording=neuron_wording,
        localisation_words=localisation_words,
        dissection=dissection,
        labelled=labelled,
        neuron=neuron,
        evidence=neuron.evidence,
        summary=summary,
        no_agreement=None if evidence is None else evidence.no_agreement,
        best=best,
        qualification=None if best is None else neuron_wording.qualification_of(evidence, best.concept),
        rivals=_rivals(session, job_id, neuron),
        gallery=gallery(request, session, job_id, neuron.images),
        neighbours=neighbours,
        no_neighbours=no_neighbours,
        elsewhere=() if no_neighbours else _elsewhere(session, queue, job_id, labelled),
        dependence=ablations.dependences_of(session, job_id).get((labelled.layer, unit)),
        review=review_block(session, job_id, labelled, caller=caller, follows=follows, form=form),
    )


def _rivals(session: Session, job_id: UUID, neuron: Neuron) -> list[str]:
    """The concepts that the label does not beat, most like it first."""
    direction = None if neuron.evidence is None else neuron.evidence.direction
    if direction is None or not direction.rivals:
        return []
    texts = concept_set_of_job(session, job_id).texts
    return [texts[rival] for rival in direction.rivals]


def _neighbours(session: Session, job_id: UUID, layer: str, unit: int) -> tuple[tuple[Neighbour, ...], str | None]:
    """The neurons most like it; or none, and why nobody knows."""
    try:
        return neurons.find_neighbours(session, job_id, layer, unit, _NEIGHBOURS), None
    except NotFound as error:
        return (), error.detail


def _elsewhere(session: Session, queue: JobQueue, job_id: UUID, neuron: LabelledNeuron) -> list[NeuronHit]:
    """The neurons of other dissections with the same dissector that are most like it, most like it first."""
    if neuron.neuron.dead:
        return []
    question = Question(neuron=f"{job_id}/{neuron.layer}/{neuron.neuron.unit}")
    try:
        answer = search_neurons(session, queue, question, limit=_SEARCHED, after=None)
    except (Conflict, NotFound, InvalidInput):
        return []
    if isinstance(answer, NotReadYet):
        return []
    others = [hit for hit in answer.page.items if hit.job_id != job_id]
    return others[:_NEIGHBOURS]
