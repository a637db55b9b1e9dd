"""All pages, put into the application."""

from fastapi import Depends, FastAPI

from api.dependencies import authorise, storable
from api.pages import (
    concepts,
    coverage,
    glossary,
    home,
    layers,
    models,
    neurons,
    pictures,
    sign_in,
    static_files,
)
from api.pages.navigation import navigation_of

_WITHOUT_KEY = (
    home.entry,
    sign_in.entry,
    static_files.router,
)

_PAGES = (
    home.router,
    sign_in.router,
    glossary.router,
    models.router,
    layers.router,
    neurons.router,
    pictures.router,
    concepts.router,
    coverage.router,
)


def install(app: FastAPI) -> None:
    """Serve the pages."""
    for router in _WITHOUT_KEY:
        app.include_router(router, dependencies=[Depends(storable)])
    for router in _PAGES:
        app.include_router(router, dependencies=[Depends(authorise), Depends(storable)])
    app.state.navigation = navigation_of(app)
