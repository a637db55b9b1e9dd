"""The images of a probe set, decoded on demand and prepared for the networks that look at them."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from service.domain.checks import WHATEVER_THE_REASON
from service.domain.preprocessing import Preprocessing, Window
from service.domain.probes import Box, FrameOfImage, ProbeItem, ProbeSet
from service.errors import UnreadableImage
from service.files import DataRoots
from service.ports import ProbeImages
from service.probes.decode import decode
from service.probes.prepare import EightBitImage, prepare, to_eight_bit

_CACHE_BYTES = 256 << 20


def open_images(probe_set: ProbeSet, *, digested: bool = False, cache_bytes: int = _CACHE_BYTES) -> ProbeImages:
    """The probe set's images; nothing is read yet. Safe to use from several threads.

    Each is opened below the probe set's roots whenever it is read. Where an item has a digest, ImageChanged is raised
    for a file that is another one.

    digested: every item went through `with_digests`; one without a digest had no file then, and is unreadable.

    Images that are cut into patches are kept decoded (8 bits a pixel) as long as they fit into `cache_bytes`, so that
    patches in probe-set order decode each image once.
    """
    return _FilesOnDisk(probe_set, digested, cache_bytes)


def read_image(item: ProbeItem, roots: DataRoots, contract: Preprocessing) -> EightBitImage:
    """The whole image of a probe item in the 8 bits that the contract asks for, whatever patch the item is.

    Raises UnreadableImage, ImageChanged and FileOutOfReach.
    """
    levels = _Levels.of(contract)
    return _read(item, roots, [levels])[levels]


class _FilesOnDisk:
    def __init__(self, probe_set: ProbeSet, digested: bool, cache_bytes: int) -> None:
        self._items = probe_set.items
        self._is_uncut = probe_set.is_uncut
        self._digested = digested
        self._roots = probe_set.roots
        self._recent = _RecentImages(cache_bytes, probe_set.roots)

    @property
    def items(self) -> Sequence[ProbeItem]:
        return self._items

    def load(self, index: int, contracts: Sequence[Preprocessing]) -> list[NDArray[np.float32]]:
        item = self._items[index]
        if self._digested and item.sha256 is None:
            raise _undigested(item.row)

        if self._is_uncut(item):
            raise _unmeasured(item.row)
        if item.box is not None:
            images = {levels: self._recent.get(item, levels) for levels in dict.fromkeys(map(_Levels.of, contracts))}
            for image in images.values():
                _check_box(image, item.box, item.row)
        else:
            images = _read(item, self._roots, dict.fromkeys(map(_Levels.of, contracts)))

        return [prepare(images[_Levels.of(contract)], contract, item.box) for contract in contracts]


class _Levels(NamedTuple):
    """What of a contract decides the 8 bits that an image is reduced to."""

    window: Window
    padding_as_air: bool

    @classmethod
    def of(cls, contract: Preprocessing) -> Self:
        return cls(contract.window, contract.padding_as_air)


def _read(item: ProbeItem, roots: DataRoots, wanted: Collection[_Levels]) -> dict[_Levels, EightBitImage]:
    """The image, decoded once, in all levels that are wanted."""
    with_display = any(levels.window != "stored" or levels.padding_as_air for levels in wanted)
    decoded = decode(
        item.path,
        row=item.row,
        roots=roots,
        sha256=item.sha256,
        version=item.version,
        with_display=with_display,
        frame=item.frame,
    )
    return {
        levels: to_eight_bit(decoded, window=levels.window, padding_as_air=levels.padding_as_air) for levels in wanted
    }


def _check_box(image: EightBitImage, box: Box, row: int) -> None:
    height, width = image.pixels.shape
    if box.left + box.width > width or box.top + box.height > height:
        raise UnreadableImage(
            f"The image of manifest row {row} is {height} x {width} pixels, smaller than when its patches were cut.",
            field="image",
            value=f"row {row}",
            remedy="Restore the registered file, or register a manifest with the new one under another name.",
        )


def _undigested(row: int) -> UnreadableImage:
    return UnreadableImage(
        f"The image of manifest row {row} cannot be read: its file was not there when it was to be hashed.",
        field="image",
        value=f"row {row}",
        remedy=WHATEVER_THE_REASON,
    )


def _unmeasured(row: int) -> UnreadableImage:
    return UnreadableImage(
        f"The image of manifest row {row} could not be read when the sizes and frames of the probe set's images were.",
        field="image",
        value=f"row {row}",
        remedy="Let the probe set skip unreadable images. Or replace the file, add a column to the manifest, for "
        "example `revision`, and register it: that is another probe set.",
    )


class _RecentImages:
    """Least recently used images, bounded in bytes; an image that several threads want at once is decoded by one."""

    def __init__(self, limit: int, roots: DataRoots) -> None:
        self._limit = limit
        self._roots = roots
        self._lock = Lock()
        self._images: OrderedDict[tuple[Path, FrameOfImage | None, _Levels], Future[EightBitImage]] = OrderedDict()

    def get(self, item: ProbeItem, levels: _Levels) -> EightBitImage:
        key = (item.path, item.frame, levels)
        with self._lock:
            being_decoded = self._images.get(key)
            if being_decoded is None:
                decoded: Future[EightBitImage] = Future()
                self._images[key] = decoded
            else:
                self._images.move_to_end(key)

        if being_decoded is not None:
            return being_decoded.result()

        try:
            image = _read(item, self._roots, [levels])[levels]
        except BaseException as error:
            with self._lock:
                del self._images[key]
            decoded.set_exception(error)
            raise

        decoded.set_result(image)
        self._make_room()
        return image

    def _make_room(self) -> None:
        with self._lock:
            ready = [(key, future.result().pixels.nbytes) for key, future in self._images.items() if future.done()]
            held = sum(size for _, size in ready)

            for key, size in ready:
                if held <= self._limit:
                    break
                del self._images[key]
                held -= size
