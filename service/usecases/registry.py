"""A model registry's webhooks: MLflow tells of new model versions and of aliases that move.

Where a version's source has to be fetched, what follows from the event waits for that: see `followings`.

A deployment follows a registered model (`screening`) or one of its aliases (`screening@champion`). A new version of the
model is audited as a candidate; a version that gets the alias is taken into use and audited. Where that is not
possible, an audit that ended in an error says so, and is told of: nobody looks at what was answered to MLflow.

MLflow sends events from several threads and some of them again, so they come in any order. It does not send again what
was refused: what can be understood but not acted on yet is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.orm import Session

from service.db.deployments import deployments_of_aliases, deployments_of_registered_model
from service.db.registry import (
    aliases_of_registry_version,
    aliases_without_version,
    lock_registered_model,
    move_registry_alias,
    note_registry_version,
    source_of_registry_version,
)
from service.db.session import Sessions, transaction
from service.domain.audits import Audit, Deployment, Occasion
from service.domain.resources import Resource
from service.domain.specs import autoencoder_of, input_of, model_spec
from service.domain.trail import SCHEDULER
from service.errors import DissectError, InvalidInput, Unavailable
from service.files import DataRoots
from service.ports import JobQueue
from service.sources.uris import is_remote
from service.sources.weights_file import weights_below
from service.usecases.audits import refuse_audit, start_audit
from service.usecases.deployments import deploy_version
from service.usecases.files import locate, read_located
from service.usecases.followings import RegisteredVersion, await_source, not_followed, note_audit
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.readings import Key, NotRead, Readings
from service.usecases.registry_events import ALIAS_CREATED, FOLLOWED, VERSION_CREATED, RegistryEvent, read_event
from service.usecases.trail import record

PATIENCE = timedelta(minutes=10)
"""How long an alias may wait for the event of its version before somebody is told."""

_UNKNOWN = ""
"""The source of a version whose event did not say, or never came."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Files:
    """Where files may lie, and what was read of them."""

    roots: DataRoots
    readings: Readings


def hear_registry(
    session: Session, queue: JobQueue, body: bytes, *, roots: DataRoots, now: datetime, readings: Readings
) -> list[Audit]:
    """Audit what a webhook tells of: the audits that were begun, none where nobody follows the model or it is no news.

    Those of an event that cannot be followed have ended in an error.
    now: the time of an event that has none. Raises InvalidInput for a body that is no event of a model, Unavailable
    where the database, the broker or a file cannot be reached now, and NotRead.
    """
    try:
        event = read_event(body)
    except InvalidInput as error:
        log.warning("the model registry sent something other than an event", field=error.field, reason=error.detail)
        raise

    if event.kind not in FOLLOWED:
        return []

    lock_registered_model(session, event.model)
    files = _Files(roots, readings)
    if event.kind == VERSION_CREATED:
        return _hear_version(session, queue, event, files)
    return _hear_alias(session, queue, event, now, files)


def tell_of_waiting_aliases(sessions: Sessions, patience: timedelta = PATIENCE) -> int:
    """Record an audit that ended in an error wherever a followed alias has waited too long for its version's event.

    Returns how many. The alias is still acted on when that event comes. Raises Unavailable.
    """
    with transaction(sessions) as session:
        waiting = aliases_without_version(session, patience)

    recorded = 0
    for model, alias, version in waiting:
        with transaction(sessions) as session:
            lock_registered_model(session, model)
            if source_of_registry_version(session, model, version) is not None:
                continue
            note_registry_version(session, model, version, _UNKNOWN)
            followers = deployments_of_registered_model(session, f"{model}@{alias}")
            recorded += len(_refuse(session, followers, _never_told(model, alias, version)))
            record(session, actor=SCHEDULER, action="give up waiting for version", subject="/registry-events")
    return recorded


def _hear_version(session: Session, queue: JobQueue, event: RegistryEvent, files: _Files) -> list[Audit]:
    followers = deployments_of_registered_model(session, event.model)
    try:
        version = RegisteredVersion(event.model, event.word("version"), event.source())
    except InvalidInput as error:
        return _refuse(session, followers, error)

    known_source = source_of_registry_version(session, version.model, version.version)
    if known_source == version.source:
        return []
    note_registry_version(session, version.model, version.version, version.source)

    audits = _follow(session, followers, version, partial(_audit, session, queue, version, files))
    if not known_source:  # else its aliases were acted on when they came
        for alias in aliases_of_registry_version(session, version.model, version.version):
            audits += _deploy_to_followers(session, queue, alias, version, files)
    return audits


