"""Reading the sizes of probe images from their headers. Decoders open the files, so the API never does this."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from service.domain.probes import Frames, ImageSize, PatchGrid, ProbeItem, ProbeSet
from service.errors import UnreadableImage
from service.files import ANYWHERE, DataRoots
from service.probes.decode import image_size
from service.probes.grouping import grouped
from service.probes.manifest import read_manifest
from service.probes.patches import cut


def measure(probe_set: ProbeSet, progress: Callable[[int], None] = lambda _: None) -> list[ImageSize | None]:
    """The size of every image, in order; None for one that cannot be read and that the probe set skips.

    progress: told how many have been read; may raise to stop.
    Raises UnreadableImage for the first image that cannot be read and that the probe set does not skip.
    """
    sizes: list[ImageSize | None] = []
    for item in probe_set.items:
        sizes.append(_size_of(item, probe_set))
        progress(len(sizes))
    return sizes


def read_patches(
    path: Path,
    *,
    name: str,
    patches: PatchGrid | None,
    frames: Frames | None = None,
    on_unreadable: Literal["fail", "skip"] = "fail",
    roots: DataRoots = ANYWHERE,
    independent: str | None = None,
) -> ProbeSet:
    """Read a manifest as `read_manifest` does, and cut its images into frames and patches where these are asked for.

    independent: see `grouped`. Raises InvalidManifest, UnreadableImage, InvalidInput.
    """
    listed = read_manifest(path, name=name, patches=patches, frames=frames, on_unreadable=on_unreadable, roots=roots)
    listed = grouped(listed, independent)
    return cut(listed, measure(listed)) if listed.is_cut else listed


def _size_of(item: ProbeItem, probe_set: ProbeSet) -> ImageSize | None:
    try:
        return image_size(item.path, row=item.row, roots=probe_set.roots)
    except UnreadableImage:
        if probe_set.on_unreadable == "fail":
            raise
        return None
