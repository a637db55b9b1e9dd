"""One dissection from specifications to result: what the command line runs, without a database."""

from dataclasses import dataclass, replace

from service.analysis.conclusions import conclude
from service.analysis.layer_codec import digest_of_layer
from service.analysis.outlines import with_localisations, with_places, with_regions
from service.concepts.findings import matches_in
from service.domain.concepts import ConceptSet
from service.domain.jobs import BATCH_SIZE, SHARD_SIZE, DissectionOptions, Progress, Stage
from service.domain.manifests import JobManifest
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection
from service.domain.probes import ProbeSet
from service.engine.architectures import open_target
from service.engine.dissect import dissect
from service.engine.dissectors import open_dissector
from service.engine.networks.protocols import choose_device
from service.engine.probing.probe import ProbingPass
from service.engine.probing.shards import shard_spans
from service.pipelines.localisation import localise_units
from service.pipelines.manifest import ShownImages, describe, with_no_concept
from service.pipelines.regions import places_of_cards, regions_of_cards
from service.ports import ProgressListener
from service.probes.images import open_images
from service.probes.manifest import digest_images, with_digests


@dataclass(frozen=True, slots=True)
class DissectionPlan:
    """Everything a dissection is made of."""

    target: TargetSpec
    dissector: DissectorSpec
    probe_set: ProbeSet
    concept_set: ConceptSet
    options: DissectionOptions
    device: str = "auto"
    batch_size: int = BATCH_SIZE
    shard_size: int = SHARD_SIZE


def run_dissection(plan: DissectionPlan, progress: ProgressListener) -> tuple[Dissection, JobManifest]:
    """Load both networks, show them the probe set, name the neurons.

    Returns the dissection and its manifest: the digests, parameters and versions that made it.
    Raises the errors of `open_target`, `open_dissector` and `dissect`.
    """
    progress(Progress(Stage.LOAD, 0, 3))

    device = choose_device(plan.device)
    target = open_target(plan.target, device, keep_layers=plan.options.layers or ())
    progress(Progress(Stage.LOAD, 1, 3))
    dissector = open_dissector(plan.dissector, device)
    progress(Progress(Stage.LOAD, 2, 3))

    items = with_digests(plan.probe_set.items, plan.probe_set.roots)
    digests = [digest_images(items[span.start : span.stop]) for span in shard_spans(len(items), plan.shard_size)]
    progress(Progress(Stage.LOAD, 3, 3))

    probing_pass = ProbingPass(
        target=target,
        dissector=dissector,
        images=open_images(replace(plan.probe_set, items=items), digested=True),
        options=plan.options,
        device=device,
        batch_size=plan.batch_size,
        on_unreadable=plan.probe_set.on_unreadable,
    )
    findings = matches_in(plan.concept_set, plan.probe_set)
    result = dissect(
        probing_pass,
        plan.concept_set,
        finding_of_concept=None if findings is None else findings.of_concept,
        independent=plan.probe_set.independent,
        shard_size=plan.shard_size,
        progress=progress,
    )

    evidence = with_no_concept(result.evidence, findings)
    layers, evidence = conclude(result.layers, evidence, plan.concept_set, plan.options.evidence.allowed_error)
    manifest = describe(
        probing_pass,
        plan.probe_set,
        plan.concept_set,
        options=plan.options,
        shown=ShownImages(plan.shard_size, digests, result.images_used, result.images_skipped),
        results={layer.layer: digest_of_layer(layer) for layer in result.layers},
        evidence=evidence,
        findings=findings,
    )
    used = replace(plan.probe_set, items=tuple(item for item in items if item.row not in result.images_skipped))
    regions = regions_of_cards(layers, plan.concept_set, evidence, probing_pass)
    places = places_of_cards(layers, plan.concept_set, evidence, probing_pass, used)
    outlined = with_places(with_regions(layers, regions), places)

    if plan.options.localisation is not None:
        localised = localise_units(outlined, findings, probing_pass, used, plan.options.localisation)
        manifest["localisation"] = localised.entry
        outlined = with_localisations(outlined, localised.as_json())
    return replace(result, layers=outlined, evidence=evidence), manifest
