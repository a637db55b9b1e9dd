"""What the labels of a dissection amount to: its coverage of the concept set, and its watch-list."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.dependencies import SessionDep, SettingsDep
from api.pages import addresses
from api.pages.forms import LongPageRoute
from api.pages.pictures import gallery
from api.pages.rendering import page
from service.reports import neuron_wording
from service.reports.coverage_map import category_rows, column_groups, concept_rows
from service.reports.wording import missing_by_reason, missing_sentences
from service.usecases import ablations, evidence, known_concepts, neurons

router = APIRouter(include_in_schema=False, route_class=LongPageRoute)

_NEURONS = 60
_IMAGES = 3


@router.get("/ui/jobs/{job_id}/coverage")
def show_coverage(request: Request, job_id: UUID, session: SessionDep, settings: SettingsDep) -> Response:
    """Which concepts and categories the neurons represent, and which essential ones they do not."""
    dissection = known_concepts.find_dissection(session, job_id)
    layers = [summary.layer for summary in neurons.list_layers(session, job_id)]
    coverage = evidence.read_coverage(session, job_id, must_have=settings.must_have_path)
    return page(
        request,
        "coverage.html",
        at=addresses,
        dissection=dissection,
        layers=layers,
        coverage=coverage,
        sentences=missing_sentences(coverage),
        missing=missing_by_reason(coverage),
        categories=category_rows(coverage, layers),
        concepts=concept_rows(coverage, layers),
        represented=sum(1 for concept in coverage.concepts if concept.neurons),
        groups=[(group, [(str(place + 1), "n") for place in group]) for group in column_groups(len(layers))],
    )


@router.get("/ui/jobs/{job_id}/watch-list")
def show_watch_list(request: Request, job_id: UUID, session: SessionDep) -> Response:
    """Neurons that respond to what should not drive a diagnosis, the strongest first."""
    dissection = known_concepts.find_dissection(session, job_id)
    watch_list = evidence.read_watch_list(session, job_id)
    shown = watch_list.neurons[:_NEURONS]
    images = [image for neuron in shown for image in neuron.images[:_IMAGES]]
    return page(
        request,
        "watch_list.html",
        at=addresses,
        wording=neuron_wording,
        dissection=dissection,
        watch_list=watch_list,
        neurons=shown,
        images_shown=_IMAGES,
        gallery=gallery(request, session, job_id, images),
        dependences=ablations.dependences_of(session, job_id),
    )
