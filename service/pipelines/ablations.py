"""What a worker's child computes for each stage of an ablation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from service.db.ablations import finished_ablated, finished_outputs, job_of_ablation, request_of
from service.db.session import Sessions, transaction
from service.db.work import finished_shards
from service.domain.ablations import AblationRequest, AblationResult, AblationStage
from service.domain.groups import group_images
from service.domain.json_values import JsonObject
from service.domain.probes import ProbeItem
from service.domain.work import AblationLease, FinishedItem, OutputsResult, ShardResult, StoredArtifact
from service.engine.ablation.conclusion import conclude
from service.engine.ablation.holding import held_at
from service.engine.ablation.passes import AblationPass
from service.engine.ablation.stored import StoredOutputs, encode_ablated, encode_outputs, merged_means, read_ablated
from service.engine.scoring import SEED
from service.pipelines.artifacts import Artifact, Artifacts
from service.pipelines.job_plan import JobPlan, JobPlans
from service.pipelines.keys import ablated_key, device_name, outputs_key
from service.pipelines.network_cache import NetworkCache
from service.pipelines.shown_items import items_as_shown, shown_items, with_items
from service.probes.images import open_images

ReportProgress = Callable[[int], None]
_RESULT = TypeAdapter(AblationResult)


class AblationRunner:
    """Computes the items of ablations on the networks and plans of a worker; it changes no job."""

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

    def run(self, lease: AblationLease, report_progress: ReportProgress) -> JsonObject:
        """Do an item. Raises NoOutputs for networks that cannot be asked, and what showing images raises."""
        with transaction(self._sessions) as session:
            job_id = job_of_ablation(session, lease.ablation_id)
            request = request_of(session, lease.ablation_id)
            probed = finished_shards(session, job_id)
            outputs = finished_outputs(session, lease.ablation_id)
            ablated = finished_ablated(session, lease.ablation_id)

        plan = self._plans.of(job_id, report_progress)
        work = _Work(self._artifacts, self._networks, self._device, plan, request, probed, report_progress)
        match lease.stage:
            case AblationStage.OUTPUTS:
                return work.show(lease.position)
            case AblationStage.ABLATE:
                return work.ablate(lease.position, outputs)
            case AblationStage.CONCLUDE:
                return work.conclude(outputs, ablated)


@dataclass(frozen=True)
class _Work:
    """An ablation in the hands of a worker."""

    artifacts: Artifacts
    networks: NetworkCache
    device: torch.device
    plan: JobPlan
    request: AblationRequest
    probed: Sequence[FinishedItem[ShardResult]]
    """The job's shards, by position."""
    report_progress: ReportProgress

    def show(self, position: int) -> OutputsResult:
        """Show a shard to the network as it is."""
        key = outputs_key(self.plan, self.device, shard=self.probed[position].result["key"], layers=self._layers)
        artifact = self._outputs(position, key)
        stored = StoredOutputs(artifact.path)
        return {
            "key": artifact.key,
            "sha256": artifact.sha256,
            "output_of": stored.output_of,
            "outputs": stored.count,
            "used": len(stored.used),
        }

    def ablate(self, position: int, outputs: Sequence[FinishedItem[OutputsResult]]) -> StoredArtifact:
        """Show a shard with the units held: all of them, then each by itself where that was asked for."""
        digests = [item.result["sha256"] for item in outputs]
        shard = self.probed[position].result["key"]
        key = ablated_key(self.plan, self.device, shard=shard, outputs=digests, request=self.request)
        artifact = self._ablated(position, key, outputs)
        return {"key": artifact.key, "sha256": artifact.sha256}

    def conclude(
        self, outputs: Sequence[FinishedItem[OutputsResult]], ablated: Sequence[FinishedItem[StoredArtifact]]
    ) -> JsonObject:
        """Say what changed. Artifacts that are lost are computed again."""
        shards = self._stored_outputs(outputs)
        paths = [self._ablated(item.position, item.result["key"], outputs).path for item in ablated]
        before = np.concatenate([shard.outputs.numpy() for shard in shards])

        def read_after(number: int) -> NDArray[np.float32]:
            return np.concatenate([read_ablated(path, number).numpy() for path in paths])

        items = shown_items(self.plan, shards)
        result = conclude(
            self.request,
            before,
            read_after,
            group_images(items, self.plan.probe_set.independent),
            [item.findings for item in items],
            seed=SEED,
            output_of=outputs[0].result["output_of"],
            device=device_name(self.device),
            check_cancelled=lambda: self.report_progress(0),
        )
        stored: JsonObject = _RESULT.dump_python(result, mode="json")
        return stored

    @property
    def _layers(self) -> tuple[str, ...]:
        return tuple(layer.layer for layer in self.request.layers)

    def _outputs(self, position: int, key: str) -> Artifact:
        def show() -> bytes:
            items = items_as_shown(self.plan, self.probed[position])
            shard = self._pass(position, items).outputs(self.plan.shards[position], self.report_progress)
            return encode_outputs(shard, [item.sha256 for item in items])

        return self.artifacts.obtain(self.plan.job_id, key, kind="outputs", make=show)

    def _ablated(self, position: int, key: str, outputs: Sequence[FinishedItem[OutputsResult]]) -> Artifact:
        def ablate() -> bytes:
            shards = self._stored_outputs(outputs)
            held = held_at(self.request.layers, self.request.value, merged_means(shards))
            singles = [{layer: held[layer].of(unit)} for layer, unit in self.request.single_units]

            shown = self._pass(position, items_as_shown(self.plan, self.probed[position]))
            rows, used = shown.ablated(self.plan.shards[position], [held, *singles], self.report_progress)
            assert used == shards[position].used  # noqa: S101 - the same images by the same decoders
            return encode_ablated(rows)

        return self.artifacts.obtain(self.plan.job_id, key, kind="ablated", make=ablate)

    def _stored_outputs(self, outputs: Sequence[FinishedItem[OutputsResult]]) -> list[StoredOutputs]:
        return [StoredOutputs(self._outputs(item.position, item.result["key"]).path) for item in outputs]

    def _pass(self, position: int, items: Sequence[ProbeItem]) -> AblationPass:
        images = open_images(with_items(self.plan.probe_set, self.plan.shards[position], items), digested=True)
        return AblationPass(
            target=self.networks.target(self.plan.target, self.plan.request.options.layers),
            images=images,
            layers=self._layers,
            device=self.device,
            batch_size=self.plan.request.batch_size,
            on_unreadable=self.plan.probe_set.on_unreadable,
        )
