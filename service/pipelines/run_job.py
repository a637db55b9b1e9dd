"""Run one dissection job: claim it, load, dissect, store, finish."""

import time
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from service.analysis.layers import summarise_layer
from service.config import Settings
from service.db import jobs, neurons
from service.db.resources import get_resource
from service.db.session import Sessions, transaction
from service.domain.concepts import ConceptSet
from service.domain.jobs import JobStatus, Progress, Stage
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection
from service.errors import DissectError, JobCancelled
from service.pipelines.dissection import DissectionPlan, run_dissection
from service.usecases.jobs import find_job
from service.usecases.resources import concept_set_of, probe_set_of

log = structlog.get_logger()

_PROGRESS_EVERY_S = 0.5
_CRASHED = {
    "code": DissectError.code,
    "title": DissectError.title,
    "detail": "The job met an error that nobody foresaw; the worker's log has the details.",
}


def run_job(sessions: Sessions, settings: Settings, job_id: UUID) -> None:
    """Run a queued job to its end. A job that is not queued any more is left alone: messages may be repeated."""
    with transaction(sessions) as session:
        if not jobs.move_job(session, job_id, JobStatus.RUNNING):
            return
    log.info("job started", job=str(job_id))
    try:
        plan = _plan(sessions, settings, job_id)
        result, manifest = run_dissection(plan, JobProgress(sessions, job_id))
        _store(sessions, job_id, result, plan.concept_set, manifest)
    except JobCancelled:
        _finish(sessions, job_id, JobStatus.CANCELLED)
    except DissectError as error:
        _finish(sessions, job_id, JobStatus.FAILED, problem=error.as_problem())
    except Exception:
        log.exception("job crashed", job=str(job_id))
        _finish(sessions, job_id, JobStatus.FAILED, problem=_CRASHED)


class JobProgress:
    """Writes progress to the job's row, at most twice a second, and stops the job when somebody cancelled it."""

    def __init__(self, sessions: Sessions, job_id: UUID) -> None:
        self._sessions = sessions
        self._job_id = job_id
        self._written_at = 0.0

    def __call__(self, progress: Progress, /) -> None:
        """See `ProgressListener`. Raises JobCancelled."""
        now = time.monotonic()
        between = 0 < progress.done < progress.total
        if between and now - self._written_at < _PROGRESS_EVERY_S:
            return
        self._written_at = now
        with transaction(self._sessions) as session:
            wanted = jobs.record_progress(session, self._job_id, progress)
        if not wanted:
            raise JobCancelled(f"Job {self._job_id} was cancelled.")


def _plan(sessions: Sessions, settings: Settings, job_id: UUID) -> DissectionPlan:
    with transaction(sessions) as session:
        options = find_job(session, job_id).request.options
        target, dissector, probe_set, concept_set = (
            get_resource(session, identifier) for identifier in jobs.resource_ids(session, job_id)
        )
    return DissectionPlan(
        target=TargetSpec(Path(target.spec["checkpoint"]), target.spec["architecture"], target.spec["sha256"]),
        dissector=DissectorSpec(Path(dissector.spec["path"]), dissector.digest),
        probe_set=probe_set_of(probe_set),
        concept_set=concept_set_of(concept_set),
        options=options,
        device=settings.device,
        batch_size=settings.batch_size,
    )


def _store(
    sessions: Sessions, job_id: UUID, result: Dissection, concept_set: ConceptSet, manifest: dict[str, Any]
) -> None:
    """All layers and the final status in one transaction: a result is there in whole or not at all."""
    layers = len(result.layers)
    with transaction(sessions) as session:
        if not jobs.record_progress(session, job_id, Progress(Stage.STORE, 0, layers)):
            raise JobCancelled(f"Job {job_id} was cancelled.")
        for position, layer in enumerate(result.layers):
            neurons.add_layer(
                session,
                job_id,
                position=position,
                summary=summarise_layer(layer, concept_set),
                neurons=layer.neurons,
                concepts=concept_set.concepts,
            )
        jobs.record_progress(session, job_id, Progress(Stage.STORE, layers, layers))
        jobs.move_job(session, job_id, JobStatus.SUCCEEDED, manifest=manifest)
    log.info("job succeeded", job=str(job_id))


def _finish(sessions: Sessions, job_id: UUID, status: JobStatus, *, problem: dict[str, str] | None = None) -> None:
    with transaction(sessions) as session:
        jobs.move_job(session, job_id, status, problem=problem)
    log.info("job ended", job=str(job_id), status=status, problem=problem and problem["code"])
