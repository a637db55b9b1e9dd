"""Register probe sets and parts of them, read their images' list again, and say where their check stands."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Literal

from sqlalchemy.orm import Session

from service.db import resources as queries
from service.db.listings import get_listing
from service.db.pictures import find_sizes
from service.domain.digests import digest_of, digest_of_bytes
from service.domain.findings import count_findings, kept_counts
from service.domain.findings_map import FindingsMap, map_from_stored
from service.domain.independence import count_units
from service.domain.json_values import StoredJson
from service.domain.probes import Frames, PatchGrid, ProbeSet, Where, only_value, stored_where
from service.domain.purposes import Terms
from service.domain.resources import Resource, ResourceKind, check_name
from service.domain.specs import is_listed, probe_set_spec, where_of
from service.domain.work import ListingResult, Preparation
from service.errors import DigestMismatch, NotFound
from service.files import DataRoots
from service.ports import JobQueue
from service.probes.grouping import grouped, with_grouping
from service.probes.patches import cut
from service.usecases.checks import CheckStanding, ask_check, standing_of_check
from service.usecases.manifests import ManifestSource
from service.usecases.preparations import prepare, unlisted, unmeasured
from service.usecases.readings import AT_ONCE, Readings
from service.usecases.resources import NOTHING_STATED, Registered


def register_probe_set(
    session: Session,
    queue: JobQueue,
    *,
    name: str,
    manifest: str,
    patches: PatchGrid | None,
    frames: Frames | None = None,
    on_unreadable: Literal["fail", "skip"],
    roots: DataRoots,
    layout: str | None = None,
    root: str | None = None,
    key_file: str | None = None,
    findings_map: FindingsMap | None = None,
    independent: str | None = None,
    terms: Terms = NOTHING_STATED,
    readings: Readings = AT_ONCE,
) -> Registered:
    """Register a manifest of images, and ask workers to check them; where they are cut, also to read their sizes.

    layout, root, key_file: see `ManifestSource`.
    findings_map: which concepts its findings mean; it is part of the content.
    independent: what counts as independent: `patient`, `exam`, `image` or a column. It is part of the content.
    Raises InvalidManifest; InvalidInput where it cannot be found; FileOutOfReach; and NotRead.
    """
    check_name(name)
    source = ManifestSource.located(manifest, roots, layout=layout, root=root, key_file=key_file)
    if source.is_listed_by_worker:
        readings.of(("data set", manifest), partial(source.check_place, roots))
        unlisted_spec = _registered_entries(source, patches, frames, on_unreadable)
        unlisted_spec |= {"listing": None, "images": None, "merged_rows": 0}
        if findings_map is not None:
            unlisted_spec["findings_map"] = findings_map.stored()
        if independent is not None:
            unlisted_spec["independent"] = independent
        return _register_unlisted(session, queue, name, unlisted_spec, terms)

    read = partial(source.read, name=name, patches=patches, frames=frames, on_unreadable=on_unreadable, roots=roots)
    listed = readings.of(("manifest", manifest), read)
    probe_set = replace(grouped(listed, independent), findings_map=findings_map)

    spec = _registered_entries(source, patches, frames, on_unreadable) | _entries_of_images(probe_set)
    digest = digest_of_probe_set(probe_set)
    registered, is_new = queries.add_resource(session, ResourceKind.PROBE_SET, name, digest, spec, terms=terms)

    if probe_set.is_cut:
        prepare(session, queue, registered, Preparation.MEASURE, total=len(probe_set.items))
    if is_new:
        already_woken = probe_set.is_cut
        ask_check(session, None if already_woken else queue, registered, len(probe_set.items))
    return registered, is_new


def _registered_entries(
    source: ManifestSource, patches: PatchGrid | None, frames: Frames | None, on_unreadable: str
) -> StoredJson:
    """The entries of a specification that say where images are listed, and how they are taken."""
    entries: StoredJson = {
        **source.entries(),
        "patches": None if patches is None else asdict(patches),
        "on_unreadable": on_unreadable,
    }
    if frames is not None:
        entries["frames"] = frames
    return entries


def _entries_of_images(probe_set: ProbeSet) -> StoredJson:
    """The entries of a specification that say what images are listed."""
    entries: StoredJson = {
        "images": None if probe_set.is_cut else len(probe_set.items),
        "merged_rows": probe_set.merged_rows,
    }
    if probe_set.table_notes:
        entries["table_notes"] = list(probe_set.table_notes)
    return entries | _findings_of(probe_set) | _independence_of(probe_set)


def _register_unlisted(session: Session, queue: JobQueue, name: str, spec: StoredJson, terms: Terms) -> Registered:
    """Register a data set whose images' headers a worker is asked to read; until then its content is not known."""
    registered, is_new = queries.add_resource(
        session, ResourceKind.PROBE_SET, name, digest_of({"to_list": spec}), spec, terms=terms
    )
    prepare(session, queue, registered, Preparation.LIST)
    return registered, is_new


