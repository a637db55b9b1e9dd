"""What a worker's host process and its computing child say to each other, over one connection.

The host sends Run and may send Cancel while it waits; the child answers Progress any number of times, then
Finished or Failed. Everything is a small dataclass: pictures and tensors never travel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.work import AnyLease


@dataclass(frozen=True, slots=True)
class Run:
    """Do a work item."""

    lease: AnyLease


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop what you do, within one batch."""


@dataclass(frozen=True, slots=True)
class Progress:
    """So many of the item's units of work are done."""

    done: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The request is done; a work item's result is small JSON."""

    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The request met an error. lasting: trying again would meet it again. cancelled: the host asked for it."""

    problem: Mapping[str, Any]
    lasting: bool
    cancelled: bool = False


Answer = Finished | Failed
