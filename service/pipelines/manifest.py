"""The manifest of a dissection: the digests, parameters and versions that made it, enough to make it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import torch

from service.analysis.evidence_codec import encode_evidence
from service.domain.concepts import ConceptSet
from service.domain.digests import digest_of
from service.domain.evidence import JobEvidence
from service.domain.findings import FindingMatches, findings_entry
from service.domain.jobs import DissectionOptions
from service.domain.layers import words_of_layers
from service.domain.manifests import DissectorEntry, JobManifest, ProbeSetEntry, TargetEntry
from service.domain.probes import ProbeSet, stored_where
from service.domain.prompts import texts_of
from service.domain.table_targets import LIMITS, TableEntry
from service.engine.concept_texts import cut_texts
from service.engine.networks.protocols import Target
from service.engine.networks.recorded.matching import match_rows
from service.engine.probing.probe import ProbingPass
from service.engine.scoring import SEED
from service.pipelines.keys import device_name
from service.pipelines.versions import IMAGES, NETWORKS, SCORING, TEXTS, versions_of


@dataclass(frozen=True, slots=True)
class ShownImages:
    """What the networks were shown of a probe set."""

    shard_size: int
    """Items in each shard."""
    digests: Sequence[str]
    """Of each shard's image files."""
    used: int
    """How many images were shown."""
    skipped_rows: Sequence[int]
    """Rows of the manifest whose images could not be decoded."""


def describe(
    probing_pass: ProbingPass,
    probe_set: ProbeSet,
    concept_set: ConceptSet,
    *,
    options: DissectionOptions,
    shown: ShownImages,
    results: Mapping[str, str],
    evidence: JobEvidence | None,
    findings: FindingMatches | None,
) -> JobManifest:
    """What made a dissection.

    options: those of the scoring, which may be others than those of the pass.
    results: digest of each layer's neurons as canonical JSON, in the order of the dissection; q-values, which hang on
    all layers, are not part of it.
    findings: what those of the probe set mean; None where nothing is known of any image.
    """
    target = probing_pass.target
    dissector = probing_pass.dissector

    dissector_entry: DissectorEntry = {
        "digest": dissector.digest,
        "preprocessing": dissector.preprocessing.digest(),
    }
    if dissector.notes:
        dissector_entry["notes"] = list(dissector.notes)

    manifest: JobManifest = {
        "target": _target_entry(target, probe_set),
        "dissector": dissector_entry,
        "probe_set": _probe_set_entry(probe_set, shown),
        "concept_set": concept_set.digest,
        "layers": list(results),
        "layers_asked": words_of_layers(options.layers if options.layers_asked is None else options.layers_asked),
        "method": options.method.as_dict(),
        "concepts_per_neuron": options.concepts_per_neuron,
        "images_per_neuron": options.images_per_neuron,
        "images_used": shown.used,
        "rows_skipped": list(shown.skipped_rows),
        "batch_size": probing_pass.batch_size,
        "shard_size": shown.shard_size,
        "device": device_name(probing_pass.device),
        # Two processors of different kinds are both the device "cpu", and sum up in another order.
        "processor": {"instructions": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()},
        "precision": "float32",
        "seed": SEED,
        "versions": _versions(),
        "results": dict(results),
        "drawn": options.evidence.as_dict(),
        "evidence": encode_evidence(evidence),
    }
    texts_cut = cut_texts(dissector, [text for _, text in texts_of(concept_set, options.method.prompts)])
    if concept_set.notes:
        manifest["concept_notes"] = list(concept_set.notes)
    if texts_cut:
        manifest["texts_cut"] = texts_cut
    if findings is not None:
        manifest["findings"] = findings_entry(findings, concept_set.texts)
    return manifest


def with_no_concept(evidence: JobEvidence | None, findings: FindingMatches | None) -> JobEvidence | None:
    """The evidence with the findings that are known to mean no concept."""
    if evidence is None or findings is None:
        return evidence
    return replace(evidence, no_concept=tuple(finding for finding, _ in findings.no_concept))


def _probe_set_entry(probe_set: ProbeSet, shown: ShownImages) -> ProbeSetEntry:
    entry: ProbeSetEntry = {
        "digest": probe_set.digest,
        "images": digest_of(list(shown.digests)),
        "merged_rows": probe_set.merged_rows,
    }
    if probe_set.table_notes:
        entry["table_notes"] = list(probe_set.table_notes)
    if probe_set.independent is not None:
        entry["independent"] = probe_set.independent
    if probe_set.grouping:
        entry["grouping"] = dict(probe_set.grouping)
    if probe_set.warnings:
        entry["warnings"] = list(probe_set.warnings)
    if probe_set.whole is not None:
        entry["whole"] = probe_set.whole
        entry["where"] = stored_where(probe_set.where)
    return entry


def _target_entry(target: Target, probe_set: ProbeSet) -> TargetEntry:
    entry: TargetEntry = {
        "architecture": target.architecture,
        "sha256": target.sha256,
        "preprocessing": target.preprocessing.digest(),
        "shuffled": target.shuffled,
    }
    if target.input is not None:
        entry["input"] = target.input.entries()
        entry["warnings"] = list(target.warnings)
    if target.reading is not None:
        entry["weights"] = target.reading
    if target.autoencoder is not None:
        entry["autoencoder"] = target.autoencoder.reading
    if target.origin:
        entry["origin"] = dict(target.origin)
    if target.recorded is not None:
        use = match_rows(target.recorded, probe_set.items).use_of(target.recorded)
        entry["table"] = TableEntry(**target.recorded.notes, use=use)
        entry["warnings"] = list(LIMITS)
    return entry


def _versions() -> dict[str, str]:
    """Of this software, and of every library that decides a result."""
    libraries = versions_of(*IMAGES, *NETWORKS, *TEXTS, *SCORING)
    # The build of torch counts too, as 2.14.1+cpu.
    return {"service": version("mammo-clip-dissect-service"), **libraries, "torch": torch.__version__}
