"""Phantoms drawn by several processes, in order."""

import os
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from service.probes.phantoms.phantom import DEFAULT_SIZE, Phantom, generate, generate_range

_AT_A_TIME = 16
_FEW = 64


def generate_in_processes(seed: int, count: int, size: tuple[int, int] = DEFAULT_SIZE) -> Generator[Phantom]:
    """The first `count` phantoms of a series, the same as `generate` draws, one process a core.

    A few are drawn here, sooner than processes would start. The processes import the main module anew, so a script that
    calls this must guard its own work (`if __name__ == "__main__"`). They end with the iteration; a caller that leaves
    it early must close the generator.
    """
    if count <= _FEW:
        yield from generate_range(seed, 0, count, size)
        return

    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        yield from processes.map(partial(generate, seed, size=size), range(count), chunksize=_AT_A_TIME)
