"""What makes a readable concept set a poor one to name neurons by. Nothing of it is an error."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, get_args

from service.concepts.lint_words import LATERALITY, NEGATIONS, TIME, UNCERTAINTY, Phrases
from service.domain.concepts import Concept, ConceptSet
from service.domain.specs import CategoriesSpec
from service.domain.spelling import WAYS, folded, spelling_keys, with_plain_characters

Weakness = Literal[
    "negation",
    "laterality",
    "time",
    "uncertainty",
    "look-alike characters",
    "near duplicate",
    "two categories",
    "cut text",
]
"""A kind of weakness (sent)."""

WEAKNESSES: tuple[Weakness, ...] = get_args(Weakness)

_WORDS: tuple[tuple[Weakness, Phrases, str], ...] = (
    (
        "negation",
        NEGATIONS,
        "A text encoder reads what is named, not that it is missing: its images are those that show it.",
    ),
    ("laterality", LATERALITY, "A side is the image's, not the finding's, and mirrored images have the other one."),
    ("time", TIME, "One image does not show what was before; the words of a comparison match any image."),
    ("uncertainty", UNCERTAINTY, "An image shows what it shows; how sure a reader was is not in it."),
)


@dataclass(frozen=True, slots=True)
class Remark:
    """A weakness of one concept, or of several together."""

    weakness: Weakness
    concepts: tuple[str, ...]

    because: tuple[str, ...]
    """The words, characters, categories or synonyms that it rests on."""

    detail: str
    """A sentence for a person."""


def lint(concept_set: ConceptSet) -> tuple[Remark, ...]:
    """All that the texts alone tell, kind by kind in the order of `WEAKNESSES`, and then in that of the concepts."""
    remarks = chain(
        _telling_words(concept_set.concepts),
        _look_alike_characters(concept_set.concepts),
        _near_duplicates(concept_set.concepts),
        _two_categories(concept_set.concepts),
    )
    return tuple(by_weakness(remarks))


def _telling_words(concepts: Sequence[Concept]) -> Iterator[Remark]:
    """Not of things that no mammogram shows: an old English sheepdog is a dog."""
    for concept in concepts:
        if concept.mammographic is False:
            continue
        for weakness, phrases, why in _WORDS:
            hits = phrases.in_text(concept.text)
            if hits:
                words = ", ".join(f"'{hit}'" for hit in hits)
                yield Remark(weakness, (concept.text,), hits, f"'{concept.text}' says {words}. {why}")


def _look_alike_characters(concepts: Sequence[Concept]) -> Iterator[Remark]:
    for concept in concepts:
        odd = tuple(dict.fromkeys(_odd_characters(concept.text)))
        if odd:
            names = ", ".join(f"U+{ord(character):04X} ({unicodedata.name(character, 'no name')})" for character in odd)
            detail = f"'{concept.text}' holds {names}, which looks like a plain character and is read as another one."
            yield Remark("look-alike characters", (concept.text,), tuple(f"U+{ord(one):04X}" for one in odd), detail)


def _odd_characters(text: str) -> Iterator[str]:
    """Characters that look like those of a keyboard. Letters of other scripts are odd among Latin ones only."""
    has_latin = any("a" <= character <= "z" for character in text.casefold())
    for character in text:
        if character.isascii() or with_plain_characters(character) == folded(character):
            continue
        if has_latin or not character.isalpha():
            yield character


def _near_duplicates(concepts: Sequence[Concept]) -> Iterator[Remark]:
    """Concepts whose texts are alike in a closed list of ways, and texts that are another one's synonym."""
    told: set[frozenset[str]] = set()
    for way in WAYS:
        with_key: dict[str, list[str]] = defaultdict(list)
        for concept in concepts:
            for key in spelling_keys(concept.text, way):
                with_key[key].append(concept.text)

        for texts in with_key.values():
            distinct = tuple(dict.fromkeys(texts))
            if len(distinct) > 1 and frozenset(distinct) not in told:
                told.add(frozenset(distinct))
                listed = ", ".join(f"'{text}'" for text in distinct)
                yield Remark("near duplicate", distinct, (way,), f"{listed} differ by no more than {_in_words(way)}.")

    owners = {folded(concept.text): concept.text for concept in concepts}
    for concept in concepts:
        for synonym in concept.synonyms:
            owner = owners.setdefault(folded(synonym), concept.text)
            if owner != concept.text:
                detail = f"The synonym '{synonym}' of '{concept.text}' also names '{owner}'."
                yield Remark("near duplicate", (owner, concept.text), (synonym,), detail)


def _in_words(way: str) -> str:
    return {"same": "case and blanks", "plural": "punctuation and the plural"}.get(way, way)


def _two_categories(concepts: Sequence[Concept]) -> Iterator[Remark]:
    broad: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for concept in concepts:
        if concept.category is not None:
            broad[concept.category][concept.broad_category or ""].append(concept.text)

    for category, of_broad in broad.items():
        if len(of_broad) > 1:
            names = tuple(of_broad)
            first_concepts = tuple(texts[0] for texts in of_broad.values())
            listed = " and in ".join(f"'{name}'" if name else "no broad category" for name in names)
            detail = f"The category '{category}' is in {listed}, as of {' and '.join(map(repr, first_concepts))}."
            yield Remark("two categories", first_concepts, (category, *names), detail)


def of_several_places(fit: CategoriesSpec) -> Iterator[Remark]:
    """Concepts that a table of categories names in several places; the last of them counts."""
    for entry in fit["several"]:
        text, places = entry["text"], entry["places"]
        detail = f"'{text}' stands in {len(places)} places of the table of categories; '{places[-1]}' counts."
        yield Remark("two categories", (text,), tuple(places), detail)


def by_weakness(remarks: Iterable[Remark]) -> list[Remark]:
    """The remarks as they are shown: those of a kind together, in the order of WEAKNESSES."""
    return sorted(remarks, key=lambda remark: WEAKNESSES.index(remark.weakness))


def of_cut_texts(cut: Iterable[tuple[str, int, int]]) -> Iterator[Remark]:
    """Texts that a dissector cuts: each with its tokens and how many of these are read."""
    for text, tokens, read in cut:
        yield Remark("cut text", (text,), (), f"Of '{text}' the dissector reads {read} of {tokens} tokens.")


def of_near_embeddings(pairs: Iterable[tuple[str, str, float]]) -> Iterator[Remark]:
    """Pairs of concepts that a dissector hardly tells apart, with the cosine of their embeddings."""
    for first, second, cosine in pairs:
        detail = (
            f"The dissector hardly tells '{first}' and '{second}' apart: their embeddings have the cosine {cosine:.3f}."
        )
        yield Remark("near duplicate", (first, second), (f"{cosine:.3f}",), detail)
