"""Which concept names which finding of a probe set; a probe set's findings as concepts."""

from collections.abc import Iterable
from dataclasses import replace

from service.concepts.parse import concept_set_from_entries
from service.domain.concepts import ConceptSet
from service.domain.spelling import folded


def name_findings(concept_set: ConceptSet, findings: Iterable[str]) -> dict[int, str]:
    """Index of every concept that names a finding -> that finding, as the probe set writes it.

    A concept names a finding when its text, or else one of its synonyms in their order, is the same but for case and
    blanks. Of findings that differ in case and blanks only, the first in alphabetical order stands for all.
    """
    known = {folded(finding): finding for finding in sorted(findings, reverse=True)}
    named = {}
    for index, concept in enumerate(concept_set.concepts):
        match = next((name for text in (concept.text, *concept.synonyms) if (name := known.get(folded(text)))), None)
        if match is not None:
            named[index] = match
    return named


def concepts_of_findings(findings: Iterable[str], vocabulary: ConceptSet) -> ConceptSet:
    """A concept for each finding of a probe set, with the categories of the vocabulary's concept that names it.

    Of findings that differ in case and blanks only, the first in alphabetical order stands for all. Raises
    InvalidConceptSet where there is none, or one that no concept can be called (see `parse_concept_set`).
    """
    distinct = {folded(finding): finding for finding in sorted(findings, reverse=True)}
    by_finding = {folded(name): index for index, name in name_findings(vocabulary, distinct.values()).items()}
    texts = concept_set_from_entries("findings", sorted(distinct.values()))
    places = [by_finding.get(folded(concept.text)) for concept in texts.concepts]
    return ConceptSet(
        texts.name,
        tuple(
            concept if place is None else replace(vocabulary.concepts[place], text=concept.text, synonyms=())
            for concept, place in zip(texts.concepts, places, strict=True)
        ),
    )
