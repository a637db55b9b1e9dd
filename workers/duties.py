"""What the scheduler does: look after lost jobs, fire schedules, judge audits, deliver alerts.

Several may run at once. Loops of its own rather than Celery beat, whose tick would wait behind a job that keeps the
worker busy for hours; each in its own thread, for judging an audit takes longer than a lost job may wait. Files are
read in further threads alone, each schedule's in its own.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from broker.queue import CeleryJobQueue, open_broker
from service.config import Settings
from service.db.session import Sessions, open_sessions
from service.files import data_roots
from service.sources.registry_tags import MlflowTags
from service.usecases.audit_verdicts import judge_ended_audits
from service.usecases.fires import look_again
from service.usecases.followings import follow_fetched, tell_registry
from service.usecases.reconcile import reconcile
from service.usecases.registry import tell_of_waiting_aliases
from service.usecases.scheduled_audits import open_audits
from service.usecases.turns import Turns
from workers.alerts import delivering
from workers.repeating import repeating

EVERY_S = 2.0
_PATIENCE_S = 10.0


def run(settings: Settings, stopped: threading.Event) -> None:
    """Do so every two seconds until `stopped` is set; an unreachable database or broker is waited for.

    Raises InvalidInput for settings that cannot be used.
    """
    roots = data_roots(settings)
    sessions = open_sessions(settings.database_url, pool_size=8)
    queue = CeleryJobQueue(open_broker(settings.broker_url))
    look_after = partial(reconcile, sessions, queue, max_attempts=settings.max_attempts)
    turns = Turns(sessions, open_audits(queue, roots), limit_s=settings.fire_time_limit_s)

    with (
        delivering(settings),
        repeating("look after jobs", look_after, every_s=EVERY_S),
        _ending(turns),
        repeating("fire schedules", _firing(sessions, turns), every_s=EVERY_S),
        repeating("look for aliases that wait", partial(tell_of_waiting_aliases, sessions), every_s=EVERY_S),
        repeating("follow the model registry", partial(follow_fetched, sessions, queue, roots), every_s=EVERY_S),
        _telling_registry(sessions, os.environ),
        repeating("judge audits", partial(judge_ended_audits, sessions), every_s=EVERY_S),
    ):
        stopped.wait()

    sessions.kw["bind"].dispose()


@contextmanager
def _telling_registry(sessions: Sessions, environment: Mapping[str, str]) -> Iterator[None]:
    """Tell the model registry of verdicts, where the environment says which it is."""
    tags = MlflowTags.of(environment)
    if tags is None:
        yield
        return
    with repeating("tell the model registry", partial(tell_registry, sessions, tags), every_s=EVERY_S):
        yield


def _firing(sessions: Sessions, turns: Turns) -> Callable[[], None]:
    looked_again = False

    def fire() -> None:
        nonlocal looked_again
        if not looked_again:
            look_again(sessions)
            looked_again = True
        turns.start_due()

    return fire


@contextmanager
def _ending(turns: Turns) -> Iterator[None]:
    try:
        yield
    finally:
        turns.stop(_PATIENCE_S)
