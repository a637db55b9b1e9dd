"""Register dissectors and concept sets, and find and list whatever is registered."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial

from sqlalchemy.orm import Session

from service.concepts.builtin import BUILTIN, BUILTIN_TERMS, builtin_concept_set
from service.db import resources as queries
from service.domain.concepts import Concept, ConceptSet
from service.domain.digests import digest_of, digest_of_directory
from service.domain.json_values import StoredJson
from service.domain.models import DISSECTOR_FILES
from service.domain.pages import Page, Position
from service.domain.prompts import Prompts
from service.domain.purposes import Terms
from service.domain.resources import Resource, ResourceKind, check_name, parse_reference
from service.domain.specs import CategoriesSpec, ConceptSpec, concept_set_spec
from service.domain.work import Preparation
from service.errors import InvalidDissector, NotFound
from service.files import DataRoots
from service.ports import JobQueue
from service.usecases.files import locate, read_located
from service.usecases.preparations import prepare

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


def list_versions(session: Session, kind: ResourceKind, name: str, *, limit: int) -> list[Resource]:
    """The newest versions of a name in brief, newest first."""
    return queries.list_versions(session, kind, name, limit)


def concept_set_of(resource: Resource) -> ConceptSet:
    """The concept set that a registered resource holds."""
    concepts = tuple(map(_concept, concept_set_spec(resource)["concepts"]))
    return ConceptSet(resource.name, concepts, tuple(concept_set_spec(resource).get("notes", ())))


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
