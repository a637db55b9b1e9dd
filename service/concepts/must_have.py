"""Clinically essential concepts that a mammography network should represent."""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

from service.concepts.parse import parse_concept_set, read_concept_set
from service.domain.concepts import ConceptSet
from service.domain.spelling import folded


def read_must_have(path: Path | None = None) -> tuple[str, ...]:
    """The texts of a list of concepts in any format of concept sets; without a path, the list that comes along.

    Raises InvalidConceptSet as `read_concept_set` does, naming the line.
    """
    return _built_in() if path is None else read_concept_set(path).texts


def match_concepts(concept_set: ConceptSet, wanted: Iterable[str]) -> tuple[tuple[str, int | None], ...]:
    """Each wanted text with the index of the concept that it names, by text or else by a synonym; None without one.

    Case and blanks do not count; of several concepts with the same synonym the first is meant.
    """
    indices: dict[str, int] = {}
    for index, concept in enumerate(concept_set.concepts):
        for synonym in concept.synonyms:
            indices.setdefault(folded(synonym), index)
    indices |= {folded(concept.text): index for index, concept in enumerate(concept_set.concepts)}

    return tuple((text, indices.get(folded(text))) for text in wanted)


@cache
def _built_in() -> tuple[str, ...]:
    content = files("service.concepts").joinpath("data", "must_have.txt").read_bytes()
    return parse_concept_set("must-have", content, "txt").texts
