"""What one concept set has that another one has not."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from service.domain.concepts import Concept, ConceptSet
from service.domain.spelling import WAYS, Way, folded, spelling_keys

Alike = Way | Literal["synonym"]
"""Why two concepts may be the same: a way of spelling that both share, or that one's synonym names the other (sent)."""

ALIKE: tuple[Alike, ...] = (*WAYS, "synonym")


@dataclass(frozen=True, slots=True)
class Change:
    """A concept that both sets have, and a field of it that differs."""

    text: str
    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Renaming:
    """A concept that went and one that came, which may be the same."""

    before: str
    after: str

    alike: Alike


@dataclass(frozen=True, slots=True)
class ConceptSetDiff:
    """From one concept set to another. Concepts are the same where their texts are, but for case and blanks."""

    added: tuple[str, ...]
    removed: tuple[str, ...]

    renamed: tuple[Renaming, ...]
    """Pairs of what was added and removed that may be the same concept; they are in both lists, too."""

    changed: tuple[Change, ...]

    moved: int
    """How many concepts of both have another place among these. Their order is part of the content."""

    same: int
    """How many concepts of both are equal in every field."""


def diff(before: ConceptSet, after: ConceptSet) -> ConceptSetDiff:
    """What happened between two concept sets, in the order of the later one; of what was removed, of the earlier."""
    old = {folded(concept.text): concept for concept in before.concepts}
    new = {folded(concept.text): concept for concept in after.concepts}

    added = [concept for key, concept in new.items() if key not in old]
    removed = [concept for key, concept in old.items() if key not in new]
    changed = [change for key, concept in new.items() if key in old for change in _changes(old[key], concept)]

    kept_before = [key for key in old if key in new]
    kept_after = [key for key in new if key in old]
    return ConceptSetDiff(
        added=tuple(concept.text for concept in added),
        removed=tuple(concept.text for concept in removed),
        renamed=tuple(_renamings(removed, added)),
        changed=tuple(changed),
        moved=sum(key != other for key, other in zip(kept_before, kept_after, strict=True)),
        same=sum(old[key] == new[key] for key in kept_after),
    )


def _changes(before: Concept, after: Concept) -> Iterator[Change]:
    old, new = before.as_dict(), after.as_dict()
    for field in dict.fromkeys((*old, *new)):
        if old.get(field) != new.get(field):
            yield Change(after.text, field, old.get(field), new.get(field))


def _renamings(removed: Iterable[Concept], added: Iterable[Concept]) -> Iterator[Renaming]:
    """Pairs by the closest likeness; each concept is in one at most, and none where there are two ways to pair it."""
    gone = {concept.text: concept for concept in removed}
    come = {concept.text: concept for concept in added}
    for alike in ALIKE:
        old, new = _texts_by_key(gone.values(), alike), _texts_by_key(come.values(), alike)
        for key, candidates in old.items():
            partners = new.get(key, ())
            if len(candidates) == len(partners) == 1:
                (before,), (after,) = candidates, partners
                if before in gone and after in come:
                    del gone[before], come[after]
                    yield Renaming(before, after, alike)


def _texts_by_key(concepts: Iterable[Concept], alike: Alike) -> dict[str, set[str]]:
    with_key: dict[str, set[str]] = defaultdict(set)
    for concept in concepts:
        for key in _keys(concept, alike):
            with_key[key].add(concept.text)
    return with_key


def _keys(concept: Concept, alike: Alike) -> tuple[str, ...]:
    if alike == "synonym":
        return tuple(map(folded, (concept.text, *concept.synonyms)))
    return spelling_keys(concept.text, alike)
