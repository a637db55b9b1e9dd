"""Opening weights files without running anything that they carry.

Safetensors, or files of `torch.save`. Many of these hold objects besides tensors (configurations, hyperparameters,
paths, scores): they come out as objects that do nothing.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from service.domain.digests import digest_of_open_file
from service.engine.weights import torch_archive, torch_legacy
from service.engine.weights.faults import Changed, Damaged, Fault, Program, Unsupported
from service.engine.weights.hashed_file import HashedFile
from service.engine.weights.safetensors_file import looks_like_safetensors, read_safetensors
from service.engine.weights.sets import WHOLE_FILE, FoundSet, find_sets, whole_object_in
from service.engine.weights.tensors import Contents, StoredTensor, load_tensors
from service.errors import DigestMismatch, FileOutOfReach, InvalidCheckpoint, UnsafeCheckpoint
from service.files import ANYWHERE, DataRoots, WrittenMeanwhile, is_lasting, out_of_reach, remedy_for

_PICKLE = b"\x80"
_WEIGHTS_ENTRIES = ("model", "state_dict")
_GIVE_WEIGHTS = "Give a .safetensors file or a state dict saved by torch.save."
_CONVERT = (
    "Where the file is trusted, open it there, save the weights alone with safetensors.torch.save_file(weights, path), "
    "and register the new file; or export the network to ONNX and register that with the architecture 'onnx'."
)
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, struct.error)
"""What a reader meets in a file that is not what its format says, besides what it looks for."""


@dataclass(frozen=True)
class WeightsSet:
    """One set of weights of a file; see `FoundSet`."""

    name: str
    weights: Mapping[str, Tensor]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds, on the CPU and independent of the file."""

    contents: Mapping[str, Any]
    """The file's dictionary.

    Tensors that are no part of the weights are left in the file, as StoredTensors.
    """

    sha256: str
    """Digest of the bytes that `contents` was read from."""

    sets: tuple[WeightsSet, ...] = ()
    """Every set of weights in the file, for architectures to choose from."""

    @property
    def weights(self) -> dict[str, Tensor]:
        """The state dict: the entry `model` or `state_dict` where there is one, else the whole file.

        The `module.` that multi-GPU training puts in front of every key is taken off.
        Raises InvalidCheckpoint when something in it is no tensor.
        """
        weights = _weights_in(self.contents)
        if not weights:
            raise _without_weights("The checkpoint holds no weights.")

        tensors = {key: value for key, value in weights.items() if isinstance(key, str) and isinstance(value, Tensor)}
        strangers = [key for key in weights if key not in tensors]
        if strangers:
            raise _without_weights(
                f"The checkpoint's weights hold {len(strangers)} entries that are not named tensors; the first is "
                f"'{strangers[0]!s:.120}'."
            )

        if all(key.startswith("module.") for key in tensors):
            return {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
        return tensors


def open_checkpoint(path: Path, *, sha256: str | None = None, roots: DataRoots = ANYWHERE) -> Checkpoint:
    """Read a weights file: safetensors, or a `torch.save` file of tensors and objects that do nothing.

    The file is opened once, and the digest is that of the bytes that were read.

    sha256: the digest the file must have.
    roots: the folders that the file must lie in.
    Raises InvalidCheckpoint (missing, not a regular file, damaged, another format), DigestMismatch, UnsafeCheckpoint
    (TorchScript, exported programs, whole networks instead of their weights, calls of functions: whatever would run
    code), or FileOutOfReach (written to meanwhile, trouble of the disk or the machine).
    """
    try:
        with roots.open(path) as file:
            try:
                checkpoint = _read(file)
            except Changed:
                raise
            except Fault:
                # A copy that is not the intended file is that, in the first place, whatever else is wrong with it.
                if sha256 is not None:
                    _check_digest(sha256, digest_of_open_file(file))
                raise

        if sha256 is not None:
            _check_digest(sha256, checkpoint.sha256)
        return checkpoint

    except FileNotFoundError as error:
        raise InvalidCheckpoint(
            "The weights file does not exist.", field="checkpoint", value=path, remedy="Check the path."
        ) from error
    except WrittenMeanwhile as error:
        raise _as_error(Changed(), path) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and not is_lasting(error):
            raise out_of_reach("weights file", error, field="checkpoint", value=path) from error
        reason = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise InvalidCheckpoint(
            f"The weights file cannot be read: {reason}.",
            field="checkpoint",
            value=path,
            remedy=remedy_for(
                error, "Name a regular file that the service may read, inside DATA_ROOTS where these are set."
            ),
        ) from error
    except Fault as fault:
        raise _as_error(fault, path) from fault


def _check_digest(promised: str, digest: str) -> None:
    if promised.lower() != digest:
        raise DigestMismatch(
            f"The weights file's SHA-256 is {digest}, not the expected {promised}.",
            field="sha256",
            value=promised,
            remedy="Fetch the file again, or correct the digest if the file is the intended one.",
        )


def _read(file: BinaryIO) -> Checkpoint:
    source = HashedFile(file)
    try:
        contents = _reader_of(source)(source)
    except _MALFORMED as error:
        raise Damaged from error

    if not isinstance(contents.value, dict):
        _refuse_whole_object(contents.value)
        raise Unsupported(f"The weights file holds a {_kind_of(contents.value)}, not a dictionary.", _GIVE_WEIGHTS)

    return _load_weights(source, contents, contents.value)


def _reader_of(source: HashedFile) -> Callable[[HashedFile], Contents]:
    head = source.look(0, 16)
    if head.startswith(torch_archive.MAGIC):
        return torch_archive.read_archive
    if head.startswith(torch_legacy.MAGIC):
        return torch_legacy.read_legacy
    if head.startswith(_PICKLE):
        raise Program("The weights file is a bare Python pickle, which runs code when it is opened.")
    if looks_like_safetensors(head):
        return read_safetensors
    raise Unsupported("The weights file is neither a safetensors file nor one of torch.save.", _GIVE_WEIGHTS)


def _load_weights(source: HashedFile, contents: Contents, value: dict[str, object]) -> Checkpoint:
    """The file's dictionary and its sets of weights, with tensors in place of the stored ones."""
    sets = find_sets(value)
    weights = _weights_in(value)
    stored = [tensor for found in sets for tensor in found.entries.values()]
    if all(found.name == WHOLE_FILE for found in sets):
        _refuse_whole_object(value)

    try:
        digest, tensors = load_tensors(source, contents.places, stored)
    except _MALFORMED as error:
        raise Damaged from error

    loaded = {
        key: tensors.get(entry, entry) if isinstance(entry, StoredTensor) else entry for key, entry in weights.items()
    }
    whole = loaded if weights is value else {key: loaded if part is weights else part for key, part in value.items()}
    loaded_sets = [_loaded(found, tensors) for found in sets]
    return Checkpoint(contents=whole, sha256=digest, sets=tuple(loaded_sets))


def _loaded(found: FoundSet, tensors: Mapping[StoredTensor, Tensor]) -> WeightsSet:
    weights = {key: tensors[stored] for key, stored in found.entries.items()}
    return WeightsSet(found.name, weights, found.others)


def _refuse_whole_object(value: object) -> None:
    """A network that was saved whole has its weights inside of an object, which only its own code can open."""
    found = whole_object_in(value)
    if found is None:
        return

    entry, class_name = found
    place = f"['{entry}']" if entry else ""
    where = f"The weights file's entry '{entry:.100}'" if entry else "The weights file"
    raise Program(
        f"{where} is a whole object ({class_name}), not weights: opening it would run code.",
        f"Where the file is trusted, run there: torch.save(torch.load(PATH, weights_only=False){place}.state_dict(), "
        "'weights.pt'), and register the new file.",
    )


def _weights_in(contents: Mapping[str, object]) -> Mapping[str, object]:
    for name in _WEIGHTS_ENTRIES:
        entry = contents.get(name)
        if isinstance(entry, Mapping):
            return entry
    return contents


def _kind_of(value: object) -> str:
    return "tensor" if isinstance(value, StoredTensor) else type(value).__name__


def _without_weights(detail: str) -> InvalidCheckpoint:
    return InvalidCheckpoint(
        detail,
        field="checkpoint",
        remedy="The file must be a state dict, or a dictionary with one under 'model' or 'state_dict'.",
    )


def _as_error(fault: Fault, path: Path) -> InvalidCheckpoint | FileOutOfReach:
    if isinstance(fault, Program):
        return UnsafeCheckpoint(fault.detail, field="checkpoint", value=path, remedy=fault.remedy or _CONVERT)

    if isinstance(fault, Changed):
        remedy = "Try again when no other process writes to it."
        return FileOutOfReach(fault.detail, field="checkpoint", value=path, remedy=remedy)

    remedy = fault.remedy if isinstance(fault, Unsupported) else "Fetch the file again."
    return InvalidCheckpoint(fault.detail, field="checkpoint", value=path, remedy=remedy)
