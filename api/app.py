"""The FastAPI application."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from api import problems, tags
from api.all_routes import all_routes
from api.bodies import Bodies, EarlyAnswers
from api.dependencies import check_one_thread, check_recorded
from api.gate import Gate
from api.key_check import KeyCheck
from api.keys import read_keys
from api.one_thread import Entrance
from api.pages import errors as error_pages
from api.pages import routers as pages
from api.picture_access import PictureAccess
from api.routes import health
from api.sessions import SignIns
from api.shared_looks import SharedLook
from api.threads import CLOSING_S
from broker.background import BackgroundQueue
from broker.queue import CeleryJobQueue, open_broker
from service.config import Settings, read_settings
from service.db.session import open_sessions
from service.delivery.addresses import AllowedHosts
from service.files import data_roots
from service.signatures import SigningKey
from service.usecases.jobs import job_news

_OPEN_BODY_BYTES = 1 << 20
"""The largest body of a caller without a key; a webhook of a model registry has some kilobytes."""
_OPEN_BODY_TOO_LARGE = "Send MLflow's own events, which are far smaller; this limit is fixed."

_DESCRIPTION = """Names what the neurons of a mammography network respond to.

Register a model, a dissector and a probe set, post a job, ask for the neurons of a layer.
Every error is an RFC 9457 problem that names the field, the value and the remedy."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application. Nothing connects before the first request.

    Raises InvalidInput for missing or unusable settings.
    """
    settings = read_settings() if settings is None else settings
    keys = read_keys(settings)
    picture_access = PictureAccess.of(settings, keys)
    key_path = settings.signing_key_path
    roots = data_roots(settings)
    AllowedHosts.of(settings.alert_hosts)

    places = settings.requests_at_once
    # One connection for each request that the gate lets in, and one for each of the looks: nobody waits for one.
    sessions = open_sessions(settings.database_url, pool_size=places + 2, overflow=0)
    gate = Gate(places)
    database_look = SharedLook(sessions, health.look_at_database)
    job_look = SharedLook(sessions, job_news)
    queue = BackgroundQueue(CeleryJobQueue(open_broker(settings.broker_url)))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        until = time.monotonic() + CLOSING_S
        for part in (gate, database_look, job_look, queue):
            part.close(max(0.0, until - time.monotonic()))
        sessions.kw["bind"].dispose()

    app = FastAPI(
        title="Mammo-CLIP Dissect service",
        description=_DESCRIPTION,
        version=version(tags.DISTRIBUTION),
        lifespan=lifespan,
        # FastAPI's pages load scripts from elsewhere, which a hospital network does not let in; ours is `routes.docs`.
        docs_url=None,
        redoc_url=None,
    )

    app.state.settings = settings
    app.state.roots = roots
    app.state.picture_access = picture_access
    app.state.signing_key = None if key_path is None else SigningKey.load(key_path)
    app.state.sessions = sessions
    app.state.queue = queue
    app.state.database_look = database_look
    app.state.job_look = job_look
    app.state.entrance = Entrance(
        gate,
        bodies=Bodies(settings.max_body_mb << 20, settings.body_time_s),
        open_bodies=Bodies(_OPEN_BODY_BYTES, settings.body_time_s, too_large=_OPEN_BODY_TOO_LARGE),
    )

    app.state.sign_ins = SignIns(keys)

    problems.install(app, error_pages.present)
    tags.install(app)
    app.add_middleware(KeyCheck, keys=keys, sign_ins=app.state.sign_ins)
    app.add_middleware(EarlyAnswers)  # the outermost: it ends well what the key check refuses

    app.router.routes.extend(all_routes())
    pages.install(app)
    check_recorded(app)
    check_one_thread(app)
    problems.describe(app)
    return app
