"""Opening weights files without running anything that they carry.

Safetensors, or files of `torch.save`. Many of these hold objects besides tensors (configurations, hyperparameters,
paths, scores): they come out as objects that do nothing.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from service.domain.digests import digest_of_open_file
from service.engine.networks.opening import errors_of_system
from service.engine.weights import torch_archive, torch_legacy
from service.engine.weights.faults import Changed, Damaged, Fault, Program, Unsupported
from service.engine.weights.hashed_file import HashedFile
from service.engine.weights.safetensors_file import looks_like_safetensors, read_safetensors
from service.engine.weights.sets import WHOLE_FILE, FoundSet, find_sets, likely_set, whole_object_in
from service.engine.weights.tensors import Contents, StoredTensor, load_tensors
from service.errors import DigestMismatch, FileOutOfReach, InvalidCheckpoint, UnsafeCheckpoint
from service.files import ANYWHERE, DataRoots, WrittenMeanwhile

_PICKLE = b"\x80"
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
    """Its tensors, which are on the meta device where it was left in the file."""

    others: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    is_loaded: bool = True


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds, on the CPU and independent of the file."""

    contents: Mapping[str, Any]
    """The file's dictionary. Its tensors are StoredTensors."""

    sha256: str
    """Digest of the bytes that were read."""

    sets: tuple[WeightsSet, ...]
    """Every set of weights in the file, for architectures to choose from. The likely one is loaded."""

    reopen: Callable[[str], "Checkpoint"] = field(repr=False, compare=False)
    """Opens the same file for the set of that name."""

    @property
    def weights(self) -> dict[str, Tensor]:
        """Those that were loaded. Raises InvalidCheckpoint where the file has none."""
        return dict(self.loaded.weights)

    @property
    def loaded(self) -> WeightsSet:
        """The set that was loaded. Raises InvalidCheckpoint where the file has none."""
        for source in self.sets:
            if source.is_loaded:
                return source

        raise InvalidCheckpoint(
            "The checkpoint holds no weights: no dictionary in it has tensors with names.",
            field="checkpoint",
            remedy="The file must be a state dict, or a dictionary with one in it, under 'state_dict' for example.",
        )

    def fetch(self, source: WeightsSet) -> WeightsSet:
        """One of its sets with its tensors. Where they were left in the file, it is read again.

        Raises as `open_checkpoint` does.
        """
        return source if source.is_loaded else self.reopen(source.name).loaded


def open_checkpoint(
    path: Path, *, sha256: str | None = None, roots: DataRoots = ANYWHERE, wanted: str | None = None
) -> Checkpoint:
    """Read a weights file: safetensors, or a `torch.save` file of tensors and objects that do nothing.

    The file is opened once, and the digest is that of the bytes that were read.

    sha256: the digest the file must have.
    roots: the folders that the file must lie in.
    wanted: the set of weights that is loaded, by its name; None for the likely one. The others stay in the file.
    Raises InvalidCheckpoint (missing, not a regular file, damaged, another format), DigestMismatch, UnsafeCheckpoint
    (TorchScript, exported programs, whole networks instead of their weights, calls of functions: whatever would run
    code), or FileOutOfReach (written to meanwhile, trouble of the disk or the machine).
    """
    with errors_of_system(path, "weights file"):
        try:
            with roots.open(path) as file:
                digest, contents, sets = _read_promised(file, wanted, sha256)
        except WrittenMeanwhile as error:
            raise _as_error(Changed(), path) from error
        except Fault as fault:
            raise _as_error(fault, path) from fault

    if sha256 is not None:
        _check_digest(sha256, digest)
    return Checkpoint(
        contents, digest, sets, lambda name: open_checkpoint(path, sha256=digest, roots=roots, wanted=name)
    )


def _check_digest(promised: str, digest: str) -> None:
    if promised.lower() != digest:
        raise DigestMismatch(
            f"The weights file's SHA-256 is {digest}, not the expected {promised}.",
            field="sha256",
            value=promised,
            remedy="Fetch the file again, or correct the digest if the file is the intended one.",
        )


def _read_promised(
    file: BinaryIO, wanted: str | None, sha256: str | None
) -> tuple[str, dict[str, Any], tuple[WeightsSet, ...]]:
    """What `_read` gives. A copy that is not the intended file is that, in the first place, whatever else is wrong."""
    try:
        return _read(file, wanted)
    except Changed:
        raise
    except Fault:
        if sha256 is not None:
            _check_digest(sha256, digest_of_open_file(file))
        raise


def _read(file: BinaryIO, wanted: str | None) -> tuple[str, dict[str, Any], tuple[WeightsSet, ...]]:
    source = HashedFile(file)
    try:
        contents = _reader_of(source)(source)
    except _MALFORMED as error:
        raise Damaged from error

    if not isinstance(contents.value, dict):
        _refuse_whole_object(contents.value)
        raise Unsupported(f"The weights file holds a {_kind_of(contents.value)}, not a dictionary.", _GIVE_WEIGHTS)

    digest, sets = _load_weights(source, contents, contents.value, wanted)
    return digest, contents.value, sets


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


def _load_weights(
    source: HashedFile, contents: Contents, value: dict[str, object], wanted: str | None
) -> tuple[str, tuple[WeightsSet, ...]]:
    """The file's digest and its sets of weights, with tensors in place of the stored ones in one of them."""
    sets = find_sets(value)
    if all(found.name == WHOLE_FILE for found in sets):
        _refuse_whole_object(value)

    likely = likely_set(sets, wanted)
    try:
        digest, tensors = load_tensors(source, contents.places, likely.entries.values() if likely else ())
    except _MALFORMED as error:
        raise Damaged from error
    return digest, tuple(_loaded(found, tensors) if found is likely else _left(found) for found in sets)


def _loaded(found: FoundSet, tensors: Mapping[StoredTensor, Tensor]) -> WeightsSet:
    weights = {key: tensors[stored] for key, stored in found.entries.items()}
    return WeightsSet(found.name, weights, found.others, found.also)


def _left(found: FoundSet) -> WeightsSet:
    weights = {
        key: torch.empty_strided(stored.shape, stored.strides, dtype=stored.dtype, device="meta")
        for key, stored in found.entries.items()
    }
    return WeightsSet(found.name, weights, found.others, found.also, is_loaded=False)


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


def _kind_of(value: object) -> str:
    return "tensor" if isinstance(value, StoredTensor) else type(value).__name__


def _as_error(fault: Fault, path: Path) -> InvalidCheckpoint | FileOutOfReach:
    if isinstance(fault, Program):
        return UnsafeCheckpoint(fault.detail, field="checkpoint", value=path, remedy=fault.remedy or _CONVERT)

    if isinstance(fault, Changed):
        remedy = "Try again when no other process writes to it."
        return FileOutOfReach(fault.detail, field="checkpoint", value=path, remedy=remedy)

    remedy = fault.remedy if isinstance(fault, Unsupported) else "Fetch the file again."
    return InvalidCheckpoint(fault.detail, field="checkpoint", value=path, remedy=remedy)
