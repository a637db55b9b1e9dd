"""What one concept set has that another one has not."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from service.domain.concepts import Concept, ConceptSet
from service.domain.spelling import WAYS, folded, spelling_keys


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

    alike: str
    """Why they may be: `synonym`, or a way of spelling that both share."""


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
    gone, come = list(removed), list(added)
    for alike in (*WAYS, "synonym"):
        old, new = _by_key(gone, alike), _by_key(come, alike)
        for key, candidates in old.items():
            partners = new.get(key, {})
            if len(candidates) == len(partners) == 1:
                (before,), (after,) = candidates.values(), partners.values()
                if before in gone and after in come:
                    gone.remove(before)
                    come.remove(after)
                    yield Renaming(before.text, after.text, alike)


def _by_key(concepts: Iterable[Concept], alike: str) -> dict[str, dict[str, Concept]]:
    """The concepts with each key, by their texts."""
    with_key: dict[str, dict[str, Concept]] = defaultdict(dict)
    for concept in concepts:
        for key in _keys(concept, alike):
            with_key[key][concept.text] = concept
    return with_key


def _keys(concept: Concept, alike: str) -> Iterator[str]:
    if alike == "synonym":
        yield from {folded(text) for text in (concept.text, *concept.synonyms)}
        return
    for way in WAYS:
        if way == alike:
            yield from spelling_keys(concept.text, way)
