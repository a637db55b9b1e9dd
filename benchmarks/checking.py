"""The check of probe images of 2,560 x 2,048, against decoding as jobs do, and as processes that do nothing else do."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
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
from service.probes.decode import decode
from service.probes.decoders.formats import read_image

_GOAL = 0.9
_ROUNDS = 3
_PROCESSES = 2
_THREADS = 4
_IMAGES = 8


def run() -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        processes = stack.enter_context(ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")))
        return list(_compare_all(folder, processes))


def _compare_all(folder: Path, processes: ProcessPoolExecutor) -> Iterator[Row]:
    for name, path in write_images(folder):
        items = [ProbeItem(str(row), path, row) for row in range(1, _IMAGES + 1)]
        check = partial(look_at, items, ANYWHERE, lambda _: None)

        timing = race(partial(_decode_as_jobs_do, path), check, rounds=_ROUNDS)
        speeds = _IMAGES / timing.baseline, _IMAGES / timing.measured
        yield Row(
            f"checking, {name}", *speeds, "images/s", timing.speedup, f"at least {_GOAL}", timing.speedup >= _GOAL
        )

        timing = race(partial(_decode_alone, processes, path), check, rounds=_ROUNDS)
        speeds = _IMAGES / timing.baseline, _IMAGES / timing.measured
        yield Row(f"the same, decoded alone, {name}", *speeds, "images/s", timing.speedup, "", None)


def _decode_as_jobs_do(path: Path) -> None:
    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(lambda row: decode(path, row=row), range(1, _IMAGES + 1)):
            pass


def _decode_alone(processes: ProcessPoolExecutor, path: Path) -> None:
    list(processes.map(_decode, [path] * _IMAGES))


def _decode(path: Path) -> None:
    with path.open("rb") as file:
        read_image(file)
