"""Registering targets: checkpoints of this machine, snapshots, and sources that workers fetch."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from sqlalchemy.orm import Session

from service.db import resources as queries
from service.domain.autoencoder_folders import FIELD, autoencoder_weights_in, read_configuration
from service.domain.autoencoders import AutoencoderPlace, AutoencoderSpec
from service.domain.digests import digest_of_file, is_snapshot
from service.domain.input_contract import GivenInput
from service.domain.json_values import JsonObject
from service.domain.model_folders import is_described_by_files, read_descriptions, weights_in
from service.domain.purposes import Terms
from service.domain.resources import ResourceKind, check_name
from service.domain.specs import ModelSpec, digest_of_model, is_fetched
from service.domain.table_targets import check_no_network_fields, ids_beside, is_table
from service.domain.work import Preparation
from service.errors import DigestMismatch, InvalidInput
from service.files import DataRoots
from service.ports import JobQueue
from service.sources.uris import check_source, is_remote
from service.sources.weights_file import weights_below
from service.usecases.files import digest_of_located, locate, read_located
from service.usecases.preparations import prepare
from service.usecases.readings import AT_ONCE, Readings
from service.usecases.resources import NOTHING_STATED, Registered


@dataclass(frozen=True, slots=True)
class NamedCheckpoint:
    """A weights file as a caller names it, which nobody has looked at yet."""

    path: str
    """A path, or the URI of a source that workers fetch."""

    architecture: str
    sha256: str | None = None
    """What the caller says of its content."""
    weights: str | None = None
    """Which of the file's sets of weights is meant; None for the default."""

    input: GivenInput | None = None
    """How images reach the network, as far as the caller gives it."""

    autoencoder: AutoencoderSpec | None = None
    """A sparse autoencoder on one of its layers."""


def register_model(
    session: Session,
    queue: JobQueue,
    checkpoint: NamedCheckpoint,
    *,
    name: str | None,
    roots: DataRoots,
    readings: Readings = AT_ONCE,
    terms: Terms = NOTHING_STATED,
) -> Registered:
    """Register a checkpoint as a target, and ask a worker to list its layers.

    The file is read before the session is used: one that is not in use yet holds no connection for that long.
    For one that is in use there are `readings`.

    name: None for a checkpoint that came inside a job; it is then named after its digest. The same checkpoint in
    another place is the same version, which is from then on read there; with another input it is another version.
    A source is not looked at here: a worker fetches it. Where nobody gave its digest, the model has none until then.
    Raises DigestMismatch, InvalidInput, InvalidCheckpoint, FileOutOfReach, NotRead.
    """
    if name is not None:
        check_name(name)

    if is_table(checkpoint.architecture):
        check_no_network_fields(
            given_input=checkpoint.input, weights=checkpoint.weights, autoencoder=checkpoint.autoencoder
        )
    autoencoder = _place_of_autoencoder(checkpoint.autoencoder, roots, readings)
    if is_remote(checkpoint.path):
        return _register_source(session, queue, checkpoint, name, terms, autoencoder)

    path = readings.of(("place", checkpoint.path), partial(locate, checkpoint.path, roots, field="checkpoint"))
    described_by = None
    if is_described_by_files(checkpoint.architecture):
        path, described_by = readings.of(
            ("descriptions", str(path)),
            partial(read_located, partial(_described, path, roots), field="checkpoint", value=checkpoint.path),
        )
    elif is_table(checkpoint.architecture):
        described_by = readings.of(
            ("names of rows", str(path)),
            partial(read_located, partial(_digest_of_ids, path, roots), field="checkpoint", value=checkpoint.path),
        )
    else:
        path = readings.of(("file of snapshot", str(path)), partial(_file_of_snapshot, path, checkpoint))
    sha256 = digest_of_located(path, roots, field="checkpoint", value=checkpoint.path, readings=readings)
    if checkpoint.sha256 is not None and checkpoint.sha256.lower() != sha256:
        raise DigestMismatch(
            f"The file's SHA-256 is {sha256}.",
            field="sha256",
            value=checkpoint.sha256,
            remedy="Copy the checkpoint again, or correct the digest.",
        )

    return _add_model(session, queue, checkpoint, str(path), sha256, name, terms, described_by, autoencoder)


