"""Content keys: a digest over everything that an artifact's bytes depend on, so that equal keys mean equal bytes.

A layer's key names its shards by their bytes, and a shard's key the images by theirs: a change anywhere changes every
key behind it. SCHEMA changes with any code that changes an artifact's bytes; the libraries that make an artifact are
named with their versions, as another version of a decoder may give other pixels.
"""

from collections.abc import Sequence
from dataclasses import asdict

import torch

from service.domain.ablations import AblationRequest
from service.domain.autoencoders import identity_of
from service.domain.digests import digest_of
from service.domain.neurons import Region
from service.domain.pictures import PictureRequest
from service.domain.preprocessing import Preprocessing
from service.domain.probes import ImagePlace
from service.engine.networks.protocols import Dissector, Target
from service.engine.probing.probe import kept_top
from service.pipelines.job_plan import JobPlan
from service.pipelines.versions import IMAGES, NETWORKS, SCORING, TEXTS, versions_of

SCHEMA = 5


def shard_key(
    plan: JobPlan,
    target: Target,
    dissector: Dissector,
    device: torch.device,
    *,
    images: str,
    layers: tuple[str, ...],
    rows: str | None = None,
    every_activation: bool = True,
) -> str:
    """Key of a probe shard; what scores and judges names is no part of it where all activations are kept.

    images: digest of the shard's image files and boxes, in order. rows: of the rows that these have in a table.
    every_activation: whether all activations are kept, and not only as many of the largest as the job needs.
    """
    options = plan.request.options
    return _key(
        plan,
        device,
        kind="shard",
        versions=versions_of(*IMAGES, *NETWORKS),
        target={**_target(target), **({} if rows is None else {"rows": rows})},
        dissector=_dissector(dissector),
        layers=layers,
        pooling=options.method.pooling,
        kept="activations" if every_activation else kept_top(options),
        images=images,
        on_unreadable=plan.probe_set.on_unreadable,
        batch_size=plan.request.batch_size,
    )


def texts_key(plan: JobPlan, dissector: Dissector, device: torch.device) -> str:
    """Key of the concepts' embeddings; without prompts it is what it was before there were any."""
    prompts = plan.request.options.method.prompts
    prompted: dict[str, object] = {}
    if prompts is not None:
        names = [prompts.names(concept) for concept in plan.concept_set.concepts]
        prompted = {"prompts": prompts.as_dict(), "names": names}

    return _key(
        plan,
        device,
        kind="texts",
        versions=versions_of(*TEXTS),
        dissector=_dissector(dissector),
        texts=plan.concept_set.texts,
        **prompted,
    )


def layer_key(plan: JobPlan, device: torch.device, *, layer: str, shards: list[str], concept_embeddings: str) -> str:
    """Key of a dissected layer. shards: digests of the shards' bytes. concept_embeddings: the key of those."""
    options = plan.request.options
    return _key(
        plan,
        device,
        kind="layer",
        versions=versions_of(*SCORING),
        layer=layer,
        shards=shards,
        texts=concept_embeddings,
        concepts=plan.concept_set.digest,
        probe_set=plan.probe_set.digest,
        method=options.method.as_dict(),
        concepts_per_neuron=options.concepts_per_neuron,
        images_per_neuron=options.images_per_neuron,
        evidence=options.evidence.drawn(),
        **_findings(plan),
    )


def outputs_key(plan: JobPlan, device: torch.device, *, shard: str, layers: Sequence[str]) -> str:
    """Key of what the target returns for a probe shard, with the means of some layers. shard: the shard's key."""
    return _key(
        plan,
        device,
        kind="outputs",
        versions=versions_of(*IMAGES, *NETWORKS),
        shard=shard,
        layers=list(layers),
    )


