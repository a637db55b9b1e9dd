"""Register, find and list models, dissectors, probe sets, concept sets and policies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from difflib import get_close_matches
from functools import partial
from typing import Literal

from sqlalchemy.orm import Session

from service.concepts.builtin import BUILTIN, BUILTIN_TERMS, builtin_concept_set
from service.db import resources as queries
from service.db.listings import get_listing
from service.db.pictures import find_sizes
from service.domain.concepts import Concept, ConceptSet
from service.domain.digests import digest_of, digest_of_bytes, digest_of_directory
from service.domain.findings import count_findings, kept_counts
from service.domain.findings_map import FindingsMap, map_from_stored
from service.domain.independence import count_units
from service.domain.json_values import StoredJson
from service.domain.models import DISSECTOR_FILES
from service.domain.pages import Page, Position
from service.domain.probes import Frames, PatchGrid, ProbeSet, Where, only_value, stored_where
from service.domain.prompts import Prompts
from service.domain.purposes import Terms
from service.domain.resources import Resource, ResourceKind, check_name, parse_reference
from service.domain.specs import CategoriesSpec, ConceptSpec, concept_set_spec, is_listed, probe_set_spec, where_of
from service.domain.work import ListingResult, Preparation
from service.errors import DigestMismatch, InvalidDissector, NotFound
from service.files import DataRoots
from service.ports import JobQueue
from service.probes.grouping import grouped, with_grouping
from service.probes.patches import cut
from service.usecases.checks import CheckStanding, ask_check, standing_of_check
from service.usecases.files import locate, read_located
from service.usecases.manifests import ManifestSource
from service.usecases.preparations import prepare, unlisted, unmeasured
from service.usecases.readings import AT_ONCE, Readings

Registered = tuple[Resource, bool]
"""The resource, and whether this call made it (False: the same content was registered before).

