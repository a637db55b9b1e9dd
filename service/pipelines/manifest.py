"""The manifest of a dissection: the digests, parameters and versions that made it, enough to make it again."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

import torch

from service.analysis.evidence_codec import encode_evidence
from service.domain.digests import digest_of
from service.domain.evidence import JobEvidence
from service.domain.jobs import DissectionOptions
from service.domain.manifests import JobManifest
from service.domain.probes import ProbeSet
from service.engine.networks.protocols import Dissector, Target
from service.engine.scoring import SEED
from service.pipelines.versions import IMAGES, NETWORKS, SCORING, TEXTS, versions_of


def describe(
    *,
    target: Target,
    dissector: Dissector,
    probe_set: ProbeSet,
    concept_set: str,
    options: DissectionOptions,
    batch_size: int,
    shard_size: int,
    device: str,
    images: Sequence[str],
    used: int,
    skipped_rows: Sequence[int],
    results: Mapping[str, str],
    evidence: JobEvidence | None,
) -> JobManifest:
    """What made a dissection.

    concept_set: its digest.
    images: digest of each shard's image files.
    results: digest of each layer's neurons as canonical JSON, in the order of the dissection; q-values, which hang on
    all layers, are not part of it.
    """
    return {
        "target": {
            "architecture": target.architecture,
            "sha256": target.sha256,
            "preprocessing": target.preprocessing.digest(),
            "shuffled": target.shuffled,
        },
        "dissector": {"digest": dissector.digest, "preprocessing": dissector.preprocessing.digest()},
        "probe_set": {
            "digest": probe_set.digest,
            "images": digest_of(list(images)),
            "merged_rows": probe_set.merged_rows,
        },
        "concept_set": concept_set,
        "layers": list(results),
        "method": options.method.as_dict(),
        "concepts_per_neuron": options.concepts_per_neuron,
        "images_per_neuron": options.images_per_neuron,
        "images_used": used,
        "rows_skipped": list(skipped_rows),
        "batch_size": batch_size,
        "shard_size": shard_size,
        "device": device,
        # Two processors of different kinds are both the device "cpu", and sum up in another order.
        "processor": {"instructions": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()},
        "precision": "float32",
        "seed": SEED,
        "versions": _versions(),
        "results": dict(results),
        "drawn": options.evidence.as_dict(),
        "evidence": encode_evidence(evidence),
    }


def _versions() -> dict[str, str]:
    """Of this software, and of every library that decides a result."""
    libraries = versions_of(*IMAGES, *NETWORKS, *TEXTS, *SCORING)
    # The build of torch counts too, as 2.14.1+cpu.
    return {"service": version("mammo-clip-dissect-service"), **libraries, "torch": torch.__version__}
