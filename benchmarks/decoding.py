"""Probe images of 2,560 x 2,048 through the decoder processes, against decoding in the process with four threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

from benchmarks.table import Row, race
from service.domain.preprocessing import MAMMO_CLIP
from service.probes.decode import decode
from service.probes.decoders.formats import read_image
from service.probes.opencv import cv2
from service.probes.pixels import DecodedImage
from service.probes.prepare import prepare, to_eight_bit
from tests.probes.dicom_files import write_dicom

_GOAL = 0.9
_ROUNDS = 5
_THREADS = 4
_IMAGES = 8
_SHAPE = (2560, 2048)
_SYNTAXES = {
    "uncompressed DICOM": ExplicitVRLittleEndian,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
}


def run() -> list[Row]:
    with TemporaryDirectory() as folder:
        return [_compare(name, path) for name, path in write_images(Path(folder))]


def _compare(name: str, path: Path) -> Row:
    timing = race(partial(_load, _decode_inside, path), partial(_load, _decode_outside, path), rounds=_ROUNDS)
    speeds = _IMAGES / timing.baseline, _IMAGES / timing.measured
    goal = f"at least {_GOAL}"
    return Row(f"decoding, {name}", *speeds, "images/s", timing.speedup, goal, timing.speedup >= _GOAL)


def _load(decode_file: Callable[[Path], DecodedImage], path: Path) -> None:
    def load(_: int) -> None:
        prepare(to_eight_bit(decode_file(path)), MAMMO_CLIP)

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(load, range(_IMAGES)))


def _decode_inside(path: Path) -> DecodedImage:
    with path.open("rb") as file:
        return read_image(file)


def _decode_outside(path: Path) -> DecodedImage:
    return decode(path, row=1)


def write_images(folder: Path) -> Iterator[tuple[str, Path]]:
    """The same image in several formats: their names and files."""
    film = _film()
    for name, syntax in _SYNTAXES.items():
        yield name, write_dicom(folder / f"{name}.dcm", film, bits=12, syntax=syntax)

    shallow = (film >> 4).astype(np.uint8)
    for name, pixels in (("a.png", film), ("b.jpg", shallow)):
        cv2.imwrite(str(folder / name), pixels)
    yield "PNG of 16 bits", folder / "a.png"
    yield "JPEG", folder / "b.jpg"


def _film() -> NDArray[Any]:
    """Smooth, with the noise of a detector: 12 bits."""
    height, width = _SHAPE
    rows, columns = np.linspace(0, 3, height)[:, None], np.linspace(0, 2, width)
    smooth = 2000 + 1500 * np.sin(rows) * np.cos(columns)
    noise = np.random.default_rng(0).normal(0, 12, _SHAPE)
    return np.clip(smooth + noise, 0, 4095).astype(np.uint16)
