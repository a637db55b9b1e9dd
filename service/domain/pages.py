"""One page of a long list."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

Position = tuple[object, ...]
"""Where a page ends: the sort key of its last item, in JSON values or what they stand for.

The next page starts behind it.
"""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Items, and the position behind which the next page starts (None on the last page)."""

    items: tuple[Item, ...]
    next_position: Position | None = None
