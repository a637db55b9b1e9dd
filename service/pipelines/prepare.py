"""What a worker's child finds out about a registered thing: a model's layers, a dissector's fitness, patches."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import torch

from service.db.checks import iterate_shards
from service.db.pictures import find_sizes, keep_sizes
from service.db.resources import get_resource
from service.db.session import Sessions, transaction
from service.domain.checks import IMAGES_AT_ONCE
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.probes import ProbeSet
from service.domain.resources import Resource, ResourceKind
from service.domain.specs import dissector_place, probe_set_spec, where_of
from service.domain.work import CheckResult, DissectorCheck, InspectionResult, MeasuringResult, ModelNotes, TallyResult
from service.engine.architectures import open_target
from service.engine.dissectors import open_dissector
from service.engine.networks.protocols import Target
from service.engine.probing.listing import list_layers, listing_of
from service.errors import DigestMismatch, InvalidDissector
from service.files import DataRoots
from service.pipelines.targets import target_of
from service.probes.checking.look import look_at
from service.probes.checking.tally import Tally, tally
from service.probes.measuring import measure
from service.probes.patches import cut
from service.usecases.probe_sets import digest_of_probe_set, images_to_check, listed_probe_set, stored_listing

_TEXT = "a mammogram"
"""Any will do."""

_ROWS_NAMED = 100
"""Rows of images that could not be measured: a probe set may have a million."""


def inspect(
    sessions: Sessions,
    roots: DataRoots,
    fetched_files: Path,
    device: torch.device,
    resource_id: UUID,
    *,
    packages: tuple[str, ...] = (),
) -> InspectionResult | DissectorCheck:
    """Open a model or a dissector. packages: see `TargetSpec`. Raises what opening it raises."""
    with transaction(sessions) as session:
        resource = get_resource(session, resource_id)

    if resource.kind is ResourceKind.DISSECTOR:
        return _check_dissector(resource, roots, device)
    return _inspect_model(target_of(resource, roots, fetched_files, packages=packages), device)


def _inspect_model(network: TargetSpec, device: torch.device) -> InspectionResult:
    target = open_target(network, device)
    layers = [listing_of(layer) for layer in list_layers(target)]
    inspected: InspectionResult = {"layers": layers, "reading": target.reading, "notes": _notes(target)}
    if target.input is not None:
        inspected["input"] = {"values": target.input.entries(), "warnings": list(target.warnings)}
    if target.recorded is not None:
        inspected["input"] = {"values": {}, "warnings": list(target.warnings)}
    return inspected


def _notes(target: Target) -> ModelNotes:
    notes: ModelNotes = {}
    others = {name: value for name, value in target.origin.items() if name != "data"}
    if others:
        notes["origin"] = others
    if isinstance(data := target.origin.get("data"), dict):
        notes["data"] = data
    if target.recorded is not None:
        notes["table"] = target.recorded.notes
    if target.autoencoder is not None:
        notes["latents"] = target.autoencoder.reading
    return notes


def _check_dissector(resource: Resource, roots: DataRoots, device: torch.device) -> DissectorCheck:
    """Have a dissector embed a text and an image, as a job would."""
    dissector = open_dissector(dissector_spec(resource, roots), device)
    text = dissector.embed_texts([_TEXT])
    size = (dissector.preprocessing.height, dissector.preprocessing.width)
    image = dissector.embed_images(torch.zeros(1, 3, *size, device=device))

    if text.shape != image.shape:
        raise _unfit(resource, f"it has {text.shape[-1]} numbers for a text and {image.shape[-1]} for an image")
    if not (bool(torch.isfinite(text).all()) and bool(torch.isfinite(image).all())):
        raise _unfit(resource, "an embedding is not finite")
    return {"width": text.shape[-1], "notes": list(dissector.notes)}


def dissector_spec(resource: Resource, roots: DataRoots) -> DissectorSpec:
    """How a registered dissector is opened."""
    place = dissector_place(resource)
    return DissectorSpec(Path(place["path"]), place.get("content", resource.digest), roots)


def _unfit(dissector: Resource, why: str) -> InvalidDissector:
    return InvalidDissector(
        f"Dissector {dissector.reference} cannot compare texts with images: {why}.",
        field="dissector",
        value=dissector.reference,
        remedy="Check its weights, and whether both towers are of one model.",
    )


def measure_probe_set(
    sessions: Sessions, roots: DataRoots, probe_set_id: UUID, report_progress: Callable[[int], None]
) -> MeasuringResult:
    """Keep the sizes of a probe set's images; how many patches there are, and which images could not be measured.

    Raises what `keep_sizes_of` raises.
    """
    with transaction(sessions) as session:
        resource = get_resource(session, probe_set_id)

    patches, unmeasured_rows = keep_sizes_of(sessions, resource, roots, report_progress)
    return {
        "images": patches,
        "unmeasured": len(unmeasured_rows),
        "unmeasured_rows": unmeasured_rows[:_ROWS_NAMED],
    }


def keep_sizes_of(
    sessions: Sessions, resource: Resource, roots: DataRoots, report_progress: Callable[[int], None]
) -> tuple[int, list[int]]:
    """Read and keep the sizes of the images of a registered probe set, unless they are kept.

    Returns how many patches it has, and the rows of the images that it skips because they cannot be measured.
    Raises DigestMismatch where the set is not what was registered, UnreadableImage, FileOutOfReach, InvalidManifest for
    an image smaller than a patch, and what `report_progress` raises.
    """
    with transaction(sessions) as session:
        listing = stored_listing(session, resource)
    listed = listed_probe_set(resource, roots, listing=listing)
    digest = digest_of_probe_set(listed)
    with transaction(sessions) as session:
        known = find_sizes(session, digest)

    sizes = measure(listed, report_progress) if known is None else known
    patches = len(cut(listed, sizes).items)
    _check_count(resource, patches)

    with transaction(sessions) as session:
        keep_sizes(session, digest, sizes)
        # Another worker, with the same set under another name, may have been first.
        kept = find_sizes(session, digest) or sizes
    if kept != sizes:
        patches = len(cut(listed, kept).items)

    unmeasured_rows = [item.row for item, size in zip(listed.items, kept, strict=True) if size is None]
    return patches, unmeasured_rows


class ProbeSetChecks:
    """Checks images of registered probe sets; a long manifest is kept for further items of the same check."""

    def __init__(self, sessions: Sessions, roots: DataRoots) -> None:
        self._sessions = sessions
        self._roots = roots
        self._listed: tuple[UUID, ProbeSet] | None = None

    def check(self, probe_set_id: UUID, position: int, report_progress: Callable[[int], None]) -> CheckResult:
        """Decode the images of one item. Where these are all, the result says what they are together as well.

        Raises DigestMismatch where the set is not what was registered, FileOutOfReach, and what `report_progress`
        raises.
        """
        probe_set = self._kept(probe_set_id)
        start = position * IMAGES_AT_ONCE
        items = probe_set.items[start : start + IMAGES_AT_ONCE]
        shard = look_at(items, self._roots, report_progress, probe_set.frames)
        if len(probe_set.items) > IMAGES_AT_ONCE:
            return {"shard": shard}
        self._listed = None
        return {"shard": shard, "set": tally(probe_set, [shard])}

    def tally(self, probe_set_id: UUID, report_progress: Callable[[int], None]) -> TallyResult:
        """What all images are together, from what the items have found.

        Raises DigestMismatch, FileOutOfReach, and what `report_progress` raises.
        """
        sums = Tally()
        with transaction(self._sessions) as session:
            for shard in iterate_shards(session, probe_set_id):
                sums.add(shard)
        # What is kept may be from an earlier check of the same set, whose manifest may have changed since.
        self._listed = None
        return {"set": sums.result(self._read(probe_set_id), lambda: report_progress(0))}

    def _kept(self, probe_set_id: UUID) -> ProbeSet:
        if self._listed is None or self._listed[0] != probe_set_id:
            self._listed = probe_set_id, self._read(probe_set_id)
        return self._listed[1]

    def _read(self, probe_set_id: UUID) -> ProbeSet:
        with transaction(self._sessions) as session:
            resource = get_resource(session, probe_set_id)
            listing = stored_listing(session, resource)
        return images_to_check(resource, self._roots, listing=listing)


def _check_count(resource: Resource, patches: int) -> None:
    """Releases that measured when a probe set was registered have stored the number alone."""
    spec = probe_set_spec(resource)
    counted = spec["images"]
    if not where_of(spec) and counted not in {None, patches}:
        raise DigestMismatch(
            f"Probe set {resource.reference} had {counted} patches when it was registered, and has {patches} now.",
            field="probe_set",
            value=resource.reference,
            remedy="Put the registered images back, or register a manifest that lists the new ones under other names.",
        )
