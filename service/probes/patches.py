"""Cutting probe images into frames and patches, each with its place in the image. No image is opened for it."""

from collections.abc import Sequence
from dataclasses import replace

from service.domain.probes import Box, ImageSize, PatchGrid, ProbeItem, ProbeSet
from service.errors import InvalidManifest

MAX_PATCHES_OF_IMAGE = 10_000
MAX_PATCHES = 1_000_000
"""Of a whole probe set: as many items as a manifest of single images may be expected to have."""


def check_grid(grid: PatchGrid) -> None:
    """Raises InvalidManifest unless 1 <= stride <= size: a longer stride would leave pixels that no patch shows."""
    if not 1 <= grid.stride <= grid.size:
        raise InvalidManifest(
            f"Patches of size {grid.size} cannot have stride {grid.stride}.",
            field="patches",
            value=f"size {grid.size}, stride {grid.stride}",
            remedy="Give a size of at least 1 and a stride between 1 and the size.",
        )


def boxes(height: int, width: int, grid: PatchGrid) -> list[Box]:
    """The patches of an image of height x width pixels, row by row, each row from the left.

    Patches start every `stride` pixels from the left and top edge; where they do not reach the far edge, one more lies
    flush with it. So every pixel is in a patch and all patches are size x size. An image smaller than a patch has none.
    """
    return [Box(left, top, grid.size, grid.size) for top in _starts(height, grid) for left in _starts(width, grid)]


def cut(probe_set: ProbeSet, sizes: Sequence[ImageSize | None]) -> ProbeSet:
    """The probe set with every image replaced by its frames, where each is an image of its own, and its patches.

    sizes: of the images, in order; an image without one stays in as one item, which the job counts as skipped.
    Raises InvalidManifest when an image is smaller than a patch, has more than MAX_PATCHES_OF_IMAGE or all have more
    than MAX_PATCHES; ValueError when a size is missing or too many.
    """
    if not probe_set.is_cut:
        return probe_set

    grid = probe_set.patches
    items: list[ProbeItem] = []
    total = 0
    for item, size in zip(probe_set.items, sizes, strict=True):
        if size is None:
            items.append(item)
            continue

        frames = _frames_of(item, size) if probe_set.frames == "all" else [item]
        for frame in frames:
            parts = [frame] if grid is None else _patches_of(frame, size, grid)
            total += len(parts)
            _check_total(total)
            items.extend(parts)
    return replace(probe_set, items=tuple(items))


def _frames_of(item: ProbeItem, size: ImageSize) -> list[ProbeItem]:
    """The frames of one image, with ids `<image_id>#<n>`, n from 1. The only one keeps the image's id."""
    if size.frames == 1:
        return [replace(item, frame=1)]
    return [replace(item, image_id=f"{item.image_id}#{number}", frame=number) for number in range(1, size.frames + 1)]


def _patches_of(item: ProbeItem, size: ImageSize, grid: PatchGrid) -> list[ProbeItem]:
    """The patches of one image, with ids `<image_id>@<left>,<top>` and everything else as the image has it.

    All patches are kept, those of air too: which of them count as air would be one more thing that decides the result.
    Raises InvalidManifest when the image is smaller than a patch or has more than MAX_PATCHES_OF_IMAGE.
    """
    height, width, _ = size
    count = _count(height, grid) * _count(width, grid)
    if count > MAX_PATCHES_OF_IMAGE:
        raise InvalidManifest(
            f"The image of row {item.row} has {count} patches of size {grid.size} and stride {grid.stride}, more than "
            f"{MAX_PATCHES_OF_IMAGE}.",
            field="patches",
            value=f"row {item.row}",
            remedy="Use a larger patch size and stride.",
        )

    if count == 0:
        raise InvalidManifest(
            f"The image of row {item.row} is {height} x {width} pixels, smaller than a patch of {grid.size}.",
            field="patches",
            value=f"row {item.row}",
            remedy="Use a smaller patch size or delete the row.",
        )

    return [
        replace(item, image_id=f"{item.image_id}@{box.left},{box.top}", box=box) for box in boxes(height, width, grid)
    ]


def _check_total(patches: int) -> None:
    """Raises InvalidManifest for more patches than a probe set may have."""
    if patches > MAX_PATCHES:
        raise InvalidManifest(
            f"The probe set has more than {MAX_PATCHES} frames and patches.",
            field="patches",
            value=f"more than {MAX_PATCHES}",
            remedy="Use a larger patch size and stride, take one frame of each image, or split the manifest.",
        )


def _count(length: int, grid: PatchGrid) -> int:
    """How many starts there are, without making them."""
    if length < grid.size:
        return 0
    return -(-(length - grid.size) // grid.stride) + 1


def _starts(length: int, grid: PatchGrid) -> list[int]:
    last = length - grid.size
    if last < 0:
        return []

    starts = list(range(0, last + 1, grid.stride))
    return starts if starts[-1] == last else [*starts, last]
