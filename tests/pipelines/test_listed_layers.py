"""What a worker says of a model that it opened: its layers, or why it cannot be opened."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from service.config import Settings
from service.db.jobs import parts_of
from service.db.resources import find_inspection
from service.db.session import Sessions, transaction
from service.domain.layers import canonical_layer
from service.domain.work import LayerListing, Preparation
from service.errors import ProblemFields
from service.pipelines.items import DissectionRunner
from service.usecases.preparations import prepare
from tests.pipelines.conftest import Run
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import submit
from tests.usecases.factories import RecordingQueue


def test_inspection_lists_the_layers(sessions: Sessions, folder: Path, run: Run) -> None:
    submitted = submit(sessions, folder)
    run(submitted)
    with transaction(sessions) as session:
        model = parts_of(session, submitted.id).target
        layers, problem = _inspection(session, model.id)
    assert problem is None
    assert layers is not None
    names = [layer["name"] for layer in layers]
    assert "layer4.0" in names
    assert names == [canonical_layer(name) for name in names]
    assert layers[0]["multiply_adds"] < layers[-1]["multiply_adds"]
    assert layers[-1]["share"] == 1

    (folder / "target.safetensors").write_bytes(b"other")
    with transaction(sessions) as session:
        prepare(session, RecordingQueue(), model, Preparation.INSPECT)
    run(submitted)
    with transaction(sessions) as session:
        layers, problem = _inspection(session, model.id)
    assert layers is None
    assert problem is not None
    assert problem["code"] == "digest-mismatch"
    assert "POST /models/target@1/inspect" in problem["remedy"]


def test_what_lies_outside_the_data_roots_by_now_is_not_opened(
    sessions: Sessions, settings: Settings, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    submitted = submit(sessions, folder)
    elsewhere = tmp_path_factory.mktemp("roots")
    runner = DissectionRunner(settings.model_copy(update={"data_roots": str(elsewhere)}), sessions)
    inline_host(sessions, settings, runner).work()
    with transaction(sessions) as session:
        model = parts_of(session, submitted.id).target
        _, problem = _inspection(session, model.id)
    assert problem is not None
    assert "outside the folders" in problem["detail"]


def _inspection(session: Session, model: UUID) -> tuple[Sequence[LayerListing] | None, ProblemFields | None]:
    inspection = find_inspection(session, model)
    assert inspection is not None
    return inspection
