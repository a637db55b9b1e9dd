"""Phantoms drawn by several processes, in order."""

import os
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from service.probes.phantoms.phantom import Phantom, generate

_AT_A_TIME = 16


def generate_in_processes(seed: int, count: int) -> Generator[Phantom]:
    """The first `count` phantoms of a series, the same as `generate` draws; one process a core, at its own cost.

    The processes end with the iteration; a caller that leaves it early must close the generator.
    """
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        yield from processes.map(partial(generate, seed), range(count), chunksize=_AT_A_TIME)
