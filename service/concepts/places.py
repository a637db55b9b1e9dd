"""What a concept file is made of, and where in it something stands."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from service.domain.json_values import JsonObject
from service.errors import InvalidConceptSet
from service.files import DataRoots, TooLarge, is_lasting, out_of_reach

MAX_BYTES = 64 << 20

Entry = str | JsonObject
"""A concept's text, or an object with `text` and any of the other fields of `Concept`."""


class Entries(NamedTuple):
    """The entries of a concept set with their places, as `line 3`, and what was decided where they were read."""

    placed: Iterator[tuple[str, Entry]]
    notes: tuple[str, ...] = ()


def read_content(path: Path, roots: DataRoots, field: str) -> bytes:
    """The bytes of a concept file. Raises InvalidConceptSet, and FileOutOfReach where the disk or the machine fails."""
    noun = "concept set" if field == "concepts" else f"file of {field}"
    try:
        return roots.read(path, most=MAX_BYTES)
    except TooLarge:
        raise InvalidConceptSet(
            f"The file is larger than {MAX_BYTES >> 20} MiB.", field=field, remedy="Is it a concept set?"
        ) from None
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach(noun, error, field=field) from None
        raise InvalidConceptSet(
            f"The {noun} cannot be opened: {error.strerror}.", field=field, remedy="Check its path and permissions."
        ) from None
