"""The samples of `mammodissect samples`: found below the data roots, and registered for a first dissection."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sqlalchemy.orm import Session

from service.domain import samples as names
from service.domain.purposes import Purpose, Terms
from service.domain.resources import Resource
from service.errors import InvalidInput
from service.files import DataRoots
from service.ports import JobQueue
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.probe_sets import register_probe_set
from service.usecases.readings import Readings
from service.usecases.resources import register_dissector

_MOST_FOLDERS = 400
"""How many folders of each root are looked into: somebody waits for the page."""

_NO_FILES = frozenset({"dev", "proc", "run", "sys"})

_TERMS = Terms(names.LICENCE, (Purpose.RESEARCH,))
"""Synthetic mammograms, and what was trained on them, show how the software works, and no more."""


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """Where the samples are."""

    folder: Path
    checkpoint: Path
    dissector: Path
    phantoms: Path


@dataclass(frozen=True, slots=True)
class RegisteredSamples:
    """The parts of a first dissection."""

    model: Resource
    dissector: Resource
    probe_set: Resource


def find_samples(roots: DataRoots) -> SampleFiles | None:
    """The samples in one of the first folders below the data roots, two levels deep; None where there are none."""
    for folder in _folders(roots):
        files = _samples_in(folder, roots)
        if files is not None:
            return files
    return None


def samples_in(folder: str, roots: DataRoots) -> SampleFiles:
    """The samples in that folder. Raises InvalidInput where they are not there."""
    files = None
    if folder and "\0" not in folder:
        files = _samples_in(Path(folder), roots)
    if files is None:
        raise InvalidInput(
            "The samples are not in that folder, or it is outside the data roots.",
            field="folder",
            value=folder,
            remedy="Run `mammodissect samples FOLDER` on the service's machine, and give that folder's absolute path.",
        )
    return files


def register_samples(
    session: Session, queue: JobQueue, files: SampleFiles, roots: DataRoots, readings: Readings
) -> RegisteredSamples:
    """Register them all. Raises what the registrations raise, and NotRead."""
    dissector, _ = register_dissector(
        session, queue, name=names.DISSECTOR_NAME, path=str(files.dissector), roots=roots, terms=_TERMS
    )
    model, _ = register_model(
        session,
        queue,
        NamedCheckpoint(str(files.checkpoint), names.ARCHITECTURE),
        name=names.MODEL_NAME,
        roots=roots,
        readings=readings,
        terms=Terms(None, _TERMS.allowed_purposes),
    )
    probe_set, _ = register_probe_set(
        session,
        queue,
        name=names.PROBE_SET_NAME,
        manifest=str(files.phantoms),
        patches=None,
        on_unreadable="fail",
        roots=roots,
        terms=_TERMS,
        readings=readings,
    )
    return RegisteredSamples(model, dissector, probe_set)


def _samples_in(folder: Path, roots: DataRoots) -> SampleFiles | None:
    try:
        folder = folder.resolve(strict=True)
        if not roots.contain(folder):
            return None
        checkpoint = folder / names.CHECKPOINT
        dissector = folder / names.DISSECTOR
        if not checkpoint.is_file() or not (dissector / "dissector.json").is_file():
            return None
        manifests = sorted(folder.glob(names.PHANTOMS))
    except (OSError, RuntimeError):  # nothing that may be looked into, or links in a circle
        return None
    return SampleFiles(folder, checkpoint, dissector, manifests[0]) if manifests else None


def _folders(roots: DataRoots) -> Iterator[Path]:
    """The data roots with what is in them and in that, and as much of the folder that the service was started in.

    On one machine the samples are mostly beside the service.
    """
    for root in (*roots.paths, Path.cwd()):
        yield from islice(_below(root), _MOST_FOLDERS)


def _below(root: Path) -> Iterator[Path]:
    """The folder, what is in it, and what is in that; of the whole machine only what is in its root."""
    yield root
    for folder in _folders_in(root):
        yield folder
        if root != Path("/"):
            yield from _folders_in(folder)


def _folders_in(folder: Path) -> list[Path]:
    try:
        below = [path for path in folder.iterdir() if path.name not in _NO_FILES and path.is_dir()]
    except OSError:
        return []
    return sorted(below)