def describe_listing(resource: Resource, roots: DataRoots, listing: bytes, notes: Sequence[str]) -> ListingResult:
    """What a worker's listing makes of a registered data set: its digest, and the entries of its specification.

    Raises InvalidManifest, InvalidInput.
    """
    spec = probe_set_spec(resource)
    listed = replace(_read_listed(resource, roots, listing), table_notes=tuple(notes))
    probe_set = grouped(listed, spec.get("independent"))
    if "findings_map" in spec:
        probe_set = replace(probe_set, findings_map=map_from_stored(spec["findings_map"]))
    entries = {**_entries_of_images(probe_set), "listing": digest_of_bytes(listing)}
    return {"digest": digest_of_probe_set(probe_set), "entries": entries, "images": len(probe_set.items)}


def stored_listing(session: Session, resource: Resource) -> bytes | None:
    """What a worker has listed of a registered probe set; None where its manifest says all itself.

    Raises NotListed where none has yet, and Conflict where it could not.
    """
    spec = probe_set_spec(resource)
    if not is_listed(spec):
        raise unlisted(session, resource)
    sha256 = spec.get("listing")
    return None if sha256 is None else get_listing(session, sha256)


def register_part(session: Session, whole_set: Resource, probe_set: ProbeSet, where: Where) -> Resource:
    """Register the part of a registered probe set that has these values, with what is stated of the set.

    probe_set: `probe_set_of` the whole set, which may be long to read. The part has at least one image.
    """
    part = probe_set.part(where)
    kept = {entry: stored for entry, stored in whole_set.spec.items() if entry != "findings"}
    spec = {
        **queries.without_unmeasured(kept),
        **_part_entry(part.where),
        "checked_with": str(whole_set.id),
        "images": len(part.items),
        **_findings_of(part),
        **_independence_of(part),
    }
    name = f"stratum-{part.digest[:16]}"
    digest = digest_of_probe_set(part)
    registered, _ = queries.add_resource(session, ResourceKind.PROBE_SET, name, digest, spec, terms=whole_set.terms)
    return registered


def _part_entry(where: Where) -> StoredJson:
    """How a part is stored: as earlier releases did where there is one column with one value."""
    single = only_value(where)
    return {"where": stored_where(where)} if single is None else {"part": list(single)}


def probe_set_of(session: Session, resource: Resource, roots: DataRoots, readings: Readings = AT_ONCE) -> ProbeSet:
    """Read the manifest behind a registered probe set again, with its frames and patches where it has any.

    Its images are opened below the roots. Raises InvalidManifest where the manifest cannot be read any more,
    FileOutOfReach where it cannot be for now, DigestMismatch where it has changed since, NotMeasured where its patches
    are not known yet, Conflict where they cannot be, and NotRead.
    """
    listing = stored_listing(session, resource)
    return with_patches(session, resource, listed_probe_set(resource, roots, readings, listing=listing))


def with_patches(session: Session, resource: Resource, listed: ProbeSet) -> ProbeSet:
    """The registered probe set whose images are listed, with its patches where it has any.

    Raises NotMeasured where its patches are not known yet, and Conflict where they cannot be.
    """
    if listed.is_cut:
        sizes = find_sizes(session, digest_of_probe_set(listed))
        if sizes is None:
            raise unmeasured(session, resource)
        listed = cut(listed, sizes)
    return registered_part(listed, resource)


def listed_probe_set(
    resource: Resource, roots: DataRoots, readings: Readings = AT_ONCE, *, listing: bytes | None = None
) -> ProbeSet:
    """The images of the whole manifest behind a registered probe set, not cut into patches.

    listing: see `stored_listing`.
    Raises InvalidManifest where the manifest cannot be read any more, FileOutOfReach where it cannot be for now,
    DigestMismatch where it has changed since, and NotRead.
    """
    return readings.of(("probe set", str(resource.id)), partial(_list_images, resource, roots, listing))


