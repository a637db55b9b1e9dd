"""The one door to dissectors: a directory makes a `Dissector`."""

from collections.abc import Callable

import torch

from service.domain.models import DissectorSpec
from service.engine.dissectors.directory import CONFIG, DissectorFolder
from service.engine.dissectors.layouts import Layout, read_layout
from service.engine.dissectors.mammo_clip import open_mammo_clip
from service.engine.dissectors.open_clip import open_open_clip
from service.engine.dissectors.transformers_clip import open_transformers
from service.engine.networks.protocols import Dissector
from service.errors import DigestMismatch, InvalidDissector


def _open_projected(folder: DissectorFolder, layout: Layout, device: torch.device) -> Dissector:
    from service.engine.dissectors.projected import open_projected

    return open_projected(folder, layout.config, device)


def _open_mammo_clip(folder: DissectorFolder, layout: Layout, device: torch.device) -> Dissector:
    return open_mammo_clip(folder, layout.config, device)


_KINDS: dict[str, Callable[[DissectorFolder, Layout, torch.device], Dissector]] = {
    "mammo-clip": _open_mammo_clip,
    "open_clip": open_open_clip,
    "transformers": open_transformers,
    "projected": _open_projected,
}


def open_dissector(spec: DissectorSpec, device: torch.device) -> Dissector:
    """Open a dissector's directory on `device`, everything in eval mode.

    Nothing outside of the directory is read and nothing is looked up on a model hub, whatever its files say.

    Raises InvalidDissector (incomplete directory, unknown kind), DigestMismatch when the directory's content is not
    what was promised, InvalidCheckpoint or UnsafeCheckpoint.
    """
    folder = DissectorFolder.open(spec)
    if spec.digest is not None and spec.digest.lower() != folder.digest:
        raise DigestMismatch(
            f"The dissector's content digest is {folder.digest}, not the expected {spec.digest}.",
            field="dissector",
            value=spec.path,
            remedy="Restore the directory, or register it again under a new name.",
        )

    layout = read_layout(folder)
    kind = layout.kind
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidDissector(
            f"{CONFIG} does not name a known kind of dissector.",
            field="dissector",
            value=kind,
            remedy=f'Set "kind" to one of {", ".join(_KINDS)}.',
        )
    return _KINDS[kind](folder, layout, device)
