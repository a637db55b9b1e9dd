"""All pages, put into the application."""

from fastapi import APIRouter, Depends, FastAPI

from api.dependencies import authorise, storable
from api.pages import (
    alerts,
    audits,
    compare,
    comparisons,
    concept_sets,
    concepts,
    coverage,
    deployment_forms,
    deployments,
    dissectors,
    fleet,
    glossary,
    home,
    jobs,
    layers,
    models,
    neurons,
    new_job,
    pictures,
    probe_sets,
    reviews,
    search,
    sign_in,
    static_files,
)
from api.pages.forms import Refused, answer_refused
from api.pages.navigation import navigation_of

_WITHOUT_KEY = (
    home.entry,
    sign_in.entry,
    static_files.router,
)

_PAGES = (
    home.router,
    new_job.router,  # before jobs: `new` is no job's id
    jobs.router,
    sign_in.router,
    glossary.router,
    models.router,
    reviews.router,
    layers.router,
    neurons.router,
    pictures.router,
    concepts.router,
    coverage.router,
    deployments.router,
    deployment_forms.router,
    fleet.router,
    audits.router,
    alerts.router,
    probe_sets.router,
    dissectors.router,
    concept_sets.router,
    compare.router,
    comparisons.router,
    search.router,
)


def include(router: APIRouter) -> None:
    """Add the routes of the pages."""
    for of_page in _WITHOUT_KEY:
        router.include_router(of_page, dependencies=[Depends(storable)])
    for of_page in _PAGES:
        router.include_router(of_page, dependencies=[Depends(authorise), Depends(storable)])


def install(app: FastAPI) -> None:
    """Serve the pages, whose routes the application has."""
    app.add_exception_handler(Refused, answer_refused)
    app.state.navigation = navigation_of(app)
