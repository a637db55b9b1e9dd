"""The one door to dissectors: a directory with `dissector.json` makes a `Dissector`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from service.domain.digests import digest_of_directory
from service.domain.models import DissectorSpec
from service.engine.dissectors.directory import CONFIG, read_config
from service.engine.dissectors.mammo_clip import open_mammo_clip
from service.engine.dissectors.open_clip import open_open_clip
from service.engine.networks import Dissector
from service.errors import DigestMismatch, InvalidDissector


def _open_projected(directory: Path, config: dict[str, Any], _digest: str, device: torch.device) -> Dissector:
    from service.engine.projected import open_projected

    return open_projected(directory, config, device)


_KINDS: dict[str, Callable[[Path, dict[str, Any], str, torch.device], Dissector]] = {
    "mammo-clip": open_mammo_clip,
    "open_clip": open_open_clip,
    "projected": _open_projected,
}


def open_dissector(spec: DissectorSpec, device: torch.device) -> Dissector:
    """Open a dissector's directory on `device`, everything in eval mode.

    Raises InvalidDissector (incomplete directory, unknown kind), DigestMismatch when the directory's content is not
    what was promised, InvalidCheckpoint or UnsafeCheckpoint.
    """
    config = read_config(spec.path)
    digest = digest_of_directory(spec.path)
    if spec.digest is not None and spec.digest.lower() != digest:
        raise DigestMismatch(
            f"The dissector's content digest is {digest}, not the promised {spec.digest}.",
            field="dissector",
            value=spec.path,
            remedy="Restore the directory, or register it again under a new name.",
        )
    kind = config.get("kind")
    if kind not in _KINDS:
        raise InvalidDissector(
            f"{CONFIG} names no known kind of dissector.",
            field="dissector",
            value=kind,
            remedy=f'Set "kind" to one of {", ".join(_KINDS)}.',
        )
    return _KINDS[kind](spec.path, config, digest, device)
