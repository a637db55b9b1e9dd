"""Which of a file's sets of weights a network gets, and what stands in front of the network's names in it.

Whatever wraps a network (training on many devices, compilation, a framework, a teacher beside a student) puts a
prefix of its own before the network's names. No list of prefixes could be complete, so those names decide.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from torch import Tensor

from service.engine.networks.checkpoints import Checkpoint, WeightsSet
from service.engine.weights.sets import DEFAULTS, WHOLE_FILE, is_average
from service.errors import InvalidCheckpoint

_NEARLY = 0.9
_HARDLY = 0.2
_MOST_SHOWN = 20
_MOST_WRAPPINGS = 5
_LONGEST_KEY = 1000
_DEEPEST_KEY = 40
"""Characters and parts of a key that is looked at. No network has longer ones, and each part costs a look-up."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A set of weights that a network may get."""

    name: str
    """What `weights` calls it: the set's name, with the prefix where the set holds several networks."""

    source: WeightsSet

    prefix: str
    """What stands before the network's names in it, with its full stop."""

    fitting: int
    """Entries with a name and shape of the network's; none where only its library may know the names."""

    surplus: int
    """Entries that would belong to the network by their prefix, but have no place in it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The set that is taken."""

    candidate: Candidate
    chosen: Literal["only", "default", "given"]

    names: tuple[str, ...]
    """Of every candidate that fits."""


def choose(checkpoint: Checkpoint, shapes: Shapes, wanted: str | None) -> Choice:
    """The set that is wanted, or the default; the loaded one where none fits: a library may know its names.

    shapes: of the network's entries.
    Raises InvalidCheckpoint where the wanted set is not there, where several fit and none is the default, or where
    there are none.
    """
    sets = checkpoint.sets
    every = [candidate for source in sets for candidate in _candidates(source, shapes)]
    fitting = _best(every)
    names = tuple(candidate.name for candidate in fitting)
    if wanted is not None:
        return Choice(_named(wanted, every, sets, names), "given", names)
    if not fitting:
        loaded = checkpoint.loaded
        return Choice(_as_it_is(loaded.name, loaded), "only", ())
    if len(fitting) == 1:
        return Choice(fitting[0], "only", names)

    return Choice(_default_of(fitting), "default", names)


def likely_weights(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """The weights that were loaded, without what stands before every name: a network can be built for them.

    Raises InvalidCheckpoint where there are none.
    """
    weights = checkpoint.weights
    prefix = _common_prefix(weights)
    return {key.removeprefix(prefix): value for key, value in weights.items()}


def _as_it_is(name: str, source: WeightsSet) -> Candidate:
    """A set in which nothing fits the network."""
    return Candidate(name, source, _common_prefix(source.weights), fitting=0, surplus=0)


def _common_prefix(names: Iterable[str]) -> str:
    """The first parts of every name, with their full stops, as far as they are the same."""
    prefix = ""
    rest = list(names)
    for _ in range(_MOST_WRAPPINGS):
        parts = {name.partition(".")[0] for name in rest}
        if len(parts) != 1 or not all("." in name for name in rest):
            break
        part = f"{parts.pop()}."
        prefix += part
        rest = [name.removeprefix(part) for name in rest]
    return prefix


def _candidates(source: WeightsSet, shapes: Shapes) -> list[Candidate]:
    fitting: Counter[str] = Counter()
    for key, value in source.weights.items():
        for prefix, name in _splits(key):
            if shapes.get(name) == tuple(value.shape):
                fitting[prefix] += 1
    if not fitting:
        return []

    most = max(fitting.values())
    if most < _HARDLY * len(shapes):  # a few names that all networks have, say: no sign of several networks
        prefixes = [max(fitting, key=lambda prefix: fitting[prefix])]
    else:
        prefixes = [prefix for prefix, count in fitting.items() if count >= _NEARLY * most]
    surplus = {prefix: _count_surplus(source.weights, prefix, shapes) for prefix in prefixes}
    if not all(surplus.values()):
        prefixes = [prefix for prefix in prefixes if not surplus[prefix]]

    return [
        Candidate(_name(source, prefix if len(prefixes) > 1 else ""), source, prefix, fitting[prefix], surplus[prefix])
        for prefix in prefixes
    ]


def _splits(key: str) -> Iterable[tuple[str, str]]:
    """Every way to read a key as a prefix and a name."""
    if len(key) > _LONGEST_KEY:
        return

    yield "", key
    position = key.find(".")
    for _ in range(_DEEPEST_KEY):
        if position < 0:
            return
        yield key[: position + 1], key[position + 1 :]
        position = key.find(".", position + 1)


def _count_surplus(weights: Mapping[str, Tensor], prefix: str, shapes: Shapes) -> int:
    own = _stems(shapes)
    rest = [key.removeprefix(prefix) for key in weights if key.startswith(prefix)]
    return sum(name not in shapes and stem(name) in own for name in rest)


def _stems(names: Iterable[str]) -> set[str]:
    return {stem(name) for name in names}


def stem(name: str) -> str:
    """The first part of an entry's name, its numbers left out: `layer4.1.weight` and `layer5.0.bias` are alike."""
    return re.sub(r"\d+", "#", name.partition(".")[0])


def _name(source: WeightsSet, prefix: str) -> str:
    part = prefix.rstrip(".")
    if not part:
        return source.name
    return part if source.name == WHOLE_FILE else f"{source.name}/{part}"


def _best(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that fit about as well as the best one, without surplus where there are such."""
    most = max((candidate.fitting for candidate in candidates), default=0)
    good = [candidate for candidate in candidates if candidate.fitting >= _NEARLY * most]
    whole = [candidate for candidate in good if not candidate.surplus]
    return whole or good


def _default(candidates: Sequence[Candidate]) -> Candidate | None:
    """The weights as they were trained rather than their average; `model` and `state_dict` before other entries."""
    trained = [candidate for candidate in candidates if not is_average(candidate.name)]
    if len(trained) == 1:
        return trained[0]

    by_name = {candidate.name: candidate for candidate in trained}
    return next((by_name[name] for name in DEFAULTS if name in by_name), None)


def _default_of(candidates: Sequence[Candidate]) -> Candidate:
    default = _default(candidates)
    if default is not None:
        return default

    names = [candidate.name for candidate in candidates]
    raise InvalidCheckpoint(
        f"The checkpoint holds {len(names)} sets of weights that fit, and none of them is the default: {_show(names)}.",
        field="weights",
        remedy=f"Choose one of them, for example with weights: {names[0]}",
    )


def _named(wanted: str, candidates: Sequence[Candidate], sets: Sequence[WeightsSet], names: Sequence[str]) -> Candidate:
    for candidate in candidates:
        if candidate.name == wanted:
            return candidate
    for source in sets:
        if wanted in {source.name, *source.also}:
            inside = [candidate for candidate in candidates if candidate.source is source]
            return _default_of(inside) if inside else _as_it_is(wanted, source)

    known = names or [source.name for source in sets]
    near = get_close_matches(wanted, known, n=3, cutoff=0.4)
    nearest = f" Near matches: {', '.join(near)}." if near else ""
    raise InvalidCheckpoint(
        f"The checkpoint has no set of weights '{wanted[:120]}'.",
        field="weights",
        value=wanted,
        remedy=f"It has: {_show(known)}.{nearest}" if known else "It has none at all.",
    )


def _show(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more
