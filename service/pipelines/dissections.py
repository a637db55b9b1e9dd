"""What a worker's child computes for each stage of a dissection: a probe shard, a scored layer, the whole result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import safetensors.torch
import torch
from torch import Tensor

from service.analysis.conclusions import conclude
from service.analysis.layer_codec import decode_layer, encode_layer
from service.db.session import Sessions, transaction
from service.db.work import finished_layers, finished_shards
from service.domain.checks import NamedRow, Reason, SetCheck, counts_of_windows, rows_of, warning_of_windows
from service.domain.evidence import JobEvidence
from service.domain.manifests import JobManifest
from service.domain.neurons import LayerDissection
from service.domain.probes import ProbeItem, ProbeSet
from service.domain.work import DissectionResult, FinishedItem, ShardResult, StoredArtifact, StoredLayer
from service.engine.evidence.job import job_evidence
from service.engine.evidence.layer_directions import encode_directions
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.networks.protocols import Target
from service.engine.probing.probe import Probing, ProbingPass, kept_top, merge_records
from service.engine.probing.shards import StoredShard, activations_of, encode_shard
from service.engine.prompting import embed_concept_set
from service.engine.scoring import check_enough_images, score_layer
from service.pipelines.artifacts import Artifact, Artifacts
from service.pipelines.finish import TEXTS
from service.pipelines.job_plan import JobPlan
from service.pipelines.kept_context import KeptContext
from service.pipelines.keys import directions_key, layer_key, pictures_key, shard_key, texts_key
from service.pipelines.localisation import localise_units
from service.pipelines.manifest import ShownImages, describe, with_no_concept
from service.pipelines.network_cache import NetworkCache
from service.pipelines.picture_codec import encode_pictures
from service.pipelines.regions import places_of_cards, regions_of_cards
from service.pipelines.replay import compare_with_original
from service.pipelines.shown_items import items_as_shown, items_of_shard, with_items
from service.ports import ProbeImages
from service.probes.images import open_images
from service.probes.manifest import digest_images, with_digests
from service.reports.pictures import pictured_images
from service.reports.thumbnails import Thumbnails
from service.usecases.checks import check_of

_NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class DissectionWork:
    """An item of a dissection in the hands of a worker: it changes no job, and what it read is kept for that item."""

    sessions: Sessions
    artifacts: Artifacts
    networks: NetworkCache
    device: torch.device
    plan: JobPlan

    kept_context: KeptContext
    """What the layers of the worker's last job were scored with."""

    most_activations: int
    """Bytes that the activations of a job's layers and images may take together."""

    report_progress: Callable[[int], None]
    """Told how many of the item's images are done; what it raises ends the item."""

    def probe(self, position: int) -> ShardResult:
        """Show a shard to both networks."""
        plan = self.plan
        span = plan.shards[position]
        items = with_digests(items_of_shard(plan, position), plan.probe_set.roots)
        images_digest = digest_images(items)

        probing_pass = self._pass(open_images(plan.probe_set), with_rows=True)
        key_of = partial(
            shard_key,
            plan,
            probing_pass.target,
            probing_pass.dissector,
            self.device,
            images=images_digest,
            layers=probing_pass.layers,
            rows=probing_pass.digest_of_rows(span),
        )
        artifact = self._new_shard(position, key_of, items)
        shard = StoredShard(artifact.path)

        return {
            "key": artifact.key,
            "sha256": artifact.sha256,
            "layers": list(shard.layers),
            "used": len(shard.used),
            "skipped_rows": [plan.probe_set.items[span[index]].row for index in shard.skipped],
            "images": images_digest,
            "every_activation": shard.has_every_activation,
        }

    def score(self, layer: str) -> StoredArtifact:
        """Name a layer's units, and fit their directions where all activations were kept."""
        key = layer_key(
            self.plan,
            self.device,
            layer=layer,
            shards=[shard.result["sha256"] for shard in self._probed],
            concept_embeddings=texts_key(self.plan, self.networks.dissector(self.plan.dissector), self.device),
        )
        artifact = self._layer(layer, key)
        self._directions(layer)
        return {"key": artifact.key, "sha256": artifact.sha256}

    def store(self) -> DissectionResult:
        """Find out what the result says beside its layers. Artifacts that are lost are computed again."""
        plan = self.plan
        used = sum(shard.result["used"] for shard in self._probed)
        check_enough_images(used, plan.request.options.method)

        stored_layers: list[StoredLayer] = []
        stored_directions: list[StoredLayer] = []
        dissections: list[LayerDissection] = []
        for item in self._scored():
            artifact = self._layer(str(item.label), item.result["key"])
            stored_layers.append({"layer": str(item.label), "key": artifact.key, "sha256": artifact.sha256})
            dissections.append(decode_layer(artifact.path.read_bytes()))

            directions = self._directions(str(item.label))
            if directions is not None:
                stored_directions.append({"layer": str(item.label), "key": directions.key, "sha256": directions.sha256})
        results = {layer["layer"]: layer["sha256"] for layer in stored_layers}

        # Only the shards say which images were shown, and as which files.
        shown_set = replace(plan.probe_set, items=tuple(self._context.items))
        evidence = with_no_concept(job_evidence(self._context), plan.findings)
        probing_pass = self._pass(open_images(shown_set))
        manifest = self._manifest(probing_pass, used, results, evidence)

        allowed_error = plan.request.options.evidence.allowed_error
        judged, judged_evidence = conclude(dissections, evidence, plan.concept_set, allowed_error)
        embeddings = self._stored_texts()
        pictures = self._pictures(shown_set, judged, judged_evidence)

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
                judged, plan.findings, probing_pass, shown_set, asked, check_cancelled=self._check_cancelled
            )
            manifest["localisation"] = localised.entry
            result["localisations"] = localised.as_json()
        return result

    def _manifest(
        self, probing_pass: ProbingPass, used: int, results: dict[str, str], evidence: JobEvidence | None
    ) -> JobManifest:
        plan = self.plan
        shown_images = ShownImages(
            shard_size=plan.request.shard_size,
            digests=[shard.result["images"] for shard in self._probed],
            used=used,
            skipped_rows=[row for shard in self._probed for row in shard.result["skipped_rows"]],
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
        if self._context.why_no_activations is not None:
            manifest["activations"] = self._context.why_no_activations
        if plan.source is not None:
            manifest["target"]["source"] = plan.source
        self._note_windows(manifest, probing_pass)
        skipped_why = self._skipped_why(shown_images.skipped_rows)
        if skipped_why:
            manifest["skipped_why"] = skipped_why
        if plan.request.purpose is not None:
            manifest = {**manifest, **plan.request.purpose.as_dict()}
        if plan.replay_of is not None:
            manifest["replay"] = compare_with_original(self.sessions, plan.replay_of, results)
        return manifest

    def _skipped_why(self, skipped_rows: Sequence[int]) -> list[NamedRow]:
        check = self._check() if skipped_rows else None
        skipped = set(skipped_rows)
        named = [] if check is None else rows_of(check, Reason.UNREADABLE)
        return [row for row in named if row["row"] in skipped]

    def _note_windows(self, manifest: JobManifest, probing_pass: ProbingPass) -> None:
        """Say how many images have no VOI window, where one is asked for and the set was checked."""
        networks = {"target": probing_pass.target.preprocessing, "dissector": probing_pass.dissector.preprocessing}
        asked_by = " and ".join(name for name, contract in networks.items() if contract.window == "voi")
        check = self._check() if asked_by else None
        counts = None if check is None else counts_of_windows(check)
        if counts is None:
            return

        entry = manifest["probe_set"]
        entry["windows"] = counts
        warning = warning_of_windows(counts, asked_by)
        if warning is not None:
            entry["warnings"] = [*entry.get("warnings", []), warning]

    def _check(self) -> SetCheck | None:
        with transaction(self.sessions) as session:
            return check_of(session, self.plan.checked_set_id)

    def _check_cancelled(self) -> None:
        self.report_progress(0)

    @cached_property
    def _probed(self) -> list[FinishedItem[ShardResult]]:
        """The shards of the job, which all have been probed."""
        with transaction(self.sessions) as session:
            return finished_shards(session, self.plan.job_id)

    def _scored(self) -> list[FinishedItem[StoredArtifact]]:
        with transaction(self.sessions) as session:
            return finished_layers(session, self.plan.job_id)

    def _new_shard(self, position: int, key_of: Callable[..., str], items: Sequence[ProbeItem]) -> Artifact:
        """The shard as some job has stored it, with all activations if there may be one such; otherwise a new one.

        key_of: the key of the shard, by `every_activation`. Only a pass tells how many units the layers have, and so
        whether their activations may be kept.
        """
        job_id = self.plan.job_id
        whole = self.artifacts.find(job_id, key_of(every_activation=True), kind="shard")
        if whole is not None:
            return whole

        largest = self.artifacts.find(job_id, key_of(every_activation=False), kind="shard")
        if largest is not None:
            needed = 4 * len(self.plan.probe_set.items) * StoredShard(largest.path).units
            if needed > self.most_activations:
                return largest

        probing = self._probing(position, items, self.most_activations)
        data = encode_shard(probing, [item.sha256 for item in items])
        key = key_of(every_activation=probing.has_every_activation)
        return self.artifacts.keep(job_id, key, kind="shard", data=data)

    @cached_property
    def _shards(self) -> list[StoredShard]:
        artifacts = [self._shard(item) for item in self._probed]
        return [StoredShard(artifact.path) for artifact in artifacts]

    def _shard(self, item: FinishedItem[ShardResult]) -> Artifact:
        """A shard of the job; where it is lost, it is made again as it was."""

        def probe() -> bytes:
            items = items_as_shown(self.plan, item)
            most_activations = _NO_LIMIT if item.result.get("every_activation", True) else 0
            probing = self._probing(item.position, items, most_activations)
            return encode_shard(probing, [shown.sha256 for shown in items])

        return self.artifacts.obtain(self.plan.job_id, item.result["key"], kind="shard", make=probe)

    def _probing(self, position: int, items: Sequence[ProbeItem], most_activations: int) -> Probing:
        """Show the items of a shard, which have their files' digests, to both networks."""
        span = self.plan.shards[position]
        images = open_images(with_items(self.plan.probe_set, span, items), digested=True)
        probing_pass = self._pass(images, with_rows=True)
        return replace(probing_pass, most_activations=most_activations).run(span, self.report_progress)

    def _layer(self, layer: str, key: str) -> Artifact:
        """The shards and the texts are asked for only where the layer has to be scored."""

        def score() -> bytes:
            context = self._context
            check_enough_images(len(context.items), self.plan.request.options.method)
            filled = [shard for shard in self._shards if shard.layers]
            record = merge_records((shard.record(layer) for shard in filled), kept_top(self.plan.request.options))
            return encode_layer(score_layer(layer, record, context))

        return self.artifacts.obtain(self.plan.job_id, key, kind="layer", make=score)

    def _directions(self, layer: str) -> Artifact | None:
        """The directions of a layer's units; None where not all activations were kept."""
        probed = self._probed
        if not all(shard.result.get("every_activation", False) for shard in probed if shard.result["layers"]):
            return None

        def fit() -> bytes:
            return encode_directions(activations_of(self._shards, layer), self._context)

        key = directions_key(self.plan, self.device, layer=layer, shards=[shard.result["sha256"] for shard in probed])
        return self.artifacts.obtain(self.plan.job_id, key, kind="directions", make=fit)

    @cached_property
    def _context(self) -> ScoringContext:
        digests = [shard.result["sha256"] for shard in self._probed]
        return self.kept_context.of(self.plan, digests, self._shards, self._texts, self.report_progress)

    def _pictures(self, shown: ProbeSet, layers: Sequence[LayerDissection], evidence: JobEvidence | None) -> Artifact:
        places = pictured_images(layers, self.plan.concept_set, evidence)
        contract = self._target().preprocessing

        def draw() -> bytes:
            thumbnails = Thumbnails(shown, contract)
            pictures = {}
            for place in places:
                self._check_cancelled()
                pictures[place] = thumbnails(place)
            return encode_pictures(pictures)

        image_digests = [shard.result["images"] for shard in self._probed]
        key = pictures_key(self.plan, self.device, images=image_digests, places=places, contract=contract)
        return self.artifacts.obtain(self.plan.job_id, key, kind="pictures", make=draw)

    def _texts(self) -> Tensor:
        """The concepts' embeddings, float32 [C, D], on the device."""
        embeddings: Tensor = safetensors.torch.load_file(self._stored_texts().path)[TEXTS]
        return embeddings.to(self.device)

    def _stored_texts(self) -> Artifact:
        dissector = self.networks.dissector(self.plan.dissector)

        def embed() -> bytes:
            prompts = self.plan.request.options.method.prompts
            embeddings = embed_concept_set(dissector, self.plan.concept_set, prompts).cpu().contiguous()
            data: bytes = safetensors.torch.save({TEXTS: embeddings})
            return data

        key = texts_key(self.plan, dissector, self.device)
        return self.artifacts.obtain(self.plan.job_id, key, kind="texts", make=embed)

    def _pass(self, images: ProbeImages, *, with_rows: bool = False) -> ProbingPass:
        """with_rows: the images are those of the whole probe set, whose rows in a table the plan knows."""
        target = self._target()
        return ProbingPass(
            target=target,
            dissector=self.networks.dissector(self.plan.dissector),
            images=images,
            options=self.plan.request.options,
            device=self.device,
            batch_size=self.plan.request.batch_size,
            on_unreadable=self.plan.probe_set.on_unreadable,
            match=self.plan.match_of(target) if with_rows else None,
        )

    def _target(self) -> Target:
        return self.networks.target(self.plan.target, self.plan.request.options.layers)
