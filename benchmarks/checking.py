"""The check of probe images of 2,560 x 2,048 (hashed, decoded, judged), against bare decoding in as many processes."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.decoding import write_images
from benchmarks.table import Row, race
from service.domain.probes import ProbeItem
from service.files import ANYWHERE
from service.probes.checking.look import look_at
from service.probes.decoders.formats import read_image

_GOAL = 0.9
_ROUNDS = 5
_PROCESSES = 2
_IMAGES = 16


def run() -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        processes = stack.enter_context(ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")))
        return list(_compare_all(folder, processes))


def _compare_all(folder: Path, processes: ProcessPoolExecutor) -> Iterator[Row]:
    for name, path in write_images(folder):
        items = [ProbeItem(str(row), path, row) for row in range(1, _IMAGES + 1)]
        bare = partial(_decode_bare, processes, path)
        timing = race(bare, partial(look_at, items, ANYWHERE, lambda _: None), rounds=_ROUNDS)
        speeds = _IMAGES / timing.baseline, _IMAGES / timing.measured
        yield Row(
            f"checking, {name}", *speeds, "images/s", timing.speedup, f"at least {_GOAL}", timing.speedup >= _GOAL
        )


def _decode_bare(processes: ProcessPoolExecutor, path: Path) -> None:
    list(processes.map(_decode, [path] * _IMAGES))


def _decode(path: Path) -> None:
    with path.open("rb") as file:
        read_image(file)
