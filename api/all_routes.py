"""All routes of the application, put together once in a process.

What FastAPI works out of their parameters takes longer than all the rest that an application is made of.
"""

from functools import cache

from fastapi import APIRouter, Depends
from starlette.routing import BaseRoute

from api.dependencies import authorise, recorded, storable
from api.pages import routers as pages
from api.routes import (
    ablations,
    alerts,
    audit_reports,
    audits,
    comparisons,
    concept_sets,
    deployments,
    dissectors,
    docs,
    evidence,
    health,
    jobs,
    models,
    neurons,
    paper,
    pictures,
    policies,
    probe_sets,
    registry,
    reports,
    reviews,
    schedules,
    search,
    signing_key,
)


@cache
def all_routes() -> tuple[BaseRoute, ...]:
    """The routes in the order in which they are looked through."""
    router = APIRouter()
    router.include_router(health.router)
    router.include_router(docs.router)
    router.include_router(registry.router)
    router.include_router(signing_key.router, dependencies=[Depends(authorise)])
    for routes in (
        models.router,
        dissectors.router,
        probe_sets.router,
        concept_sets.router,
        jobs.waiting,
        jobs.router,
        ablations.router,
        neurons.router,
        search.neurons,
        search.things,
        pictures.router,
        reviews.router,
        reviews.lists,
        evidence.router,
        comparisons.router,
        reports.jobs,
        reports.probe_sets,
        reports.exports,
        reports.comparisons,
        policies.router,
        deployments.router,
        audits.router,
        alerts.endpoints,
        alerts.router,
        audit_reports.router,
        schedules.router,
        paper.jobs,
        paper.comparisons,
        paper.side_by_side,
    ):
        router.include_router(routes, dependencies=[Depends(authorise), Depends(storable), Depends(recorded)])
    router.include_router(jobs.events, dependencies=[Depends(authorise), Depends(storable)])
    pages.include(router)
    return tuple(router.routes)
