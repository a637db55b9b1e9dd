"""What follows from a registry's version: an audit, begun once its source was fetched; then the registry is told.

A version whose source is a file of this machine is audited when the event comes. Any other is fetched and opened by a
worker first; the scheduler then does what the event asked for, or records an audit that ended in an error.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from service.db import followings as queries
from service.db.deployments import get_deployment
from service.db.registry import aliases_of_registry_version, lock_registered_model
from service.db.resources import find_inspection, get_resource
from service.db.session import Sessions, transaction
from service.domain.audits import Audit, AuditStatus, Deployment, Occasion
from service.domain.resources import Resource
from service.domain.trail import SCHEDULER
from service.errors import DissectError, InvalidInput, NotMeasured, Unavailable, as_error
from service.files import DataRoots
from service.ports import JobQueue, RegistryTags
from service.usecases.audits import find_audit, refuse_audit, start_audit
from service.usecases.deployments import deploy_version
from service.usecases.readings import Readings
from service.usecases.resources import find_resource
from service.usecases.trail import record

_TAG = "mammodissect"
_GRADES = ("pass", "warn", "fail", "cancelled", "error")
"""From the best to the worst."""

_YOUNGER_THAN = timedelta(days=7)
"""How long the registry is tried to be told of an audit."""

_LONGEST_WAIT_S = 3600
_AT_ONCE = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version of a registered model, and where its weights are."""

    model: str
    version: str
    source: str = ""

    def __str__(self) -> str:
        return f"version {self.version} of {self.model}"


def await_source(
    session: Session, version: RegisteredVersion, deployment: Deployment, target: Resource, alias: str | None = None
) -> None:
    """Have the version audited once its source was fetched; with an alias, also taken into use."""
    queries.add_following(session, version.model, version.version, deployment.id, alias=alias, target_id=target.id)
    log.info("a version of the model registry is fetched", deployment=deployment.name, version=str(version))


def note_audit(session: Session, version: RegisteredVersion, deployment: Deployment, audit: Audit) -> None:
    """Note that the registry is to be told how the audit of its version ends."""
    queries.add_following(session, version.model, version.version, deployment.id, audit_id=audit.id)


def not_followed(version: RegisteredVersion, error: DissectError) -> DissectError:
    """The same problem, of that version."""
    detail = f"The deployment cannot follow {version}. {error.detail}"
    return type(error)(detail, field=error.field, value=error.value, remedy=error.remedy)


def follow_fetched(sessions: Sessions, queue: JobQueue, roots: DataRoots) -> int:
    """Do what waited for sources that workers have opened by now, or failed to. Returns how many audits began.

    Raises Unavailable where the database cannot be reached.
    """
    with transaction(sessions) as session:
        waiting = queries.followings_with_target(session)

    begun = 0
    for following_id in waiting:
        readings = Readings()
        try:
            with transaction(sessions) as session:
                follow = partial(_follow, session, queue, following_id, roots, readings)
                begun += readings.complete(session, follow)
        except (Unavailable, NotMeasured) as error:
            log.info("a version of the model registry waits", reason=error.detail)
    return begun


def tell_registry(sessions: Sessions, tags: RegistryTags) -> int:
    """Tell the registry how the audits of its versions have ended, as tags. Returns how many versions were told of.

    What cannot be told now is told later. Raises Unavailable where the database cannot be reached.
    """
    with transaction(sessions) as session:
        untold = queries.untold_followings(session, younger_than=_YOUNGER_THAN, limit=_AT_ONCE)

    told = 0
    for following in untold:
        with transaction(sessions) as session:
            audits = [
                find_audit(session, audit_id)
                for audit_id in queries.audits_of_version(session, following.name, following.version)
            ]
        told += _tell(sessions, tags, following, verdict_tags(audits))
    return told


def verdict_tags(audits: list[Audit]) -> dict[str, str]:
    """What a version's tags say: the worst of the deployments' verdicts, and each of them.

    audits: the newest of each deployment; at least one.
    """
    worst = max(audits, key=lambda audit: _GRADES.index(_grade(audit)))
    finished = worst.finished_at or worst.created_at
    whole = {
        f"{_TAG}.verdict": _grade(worst),
        f"{_TAG}.audit": str(worst.id),
        f"{_TAG}.deployment": worst.deployment,
        f"{_TAG}.policy": worst.policy_reference,
        f"{_TAG}.audited_at": finished.isoformat(),
    }
    return whole | {f"{_TAG}.verdict.{audit.deployment}": _grade(audit) for audit in audits}


