"""Layer names: `image_encoder._blocks[38]` and `image_encoder._blocks.38` are the same layer.

A request may also ask by pattern: `*` stands for one part of a name or for some of it, `**` for any parts, `?` for one
character. The word `stages` stands for the ends of a network's stages; inside a request it is STAGES, because a layer
may be named `stages`.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches

from service.errors import InvalidInput, UnknownLayer

STAGES = "@stages"

_INDEX = re.compile(r"\[(\d+)\]")
_DOTTED_INDEX = re.compile(r"\.(\d+)(?=\.|$)")
_WILDCARDS = frozenset({"**", "*", "?"})
_WILDCARD = re.compile(r"(\*\*|\*|\?)")
_MOST_WILDCARDS = 8
_MOST_PATTERNS = 32


def canonical_layer(name: str) -> str:
    """The dotted form of a layer name, in which torch names its modules."""
    return _INDEX.sub(r".\1", name.strip())


def published_layer(name: str) -> str:
    """A dotted name in the spelling of Mammo-CLIP Dissect's result files: `blocks[2]`."""
    return _DOTTED_INDEX.sub(r"[\1]", name)


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
    Raises UnknownLayer for a name that no layer has, and for a pattern that none fits; InvalidInput for too many
    patterns, or wildcards in one.
    """
    if sum(map(is_selector, asked)) > _MOST_PATTERNS:
        raise InvalidInput(
            f"More than {_MOST_PATTERNS} patterns are given.",
            field="layers",
            remedy="Name the layers, or use fewer patterns that stand for more of them.",
        )

    chosen: dict[str, None] = {}
    for name in asked:
        if name == STAGES:
            stages = [layer for layer, ends_stage in known.items() if ends_stage]
            chosen.update(dict.fromkeys(stages if None not in known.values() else [STAGES]))
        elif is_selector(name):
            chosen.update(dict.fromkeys(_fitting(name, known, left_out)))
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


def _fitting(pattern: str, known: Iterable[str], left_out: Collection[str]) -> list[str]:
    """The layers that a pattern stands for. Raises UnknownLayer where there are none."""
    known = list(known)
    tokens = _tokens_of(pattern)
    fitting = [layer for layer in known if _fits(tokens, layer)]
    if fitting:
        return fitting
    if is_left_out(pattern, left_out) or any(_fits(tokens, layer) for layer in left_out):
        raise layer_without_weights(pattern)
    raise _unknown(f"No layer of the target fits '{pattern[:120]}'.", pattern, known)


def _tokens_of(pattern: str) -> list[str]:
    """A pattern's wildcards and what stands between them. Raises InvalidInput where it has too many wildcards."""
    tokens = [token for token in _WILDCARD.split(pattern) if token]
    if sum(token in _WILDCARDS for token in tokens) > _MOST_WILDCARDS:
        raise InvalidInput(
            f"The pattern '{pattern[:120]}' has more than {_MOST_WILDCARDS} wildcards.",
            field="layers",
            value=pattern,
            remedy="Name the layers, or use several patterns.",
        )
    return tokens


def _fits(tokens: Sequence[str], layer: str) -> bool:
    """Whether a layer's name is what the tokens stand for.

    All places that the tokens so far may lead to are followed at once. A regular expression would try them one after
    another, which takes ages for some patterns.
    """
    places = {0}
    for token in tokens:
        match token:
            case "**":
                places = set(range(min(places), len(layer) + 1))
            case "*":
                places = {end for place in places for end in range(place, _end_of_part(layer, place) + 1)}
            case "?":
                places = {place + 1 for place in places if layer[place : place + 1] not in {"", "."}}
            case _:
                places = {place + len(token) for place in places if layer.startswith(token, place)}

        if not places:
            return False
    return len(layer) in places


def _end_of_part(layer: str, place: int) -> int:
    end = layer.find(".", place)
    return len(layer) if end < 0 else end


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
