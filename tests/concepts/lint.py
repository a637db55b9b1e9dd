"""What makes a readable concept set a poor one: no built-in set may have any of it."""

from collections.abc import Iterator

from service.domain.concepts import ConceptSet
from service.domain.spelling import folded


def lint_concept_set(concept_set: ConceptSet) -> tuple[str, ...]:
    """One sentence for every weakness, in the order of the concepts; empty for a clean set.

    Looked at: capitals, a category, broad category or mammographic flag that is missing, a category that lies in two
    broad categories, and a synonym that is also another concept's text or synonym.
    """
    return (*_incomplete(concept_set), *_split_categories(concept_set), *_ambiguous(concept_set))


def _incomplete(concept_set: ConceptSet) -> Iterator[str]:
    for concept in concept_set.concepts:
        if concept.text != concept.text.lower():
            yield f"'{concept.text}' has capitals."
        for field in ("category", "broad_category", "mammographic"):
            if getattr(concept, field) is None:
                yield f"'{concept.text}' has no {field}."


def _split_categories(concept_set: ConceptSet) -> Iterator[str]:
    broad: dict[str, str | None] = {}
    for concept in concept_set.concepts:
        if concept.category is None:
            continue

        first_seen = broad.setdefault(concept.category, concept.broad_category)
        if first_seen != concept.broad_category:
            yield f"Category '{concept.category}' is in '{first_seen}' and in '{concept.broad_category}'."


def _ambiguous(concept_set: ConceptSet) -> Iterator[str]:
    owners = {folded(concept.text): concept.text for concept in concept_set.concepts}
    for concept in concept_set.concepts:
        for synonym in concept.synonyms:
            owner = owners.get(folded(synonym))
            if owner is not None:
                yield f"Synonym '{synonym}' of '{concept.text}' also names '{owner}'."
            owners[folded(synonym)] = concept.text
