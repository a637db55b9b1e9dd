"""The check of a whole probe set in one process, as workers do it piece by piece."""

from collections.abc import Callable

from service.domain.checks import IMAGES_AT_ONCE, SetCheck
from service.domain.probes import ProbeSet
from service.probes.checking.look import look_at
from service.probes.checking.tally import tally


def check_images(probe_set: ProbeSet, progress: Callable[[int], None] = lambda _: None) -> SetCheck:
    """Decode every image once, and say what they are.

    probe_set: not cut into patches. progress: told how many images are done.
    Raises FileOutOfReach where the disk or the machine fails.
    """
    shards = []
    for start in range(0, len(probe_set.items), IMAGES_AT_ONCE):

        def report(done: int, before: int = start) -> None:
            progress(before + done)

        items = probe_set.items[start : start + IMAGES_AT_ONCE]
        shards.append(look_at(items, probe_set.roots, report, probe_set.frames))
    return tally(probe_set, shards)
