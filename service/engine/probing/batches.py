"""Decoded probe images in batches, for target and dissector at once, prepared ahead by a few threads."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.preprocessing import Preprocessing
from service.errors import UnreadableImage
from service.ports import ProbeImages

_THREADS = 4

Prepared = list[NDArray[np.float32]]
OnUnreadable = Literal["fail", "skip"]


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Some images in probe-set order, all of one shape."""

    indices: tuple[int, ...]
    """Which probe items the images are."""

    skipped: tuple[int, ...]
    """Items since the batch before that could not be decoded."""

    target: Tensor
    """float32 [B, 3, H, W], prepared for the target."""

    dissector: Tensor
    """float32 [B, 3, H, W], prepared for the dissector; the same tensor as `target` when the contracts are equal."""


def image_batches(
    images: ProbeImages,
    target: Preprocessing,
    dissector: Preprocessing,
    *,
    span: range,
    batch_size: int,
    on_unreadable: OnUnreadable,
) -> Generator[ImageBatch, None, None]:
    """The probe items in `span`, each decoded once, in order; a batch ends early where the image size changes.

    At most batch_size decoded images wait for the networks. The decoding threads end with the iteration; a caller that
    leaves it early must close the generator. Raises UnreadableImage unless on_unreadable is "skip".
    A last batch may be empty when only skipped images are left.
    """
    contracts = (target,) if target == dissector else (target, dissector)
    indices: list[int] = []
    skipped: list[int] = []
    waiting: list[Prepared] = []

    def batch() -> ImageBatch:
        stacks = [torch.from_numpy(np.stack([prepared[i] for prepared in waiting])) for i in range(len(contracts))]
        result = ImageBatch(tuple(indices), tuple(skipped), stacks[0], stacks[-1])

        for part in (indices, skipped, waiting):
            part.clear()
        return result

    with closing(_decoded(images, contracts, span, batch_size, on_unreadable)) as stream:
        for index, prepared in stream:
            if prepared is None:
                skipped.append(index)
                continue
            if waiting and [array.shape for array in prepared] != [array.shape for array in waiting[0]]:
                yield batch()

            indices.append(index)
            waiting.append(prepared)
            if len(waiting) == batch_size:
                yield batch()

    if waiting:
        yield batch()
    elif skipped:
        nothing = torch.empty(0, 3, 0, 0)
        yield ImageBatch((), tuple(skipped), nothing, nothing)


def _decoded(
    images: ProbeImages, contracts: tuple[Preprocessing, ...], span: range, ahead: int, on_unreadable: OnUnreadable
) -> Generator[tuple[int, Prepared | None], None, None]:
    """Items in order with their arrays, None for an unreadable one that is skipped; `ahead` of them in the making."""
    pending: deque[tuple[int, Future[Prepared]]] = deque()
    threads = ThreadPoolExecutor(min(_THREADS, ahead), thread_name_prefix="decode")
    try:
        for index in span:
            pending.append((index, threads.submit(images.load, index, contracts)))
            if len(pending) > ahead:
                yield _result(*pending.popleft(), on_unreadable)

        while pending:
            yield _result(*pending.popleft(), on_unreadable)
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def _result(index: int, future: Future[Prepared], on_unreadable: OnUnreadable) -> tuple[int, Prepared | None]:
    try:
        return index, future.result()
    except UnreadableImage:
        if on_unreadable == "skip":
            return index, None
        raise
