"""What every reader of a source gives, and how it is refused."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from service.errors import DissectError, InvalidInput, Unavailable

FIELD = "checkpoint"
"""What a source is given as."""

PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """A source that is being read."""

    pieces: Iterator[bytes]

    size: int | None
    """Bytes, where the source says."""

    place: str
    """The URI of exactly this content, as far as the source can say: with a version where it has one."""

    version: str | None = None
    """What the source calls this state of the file (an ETag, for example)."""


class Reader(Protocol):
    """Opens the sources of a scheme."""

    def open(self, uri: str) -> AbstractContextManager[Content]:
        """The file that the URI stands for. Raises InvalidInput, Unavailable."""
        ...


def refused(detail: str, uri: str, remedy: str, *, field: str = FIELD) -> InvalidInput:
    """What is raised for a source that cannot be used, now or later."""
    return InvalidInput(detail, field=field, value=uri, remedy=remedy)


def away(detail: str, uri: str) -> Unavailable:
    """What is raised for a source that cannot be reached now."""
    return Unavailable(detail, field=FIELD, value=uri, remedy="Check the network of the workers, and that it is up.")


def missing_extra(what: str, extra: str, uri: str) -> DissectError:
    """What is raised where the package that reads a source is not installed."""
    return refused(
        f"{what} cannot be read: the workers lack a package.",
        uri,
        f"Install mammo-clip-dissect-service[{extra}] where the workers run.",
    )