def _place_of_autoencoder(
    autoencoder: AutoencoderSpec | None, roots: DataRoots, readings: Readings
) -> AutoencoderPlace | None:
    """The autoencoder with its file found and digested.

    Raises InvalidInput, InvalidCheckpoint, DigestMismatch, FileOutOfReach, NotRead.
    """
    if autoencoder is None:
        return None

    named = autoencoder.checkpoint
    if is_remote(named):
        raise InvalidInput(
            "An autoencoder is not fetched from a source.",
            field=FIELD,
            value=named,
            remedy="Put its file, with its configuration, below the data roots, and name that.",
        )

    located = readings.of(("place beside", named), partial(_locate_beside, named, roots))
    path, described_by = readings.of(
        ("autoencoder", str(located)),
        partial(read_located, partial(_described_autoencoder, located, roots), field=FIELD, value=named),
    )
    sha256 = digest_of_located(path, roots, field=FIELD, value=named, readings=readings)
    if autoencoder.sha256 not in {None, sha256}:
        raise DigestMismatch(
            f"The SHA-256 of the autoencoder's file is {sha256}.",
            field="autoencoder.sha256",
            value=autoencoder.sha256,
            remedy="Copy the file again, or correct the digest.",
        )
    return autoencoder.place(path, sha256, described_by)


def _locate_beside(named: str, roots: DataRoots) -> Path:
    """Where an autoencoder lies, in the folder that it was named in, also where that has a link to its file.

    So it is in a Hugging Face cache: what describes the file lies beside the link.
    """
    located = locate(named, roots, field=FIELD)
    folder, _, name = named.rpartition("/")
    if located.is_dir() or not folder:
        return located
    try:
        return locate(folder, roots, field=FIELD) / (unquote(name) if folder.startswith("file:") else name)
    except InvalidInput:
        return located


def _described_autoencoder(path: Path, roots: DataRoots) -> tuple[Path, str | None]:
    weights = autoencoder_weights_in(path)
    return weights, read_configuration(weights, roots)[1]


def _digest_of_ids(path: Path, roots: DataRoots) -> str | None:
    """That of the file which names the rows of an array; what lacks is for the worker to say, which reads the table."""
    there = [place for place in ids_beside(path) if place.is_file()]
    return digest_of_file(there[0], roots) if len(there) == 1 else None


def _file_of_snapshot(path: Path, checkpoint: NamedCheckpoint) -> Path:
    """The one file of weights in a revision of a Hugging Face cache; any other path as it is.

    Raises InvalidInput where there is not one, FileOutOfReach.
    """
    if not is_snapshot(path):
        return path

    find = partial(weights_below, path, checkpoint.path)
    return read_located(find, field="checkpoint", value=checkpoint.path).resolve()


def _register_source(
    session: Session,
    queue: JobQueue,
    checkpoint: NamedCheckpoint,
    name: str | None,
    terms: Terms,
    autoencoder: AutoencoderPlace | None,
) -> Registered:
    """Register what workers fetch. Without its digest it gets one, and may turn out to be a known version, then."""
    source = check_source(checkpoint.path, field="checkpoint")
    if is_described_by_files(checkpoint.architecture):
        raise InvalidInput(
            f"The architecture {checkpoint.architecture} is described by files beside its weights, and a source is one "
            "file.",
            field="checkpoint",
            value=source,
            remedy="Put its folder below the data roots, and name that.",
        )
    sha256 = None if checkpoint.sha256 is None else checkpoint.sha256.lower()
    if name is None:
        check_content_known(checkpoint)
    return _add_model(session, queue, checkpoint, source, sha256, name, terms, autoencoder=autoencoder)


def check_content_known(checkpoint: NamedCheckpoint) -> None:
    """Raise InvalidInput for a source without a digest, which no job or audit can begin with."""
    if is_remote(checkpoint.path) and checkpoint.sha256 is None:
        raise InvalidInput(
            "Nobody knows yet what the source holds, so nothing can be begun with it.",
            field="sha256",
            remedy="Give its sha256 as well; or register it with POST /models, and name the model here.",
        )


def _add_model(
    session: Session,
    queue: JobQueue,
    checkpoint: NamedCheckpoint,
    place: str,
    sha256: str | None,
    name: str | None,
    terms: Terms,
    described_by: str | None = None,
    autoencoder: AutoencoderPlace | None = None,
) -> Registered:
    spec: ModelSpec = {"checkpoint": place, "architecture": checkpoint.architecture, "sha256": sha256}
    if checkpoint.input is not None:
        spec["input"] = checkpoint.input.as_dict()
    if checkpoint.weights is not None:
        spec["weights"] = checkpoint.weights
    if described_by is not None:
        spec["described_by"] = described_by
    if autoencoder is not None:
        spec["autoencoder"] = autoencoder

    digest = digest_of_model(spec)
    name = f"inline-{digest[:16]}" if name is None else name
    stored = cast("JsonObject", spec)
    model, is_new = queries.add_resource(
        session, ResourceKind.MODEL, name, digest, stored, places=("checkpoint", "autoencoder"), terms=terms
    )
    if is_new or not is_fetched(model):
        prepare(session, queue, model, Preparation.INSPECT)
    return model, is_new


def _described(path: Path, roots: DataRoots) -> tuple[Path, str]:
    weights = weights_in(path)
    return weights, read_descriptions(weights, roots)[1]
