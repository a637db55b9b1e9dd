"""What a worker's child computes for each stage of a dissection: a probe shard, a scored layer, the whole result."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import safetensors.torch
from torch import Tensor

from service.analysis.conclusions import conclude
from service.analysis.layer_codec import decode_layer, encode_layer
from service.config import Settings
from service.db.session import Sessions, open_sessions, transaction
from service.db.work import finished_layers, finished_shards
from service.domain.checks import NamedRow, Reason, counts_of_windows, rows_of, warning_of_windows
from service.domain.evidence import JobEvidence
from service.domain.jobs import Stage
from service.domain.json_values import JsonObject
from service.domain.manifests import JobManifest
from service.domain.neurons import LayerDissection
from service.domain.probes import ProbeItem, ProbeSet
from service.domain.work import (
    AblationLease,
    AnyLease,
    DissectionResult,
    FinishedItem,
    Preparation,
    PreparationLease,
    ShardResult,
    StoredArtifact,
    StoredLayer,
)
from service.engine.evidence.job import job_evidence
from service.engine.evidence.layer_directions import encode_directions
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.networks.protocols import Target, choose_device
from service.engine.probing.probe import Probing, ProbingPass, kept_top, merge_records
from service.engine.probing.shards import StoredShard, activations_of, encode_shard
from service.engine.prompting import embed_concept_set
from service.engine.scoring import check_enough_images, score_layer
from service.files import data_roots
from service.pipelines.ablations import AblationRunner
from service.pipelines.artifacts import Artifact, Artifacts
from service.pipelines.finish import TEXTS
from service.pipelines.job_plan import JobPlan, JobPlans
from service.pipelines.kept_context import KeptContext
from service.pipelines.keys import directions_key, layer_key, pictures_key, shard_key, texts_key
from service.pipelines.listing import list_images
from service.pipelines.localisation import localise_units
from service.pipelines.manifest import ShownImages, describe, with_no_concept
from service.pipelines.network_cache import NetworkCache
from service.pipelines.picture_codec import encode_pictures
from service.pipelines.prepare import ProbeSetChecks, inspect, measure_probe_set
from service.pipelines.reading_texts import ConceptReadings
from service.pipelines.regions import places_of_cards, regions_of_cards
from service.pipelines.replay import compare_with_original
from service.pipelines.shown_items import items_as_shown, items_of_shard, with_items
from service.ports import ProbeImages
from service.probes.images import open_images
from service.probes.manifest import digest_images, with_digests
from service.reports.pictures import pictured_images
from service.reports.thumbnails import Thumbnails
from service.sources.cache import cache_folder
from service.storage import open_store
from service.usecases.checks import check_of

ReportProgress = Callable[[int], None]

_NO_LIMIT = 1 << 62

Probed = Sequence[FinishedItem[ShardResult]]
"""The shards of a job, which all have been probed."""


def open_runner(settings: Settings) -> "DissectionRunner":
    """The runner of real dissections. Raises InvalidInput for settings that cannot be used."""
    return DissectionRunner(settings, open_sessions(settings.database_url, pool_size=1))


class DissectionRunner:
    """See `ItemRunner`. It changes no job: what it stores is addressed by content, so a repetition does no harm."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._sessions = sessions
        self._artifacts = Artifacts(self._sessions, open_store(settings.artifacts_url))
        self._device = choose_device(settings.device)
        self.networks = NetworkCache(self._device, settings.model_cache_mb << 20)
        self._roots = data_roots(settings)
        self._fetched_files = cache_folder(settings)
        self._packages = settings.architecture_packages_named
        self._most_activations = settings.activations_gb << 30
        self._kept_context = KeptContext()
        self._checks = ProbeSetChecks(self._sessions, self._roots)
        self._plans = JobPlans(self._sessions, self._roots, self._fetched_files, self._packages)
        self._ablations = AblationRunner(self._sessions, self._artifacts, self.networks, self._plans, self._device)

    def run(self, lease: AnyLease, report_progress: ReportProgress, /) -> JsonObject:
        """See `ItemRunner.run`."""
        if isinstance(lease, PreparationLease):
            return self._prepare(lease, report_progress)
        if isinstance(lease, AblationLease):
            return self._ablations.run(lease, report_progress)

        plan = self._plans.of(lease.job_id, report_progress)
        match lease.stage:
            case Stage.PROBE:
                self._kept_context.forget()
                return self._probe(plan, lease.position, report_progress)
            case Stage.SCORE:
                return self._score(plan, str(lease.label), report_progress)
            case Stage.STORE:
                return self._store(plan, report_progress)
        raise ValueError(f"there are no items of stage {lease.stage}")

    def _prepare(self, lease: PreparationLease, report_progress: ReportProgress) -> JsonObject:
        if lease.stage is Preparation.INSPECT:
            return inspect(
                self._sessions,
                self._roots,
                self._fetched_files,
                self._device,
                lease.resource_id,
                packages=self._packages,
            )
        if lease.stage is Preparation.READ:
            ConceptReadings(self._sessions, self._roots, self.networks, self._device).read(
                lease.resource_id, report_progress
            )
            return {}
        if lease.stage is Preparation.LIST:
            return list_images(self._sessions, self._roots, lease.resource_id, report_progress)
        if lease.stage is Preparation.CHECK:
            return self._checks.check(lease.resource_id, lease.position, report_progress)
        if lease.stage is Preparation.TALLY:
            return self._checks.tally(lease.resource_id, report_progress)
        return measure_probe_set(self._sessions, self._roots, lease.resource_id, report_progress)

    def _probe(self, plan: JobPlan, position: int, report_progress: ReportProgress) -> ShardResult:
        items = with_digests(items_of_shard(plan, position), plan.probe_set.roots)
        images_digest = digest_images(items)

        probing_pass = self._pass(plan, open_images(plan.probe_set), with_rows=True)
        key_of = partial(
            shard_key,
            plan,
            probing_pass.target,
            probing_pass.dissector,
            self._device,
            images=images_digest,
            layers=probing_pass.layers,
            rows=probing_pass.digest_of_rows(plan.shards[position]),
        )
        artifact = self._new_shard(plan, position, key_of, items, report_progress)
        shard = StoredShard(artifact.path)

        span = plan.shards[position]
        return {
            "key": artifact.key,
            "sha256": artifact.sha256,
            "layers": list(shard.layers),
            "used": len(shard.used),
            "skipped_rows": [plan.probe_set.items[span[index]].row for index in shard.skipped],
            "images": images_digest,
            "every_activation": shard.has_every_activation,
        }

    def _score(self, plan: JobPlan, layer: str, report_progress: ReportProgress) -> StoredArtifact:
        probed = self._probed(plan)
        key = layer_key(
            plan,
            self._device,
            layer=layer,
            shards=[shard.result["sha256"] for shard in probed],
            concept_embeddings=texts_key(plan, self.networks.dissector(plan.dissector), self._device),
        )
        artifact = self._layer(plan, layer, key, probed, report_progress)
        self._directions(plan, layer, probed, report_progress)
        return {"key": artifact.key, "sha256": artifact.sha256}

    def _store(self, plan: JobPlan, report_progress: ReportProgress) -> DissectionResult:
        probed = self._probed(plan)
        used = sum(shard.result["used"] for shard in probed)
        check_enough_images(used, plan.request.options.method)

        stored_layers: list[StoredLayer] = []
        stored_directions: list[StoredLayer] = []
        dissections: list[LayerDissection] = []
        for item in self._scored(plan):
            artifact = self._layer(plan, str(item.label), item.result["key"], probed, report_progress)
            stored_layers.append({"layer": str(item.label), "key": artifact.key, "sha256": artifact.sha256})
            dissections.append(decode_layer(artifact.path.read_bytes()))

            directions = self._directions(plan, str(item.label), probed, report_progress)
            if directions is not None:
                stored_directions.append({"layer": str(item.label), "key": directions.key, "sha256": directions.sha256})
        results = {layer["layer"]: layer["sha256"] for layer in stored_layers}

        # Only the shards say which images were shown, and as which files.
        shards = self._shards(plan, probed, report_progress)
        context = self._context(plan, probed, shards, report_progress)
        shown_set = replace(plan.probe_set, items=tuple(context.items))
        evidence = with_no_concept(job_evidence(context), plan.findings)

        probing_pass = self._pass(plan, open_images(shown_set))
        shown_images = ShownImages(
            shard_size=plan.request.shard_size,
            digests=[shard.result["images"] for shard in probed],
            used=used,
            skipped_rows=[row for shard in probed for row in shard.result["skipped_rows"]],
        )

        manifest = describe(
            probing_pass,
            plan.probe_set,
            plan.concept_set,
            options=plan.request.options,
            shown=shown_images,
            results=results,
            evidence=evidence,
            findings=plan.findings,
        )
        if context.why_no_activations is not None:
            manifest["activations"] = context.why_no_activations
        if plan.source is not None:
            manifest["target"]["source"] = plan.source
        self._note_windows(manifest, plan, probing_pass)
        skipped_why = self._skipped_why(plan, shown_images.skipped_rows)
        if skipped_why:
            manifest["skipped_why"] = skipped_why
        if plan.request.purpose is not None:
            manifest = {**manifest, **plan.request.purpose.as_dict()}
        if plan.replay_of is not None:
            manifest["replay"] = compare_with_original(self._sessions, plan.replay_of, results)

        allowed_error = plan.request.options.evidence.allowed_error
        judged, judged_evidence = conclude(dissections, evidence, plan.concept_set, allowed_error)
        embeddings = self._stored_texts(plan)
        pictures = self._pictures(plan, shown_set, judged, judged_evidence, probed, report_progress)

        result: DissectionResult = {
            "layers": stored_layers,
            "manifest": manifest,
            "regions": regions_of_cards(judged, plan.concept_set, judged_evidence, probing_pass),
            "places": places_of_cards(judged, plan.concept_set, judged_evidence, probing_pass, shown_set),
            "texts": {"key": embeddings.key, "sha256": embeddings.sha256},
            "pictures": {"key": pictures.key, "sha256": pictures.sha256},
            "directions": stored_directions,
        }

        asked = plan.request.options.localisation
        if asked is not None:
            localised = localise_units(
                judged,
                plan.findings,
                probing_pass,
                shown_set,
                asked,
                check_cancelled=lambda: report_progress(0),
            )
            manifest["localisation"] = localised.entry
            result["localisations"] = localised.as_json()
        return result

    def _skipped_why(self, plan: JobPlan, skipped_rows: Sequence[int]) -> list[NamedRow]:
        if not skipped_rows:
            return []
        with transaction(self._sessions) as session:
            check = check_of(session, plan.checked_set_id)
        skipped = set(skipped_rows)
        named = [] if check is None else rows_of(check, Reason.UNREADABLE)
        return [row for row in named if row["row"] in skipped]

    def _note_windows(self, manifest: JobManifest, plan: JobPlan, probing_pass: ProbingPass) -> None:
        """Say how many images have no VOI window, where one is asked for and the set was checked."""
        networks = {"target": probing_pass.target.preprocessing, "dissector": probing_pass.dissector.preprocessing}
        asked_by = " and ".join(name for name, contract in networks.items() if contract.window == "voi")
        if not asked_by:
            return

        with transaction(self._sessions) as session:
            check = check_of(session, plan.checked_set_id)
        counts = None if check is None else counts_of_windows(check)
        if counts is None:
            return

        entry = manifest["probe_set"]
        entry["windows"] = counts
        warning = warning_of_windows(counts, asked_by)
        if warning is not None:
            entry["warnings"] = [*entry.get("warnings", []), warning]

    def _probed(self, plan: JobPlan) -> Probed:
        with transaction(self._sessions) as session:
            return finished_shards(session, plan.job_id)

    def _scored(self, plan: JobPlan) -> list[FinishedItem[StoredArtifact]]:
        with transaction(self._sessions) as session:
            return finished_layers(session, plan.job_id)

    def _new_shard(
        self,
        plan: JobPlan,
        position: int,
        key_of: Callable[..., str],
        items: Sequence[ProbeItem],
        report_progress: ReportProgress,
    ) -> Artifact:
        """The shard as some job has stored it, with all activations if there may be one such; otherwise a new one.

        key_of: the key of the shard, by `every_activation`. Only a pass tells how many units the layers have, and so
        whether their activations may be kept.
        """
        whole = self._artifacts.find(plan.job_id, key_of(every_activation=True), kind="shard")
        if whole is not None:
            return whole

        largest = self._artifacts.find(plan.job_id, key_of(every_activation=False), kind="shard")
        if largest is not None:
            needed = 4 * len(plan.probe_set.items) * StoredShard(largest.path).units
            if needed > self._most_activations:
                return largest

        probing = self._probing(plan, position, items, report_progress, self._most_activations)
        data = encode_shard(probing, [item.sha256 for item in items])
        key = key_of(every_activation=probing.has_every_activation)
        return self._artifacts.keep(plan.job_id, key, kind="shard", data=data)

    def _shard(self, plan: JobPlan, item: FinishedItem[ShardResult], report_progress: ReportProgress) -> Artifact:
        """A shard of the job; where it is lost, it is made again as it was."""

        def probe() -> bytes:
            items = items_as_shown(plan, item)
            most_activations = _NO_LIMIT if item.result.get("every_activation", True) else 0
            probing = self._probing(plan, item.position, items, report_progress, most_activations)
            return encode_shard(probing, [shown.sha256 for shown in items])

        return self._artifacts.obtain(plan.job_id, item.result["key"], kind="shard", make=probe)

    def _probing(
        self,
        plan: JobPlan,
        position: int,
        items: Sequence[ProbeItem],
        report_progress: ReportProgress,
        most_activations: int,
    ) -> Probing:
        """Show the items of a shard, which have their files' digests, to both networks."""
        span = plan.shards[position]
        images = open_images(with_items(plan.probe_set, span, items), digested=True)
        probing_pass = self._pass(plan, images, with_rows=True)
        return replace(probing_pass, most_activations=most_activations).run(span, report_progress)

    def _layer(self, plan: JobPlan, layer: str, key: str, probed: Probed, report_progress: ReportProgress) -> Artifact:
        """The shards and the texts are asked for only where the layer has to be scored."""

        def score() -> bytes:
            shards = self._shards(plan, probed, report_progress)
            context = self._context(plan, probed, shards, report_progress)
            check_enough_images(len(context.items), plan.request.options.method)
            filled = [shard for shard in shards if shard.layers]
            record = merge_records((shard.record(layer) for shard in filled), kept_top(plan.request.options))
            return encode_layer(score_layer(layer, record, context))

        return self._artifacts.obtain(plan.job_id, key, kind="layer", make=score)

    def _directions(
        self, plan: JobPlan, layer: str, probed: Probed, report_progress: ReportProgress
    ) -> Artifact | None:
        """The directions of a layer's units; None where not all activations were kept."""
        if not all(shard.result.get("every_activation", False) for shard in probed if shard.result["layers"]):
            return None

        def fit() -> bytes:
            shards = self._shards(plan, probed, report_progress)
            context = self._context(plan, probed, shards, report_progress)
            return encode_directions(activations_of(shards, layer), context)

        key = directions_key(plan, self._device, layer=layer, shards=[shard.result["sha256"] for shard in probed])
        return self._artifacts.obtain(plan.job_id, key, kind="directions", make=fit)

    def _context(
        self, plan: JobPlan, probed: Probed, shards: list[StoredShard], report_progress: ReportProgress
    ) -> ScoringContext:
        digests = [shard.result["sha256"] for shard in probed]
        return self._kept_context.of(plan, digests, shards, lambda: self._texts(plan), report_progress)

    def _pictures(
        self,
        plan: JobPlan,
        shown: ProbeSet,
        layers: Sequence[LayerDissection],
        evidence: JobEvidence | None,
        probed: Probed,
        report_progress: ReportProgress,
    ) -> Artifact:
        places = pictured_images(layers, plan.concept_set, evidence)
        contract = self._target(plan).preprocessing

        def draw() -> bytes:
            thumbnails = Thumbnails(shown, contract)
            pictures = {}
            for place in places:
                report_progress(0)
                pictures[place] = thumbnails(place)
            return encode_pictures(pictures)

        image_digests = [shard.result["images"] for shard in probed]
        key = pictures_key(plan, self._device, images=image_digests, places=places, contract=contract)
        return self._artifacts.obtain(plan.job_id, key, kind="pictures", make=draw)

    def _shards(self, plan: JobPlan, probed: Probed, report_progress: ReportProgress) -> list[StoredShard]:
        artifacts = [self._shard(plan, item, report_progress) for item in probed]
        return [StoredShard(artifact.path) for artifact in artifacts]

    def _texts(self, plan: JobPlan) -> Tensor:
        """The concepts' embeddings, float32 [C, D], on the device."""
        embeddings: Tensor = safetensors.torch.load_file(self._stored_texts(plan).path)[TEXTS]
        return embeddings.to(self._device)

    def _stored_texts(self, plan: JobPlan) -> Artifact:
        dissector = self.networks.dissector(plan.dissector)

        def embed() -> bytes:
            prompts = plan.request.options.method.prompts
            embeddings = embed_concept_set(dissector, plan.concept_set, prompts).cpu().contiguous()
            data: bytes = safetensors.torch.save({TEXTS: embeddings})
            return data

        key = texts_key(plan, dissector, self._device)
        return self._artifacts.obtain(plan.job_id, key, kind="texts", make=embed)

    def _pass(self, plan: JobPlan, images: ProbeImages, *, with_rows: bool = False) -> ProbingPass:
        """with_rows: the images are those of the whole probe set, whose rows in a table the plan knows."""
        target = self._target(plan)
        return ProbingPass(
            target=target,
            dissector=self.networks.dissector(plan.dissector),
            images=images,
            options=plan.request.options,
            device=self._device,
            batch_size=plan.request.batch_size,
            on_unreadable=plan.probe_set.on_unreadable,
            match=plan.match_of(target) if with_rows else None,
        )

    def _target(self, plan: JobPlan) -> Target:
        return self.networks.target(plan.target, plan.request.options.layers)
