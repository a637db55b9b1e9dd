"""Which concept names which finding of a probe set."""

from collections.abc import Iterable

from service.concepts.text import folded
from service.domain.concepts import ConceptSet


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
