"""Opening weights files without running anything that they carry.

Safetensors, or files of `torch.save` read with `weights_only=True`. The published Mammo-CLIP files hold a few objects
besides tensors (their configuration's OmegaConf lists, numpy predictions and scores); exactly these are allowed on top.
"""

import pickle
import re
import typing
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from service.domain.digests import digest_of_file
from service.errors import DigestMismatch, InvalidCheckpoint, UnsafeCheckpoint

_ZIP = b"PK\x03\x04"
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLE = b"\x80"
_WEIGHTS_ENTRIES = ("model", "state_dict")
_CONVERT = (
    "Where the file is trusted, open it there, save the weights alone with safetensors.torch.save_file(weights, path), "
    "and register the new file."
)


class _ConfigurationNode:
    """Stands in for OmegaConf's classes, so that the library is not needed and none of its code runs."""


_ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *(
        (_ConfigurationNode, f"omegaconf.{name}")
        for name in (
            "base.ContainerMetadata",
            "base.Metadata",
            "dictconfig.DictConfig",
            "listconfig.ListConfig",
            "nodes.AnyNode",
        )
    ),
    (typing.cast("Callable[..., Any]", typing.Any), "typing.Any"),
    *(list, dict, int, defaultdict),
    *(np.ndarray, np.dtype, np.dtypes.Int64DType, np.dtypes.Float32DType, np.dtypes.Float64DType),
    *(
        (getattr(multiarray, name), f"numpy.{core}.multiarray.{name}")
        for core in ("_core", "core")  # numpy 2 and numpy 1 call the same functions differently
        for name in ("_reconstruct", "scalar")
    ),
]


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds, on the CPU. contents: the file's dictionary. sha256: digest of the file's bytes.

    The tensors may be mapped from the file: copy them before the file can change.
    """

    contents: Mapping[str, Any]
    sha256: str

    @property
    def weights(self) -> dict[str, Tensor]:
        """The state dict: the entry `model` or `state_dict` where there is one, else the whole file.

        The `module.` that multi-GPU training puts in front of every key is taken off.
        Raises InvalidCheckpoint when something in it is no tensor.
        """
        weights = next(
            (self.contents[name] for name in _WEIGHTS_ENTRIES if isinstance(self.contents.get(name), Mapping)),
            self.contents,
        )
        strangers = [key for key, value in weights.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
        if strangers or not weights:
            raise InvalidCheckpoint(
                f"The checkpoint's weights hold {len(strangers)} entries that are no named tensors, the first is "
                f"'{strangers[0]}'."
                if strangers
                else "The checkpoint holds no weights.",
                field="checkpoint",
                remedy="The file must be a state dict, or a dictionary with one under 'model' or 'state_dict'.",
            )
        wrapped = all(key.startswith("module.") for key in weights)
        return {key.removeprefix("module.") if wrapped else key: value for key, value in weights.items()}


def open_checkpoint(path: Path, *, sha256: str | None = None) -> Checkpoint:
    """Read a weights file: safetensors, or a `torch.save` file of tensors and the few allowed objects.

    sha256: the digest the file must have; it is checked before anything is parsed.
    Raises InvalidCheckpoint (missing, damaged, another format), DigestMismatch, or UnsafeCheckpoint (TorchScript,
    exported programs, full pickles: whatever would run code, or anything not on the list of allowed objects).
    """
    if not path.is_file():
        raise InvalidCheckpoint(
            "There is no such weights file.", field="checkpoint", value=path, remedy="Check the path."
        )
    try:
        digest = digest_of_file(path)
    except OSError as error:
        raise InvalidCheckpoint(
            "The weights file cannot be read.", field="checkpoint", value=path, remedy="Check its permissions."
        ) from error
    if sha256 is not None and sha256.lower() != digest:
        raise DigestMismatch(
            f"The weights file's SHA-256 is {digest}, not the promised {sha256}.",
            field="sha256",
            value=sha256,
            remedy="Fetch the file again, or correct the digest if the file is the intended one.",
        )
    contents = _read(path)
    if not isinstance(contents, Mapping):
        raise _invalid(path, f"The weights file holds a {type(contents).__name__}, not a dictionary.")
    return Checkpoint(contents=contents, sha256=digest)


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(_ZIP):
        _refuse_programs(path)
        return _read_torch(path, mmap=True)
    if head.startswith(_LEGACY_TORCH):
        return _read_torch(path, mmap=False)
    if head.startswith(_PICKLE):
        raise _unsafe(path, "The weights file is a bare Python pickle, which runs code when it is opened.")
    if head[8:9] == b"{":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise _damaged(path) from error
    raise _invalid(path, "The weights file is neither a safetensors file nor one of torch.save.")


def _refuse_programs(path: Path) -> None:
    """TorchScript and exported programs are zip files too; both carry code."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {name.partition("/")[2] or name for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise _damaged(path) from error
    if "constants.pkl" in entries:
        raise _unsafe(path, "The weights file is a TorchScript program, which carries code.")
    if "archive_format" in entries or ".data/extern_modules" in entries:
        raise _unsafe(path, "The weights file is an exported program or package, which carries code.")
    if "data.pkl" not in entries:
        raise _invalid(path, "The weights file is a zip archive that torch.save did not write.")


def _read_torch(path: Path, *, mmap: bool) -> Any:
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        reason = str(error)
        asked = re.search(r"GLOBAL (\S+)|recognized function (.+?)(?:\s|$)|but got (<class .+?>)", reason)
        if asked is None:
            raise _damaged(path) from error
        name = next(group for group in asked.groups() if group)
        raise _unsafe(path, f"Opening the weights file would run code: it asks for {name}.") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _damaged(path) from error


def _invalid(path: Path, detail: str) -> InvalidCheckpoint:
    return InvalidCheckpoint(
        detail, field="checkpoint", value=path, remedy="Give a .safetensors file or a state dict saved by torch.save."
    )


def _damaged(path: Path) -> InvalidCheckpoint:
    return InvalidCheckpoint(
        "The weights file is damaged or cut short.", field="checkpoint", value=path, remedy="Fetch the file again."
    )


def _unsafe(path: Path, detail: str) -> UnsafeCheckpoint:
    return UnsafeCheckpoint(detail, field="checkpoint", value=path, remedy=_CONVERT)