def _hear_alias(session: Session, queue: JobQueue, event: RegistryEvent, now: datetime, files: _Files) -> list[Audit]:
    followers = deployments_of_aliases(session, event.model)
    try:
        alias = event.word("alias")
        followers = deployments_of_registered_model(session, f"{event.model}@{alias}")
        number = event.word("version") if event.kind == ALIAS_CREATED else None
        moved_at = event.moment(now)
    except InvalidInput as error:
        return _refuse(session, followers, error)

    if not move_registry_alias(session, event.model, alias, number, moved_at):
        log.info(
            "an alias event was passed over: it is no newer than what is known",
            model=event.model,
            alias=alias,
            version=number,
        )
        return []
    if number is None:
        return []

    source = source_of_registry_version(session, event.model, number)
    if source is None:
        log.warning("alias of an unknown version", model=event.model, alias=alias, version=number)
        return []
    return _deploy_to_followers(session, queue, alias, RegisteredVersion(event.model, number, source), files)


def _deploy_to_followers(
    session: Session, queue: JobQueue, alias: str, version: RegisteredVersion, files: _Files
) -> list[Audit]:
    followers = deployments_of_registered_model(session, f"{version.model}@{alias}")
    return _follow(session, followers, version, partial(_deploy, session, queue, version, files, alias))


def _follow(
    session: Session,
    followers: Sequence[Deployment],
    version: RegisteredVersion,
    act: Callable[[Deployment], Audit | None],
) -> list[Audit]:
    """Act for each follower; one that fails leaves nothing but an audit that ended in that error.

    Raises NotRead with the files of all followers, before it tells of any that fails: all this is then done again.
    """
    outcomes: list[tuple[Deployment, Audit | DissectError | None]] = []
    unread: dict[Key, Callable[[], object]] = {}
    for deployment in followers:
        try:
            with session.begin_nested():
                audit = act(deployment)
        except NotRead as error:
            unread |= error.readers
        except Unavailable:
            raise
        except DissectError as error:
            outcomes.append((deployment, not_followed(version, error)))
        else:
            outcomes.append((deployment, audit))

    if unread:
        raise NotRead(unread)

    audits: list[Audit] = []
    for deployment, outcome in outcomes:
        begun = _refuse(session, [deployment], outcome) if isinstance(outcome, DissectError) else [outcome]
        for audit in begun:
            if audit is not None:
                note_audit(session, version, deployment, audit)
                audits.append(audit)
    return audits


def _refuse(session: Session, followers: Sequence[Deployment], problem: DissectError) -> list[Audit]:
    """Of the version in use, for another is not known here: each of the deployments goes on with it."""
    follower_names = [deployment.name for deployment in followers]
    log.warning(
        "cannot follow the model registry", deployments=follower_names, reason=problem.detail, value=problem.value
    )
    return [refuse_audit(session, deployment, Occasion("registry"), problem) for deployment in followers]


def _audit(
    session: Session, queue: JobQueue, version: RegisteredVersion, files: _Files, deployment: Deployment
) -> Audit | None:
    target = _register(session, queue, version, files, deployment)
    if is_remote(version.source):
        await_source(session, version, deployment, target)
        return None
    return start_audit(session, queue, deployment, Occasion("registry", target), files.roots, files.readings)


def _deploy(
    session: Session, queue: JobQueue, version: RegisteredVersion, files: _Files, alias: str, deployment: Deployment
) -> Audit | None:
    target = _register(session, queue, version, files, deployment)
    if is_remote(version.source):
        await_source(session, version, deployment, target, alias)
        return None
    if target.id == deployment.target.id:
        return None
    deployed = deploy_version(session, deployment.name, target)
    return start_audit(session, queue, deployed, Occasion("registry"), files.roots, files.readings)


def _register(
    session: Session, queue: JobQueue, version: RegisteredVersion, files: _Files, deployment: Deployment
) -> Resource:
    """The version as a model of the deployment's name, with all but the weights file as in use."""
    in_use = model_spec(deployment.target)
    source = version.source
    weights = source
    if not is_remote(source):
        weights = files.readings.of(("weights", source), partial(_weights, source, files.roots))
    model, _ = register_model(
        session,
        queue,
        NamedCheckpoint(
            weights,
            in_use["architecture"],
            input=input_of(in_use),
            weights=in_use.get("weights"),
            autoencoder=autoencoder_of(in_use),
        ),
        name=deployment.name,
        roots=files.roots,
        readings=files.readings,
    )
    return model


def _weights(source: str, roots: DataRoots) -> str:
    """The file of weights that a source (a path or file:// URI of a file, or of a folder with one) stands for."""
    if source == _UNKNOWN:
        raise InvalidInput(
            "The version's weights cannot be found: the registry has not said where they are.",
            field="data.source",
            value=source,
            remedy="Register versions with a source that this service can read, or POST /deployments/{name}/versions.",
        )
    path = locate(source, roots, field="data.source")
    if not path.is_dir():
        return str(path)

    choose = partial(weights_below, path, source, field="data.source")
    return str(read_located(choose, field="data.source", value=source))


def _never_told(model: str, alias: str, version: str) -> InvalidInput:
    return InvalidInput(
        f"The model registry gave version {version} of {model} the alias {alias}, but has not announced that version.",
        field="data.version",
        value=version,
        remedy="Send model_version.created to /registry-events as well, or POST /deployments/{name}/versions.",
    )