def _follow(session: Session, queue: JobQueue, following_id: UUID, roots: DataRoots, readings: Readings) -> int:
    """How many audits began: one, or none where nothing follows any more. Raises Unavailable, NotMeasured, NotRead."""
    following = queries.take_waiting(session, following_id)
    if following is None or following.target_id is None:
        return 0

    lock_registered_model(session, following.name)
    version = RegisteredVersion(following.name, following.version)
    deployment = get_deployment(session, following.deployment_id)
    if not _still_follows(session, following, deployment):
        log.info("what was fetched is followed no more", deployment=deployment.name, version=str(version))
        queries.end_waiting(session, following_id, None)
        return 0

    audit = _audited(session, queue, following, deployment, roots, readings)
    queries.end_waiting(session, following_id, None if audit is None else audit.id)
    if audit is None:
        return 0

    subject = f"/deployments/{deployment.name} -> /audits/{audit.id}"
    record(session, actor=SCHEDULER, action="follow model registry", subject=subject)
    return 1


def _still_follows(session: Session, following: queries.Following, deployment: Deployment) -> bool:
    if following.alias is None:
        return deployment.registered_model == following.name

    aliases = aliases_of_registry_version(session, following.name, following.version)
    followed = f"{following.name}@{following.alias}"
    return deployment.registered_model == followed and following.alias in aliases


def _audited(
    session: Session,
    queue: JobQueue,
    following: queries.Following,
    deployment: Deployment,
    roots: DataRoots,
    readings: Readings,
) -> Audit | None:
    """None where the version is in use already."""
    version = RegisteredVersion(following.name, following.version)
    try:
        with session.begin_nested():
            target = _opened_target(session, following)
            if following.alias is None:
                return start_audit(session, queue, deployment, Occasion("registry", target), roots, readings)
            if target.id == deployment.target.id:
                return None
            deployed = deploy_version(session, deployment.name, target)
            return start_audit(session, queue, deployed, Occasion("registry"), roots, readings)
    except _NotOpened as error:
        problem = not_followed(version, error.problem)
    except (Unavailable, NotMeasured):
        raise
    except DissectError as error:
        problem = not_followed(version, error)

    log.warning(
        "cannot follow the model registry", deployments=[deployment.name], reason=problem.detail, value=problem.value
    )
    return refuse_audit(session, deployment, Occasion("registry"), problem)


class _NotOpened(Exception):
    """A worker could not fetch or open the version."""

    def __init__(self, problem: DissectError) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def _opened_target(session: Session, following: queries.Following) -> Resource:
    """The model, or the version that has its content. Raises _NotOpened."""
    assert following.target_id is not None  # noqa: S101 - only such wait
    target = get_resource(session, following.target_id)
    if "same_as" in target.spec:
        target = find_resource(session, target.kind, str(target.spec["same_as"]), field="target")

    inspection = find_inspection(session, target.id)
    if inspection is not None and inspection[1] is not None:
        raise _NotOpened(as_error(inspection[1]))
    return target


def _tell(sessions: Sessions, tags: RegistryTags, following: queries.Following, words: dict[str, str]) -> bool:
    """Was the registry told?"""
    version = f"version {following.version} of {following.name}"
    told: bool | None
    try:
        tags.write(following.name, following.version, words)
        told = True
    except Unavailable as error:
        log.warning("the model registry cannot be told of a verdict now", version=version, reason=error.detail)
        told = None
    except InvalidInput as error:
        log.error("the model registry does not take a verdict", version=version, reason=error.detail)
        told = False

    with transaction(sessions) as session:
        if told is None:
            wait = timedelta(seconds=min(2.0 ** min(following.attempts, 20), _LONGEST_WAIT_S))
            queries.postpone_telling(session, following.id, wait)
        else:
            queries.settle_telling(session, following.id, told=told)
    return told is True


def _grade(audit: Audit) -> str:
    if audit.verdict is not None:
        return str(audit.verdict)
    return "cancelled" if audit.status is AuditStatus.CANCELLED else "error"
