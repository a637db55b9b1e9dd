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
    spelling = {folded(finding): finding for finding in sorted(findings, reverse=True)}

    finding_of_concept = {}
    for index, concept in enumerate(concept_set.concepts):
        matches = (spelling.get(folded(text)) for text in (concept.text, *concept.synonyms))
        finding = next((match for match in matches if match), None)
        if finding is not None:
            finding_of_concept[index] = finding
    return finding_of_concept


def concepts_of_findings(findings: Iterable[str], vocabulary: ConceptSet) -> ConceptSet:
    """A concept for each finding of a probe set, with the categories of the vocabulary's concept that names it.

    Of findings that differ in case and blanks only, the first in alphabetical order stands for all. Raises
    InvalidConceptSet where there is none, or one that no concept can be called (see `parse_concept_set`).
    """
    distinct = {folded(finding): finding for finding in sorted(findings, reverse=True)}
    finding_of_concept = name_findings(vocabulary, distinct.values())
    index_of_finding = {folded(finding): index for index, finding in finding_of_concept.items()}
    plain = concept_set_from_entries("findings", sorted(distinct.values()))

    concepts = []
    for concept in plain.concepts:
        index = index_of_finding.get(folded(concept.text))
        if index is None:
            concepts.append(concept)
        else:
            concepts.append(replace(vocabulary.concepts[index], text=concept.text, synonyms=()))
    return ConceptSet(plain.name, tuple(concepts))
