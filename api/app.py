"""The FastAPI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI

from api import problems
from api.dependencies import authorise, check_recorded, recorded, storable
from api.keys import read_keys
from api.openapi import describe_problems
from api.routes import (
    alerts,
    audit_reports,
    audits,
    comparisons,
    deployments,
    evidence,
    health,
    jobs,
    neurons,
    policies,
    registry,
    reports,
    resources,
    schedules,
    signing_key,
)
from broker.background import BackgroundQueue
from broker.queue import CeleryJobQueue, open_broker
from service.config import Settings
from service.db.session import open_sessions
from service.delivery.addresses import AllowedHosts
from service.signatures import SigningKey

DISTRIBUTION = "mammo-clip-dissect-service"
_DESCRIPTION = """Names what the neurons of a mammography network respond to.

Register a model, a dissector and a probe set, post a job, ask for the neurons of a layer.
Every error is an RFC 9457 problem that names the field, the value and the remedy."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application. Nothing connects before the first request.

    Raises InvalidInput for missing or unusable settings.
    """
    settings = Settings() if settings is None else settings
    keys = read_keys(settings)
    key_path = settings.signing_key_path
    AllowedHosts.of(settings.alert_hosts)
    sessions = open_sessions(settings.database_url)
    queue = BackgroundQueue(CeleryJobQueue(open_broker(settings.broker_url)))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        queue.close()
        sessions.kw["bind"].dispose()

    app = FastAPI(
        title="Mammo-CLIP Dissect service",
        description=_DESCRIPTION,
        version=version(DISTRIBUTION),
        lifespan=lifespan,
        # Their pages load scripts from elsewhere, which a hospital network does not let in.
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.keys = keys
    app.state.signing_key = None if key_path is None else SigningKey.load(key_path)
    app.state.sessions = sessions
    app.state.queue = queue
    problems.install(app)
    app.include_router(health.router)
    app.include_router(registry.router)
    app.include_router(signing_key.router, dependencies=[Depends(authorise)])
    for router in (
        resources.models,
        resources.dissectors,
        resources.probe_sets,
        resources.concept_sets,
        jobs.router,
        neurons.router,
        evidence.router,
        comparisons.router,
        reports.jobs,
        reports.comparisons,
        policies.router,
        deployments.router,
        audits.router,
        alerts.endpoints,
        alerts.router,
        audit_reports.router,
        schedules.router,
    ):
        app.include_router(router, dependencies=[Depends(authorise), Depends(storable), Depends(recorded)])
    check_recorded(app)
    describe_problems(app)
    return app