def _read_listed(resource: Resource, roots: DataRoots, listing: bytes | None) -> ProbeSet:
    spec = probe_set_spec(resource)
    patches = spec["patches"]
    return ManifestSource.of_spec(spec).read(
        name=resource.name,
        patches=None if patches is None else PatchGrid(**patches),
        frames=spec.get("frames"),
        on_unreadable=spec["on_unreadable"],
        roots=roots,
        listing=listing,
    )


def _list_images(resource: Resource, roots: DataRoots, listing: bytes | None) -> ProbeSet:
    spec = probe_set_spec(resource)
    listed = _read_listed(resource, roots, listing)
    listed = with_grouping(listed, spec.get("grouping", {}), spec.get("independent"))
    listed = replace(listed, table_notes=tuple(spec.get("table_notes", listed.table_notes)))

    if "findings_map" in spec:
        listed = replace(listed, findings_map=map_from_stored(spec["findings_map"]))

    if digest_of_probe_set(registered_part(listed, resource)) != resource.digest:
        raise DigestMismatch(
            f"The manifest of probe set {resource.reference} has changed since it was registered.",
            field="probe_set",
            value=resource.reference,
            remedy="Register the changed manifest: it becomes a new version.",
        )
    return listed


def images_to_check(
    resource: Resource, roots: DataRoots, readings: Readings = AT_ONCE, *, listing: bytes | None = None
) -> ProbeSet:
    """The images of a registered probe set, or of the part that it is, not cut into patches.

    listing: see `stored_listing`. Raises what `listed_probe_set` raises.
    """
    return registered_part(listed_probe_set(resource, roots, readings, listing=listing), resource)


def find_check(session: Session, probe_set: Resource) -> CheckStanding:
    """Where the check of a probe set stands.

    Raises NotFound where nobody has asked for one, NotListed where its images are to be listed first, and Conflict
    where they cannot be.
    """
    if not is_listed(probe_set_spec(probe_set)):
        raise unlisted(session, probe_set)
    standing = standing_of_check(session, probe_set)
    if standing is None:
        raise NotFound(
            f"The images of probe set {probe_set.reference} were never checked: an earlier release registered it, or "
            "it is a part of another set.",
            field="name",
            value=probe_set.reference,
            remedy=f"POST /probe-sets/{probe_set.reference}/check has workers check them.",
        )
    return standing


def check_again(
    session: Session, queue: JobQueue, probe_set: Resource, roots: DataRoots, readings: Readings = AT_ONCE
) -> None:
    """Have workers check the images of a registered probe set again, or for the first time.

    Where they could not be listed, that is tried again first. Raises what `listed_probe_set` raises.
    """
    if not is_listed(probe_set_spec(probe_set)):
        prepare(session, queue, probe_set, Preparation.LIST)
        return

    standing = standing_of_check(session, probe_set)
    if standing is None:
        listing = stored_listing(session, probe_set)
        images = len(images_to_check(probe_set, roots, readings, listing=listing).items)
    else:
        images = standing.total
    ask_check(session, queue, probe_set, images)


def digest_of_probe_set(probe_set: ProbeSet) -> str:
    """The digest under which a probe set is registered."""
    content: StoredJson = {"probe_set": probe_set.digest, "on_unreadable": probe_set.on_unreadable}
    if probe_set.findings_map is not None:
        content["findings_map"] = probe_set.findings_map.digest
    return digest_of(content)


def _findings_of(probe_set: ProbeSet) -> StoredJson:
    """The entries of a specification about the findings of a probe set, as far as there are any."""
    entries: StoredJson = {}
    counts = count_findings(probe_set.items)
    if counts is not None:
        entries["findings"] = kept_counts(counts)
    if probe_set.findings_map is not None:
        entries["findings_map"] = probe_set.findings_map.stored()
    return entries


def registered_part(probe_set: ProbeSet, resource: Resource) -> ProbeSet:
    """Of a whole probe set the part that is registered; the whole where that is."""
    where = where_of(probe_set_spec(resource))
    return probe_set.part(where) if where else probe_set


def _independence_of(probe_set: ProbeSet) -> StoredJson:
    """The entries of a specification about what counts as independent in a probe set."""
    entries: StoredJson = {}
    if probe_set.grouping:
        entries["grouping"] = dict(probe_set.grouping)
    if probe_set.independent is not None:
        entries["independent"] = probe_set.independent
    entries["independence"] = count_units(probe_set.items, probe_set.independent, probe_set.warnings)
    return entries
