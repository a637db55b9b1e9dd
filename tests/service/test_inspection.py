"""Inspections of models that go wrong: what is the model's fault is stored, and all else is tried again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import UUID

import pytest
from sqlalchemy import text

from service.config import Settings
from service.db.resources import find_inspection
from service.db.session import Sessions, transaction
from service.domain.resources import ResourceKind
from service.pipelines.child_process import ChildProcess
from service.pipelines.host import WorkerHost
from service.ports import INSPECT_MODEL_TASK
from service.storage import open_store
from service.usecases.reconcile import reconcile
from tests.service.factories import RecordingQueue, resource

OpenHost = Callable[..., WorkerHost]


@pytest.fixture
def host(sessions: Sessions, settings: Settings) -> Iterator[OpenHost]:
    """A host with a real child, whose runner has that name."""
    with ExitStack() as opened:

        def open_host(runner: str, **changes: object) -> WorkerHost:
            chosen = settings.model_copy(update=changes)
            child = ChildProcess(chosen, f"tests.service.tiny_runner:{runner}")
            one = WorkerHost(sessions, chosen, RecordingQueue(), open_store(settings.artifacts_url), child)
            opened.callback(one.close)
            return one

        yield open_host


@pytest.fixture
def model(sessions: Sessions) -> UUID:
    """A model that was registered long ago and that no worker has opened."""
    with transaction(sessions) as session:
        made = resource(session, ResourceKind.MODEL, "heavy", checkpoint="/models/x", architecture="a", sha256="0")
        session.execute(text("UPDATE resources SET created_at = created_at - interval '1 hour'"))
        return made.id


def asked_again(sessions: Sessions) -> list[tuple[str, UUID]]:
    queue = RecordingQueue()
    reconcile(sessions, queue, max_attempts=5)
    return queue.published


def test_a_model_that_kills_who_opens_it_is_opened_once(sessions: Sessions, host: OpenHost, model: UUID) -> None:
    assert asked_again(sessions) == [(INSPECT_MODEL_TASK, model)]
    host("open_dying_inspector").inspect(model)
    with transaction(sessions) as session:
        found = find_inspection(session, model)
    assert found is not None
    layers, problem = found
    assert layers is None
    assert problem is not None
    assert problem["code"] == "worker-crashed"
    assert "/models/{name}/inspect" in problem["remedy"]
    assert asked_again(sessions) == []


@pytest.mark.parametrize(
    ("runner", "changes"),
    [("open_stranded_inspector", {}), ("open_runner", {"device": "cuda:99"})],
    ids=["no database", "a wrong setting of the worker"],
)
def test_what_is_not_the_models_fault_is_tried_again(
    sessions: Sessions, host: OpenHost, model: UUID, runner: str, changes: dict[str, str]
) -> None:
    host(runner, **changes).inspect(model)
    with transaction(sessions) as session:
        assert find_inspection(session, model) is None
    assert asked_again(sessions) == [(INSPECT_MODEL_TASK, model)]
