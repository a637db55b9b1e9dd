"""The sets of weights in a weights file: each dictionary of named tensors, wherever the file's dictionaries hold it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.engine.weights.pickles import Inert
from service.engine.weights.tensors import StoredTensor

WHOLE_FILE = "."
"""The name of the set that is the file's own dictionary."""

DEFAULTS = ("model", "state_dict")
"""Entries whose weights are taken before others."""

_DEEPEST = 4
_MOST_SETS = 64
_LONGEST_NAME = 200
"""Of an entry that is followed: a file may have a few long names, and many dictionaries below each."""
_AVERAGE = re.compile(r"(?<![a-z])(ema|swa|average|averaged|avg|shadow)(?![a-z])")
_NEARLY = 0.9
_NO_WEIGHTS = ("optim", "sched")
"""Parts of entries' names: what optimizers keep is named after the weights, and has their shapes."""

_WHOLE_NETWORKS = (
    "model",
    "state_dict",
    "net",
    "network",
    "module",
    "ema",
    "model_ema",
    "generator",
    "student",
    "teacher",
)
"""Entries under which people save a network itself instead of its weights."""


@dataclass(frozen=True, slots=True)
class FoundSet:
    """One set of weights of a file."""

    name: str
    """The entries that lead to it, joined by "/", or WHOLE_FILE."""

    entries: Mapping[str, StoredTensor]
    """Its tensors."""

    others: tuple[str, ...]
    """Entries beside them that are neither tensors nor dictionaries."""

    also: tuple[str, ...] = ()
    """Other names that the file has for the very same dictionary."""

    @property
    def size(self) -> int:
        """Bytes of copies of its tensors."""
        return sum(tensor.size for tensor in self.entries.values())


def find_sets(contents: Mapping[Any, object]) -> list[FoundSet]:
    """The sets in the order of the file, the outer ones first. A file's dictionaries may hold each other."""
    seen: dict[int, str] = {}
    also: dict[str, list[str]] = {}
    found: list[FoundSet] = []
    level = [("", contents)]

    for _ in range(_DEEPEST):
        inner: list[tuple[str, Mapping[Any, object]]] = []
        for name, dictionary in level:
            if id(dictionary) in seen:
                also.setdefault(seen[id(dictionary)], []).append(name)
                continue
            if "param_groups" in dictionary:
                continue

            seen[id(dictionary)] = name or WHOLE_FILE
            found.extend(_set_of(name, dictionary))
            inner.extend(_dictionaries_in(name, dictionary))
        level = inner

    return [replace(each, also=tuple(also.get(each.name, ())[:_MOST_SETS])) for each in found[:_MOST_SETS]]


def is_average(name: str) -> bool:
    """Whether a set is called as averages of weights over the training are."""
    return _AVERAGE.search(name.lower()) is not None


def likely_set(sets: Sequence[FoundSet], wanted: str | None) -> FoundSet | None:
    """The set that a network probably gets, of which only its names and sizes are looked at.

    wanted: what was asked for: a set's name, or with a prefix behind it.
    """
    if wanted is not None:
        named = [each for each in sets if wanted in {each.name, *each.also}]
        around = [each for each in sets if wanted.startswith(f"{each.name}/")]
        if named or around:
            return max(named or around, key=lambda each: len(each.name))

    large = max((each.size for each in sets), default=0)
    good = [each for each in sets if each.size >= _NEARLY * large]
    trained = [each for each in good if not is_average(each.name)]
    return max(trained or good, key=lambda each: each.name in DEFAULTS, default=None)


def _set_of(name: str, dictionary: Mapping[Any, object]) -> Iterator[FoundSet]:
    named = {key: value for key, value in dictionary.items() if type(key) is str}
    tensors = {key: value for key, value in named.items() if isinstance(value, StoredTensor)}
    if not tensors:
        return

    others = [str(key) for key, value in dictionary.items() if key not in tensors and type(value) is not dict]
    yield FoundSet(name or WHOLE_FILE, tensors, tuple(others))


def _dictionaries_in(name: str, dictionary: Mapping[Any, object]) -> Iterator[tuple[str, Mapping[Any, object]]]:
    for key, value in dictionary.items():
        if type(key) is not str or type(value) is not dict or len(key) > _LONGEST_NAME:
            continue
        if not any(part in key.lower() for part in _NO_WEIGHTS):
            yield (f"{name}/{key}" if name else key), value


def whole_object_in(contents: object) -> tuple[str, str] | None:
    """The entry (empty for the file itself) and the class of an object that takes the place of weights, if any does."""
    if isinstance(contents, Inert):
        return "", contents.class_name
    if type(contents) is not dict:
        return None

    objects = {str(key): value.class_name for key, value in contents.items() if isinstance(value, Inert)}
    return next(((key, objects[key]) for key in _WHOLE_NETWORKS if objects.get(key)), None)
