"""One dissection from specifications to result: what the worker and the command line both run."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from service.domain.concepts import ConceptSet
from service.domain.jobs import DissectionOptions, Progress, Stage
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection
from service.domain.probes import ProbeSet
from service.engine.architectures import open_target
from service.engine.dissect import dissect
from service.engine.dissectors import open_dissector
from service.engine.networks import choose_device
from service.ports import ProgressListener
from service.probes.images import open_images
from service.probes.manifest import digest_images


@dataclass(frozen=True, slots=True)
class DissectionPlan:
    """Everything a dissection is made of."""

    target: TargetSpec
    dissector: DissectorSpec
    probe_set: ProbeSet
    concept_set: ConceptSet
    options: DissectionOptions
    device: str = "auto"
    batch_size: int = 8


def run_dissection(plan: DissectionPlan, progress: ProgressListener) -> tuple[Dissection, dict[str, Any]]:
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
    images = digest_images(plan.probe_set)
    progress(Progress(Stage.LOAD, 3, 3))
    result = dissect(
        target,
        dissector,
        open_images(plan.probe_set),
        plan.concept_set.texts,
        plan.options,
        device=device,
        batch_size=plan.batch_size,
        on_unreadable=plan.probe_set.on_unreadable,
        progress=progress,
    )
    manifest = {
        "target": {
            "architecture": target.architecture,
            "sha256": target.sha256,
            "preprocessing": target.preprocessing.digest(),
        },
        "dissector": {"digest": dissector.digest, "preprocessing": dissector.preprocessing.digest()},
        "probe_set": {"digest": plan.probe_set.digest, "images": images},
        "concept_set": plan.concept_set.digest,
        "layers": [layer.layer for layer in result.layers],
        "method": plan.options.method.as_dict(),
        "images_used": result.images_used,
        "rows_skipped": list(result.images_skipped),
        "device": str(device),
        "batch_size": plan.batch_size,
        "precision": "float32",
        "versions": {"service": version("mammo-clip-dissect-service"), "torch": torch.__version__},
    }
    return result, manifest
