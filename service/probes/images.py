"""The images of a probe set, decoded on demand and prepared for the networks that look at them."""

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from service.domain.preprocessing import Preprocessing
from service.domain.probes import Box, ProbeItem, ProbeSet
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


class _FilesOnDisk:
    def __init__(self, probe_set: ProbeSet, digested: bool, cache_bytes: int) -> None:
        self._items = probe_set.items
        self._patches_only = probe_set.patches is not None
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

        if item.box is not None:
            image = self._recent.get(item)
            _check_box(image, item.box, item.row)
        elif self._patches_only:
            raise _unmeasured(item.row)
        else:
            image = _read(item, self._roots)

        return [prepare(image, contract, item.box) for contract in contracts]


def _read(item: ProbeItem, roots: DataRoots) -> EightBitImage:
    return to_eight_bit(decode(item.path, row=item.row, roots=roots, sha256=item.sha256, version=item.version))


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
        remedy="Replace the file, delete the row, or let the probe set skip unreadable images.",
    )


def _unmeasured(row: int) -> UnreadableImage:
    return UnreadableImage(
        f"The image of manifest row {row} could not be read when the probe set was cut into patches.",
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
        self._images: OrderedDict[Path, Future[EightBitImage]] = OrderedDict()

    def get(self, item: ProbeItem) -> EightBitImage:
        with self._lock:
            being_decoded = self._images.get(item.path)
            if being_decoded is None:
                decoded: Future[EightBitImage] = Future()
                self._images[item.path] = decoded
            else:
                self._images.move_to_end(item.path)

        if being_decoded is not None:
            return being_decoded.result()

        try:
            image = _read(item, self._roots)
        except BaseException as error:
            with self._lock:
                del self._images[item.path]
            decoded.set_exception(error)
            raise

        decoded.set_result(image)
        self._make_room()
        return image

    def _make_room(self) -> None:
        with self._lock:
            ready = [(path, future.result().pixels.nbytes) for path, future in self._images.items() if future.done()]
            held = sum(size for _, size in ready)

            for path, size in ready:
                if held <= self._limit:
                    break
                del self._images[path]
                held -= size
