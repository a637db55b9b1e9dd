"""Which images show a watched concept, as far as the columns of a manifest say."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.concepts import Concept, ConceptSet
from service.domain.probes import ProbeItem

_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_YES = frozenset({"1", "1.0", "true", "yes", "y", "present"})
_MOST_VALUES = 100
"""A column with more values than this numbers or dates its images."""


@dataclass(frozen=True, slots=True)
class KnownByColumn:
    """A concept of which columns say on which images it is."""

    concept: int
    words: str
    """The columns and values that say so, as `view = CC, laterality = L`."""

    shown: tuple[bool | None, ...]
    """Of each image; None where one of the columns says nothing."""


def known_by_columns(concept_set: ConceptSet, items: Sequence[ProbeItem]) -> tuple[KnownByColumn, ...]:
    """The watched concepts that a column knows, in the order of the set.

    A concept is known by a column of its name that says yes; by a value of a column that is its name, alone (`surgical
    clip`) or before the column's name (`CC view`); and by the side and the view (`left breast`, `left cc view`). Names
    are the concept's text and its synonyms; neither case nor underscores count.
    """
    statements = _statements(items)
    known = []
    for concept in concept_set.watched:
        conditions = _conditions(concept_set.concepts[concept], statements)
        if conditions is not None:
            words = ", ".join(f"{column} = {' or '.join(values)}" for column, values in conditions.items())
            known.append(KnownByColumn(concept, words, tuple(_shows(item, conditions) for item in items)))
    return tuple(known)


_Conditions = dict[str, list[str]]
"""Columns, and the values of which each has to have one."""


def _conditions(concept: Concept, statements: Mapping[str, _Conditions]) -> _Conditions | None:
    names = (concept.text, *concept.synonyms)
    return next((statements[_plain(name)] for name in names if _plain(name) in statements), None)


def _statements(items: Sequence[ProbeItem]) -> Mapping[str, _Conditions]:
    """What columns can say in words, and which values say it."""
    statements: dict[str, _Conditions] = {}
    values_of = _values_of_columns(items)
    for column, values in values_of.items():
        for value in values:
            if _plain(value) in _YES:
                _add(statements, column, {column: value})
            else:
                _add(statements, value, {column: value})
                _add(statements, f"{value} {column}", {column: value})

    for value in values_of.get("laterality", ()):
        side = _SIDES.get(_plain(value))
        if side is None:
            continue
        _add(statements, f"{side} breast", {"laterality": value})
        for view in values_of.get("view", ()):
            _add(statements, f"{side} {view} view", {"laterality": value, "view": view})
    return statements


def _add(statements: dict[str, _Conditions], name: str, values: Mapping[str, str]) -> None:
    """Another value of the same columns says it as well; the first columns that say it stand."""
    known = statements.setdefault(_plain(name), {column: [] for column in values})
    if known.keys() != values.keys():
        return
    for column, value in values.items():
        if value not in known[column]:
            known[column].append(value)


def _values_of_columns(items: Sequence[ProbeItem]) -> Mapping[str, Sequence[str]]:
    """The values of each column, sorted; none of a column that numbers or dates its images."""
    columns = {"view", "laterality"}.union(*(item.strata for item in items))
    values_of: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for column in columns:
            value = item.value_in(column)
            if value and len(values_of[column]) <= _MOST_VALUES:
                values_of[column].add(value)

    return {column: sorted(values) for column, values in sorted(values_of.items()) if len(values) <= _MOST_VALUES}


def _shows(item: ProbeItem, conditions: _Conditions) -> bool | None:
    shows = True
    for column, values in conditions.items():
        said = item.value_in(column)
        if said is None:
            return None
        shows &= said in values
    return shows


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
