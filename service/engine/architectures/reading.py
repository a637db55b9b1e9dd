"""From a weights file to a network with its weights in it, and an account of what was decided on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from service.domain.input_contract import GivenInput
from service.domain.models import TargetSpec
from service.domain.weights_reading import WeightsReading, listed
from service.engine.architectures.blueprint import Blueprint, Family
from service.engine.architectures.building import building_within
from service.engine.architectures.choosing import Candidate, Choice, choose, likely_weights
from service.engine.architectures.input_check import stem_channels
from service.engine.architectures.loading import load_strictly
from service.engine.architectures.mending import Mended, mend
from service.engine.networks.checkpoints import Checkpoint


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network with its weights, on the CPU."""

    blueprint: Blueprint
    reading: WeightsReading

    left_out: tuple[str, ...]
    """Names of modules that the file has no weights for."""


def load(family: Family, model: str, checkpoint: Checkpoint, spec: TargetSpec) -> Loaded:
    """Build the architecture, choose the weights, and load them strictly.

    model: the architecture's name within its family.
    checkpoint: opened with the weights that are likely; others are fetched where these are not chosen.
    Raises InvalidCheckpoint where the choice is not possible, or where the weights do not fit or are not finite.
    """
    likely = likely_weights(checkpoint)
    blueprint = _draw(family, model, likely, spec)
    shapes = {key: tuple(value.shape) for key, value in blueprint.module.state_dict().items()}

    choice = choose(checkpoint, shapes, spec.weights)
    choice = replace(choice, candidate=_fetched(choice.candidate, checkpoint))
    weights = _own(choice.candidate, family.inner_prefix)
    if not _are_the_same(weights, likely) and not _are_the_same(weights, blueprint.weights):
        del blueprint, likely  # two of a large network may not fit into memory
        blueprint = _draw(family, model, weights, spec)

    mended = mend(blueprint.module, blueprint.weights, blueprint.renames, blueprint.heads)
    load_strictly(blueprint.module, mended.weights, spec.architecture, blueprint.remedy)

    # A library may have built it for one channel itself.
    channels: Literal[1, 3] = 1 if mended.channels == 1 or stem_channels(blueprint.module) == 1 else 3
    reading = _reading(choice, mended, _left_aside(choice, blueprint), channels, blueprint.layer_prefix)
    return Loaded(blueprint, reading, mended.left_out)


def _fetched(candidate: Candidate, checkpoint: Checkpoint) -> Candidate:
    return replace(candidate, source=checkpoint.fetch(candidate.source))


def _own(candidate: Candidate, inner_prefix: str) -> dict[str, Tensor]:
    """The entries of one network under the names that its family knows, as far as any of them fits."""
    weights, prefix = candidate.source.weights, candidate.prefix
    if inner_prefix and candidate.fitting and not prefix.endswith(inner_prefix):
        return {inner_prefix + key.removeprefix(prefix): weights[key] for key in weights if key.startswith(prefix)}

    outer = prefix.removesuffix(inner_prefix)
    return {key.removeprefix(outer): value for key, value in weights.items() if key.startswith(outer)}


def _are_the_same(weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return weights.keys() == others.keys() and all(weights[key] is others[key] for key in weights)


def _draw(family: Family, model: str, weights: Mapping[str, Tensor], spec: TargetSpec) -> Blueprint:
    with building_within(weights, spec.architecture):
        return family.draw(model, weights, spec.input or GivenInput())


def _left_aside(choice: Choice, blueprint: Blueprint) -> list[str]:
    """Entries of the chosen set that are not the network's, before its own are looked at."""
    source = choice.candidate.source
    if blueprint.unused is not None:
        return [*blueprint.unused, *source.others]

    own = {id(value) for value in blueprint.weights.values()}
    return [*(key for key, value in source.weights.items() if id(value) not in own), *source.others]


def _reading(
    choice: Choice, mended: Mended, left_aside: list[str], channels: Literal[1, 3], layer_prefix: str
) -> WeightsReading:
    candidate = choice.candidate
    reading: WeightsReading = {
        "entry": candidate.name,
        "chosen": choice.chosen,
        "sets": list(choice.names),
        "prefix": candidate.prefix,
        "renamed": listed(mended.renamed),
        "filled_in": listed(mended.filled_in),
        "left_out": listed((layer_prefix + name for name in mended.left_out), None),
        "unused": listed([*left_aside, *mended.unused]),
        "channels": channels,
    }
    if candidate.source.also:
        reading["same"] = list(candidate.source.also)
    return reading
