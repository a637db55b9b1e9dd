"""Register concept sets, say what is weak about them, and compare them."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

from sqlalchemy.orm import Session

from service.concepts.categories import categorised
from service.concepts.diff import ConceptSetDiff, diff
from service.concepts.lint import Remark, by_weakness, lint, of_cut_texts, of_near_embeddings, of_several_places
from service.concepts.near_texts import near_pairs
from service.concepts.parse import concept_set_from_entries, read_concept_set
from service.concepts.places import Entry
from service.db.jobs import texts_cut_by
from service.db.text_embeddings import find_texts_of_any_device
from service.db.text_readings import find_reading
from service.domain.concepts import ConceptSet
from service.domain.manifests import CutText
from service.domain.prompts import texts_digest
from service.domain.purposes import Terms
from service.domain.resources import Resource, ResourceKind, ResourceState, check_name
from service.domain.specs import concept_set_spec, dissector_place
from service.errors import InvalidInput
from service.files import DataRoots
from service.ports import JobQueue
from service.usecases.files import locate
from service.usecases.preparations import ask_reading
from service.usecases.resources import NOTHING_STATED, Registered, concept_set_of, find_resource, register_concept_set

MOST_COMPARED = 5_000
"""Concepts of which all pairs of embeddings are looked at while a caller waits."""

_REMEMBERED = 32


@dataclass(frozen=True, slots=True)
class Review:
    """What is weak about a concept set, as far as its texts, its table of categories and a dissector tell."""

    remarks: Sequence[Remark]

    dissector_note: str | None = None
    """What is not known of the dissector that was named, or how its answer was found."""

    state: ResourceState | None = None
    """Whether that dissector has read the texts; None where none was named."""


def register_concepts(
    session: Session,
    roots: DataRoots,
    *,
    name: str,
    concepts: Sequence[Entry] | None,
    path: str | None,
    categories: str | None,
    control: Sequence[str] = (),
    terms: Terms = NOTHING_STATED,
) -> Registered:
    """Register a concept set that the request lists, or that lies in a file, with categories of a file where there are.

    Raises InvalidConceptSet naming the place; InvalidInput where not just one of concepts and path is given, where
    control is given without categories, or where a file cannot be found; FileOutOfReach.
    """
    check_name(name)
    concept_set = _given(concepts, path, name, roots)
    table = None if categories is None else locate(categories, roots, field="categories")
    concept_set, fit = categorised(concept_set, table, roots, control=control)
    return register_concept_set(session, concept_set, terms, fit)


def review(
    session: Session, queue: JobQueue, resource: Resource, dissector: str | None, *, again: bool = False
) -> Review:
    """The remarks on a registered concept set.

    dissector: the name of one whose reading of the texts counts, too. Where it has not read them yet, a worker is asked
    to have it do so. again: whether it shall try again where it could not. Raises NotFound for one that there is not.
    """
    concept_set = concept_set_of(resource)
    remarks = list(_RECENT.of(resource.digest, concept_set))
    fit = concept_set_spec(resource).get("categories")
    if fit is not None:
        remarks += of_several_places(fit)
    if dissector is None:
        return Review(by_weakness(remarks))

    reader = find_resource(session, ResourceKind.DISSECTOR, dissector, field="dissector")
    reading = _of_dissector(session, resource, concept_set, reader)
    if reading is None:
        reading = _asked(session, queue, resource, reader, again=again)
    return replace(reading, remarks=by_weakness((*remarks, *reading.remarks)))


def compare_concept_sets(session: Session, before: str, after: str) -> tuple[Resource, Resource, ConceptSetDiff]:
    """What happened from one registered concept set to another. Raises NotFound."""
    earlier = find_resource(session, ResourceKind.CONCEPT_SET, before, field="name")
    later = find_resource(session, ResourceKind.CONCEPT_SET, after, field="to")
    return earlier, later, diff(concept_set_of(earlier), concept_set_of(later))


def _given(concepts: Sequence[Entry] | None, path: str | None, name: str, roots: DataRoots) -> ConceptSet:
    if (concepts is None) == (path is None):
        raise InvalidInput(
            "A concept set is either listed in the request or named as a file.",
            field="concepts",
            remedy="Give concepts or path, and not both.",
        )
    if path is None:
        return concept_set_from_entries(name, concepts or ())
    return read_concept_set(locate(path, roots, field="path"), name, roots)


def _of_dissector(session: Session, resource: Resource, concept_set: ConceptSet, dissector: Resource) -> Review | None:
    """The remarks that a dissector's reading gives; None where it has not read the texts."""
    prompts = dissector_place(dissector).get("prompts")
    texts = texts_digest(concept_set.digest, prompts)
    content = dissector_place(dissector).get("content") or dissector.digest
    embeddings = find_texts_of_any_device(session, content, texts)
    if embeddings is None:
        return None

    note = f"The texts are those that {dissector.reference} read in a job."
    cut: Sequence[CutText] | None = texts_cut_by(session, dissector.id, resource.id, texts)
    if cut is None:
        reading = find_reading(session, resource.id, dissector.id)
        if reading is None or reading.cut is None:
            return None
        note, cut = f"{dissector.reference} has read the texts for these remarks.", reading.cut

    remarks = list(of_cut_texts((entry["text"], entry["tokens"], entry["read"]) for entry in cut))
    if len(embeddings) > MOST_COMPARED:
        note = f"{note} Embeddings of more than {MOST_COMPARED:,} concepts are not compared here."
    else:
        remarks += of_near_embeddings(near_pairs(concept_set.texts, embeddings))
    return Review(remarks, note, ResourceState.READY)


def _asked(session: Session, queue: JobQueue, resource: Resource, dissector: Resource, *, again: bool) -> Review:
    """Where the reading of the texts stands, for which a worker is asked where nobody has asked one."""
    reading = find_reading(session, resource.id, dissector.id)
    if reading is not None and reading.problem is not None and not again:
        why = f"{reading.problem['detail']} {reading.problem.get('remedy', '')}".strip()
        return Review((), f"{dissector.reference} cannot read {resource.reference}. {why}", ResourceState.REFUSED)

    if reading is None or not reading.is_open:
        ask_reading(session, queue, resource, dissector)
    note = (
        f"{dissector.reference} has not read {resource.reference} yet; a worker is asked to have it do so. "
        f"GET /concept-sets/{resource.reference}?dissector={dissector.reference} shows what it finds."
    )
    return Review((), note, ResourceState.CHECKING)


class _Recent:
    """The remarks on the concept sets that were asked for last: a set never changes, and a large one takes a second."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._remarks: OrderedDict[str, tuple[Remark, ...]] = OrderedDict()

    def of(self, digest: str, concept_set: ConceptSet) -> tuple[Remark, ...]:
        with self._lock:
            if digest in self._remarks:
                self._remarks.move_to_end(digest)
                return self._remarks[digest]

        remarks = lint(concept_set)
        with self._lock:
            self._remarks[digest] = remarks
            while len(self._remarks) > _REMEMBERED:
                self._remarks.popitem(last=False)
        return remarks


_RECENT = _Recent()
