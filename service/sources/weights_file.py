"""Which file of a folder is the checkpoint: of a logged model, of a run's artifacts, of a prefix in an object store."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from service.domain.digests import files_below
from service.errors import InvalidInput
from service.sources.content import FIELD, refused

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".tar", ".bin")
"""What files of weights are called."""

MOST_LISTED = 2000

_SAFE = ".safetensors"
_PROGRAMS = {"model.pth", "model.pt2", "model.pt"}
"""What MLflow's flavour `pytorch` saves below `data`: a whole pickled module, or an exported program."""

_LOG_WEIGHTS = (
    "Log the weights alone, as a .safetensors file or a saved state dict: with mlflow.log_artifact, for a version of "
    "the source runs:/<run>/weights.safetensors, or beside the model, with log_model(..., extra_files=[...])."
)


def weights_below(folder: Path, uri: str, *, field: str = FIELD) -> Path:
    """The one file of weights in a folder of this machine. Raises what `choose_weights` and `files_below` raise."""
    names = [file.relative_to(folder).as_posix() for file in files_below(folder)]
    return folder / choose_weights(names, uri, field=field)


def choose_weights(paths: Sequence[str], uri: str, *, field: str = FIELD) -> str:
    """The one file of weights among those of a folder, by their paths in it.

    One `.safetensors` goes before everything else. Raises InvalidInput where there is none, or several.
    """
    candidates = [path for path in paths if PurePosixPath(path).suffix in SUFFIXES]
    programs = [path for path in candidates if _is_program(path, paths)]
    candidates = [path for path in candidates if path not in programs]
    safe = [path for path in candidates if path.endswith(_SAFE)]

    chosen = safe if len(safe) == 1 else candidates
    if len(chosen) == 1:
        return chosen[0]
    if not candidates and programs:
        raise refused(
            f"MLflow has saved the model as a program, {programs[0]}, which runs code when it is opened.",
            uri,
            _LOG_WEIGHTS,
            field=field,
        )
    raise _not_one(candidates, uri, field)


def check_listing(paths: Sequence[str], uri: str) -> None:
    """Raise InvalidInput for more files than any model has."""
    if len(paths) > MOST_LISTED:
        raise refused(f"The folder holds more than {MOST_LISTED} files.", uri, "Name the file of weights itself.")


def _is_program(path: str, paths: Sequence[str]) -> bool:
    """Is it what the flavour saves, in a folder that MLmodel describes?"""
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or parts[-2] != "data" or parts[-1] not in _PROGRAMS:
        return False
    return str(PurePosixPath(*parts[:-2], "MLmodel")) in paths


def _not_one(candidates: Sequence[str], uri: str, field: str) -> InvalidInput:
    if not candidates:
        return refused("The folder holds no file of weights.", uri, _LOG_WEIGHTS, field=field)

    listed = ", ".join(candidates[:5])
    return refused(
        f"The folder holds {len(candidates)} files of weights: {listed}.",
        uri,
        f"Name one of them: {uri.rstrip('/')}/{candidates[0]}",
        field=field,
    )