What such a call states in its `terms` then replaces what was stated before: see `Resource.replaced_terms`.
"""

NOTHING_STATED = Terms()


def register_dissector(
    session: Session,
    queue: JobQueue,
    *,
    name: str,
    path: str,
    roots: DataRoots,
    prompts: Prompts | None = None,
    terms: Terms = NOTHING_STATED,
) -> Registered:
    """Register a dissector directory, and ask a worker whether it works.

    prompts: of jobs that give none. They are part of the content: other prompts are another version.
    Raises InvalidDissector where it is none, InvalidInput where it is unreadable, FileOutOfReach where it is for now.
    """
    check_name(name)
    directory = locate(path, roots, field="path")
    if not any((directory / name).is_file() for name in DISSECTOR_FILES):
        raise InvalidDissector(
            f"The folder has none of {', '.join(DISSECTOR_FILES)}.",
            field="path",
            value=path,
            remedy="Name a folder made by `mammodissect fit-dissector`, or one that open_clip or transformers wrote; "
            "or write a dissector.json as docs/dissectors.md describes.",
        )

    digest = read_located(partial(digest_of_directory, directory, roots), field="path", value=path)
    spec: StoredJson = {"path": str(directory)}
    if prompts is not None and not prompts.are_plain:
        spec |= {"prompts": prompts.as_dict(), "content": digest}
        digest = digest_of({"dissector": digest, "prompts": prompts.as_dict()})

    dissector, is_new = queries.add_resource(
        session, ResourceKind.DISSECTOR, name, digest, spec, places=("path",), terms=terms
    )
    if is_new:
        prepare(session, queue, dissector, Preparation.INSPECT)
    return dissector, is_new


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


def register_concept_set(
    session: Session, concept_set: ConceptSet, terms: Terms = NOTHING_STATED, categories: CategoriesSpec | None = None
) -> Registered:
    """Register a parsed concept set. categories: how the table that its categories are from fits it."""
    check_name(concept_set.name)
    spec: StoredJson = {"concepts": [concept.as_dict() for concept in concept_set.concepts]}
    if concept_set.notes:
        spec["notes"] = list(concept_set.notes)
    if categories is not None:
        spec["categories"] = categories
    name, digest = concept_set.name, concept_set.digest
    return queries.add_resource(session, ResourceKind.CONCEPT_SET, name, digest, spec, terms=terms)


def digest_of_registration(resource: Resource, terms: Terms | None = None) -> str:
    """What the trail keeps of a registered version: its content's digest, with its terms where any are stated.

    terms: other ones than it has now.
    """
    terms = resource.terms if terms is None else terms
    return digest_of({"content": resource.digest, **terms.as_dict()}) if terms.stated else resource.digest


def find_resource(session: Session, kind: ResourceKind, reference: str, *, field: str) -> Resource:
    """The resource that `name` or `name@version` stands for; the version whose content it has. Raises NotFound."""
    name, version = parse_reference(reference, field=field)
    _register_builtins(session, kind)
    resource = queries.find_resource(session, kind, name, version)
    if resource is None:
        near = get_close_matches(name, queries.resource_names(session, kind), n=3, cutoff=0.4)
        remedy = f"Near matches: {', '.join(near)}." if near else f"Register it with POST {kind.collection}."
        raise NotFound(f"There is no {kind.words} '{reference[:80]}'.", field=field, value=reference, remedy=remedy)
    if "same_as" in resource.spec:
        return find_resource(session, kind, str(resource.spec["same_as"]), field=field)
    return resource


def find_parts(session: Session, references: Mapping[ResourceKind, tuple[str, str]]) -> dict[ResourceKind, Resource]:
    """One resource of each kind, from pairs of field and reference; concept sets without their concepts.

    Raises what `find_resource` raises, for the first that is not there.
    """
    versions = {kind: parse_reference(reference, field=field) for kind, (field, reference) in references.items()}
    resources = queries.find_resources(session, versions)

    for kind, (field, reference) in references.items():
        # A built-in set that nobody has asked for since it came or changed, a version with the content of another, or
        # an error to be explained.
        _, version = versions[kind]
        if kind not in resources or "same_as" in resources[kind].spec or _superseded(resources[kind], version):
            resources[kind] = find_resource(session, kind, reference, field=field)
    return resources


def list_resources(session: Session, kind: ResourceKind, *, limit: int, after: Position | None) -> Page[Resource]:
    """All versions of a kind in brief, newest first: concepts and rules are counted, not listed."""
    _register_builtins(session, kind)
    return queries.list_resources(session, kind, limit=limit, after=after)


def concept_set_of(resource: Resource) -> ConceptSet:
    """The concept set that a registered resource holds."""
    concepts = tuple(map(_concept, concept_set_spec(resource)["concepts"]))
    return ConceptSet(resource.name, concepts, tuple(concept_set_spec(resource).get("notes", ())))


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


def _concept(spec: ConceptSpec) -> Concept:
    return Concept(
        text=spec["text"],
        category=spec["category"],
        broad_category=spec["broad_category"],
        mammographic=spec["mammographic"],
        synonyms=tuple(spec["synonyms"]),
        watched=spec["watched"],
        codes=tuple(sorted(spec.get("codes", {}).items())),
        names=tuple(sorted(spec.get("names", {}).items())),
    )


def _register_builtins(session: Session, kind: ResourceKind) -> None:
    if kind is not ResourceKind.CONCEPT_SET:
        return
    for name in BUILTIN:
        newest = queries.find_resource(session, kind, name, None)
        if newest is None or _superseded(newest, None):
            register_concept_set(session, builtin_concept_set(name), BUILTIN_TERMS)


def _superseded(resource: Resource, version: int | None) -> bool:
    """Is it a built-in set as an earlier release had it, with no version asked for?

    Earlier releases stated nothing of it.
    """
    if resource.kind is not ResourceKind.CONCEPT_SET or resource.name not in BUILTIN or version is not None:
        return False
    return not resource.terms.stated or resource.digest != builtin_concept_set(resource.name).digest
