"""Which columns of a table name the image, and which are units of which layer."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.domain.layers import canonical_layer
from service.domain.table_targets import LAYER, MOST_NAMES_NOTED
from service.engine.networks.recorded.faults import WrongTable

Kind = Literal["image", "image_id"]
"""Whether a column has the images' paths, or their ids."""

MOST_COLUMNS = 65_536
_MOST_LAYER_CHARACTERS = 200

PATHS = frozenset(
    {"image", "path", "file", "filename", "file_name", "file_path", "filepath", "image_file", "image_path"}
)
IDS = frozenset({"image_id", "imageid", "id", "ids", "name"})
_INDEX = frozenset({"", "index", "unnamed: 0", "__index_level_0__"})
"""What pandas calls the index of a table that it writes."""

_OF_MANIFESTS = frozenset({"exam_id", "patient_id", "view", "laterality", "text", "findings", "regions"})
_LAYER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_WORDS = frozenset({"all", "stages"})
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class NameColumn:
    """A column that names the image."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a table are."""

    names: tuple[NameColumn, ...]
    """The first one counts; a second one is of help where that does not match."""

    units: tuple[str, ...]
    left_out: tuple[str, ...]


def kind_of(name: str) -> Kind | None:
    """What a column of that name says of the image; None where the name does not say it."""
    folded = name.strip().lower()
    if folded in PATHS:
        return "image"
    return "image_id" if folded in IDS else None


def sort_columns(header: Sequence[str], is_text: Callable[[str], bool]) -> Columns:
    """Find out what each column is.

    is_text: whether a column has texts, asked only where no column's name says that it names the image.
    Raises WrongTable.
    """
    if len(header) > MOST_COLUMNS:
        raise WrongTable(
            f"The table has {len(header):,} columns.", f"Keep to {MOST_COLUMNS:,} columns, or use several tables."
        )

    names = _name_columns(header, is_text)
    taken = {column.name for column in names}
    left_out = [name for name in header if name not in taken and _describes_image(name)]
    units = [name for name in header if name not in taken and name not in left_out]
    if not units:
        raise WrongTable(
            "The table has no column of numbers beside those that describe the images.",
            "Add a column for each unit: a number for every image.",
        )
    return Columns(tuple(names), tuple(units), tuple(left_out))


def _describes_image(name: str) -> bool:
    return name.strip().lower() in _OF_MANIFESTS | _INDEX or kind_of(name) is not None


def _name_columns(header: Sequence[str], is_text: Callable[[str], bool]) -> list[NameColumn]:
    known = [NameColumn(name, kind) for name in header if (kind := kind_of(name)) is not None]
    first = {kind: next((column for column in known if column.kind == kind), None) for kind in ("image", "image_id")}
    named = [column for column in (first["image"], first["image_id"]) if column is not None]
    if named:
        return named

    index = [name for name in header if name.strip().lower() in _INDEX]
    if index:
        return [NameColumn(index[0], "image")]

    texts = [name for name in header if name.strip().lower() not in _OF_MANIFESTS and is_text(name)]
    if len(texts) == 1:
        return [NameColumn(texts[0], "image")]
    which = f"several have texts: {', '.join(texts[:5])}" if texts else f"they are {', '.join(header[:5])}"
    raise WrongTable(
        f"No column of the table is known to name the image ({which[:300]}).",
        "Call the column with the images' paths or file names 'image', or that with their ids 'image_id'.",
    )


def layers_of(units: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """For each layer the places of its units among the unit columns, in the order of the units.

    `layer/unit` is a unit of that layer, everything else one of the layer `table`. Where a layer's units are called by
    the numbers from 0 on, with the same text before each, these are their numbers; else they are numbered as the
    columns stand. Raises WrongTable.
    """
    places: dict[str, list[int]] = {}
    for place, column in enumerate(units):
        places.setdefault(layer_of(column), []).append(place)
    return {layer: _by_number(units, found) for layer, found in places.items()}


def layer_of(column: str) -> str:
    """The layer that a column's name says. Raises WrongTable."""
    before, slash, _ = column.rpartition("/")
    return checked_layer(before, column) if slash else LAYER


def checked_layer(name: str, column: str) -> str:
    """A layer's name as requests have it. Raises WrongTable for one that no request could name."""
    layer = canonical_layer(name.strip().strip("/").replace("/", "."))
    is_name = _LAYER.fullmatch(layer) is not None and layer not in _WORDS
    if not is_name or len(layer) > _MOST_LAYER_CHARACTERS:
        raise WrongTable(
            f"The column '{column[:120]}' is of a layer '{layer[:120]}', which is not a layer's name.",
            "Write columns as `layer/unit`, the layer in letters, digits, _, - and full stops, other than `all` and "
            "`stages`; or write no slash, and the column is a unit of the layer 'table'.",
            value=f"column '{column[:120]}'",
        )
    return layer


def names_of_units(units: Sequence[str], layers: Mapping[str, Sequence[int]]) -> dict[str, list[str]]:
    """The units' names by layer, where they say more than the units' numbers; not more than are noted."""
    noted: dict[str, list[str]] = {}
    left = MOST_NAMES_NOTED
    for layer, places in layers.items():
        names = [units[place].rpartition("/")[2] for place in places]
        if names != [str(number) for number in range(len(names))] and left:
            noted[layer] = [name[:120] for name in names[:left]]
            left -= len(noted[layer])
    return noted


def _by_number(units: Sequence[str], places: list[int]) -> tuple[int, ...]:
    matches = [_NUMBERED.fullmatch(units[place]) for place in places]
    found = [match.groups() for match in matches if match is not None]
    if len(found) != len(places) or len({prefix for prefix, _ in found}) != 1:
        return tuple(places)

    numbers = [int(digits) for _, digits in found]
    if sorted(numbers) != list(range(len(numbers))):
        return tuple(places)
    return tuple(place for _, place in sorted(zip(numbers, places, strict=True)))
