"""Looking at some images of a probe set: each is read and decoded once, as in a job, by several processes."""

import os
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from service.domain.checks import ROWS_NAMED, SEEN, WHATEVER_THE_REASON, NamedRow, NamedRows, Reason, ShardCheck
from service.domain.probes import Frames, ProbeItem
from service.errors import UnreadableImage
from service.files import DataRoots
from service.probes.checking.judging import MaskSize, remarks_on, remarks_on_regions
from service.probes.decode import ImageLook, image_size, look_into
from service.probes.pixels import ImageFacts

_PROGRESS_EVERY_S = 0.2
_MOST_THREADS = 6
"""Two more than there are decoder processes at most: while these decode, files are opened and judged."""

FINGERPRINT_BYTES = 32


def look_at(
    items: Sequence[ProbeItem], roots: DataRoots, progress: Callable[[int], None], frames: Frames | None = None
) -> ShardCheck:
    """Decode images and say what they are.

    frames: what the probe set takes of several.
    progress: told a few times a second how many are done; what it raises ends the look.
    Raises FileOutOfReach where the disk or the machine fails, which says nothing of the images.
    """
    shard = _Shard()
    told_at = time.monotonic()
    threads = ThreadPoolExecutor(_threads(len(items)), thread_name_prefix="check")
    try:
        looks = threads.map(lambda item: (_look_at_one(item, roots, frames), list(_mask_sizes(item, roots))), items)
        for done, (item, (look, mask_sizes)) in enumerate(zip(items, looks, strict=True), start=1):
            shard.add(item, look, mask_sizes)
            if time.monotonic() - told_at > _PROGRESS_EVERY_S:
                progress(done)
                told_at = time.monotonic()
    finally:
        threads.shutdown(wait=True, cancel_futures=True)

    progress(len(items))
    return shard.result()


def is_unreadable(item: ProbeItem, roots: DataRoots, frames: Frames | None = None) -> bool:
    """Can an image not be decoded now? frames: what the probe set takes of several. Raises FileOutOfReach."""
    return _look_at_one(item, roots, frames).refusal is not None


def _threads(images: int) -> int:
    return max(min(len(os.sched_getaffinity(0)) + 2, _MOST_THREADS, images), 1)


def _look_at_one(item: ProbeItem, roots: DataRoots, frames: Frames | None) -> ImageLook:
    # The projection needs all frames, each of which is to be an image of its own.
    frame = "projection" if frames == "all" else item.frame
    return look_into(item.path, row=item.row, roots=roots, frame=frame)


def _mask_sizes(item: ProbeItem, roots: DataRoots) -> Iterator[MaskSize]:
    """Height and width of each mask of the image's findings; None for one that cannot be read."""
    masks = dict.fromkeys(region.mask for region in item.regions if region.mask is not None)
    for mask in masks:
        try:
            size = image_size(mask, row=item.row, roots=roots)
        except UnreadableImage:
            yield None
        else:
            yield size.height, size.width


class _Shard:
    """What is found, image after image."""

    def __init__(self) -> None:
        self._images = 0
        self._named: dict[str, NamedRows] = {}
        self._seen: dict[str, Counter[str]] = {name: Counter() for name in SEEN}
        self._fingerprints = bytearray()

    def add(self, item: ProbeItem, look: ImageLook, mask_sizes: Sequence[MaskSize]) -> None:
        self._images += 1
        self._fingerprints += look.fingerprint or bytes(FINGERPRINT_BYTES)

        if look.refusal is not None:
            remedy = f"{look.refusal.remedy} {WHATEVER_THE_REASON}".strip()
            self._name(Reason.UNREADABLE, {"row": item.row, "why": look.refusal.reason, "remedy": remedy})
        for reason, named in remarks_on(item, look.facts, is_refused=look.refusal is not None):
            self._name(reason, named)
        if look.facts is not None:
            self._count(look.facts)
            for reason, named in remarks_on_regions(item, look.facts, mask_sizes):
                self._name(reason, named)

    def result(self) -> ShardCheck:
        unreadable = self._named.get(Reason.UNREADABLE)
        return {
            "images": self._images,
            "unreadable": 0 if unreadable is None else unreadable["count"],
            "named": self._named,
            "seen": {name: dict(counter) for name, counter in self._seen.items()},
            "fingerprints": b64encode(self._fingerprints).decode(),
        }

    def _name(self, reason: Reason, row: NamedRow) -> None:
        entry = self._named.setdefault(reason, {"count": 0, "rows": []})
        entry["count"] += 1
        if len(entry["rows"]) < ROWS_NAMED:
            entry["rows"].append(row)

    def _count(self, facts: ImageFacts) -> None:
        bits = facts.bits or facts.stated_bits
        seen = {
            "sizes": f"{facts.height} x {facts.width}" if facts.height else "",
            "forms": facts.form,
            "frames": str(facts.frames),
            "bits": str(bits) if bits else "",
            "photometrics": facts.photometric,
            "intents": facts.intent,
            "windows": facts.window,
        }
        for name, value in seen.items():
            if value:
                self._seen[name][value] += 1
