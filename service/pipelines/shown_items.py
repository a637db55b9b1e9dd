"""The probe items of a job's shards, as the job showed them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from service.domain.probes import ProbeItem, ProbeSet
from service.domain.work import FinishedItem, ShardResult
from service.errors import ImageChanged
from service.pipelines.job_plan import JobPlan
from service.probes.manifest import digest_images, with_digests


def items_as_shown(plan: JobPlan, shard: FinishedItem[ShardResult]) -> Sequence[ProbeItem]:
    """The items of a shard that is lost. Raises ImageChanged where it cannot be made again from the same images."""
    items = with_digests(items_of_shard(plan, shard.position), plan.probe_set.roots)
    if digest_images(items) != shard.result["images"]:
        raise ImageChanged(
            f"The images of manifest rows {items[0].row} to {items[-1].row} have to be read again, and some of them "
            "have changed since the job read them.",
            field="images",
            value=f"rows {items[0].row} to {items[-1].row}",
            remedy="Put the images back, or submit the job again.",
        )
    return items


class _ShownShard(Protocol):
    """What a shard says of its images."""

    used: list[int]
    """Positions of the images that were shown, among the shard's probe items."""

    @property
    def digests(self) -> list[str | None]:
        """Of each of them, the SHA-256 (hex) of its file; None where that is not known."""
        ...


def shown_items(plan: JobPlan, shards: Sequence[_ShownShard]) -> list[ProbeItem]:
    """The probe items that were shown, in order, with their files' digests. shards: all of the job's."""
    items = plan.probe_set.items
    shown = []
    for span, shard in zip(plan.shards, shards, strict=True):
        for index, digest in zip(shard.used, shard.digests, strict=True):
            shown.append(replace(items[span[index]], sha256=digest))
    return shown


def with_items(probe_set: ProbeSet, span: range, items: Sequence[ProbeItem]) -> ProbeSet:
    """The probe set with other items in that span."""
    before = probe_set.items[: span.start]
    after = probe_set.items[span.stop :]
    return replace(probe_set, items=(*before, *items, *after))


def items_of_shard(plan: JobPlan, position: int) -> Sequence[ProbeItem]:
    """The items of a shard, as the manifest has them."""
    span = plan.shards[position]
    return plan.probe_set.items[span.start : span.stop]
