"""What has certain words in its name, as lines of the search page: with links to pages in place of the API's paths."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from api.pages import addresses
from service.domain.search import NamedThing
from service.usecases.search import parse_neuron


@dataclass(frozen=True, slots=True)
class NamedLine:
    """A model, job, concept, category or neuron."""

    name: str
    path: str
    """Of its page."""
    detail: str
    nearest: str | None = None
    """The address of the neurons nearest to it; None where none can be."""


@dataclass(frozen=True, slots=True)
class NamedGroup:
    """All lines of one kind."""

    title: str
    lines: Sequence[NamedLine]


def groups_of(named: Mapping[str, Sequence[NamedThing]]) -> list[NamedGroup]:
    """What `find_named` finds, in the order of the page."""
    return [
        NamedGroup(title, [line_of(thing) for thing in named.get(kind, ())])
        for kind, (title, line_of) in _KINDS.items()
    ]


def _model(thing: NamedThing) -> NamedLine:
    return NamedLine(thing.name, addresses.model(thing.name), thing.detail)


def _job(thing: NamedThing) -> NamedLine:
    return NamedLine(thing.name, addresses.job(UUID(thing.name)), thing.detail)


def _concept(thing: NamedThing) -> NamedLine:
    return NamedLine(thing.name, addresses.concept(thing.name), f"of {thing.detail}", addresses.search(q=thing.name))


def _category(thing: NamedThing) -> NamedLine:
    return NamedLine(thing.name, addresses.category(thing.name), f"of {thing.detail}")


def _neuron(thing: NamedThing) -> NamedLine:
    place = parse_neuron(thing.name)
    title = f"{place.layer}, unit {place.unit}"
    return NamedLine(title, addresses.neuron(place.job_id, place.layer, place.unit), thing.detail)


_KINDS: dict[str, tuple[str, Callable[[NamedThing], NamedLine]]] = {
    "neurons": ("Neuron", _neuron),
    "models": ("Models", _model),
    "jobs": ("Jobs", _job),
    "concepts": ("Concepts", _concept),
    "categories": ("Categories", _category),
}
