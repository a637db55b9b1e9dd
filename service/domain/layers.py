"""Layer names: `image_encoder._blocks[38]` and `image_encoder._blocks.38` are the same layer.

A request may also ask by pattern: `*` stands for one part of a name or for some of it, `**` for any parts, `?` for one
character. The word `stages` stands for the ends of a network's stages; inside a request it is STAGES, because a layer
may be named `stages`.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches

from service.errors import UnknownLayer

STAGES = "@stages"

_INDEX = re.compile(r"\[(\d+)\]")
_WILDCARDS = {"**": r".*", "*": r"[^.]*", "?": r"[^.]"}
_WILDCARD = re.compile(r"\*\*|\*|\?")


def canonical_layer(name: str) -> str:
    """The dotted form of a layer name, in which torch names its modules."""
    return _INDEX.sub(r".\1", name.strip())


def asked_layers(words: str | Sequence[str]) -> tuple[str, ...] | None:
    """What a request says of its layers, as options hold it: names and patterns; None for `all`."""
    if words == "all":
        return None
    if words == "stages":
        return (STAGES,)
    return tuple(dict.fromkeys(map(canonical_layer, words)))


def words_of_layers(asked: Sequence[str] | None) -> list[str]:
    """Names, patterns and words that a request has asked by, as it wrote them."""
    if asked is None:
        return ["all"]
    return ["stages" if name == STAGES else name for name in asked]


def is_selector(name: str) -> bool:
    """Whether it stands for layers rather than being the name of one."""
    return name == STAGES or _WILDCARD.search(name) is not None


def expand_layers(
    asked: Sequence[str], known: Mapping[str, bool | None], left_out: Collection[str] = ()
) -> tuple[str, ...]:
    """The layers that names and patterns stand for, each once, in the order of the request, then of the network.

    known: the layers that can be dissected, and whether each ends a stage; None where that is not known, so that STAGES
    stays for who knows it.
    left_out: layers that were left out for want of weights, which an error for one of them says.
    Raises UnknownLayer for a name that no layer has, and for a pattern that none fits.
    """
    chosen: dict[str, None] = {}
    for name in asked:
        if name == STAGES:
            stages = [layer for layer, ends_stage in known.items() if ends_stage]
            chosen.update(dict.fromkeys(stages if None not in known.values() else [STAGES]))
        elif is_selector(name):
            chosen.update(dict.fromkeys(_fitting(name, known)))
        elif canonical_layer(name) in known:
            chosen[name] = None
        elif is_left_out(canonical_layer(name), left_out):
            raise layer_without_weights(name)
        else:
            raise unknown_layer(name, known)
    return tuple(chosen)


def near_layers(name: str, known_layers: Iterable[str]) -> list[str]:
    """The known layer names most like `name`, nearest first."""
    return get_close_matches(canonical_layer(name), list(known_layers), n=5, cutoff=0.4)


def unknown_layer(name: str, known_layers: Iterable[str]) -> UnknownLayer:
    """The error for a name that no layer has, with the nearest ones that exist."""
    return _unknown(f"The target has no layer '{name[:120]}'.", name, known_layers)


def _fitting(pattern: str, known: Iterable[str]) -> list[str]:
    """The layers that a pattern stands for. Raises UnknownLayer where there are none."""
    known = list(known)
    expression = ""
    position = 0
    for wildcard in _WILDCARD.finditer(pattern):
        expression += re.escape(pattern[position : wildcard.start()]) + _WILDCARDS[wildcard[0]]
        position = wildcard.end()
    expression += re.escape(pattern[position:])

    fitting = [layer for layer in known if re.fullmatch(expression, layer)]
    if not fitting:
        raise _unknown(f"No layer of the target fits '{pattern[:120]}'.", pattern, known)
    return fitting


def _unknown(detail: str, name: str, known_layers: Iterable[str]) -> UnknownLayer:
    known_layers = list(known_layers)
    near = near_layers(name, known_layers)
    if near:
        remedy = f"Near matches: {', '.join(near)}."
    else:
        remedy = f"Layers have names like {next(iter(known_layers), '-')}."
    return UnknownLayer(detail, field="layers", value=name, remedy=remedy)


def is_left_out(name: str, left_out: Iterable[str]) -> bool:
    """Whether a layer is one of those left out, or inside of one."""
    return any(name == part or name.startswith(f"{part}.") for part in left_out)


def layer_without_weights(name: str) -> UnknownLayer:
    """The error for a layer of the architecture that the checkpoint has no fitting weights for."""
    return UnknownLayer(
        f"The target was opened without the layer '{name[:120]}', because its checkpoint has no weights that fit it.",
        field="layers",
        value=name,
        remedy="Name a layer in front of it, or register a checkpoint with weights for it.",
    )
