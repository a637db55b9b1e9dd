"""Texts that the database cannot hold, out of hostile files: they end a preparation or a job as any error does."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from service.db.resources import find_inspection, find_resource
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from service.domain.work import AnyLease, PreparationLease
from service.errors import DissectError, ProblemFields
from service.pipelines.items import DissectionRunner
from tests.engine.weights.pickled import plain, reduced, tensor, write_archive
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import submit
from tests.usecases.factories import leased

ODD = ("\0", "\ud800", "\udfff")
MARK = "\ufffd"


def ask_for_code(path: Path) -> None:
    write_archive(path, plain({"model": {}, "hook": reduced("os\0.system", "true")}))


def name_a_weight(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_archive(path, plain({name: tensor(1, 0, (1,), (1,))}), s0=bytes(4))

    return write


HOSTILE = [
    pytest.param(ask_for_code, "unsafe-checkpoint", f"os{MARK}.system", id="NUL in a name that a pickle asks for"),
    *(
        pytest.param(name_a_weight(f"a{odd}b"), "invalid-checkpoint", f"a{MARK}b", id=f"{odd!a} in a weight's name")
        for odd in ODD
    ),
]


@pytest.mark.parametrize("odd", ODD)
def test_errors_quote_nothing_that_cannot_be_stored(odd: str) -> None:
    error = DissectError(f"a{odd}b", field=f"c{odd}", value=f"{odd}d", remedy=f"e{odd}f")
    problem = error.as_problem()
    assert list(problem.values())[2:] == [f"a{MARK}b", f"c{MARK}", f"{MARK}d", f"e{MARK}f"]
    assert str(error) == f"a{MARK}b e{MARK}f"
    assert error.args == (f"a{MARK}b",)


@pytest.mark.parametrize(("write", "code", "quoted"), HOSTILE)
def test_an_odd_checkpoint_ends_inspection_and_job_at_once(
    sessions: Sessions, folder: Path, run: Run, write: Callable[[Path], None], code: str, quoted: str
) -> None:
    write(folder / "target.safetensors")
    job = run(submit(sessions, folder))
    assert job.status is JobStatus.FAILED
    assert job.problem is not None

    inspection = stored_problem(sessions)
    for problem in (inspection, job.problem):
        assert problem["code"] == code
        assert quoted in problem["detail"] + problem.get("value", "")
    assert (attempts(sessions), leased(sessions)) == ({1}, 0)


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_dissector_ends_the_job_at_once(sessions: Sessions, folder: Path, run: Run, odd: str) -> None:
    (folder / "dissector" / "dissector.json").write_text(json.dumps({"kind": f"a{odd}b"}))
    job = run(submit(sessions, folder))
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    assert job.problem["code"] == "invalid-dissector"
    assert (attempts(sessions), leased(sessions)) == ({1}, 0)


@pytest.mark.parametrize("odd", [*ODD, float("nan")])
def test_an_odd_result_ends_inspection_and_job(
    sessions: Sessions,
    folder: Path,
    run: Run,
    runner: DissectionRunner,
    monkeypatch: pytest.MonkeyPatch,
    odd: object,
) -> None:
    def compute(lease: AnyLease, _: object, /) -> Mapping[str, Any]:
        return {"layers": [odd] if isinstance(lease, PreparationLease) else [], "key": odd}

    monkeypatch.setattr(runner, "run", compute)
    job = run(submit(sessions, folder))
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    for problem in (stored_problem(sessions), job.problem):
        assert (problem["code"], "cannot be stored" in problem["detail"]) == ("internal", True)
    assert (attempts(sessions), leased(sessions)) == ({1}, 0)


def stored_problem(sessions: Sessions) -> ProblemFields:
    with transaction(sessions) as session:
        model = find_resource(session, ResourceKind.MODEL, "target", None)
        assert model is not None
        found = find_inspection(session, model.id)
    assert found is not None
    assert found[1] is not None
    return found[1]


def attempts(sessions: Sessions) -> set[int]:
    """How often the items were tried that were tried at all."""
    with transaction(sessions) as session:
        return set(session.scalars(text("SELECT attempt FROM work_items WHERE attempt > 0")))