def ablated_key(
    plan: JobPlan, device: torch.device, *, shard: str, outputs: Sequence[str], request: AblationRequest
) -> str:
    """Key of what the target returns for a probe shard with units held.

    shard: the shard's key. outputs: digests of all shards' outputs, whose means the units may be held at.
    """
    return _key(
        plan,
        device,
        kind="ablated",
        versions=versions_of(*IMAGES, *NETWORKS),
        shard=shard,
        outputs=list(outputs) if request.value == "mean" else [],
        units={layer.layer: list(layer.units) for layer in request.layers},
        value=request.value,
        each=request.each,
    )


def directions_key(plan: JobPlan, device: torch.device, *, layer: str, shards: list[str]) -> str:
    """Key of the directions of a layer's units, which no concept has a part in. shards: digests of their bytes."""
    return _key(plan, device, kind="directions", versions=versions_of(*SCORING), layer=layer, shards=shards)


def pictures_key(
    plan: JobPlan, device: torch.device, *, images: list[str], places: Sequence[ImagePlace], contract: Preprocessing
) -> str:
    """Key of the pictures of a report.

    images: digests of the shards' image files. places: what is drawn of them. contract: of the target.
    """
    altered = {"contract": contract.digest()} if contract.alters_pictures else {}
    return _key(
        plan,
        device,
        kind="pictures",
        versions=versions_of(*IMAGES),
        images=images,
        places=[_fields(place) for place in places],
        to_breast=contract.crop_to_breast,
        **altered,
    )


def picture_key(
    plan: JobPlan, device: torch.device, *, target: Target, request: PictureRequest, image: str, region: Region | None
) -> str:
    """Key of a picture that somebody asked for.

    image: digest of the image's file. region: what is outlined, where the job's result says so.
    """
    place = request.place
    marks: dict[str, object] = {}
    if request.marks is not None:
        marks = {
            "marks": asdict(request.marks),
            "region": None if region is None else list(region),
            "target": _target(target),
            "layers": plan.request.options.layers,
        }
    return _key(
        plan,
        device,
        kind="picture",
        versions=versions_of(*IMAGES, *NETWORKS),
        image=image,
        box=None if place.box is None else asdict(place.box),
        frame=place.frame,
        side=request.size.side,
        contract=target.preprocessing.digest(),
        **marks,
    )


def _fields(place: ImagePlace) -> dict[str, object]:
    """As before there were frames, where there is none."""
    fields: dict[str, object] = asdict(place)
    return fields if place.frame is not None else {name: fields[name] for name in ("row", "box")}


def device_name(device: torch.device) -> str:
    """What a device computes like: two cards of one make are the same, whatever their numbers."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _findings(plan: JobPlan) -> dict[str, object]:
    """What findings mean, where that does not follow from concepts and probe set as it always did."""
    findings = plan.findings
    if findings is None or findings.is_plain:
        return {}
    of_concept = {str(concept): finding for concept, finding in findings.of_concept.items()}
    return {"findings": {"map": None if findings.map is None else findings.map.digest, "of_concept": of_concept}}


def _target(target: Target) -> dict[str, object]:
    """What decides what a target does, beside the rows of a table."""
    return {
        "sha256": target.sha256,
        "architecture": target.architecture,
        "preprocessing": target.preprocessing.digest(),
        "shuffled": target.shuffled,
        **({} if target.weights is None else {"weights": target.weights}),
        **({"origin": dict(target.origin)} if target.origin else {}),
        **({} if target.autoencoder is None else {"autoencoder": identity_of(target.autoencoder.reading)}),
    }


def _dissector(dissector: Dissector) -> dict[str, str]:
    return {"digest": dissector.digest, "preprocessing": dissector.preprocessing.digest()}


def _key(plan: JobPlan, device: torch.device, **ingredients: object) -> str:
    machinery = {"schema": SCHEMA, "torch": torch.__version__, "device": device_name(device), "precision": "float32"}
    # A replay computes everything anew, but resumes from its own artifacts.
    replay = {} if plan.replay_of is None else {"replay": str(plan.job_id)}
    return digest_of(ingredients | machinery | replay)
