"""Files that a transaction rests on are read while none is open: nobody then waits for a drive that does not answer.

A use case asks `Readings` for what it needs of a file. What was not read yet ends the transaction; it is read, and the
use case begins again. So each file is read once, and only the use case itself has to know which ones it needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from sqlalchemy.orm import Session

from service.errors import Conflict, DissectError
from service.usecases.trail import forget_annotation

Result = TypeVar("Result")

Key = tuple[str, str]
"""What kind of reading it is, and of what."""

_MOST_ATTEMPTS = 100


class NotRead(Exception):
    """These files were not read yet. No DissectError, so that nobody takes it for a problem of theirs."""

    def __init__(self, readers: Mapping[Key, Callable[[], object]]) -> None:
        super().__init__(f"not read yet: {', '.join(map(str, readers))}")
        self.readers = readers


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: object = None
    problem: DissectError | OSError | None = None


class Readings:
    """What was read of files for one call."""

    def __init__(self) -> None:
        self._outcomes: dict[Key, _Outcome] = {}

    def of(self, key: Key, read: Callable[[], Result]) -> Result:
        """What `read` gave when it was called for that key, or raises what it raised. Raises NotRead before that."""
        outcome = self._outcomes.get(key)
        if outcome is None:
            raise NotRead({key: read})
        if outcome.problem is not None:
            raise outcome.problem
        return cast("Result", outcome.result)

    def complete(self, session: Session, act: Callable[[], Result]) -> Result:
        """Do it with all files read. As often as one is missing it is rolled back, and begins again with the file.

        Raises what `act` raises, and Conflict where it needs other files each time.
        """
        for _ in range(_MOST_ATTEMPTS):
            try:
                return act()
            except NotRead as error:
                session.rollback()  # gives its connection and all locks back
                forget_annotation(session)
                self._read(error.readers)

        raise Conflict(
            "What this call needs changed each time its files had been read.", remedy="Try again in a moment."
        )

    def _read(self, readers: Mapping[Key, Callable[[], object]]) -> None:
        for key, read in readers.items():
            try:
                self._outcomes[key] = _Outcome(read())
            except (DissectError, OSError) as problem:
                self._outcomes[key] = _Outcome(problem=problem)


class _AtOnce(Readings):
    def of(self, key: Key, read: Callable[[], Result]) -> Result:  # noqa: ARG002 - each time anew
        return read()


AT_ONCE = _AtOnce()
"""Reads a file where it is asked for: for whoever has no transaction open, or one that nobody waits for."""
