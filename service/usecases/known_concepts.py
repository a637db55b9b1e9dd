"""Ask who knows a concept, and look at dissections and their neurons at a glance."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import dissections as lines
from service.db import labelled_neurons as queries
from service.db.neurons import Sort
from service.domain.concepts import Concept, ConceptSet
from service.domain.glances import DissectionLine, KnownInJob, LabelCount, NeuronGlance
from service.domain.layers import canonical_layer
from service.domain.neurons import NeuronFilter
from service.domain.pages import Page, Position
from service.domain.resources import Resource
from service.domain.verdicts import Verdict
from service.usecases.jobs import choose_job
from service.usecases.neurons import list_neurons

MOST_CONCEPTS = 200
"""So many concepts that fit some words are asked for at once: the first of the set."""

_LEAST_PLURAL = 4
"""A word of no more letters is taken as it is: `gas`."""


def list_dissections(
    session: Session, *, model: str | None = None, limit: int, after: Position | None = None
) -> Page[DissectionLine]:
    """Jobs with a result, newest first. model: only those on any version of that name."""
    return lines.list_dissections(session, model=model, limit=limit, after=after)


def newest_dissections(session: Session, models: Iterable[Resource]) -> dict[UUID, DissectionLine]:
    """The newest dissection of each of these versions of models, as it is and not shuffled, by the version's id."""
    return lines.newest_dissections(session, [model.id for model in models])


def find_dissection(session: Session, job_id: UUID) -> DissectionLine:
    """A job with a result, in a line. Raises NotFound, and Conflict for a job without one."""
    choose_job(session, job_id=job_id, model=None)
    line = lines.find_dissection(session, job_id)
    assert line is not None  # noqa: S101 - it has succeeded, in this very transaction
    return line


def count_labels(session: Session, job_id: UUID, layer: str | None = None) -> list[LabelCount]:
    """The labels of a job or of one of its layers with their neurons, the commonest first."""
    return queries.count_labels(session, job_id, None if layer is None else canonical_layer(layer))


def known_in_dissections(
    session: Session, dissections: Iterable[DissectionLine], concepts: Sequence[str]
) -> dict[UUID, KnownInJob]:
    """How many neurons of each dissection are labelled with any of the concepts; no entry where none is."""
    return queries.count_in_jobs(session, [line.job for line in dissections], concepts)


def neurons_knowing(
    session: Session,
    job_id: UUID,
    concepts: Sequence[str],
    *,
    verdicts: Sequence[Verdict] | None = None,
    limit: int,
    after: Position | None,
) -> Page[NeuronGlance]:
    """The neurons of a job that are labelled with any of the concepts, in all layers, those with the highest z first.

    Scores of different layers cannot be compared; z can.
    """
    if not concepts:
        return Page(())
    return queries.list_knowing(session, job_id, concepts, verdicts=verdicts, limit=limit, after=after)


def look_at_layer(
    session: Session,
    job_id: UUID,
    layer: str,
    *,
    where: NeuronFilter,
    sort: Sort,
    limit: int,
    after: Position | None,
) -> Page[NeuronGlance]:
    """One page of a layer's neurons, each with its first images. Raises NotFound for a layer that is not there."""
    listed = list_neurons(session, job_id, layer, where=where, sort=sort, limit=limit, after=after)
    units = [neuron.unit for neuron in listed.items]
    images = queries.first_images(session, job_id, canonical_layer(layer), units)
    neurons = tuple(NeuronGlance.of(neuron, images.get(neuron.unit, ())) for neuron in listed.items)
    return Page(neurons, listed.next_position)


def concepts_that_fit(concept_set: ConceptSet, words: str) -> list[Concept]:
    """The concepts in whose text, synonyms or categories each of the words occurs, in the order of the set.

    A plural is found by its singular and the other way round: `calcifications` finds `clustered calcification`.
    """
    wanted = [_stem(word) for word in words.casefold().split()]
    if not wanted:
        return []

    fitting = [concept for concept in concept_set.concepts if _fits(concept, wanted)]
    return fitting[:MOST_CONCEPTS]


def concepts_of_category(concept_set: ConceptSet, name: str) -> list[Concept]:
    """The concepts whose category or broad category has that name."""
    return [concept for concept in concept_set.concepts if name in {concept.category, concept.broad_category}]


def _fits(concept: Concept, wanted: Sequence[str]) -> bool:
    names = (concept.text, *concept.synonyms, concept.category or "", concept.broad_category or "")
    names_in_languages = tuple(name for _, name in concept.names)
    everything = " | ".join((*names, *names_in_languages)).casefold()
    return all(word in everything for word in wanted)


def _stem(word: str) -> str:
    if word.endswith("sses"):
        return word.removesuffix("es")
    is_plural = len(word) > _LEAST_PLURAL and word.endswith("s") and not word.endswith("ss")
    return word.removesuffix("s") if is_plural else word
