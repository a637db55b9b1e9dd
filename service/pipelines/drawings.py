"""What a worker's child draws: one picture of a probe image, as the target was shown it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from service.db.drawings import asked_picture
from service.db.neurons import find_neuron
from service.db.session import Sessions, transaction
from service.db.work import finished_shards
from service.domain.json_values import JsonObject
from service.domain.neurons import LabelledNeuron, Region
from service.domain.pictures import PictureRequest, UnitMarks
from service.domain.probes import ImagePlace, ProbeItem
from service.domain.work import FinishedItem, PictureLease, ShardResult
from service.engine.networks.protocols import Target
from service.engine.probing.regions import Spot, find_map, region_of
from service.engine.probing.shards import StoredShard
from service.errors import ImageChanged, LeaseLost, PictureUnavailable, UnreadableImage
from service.pipelines.artifacts import Artifacts
from service.pipelines.job_plan import JobPlan, JobPlans
from service.pipelines.keys import picture_key
from service.pipelines.network_cache import NetworkCache
from service.pipelines.shown_items import items_as_shown
from service.probes.images import open_images, read_image
from service.probes.prepare import picture
from service.reports.drawings import draw

ReportProgress = Callable[[int], None]


class DrawingRunner:
    """Draws on the networks and plans of a worker; it changes no job."""

    def __init__(
        self,
        sessions: Sessions,
        artifacts: Artifacts,
        networks: NetworkCache,
        plans: JobPlans,
        device: torch.device,
    ) -> None:
        self._sessions = sessions
        self._artifacts = artifacts
        self._networks = networks
        self._plans = plans
        self._device = device

    def run(self, lease: PictureLease, report_progress: ReportProgress) -> JsonObject:
        """Draw the picture that an item is of.

        Raises LeaseLost where its job was deleted, PictureUnavailable where the image is gone, cannot be read or has
        changed, and FileOutOfReach.
        """
        with transaction(self._sessions) as session:
            asked = asked_picture(session, lease.picture_id)
            if asked is None:
                raise LeaseLost("The job of the picture was deleted.")
            job_id, request = asked
            marks = request.marks
            neuron = None if marks is None else find_neuron(session, job_id, marks.layer, marks.unit)
            shards = finished_shards(session, job_id)

        plan = self._plans.of(job_id, report_progress)
        drawing = _Drawing(self._artifacts, self._networks, self._device, plan, request, neuron, shards)
        try:
            return drawing.obtain()
        except (UnreadableImage, ImageChanged) as error:
            remedy = error.remedy or "Put the image back as it was."
            raise PictureUnavailable(error.detail, field="row", value=request.place.row, remedy=remedy) from error


@dataclass(frozen=True)
class _Drawing:
    """A picture in the hands of a worker."""

    artifacts: Artifacts
    networks: NetworkCache
    device: torch.device
    plan: JobPlan
    request: PictureRequest

    neuron: LabelledNeuron | None
    """Whose marks are drawn, if any are."""

    shards: Sequence[FinishedItem[ShardResult]]

    def obtain(self) -> JsonObject:
        """Find or draw the picture. Raises PictureUnavailable, UnreadableImage, ImageChanged and FileOutOfReach."""
        index = self._index()
        item = replace(self.plan.probe_set.items[index], sha256=self._digest(index), version=None)
        target = self.networks.target(self.plan.target, self.plan.request.options.layers)

        region = self._stored_region()
        key = picture_key(
            self.plan, self.device, target=target, request=self.request, image=str(item.sha256), region=region
        )
        artifact = self.artifacts.obtain(
            self.plan.job_id, key, kind="picture", make=lambda: self._draw(item, target, region)
        )
        return {"key": artifact.key, "sha256": artifact.sha256}

    def _draw(self, item: ProbeItem, target: Target, region: Region | None) -> bytes:
        marks = self.request.marks
        image = read_image(item, self.plan.probe_set.roots, target.preprocessing)
        pixels = picture(image, item.box, target.preprocessing)
        side = self.request.size.side
        if marks is None:
            return draw(pixels, side)

        needs_map = marks.heat or (marks.region and region is None)
        activations = self._map(item, target, marks) if needs_map else None
        if marks.region and region is None and activations is not None:
            region = region_of(torch.from_numpy(activations))
        if marks.heat and activations is None:
            raise PictureUnavailable(
                f"Layer '{marks.layer}' has no map over space: its output says nothing of where.",
                field="heat",
                value="true",
                remedy="Ask for the picture without `heat`.",
            )
        return draw(pixels, side, region=region, heat=activations if marks.heat else None)

    def _map(self, item: ProbeItem, target: Target, marks: UnitMarks) -> NDArray[np.float32] | None:
        images = open_images(replace(self.plan.probe_set, items=(item,)))
        return find_map(target, images, Spot(marks.layer, marks.unit, 0), device=self.device)

    def _stored_region(self) -> Region | None:
        """The region that the job's result has, where it is to be outlined; only neurons with a card have one."""
        marks = self.request.marks
        if marks is None or not marks.region or self.neuron is None:
            return None
        regions = (
            image.region
            for image in self.neuron.neuron.images
            if ImagePlace(image.row, image.box, image.frame) == self.request.place
        )
        return next(regions, None)

    def _index(self) -> int:
        """The item's place in the probe set. Raises PictureUnavailable for one that is not there."""
        place = self.request.place
        for index, item in enumerate(self.plan.probe_set.items):
            if item.row == place.row and (item.box, item.frame_number) == (place.box, place.frame):
                return index
        raise PictureUnavailable(
            f"The probe set has no such image or patch at manifest row {place.row}.", field="row", value=place.row
        )

    def _digest(self, index: int) -> str:
        """SHA-256 of the file that the job was shown. Raises ImageChanged and UnreadableImage where that is not there.

        A shard says so where it is still kept; else all its files are read, as all of them together have one digest.
        """
        size = self.plan.request.shard_size
        shard = self.shards[index // size]
        position = index % size

        stored = self.artifacts.find(self.plan.job_id, shard.result["key"], kind="shard")
        if stored is not None:
            kept = StoredShard(stored.path)
            digest_of = dict(zip(kept.used, kept.digests, strict=True))
            digest = digest_of.get(position)
        else:
            digest = items_as_shown(self.plan, shard)[position].sha256

        if digest is None:
            row = self.request.place.row
            raise UnreadableImage(f"The image of manifest row {row} could not be read by the job.", field="row")
        return digest
