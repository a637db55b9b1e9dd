"""Readings: what a transaction needs of files is read while none is open."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from service.db.session import Sessions, transaction
from service.db.trail import stream_entries
from service.errors import Conflict, InvalidInput
from service.usecases.readings import Readings
from service.usecases.trail import annotate, record_call

DIGEST = "0" * 64


class Drive:
    """Gives the names of its files as their content. held: for each reading, whether the session was in use."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.held: list[bool] = []

    def reader(self, name: str) -> Callable[[], str]:
        def read() -> str:
            self.held.append(self._session.in_transaction())
            return name

        return read


def test_each_file_is_read_once_while_no_transaction_is_open(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        drive, readings = Drive(session), Readings()

        def act() -> list[str]:
            session.execute(text("SELECT 1"))
            return [readings.of(("file", name), drive.reader(name)) for name in ("a", "b", "a")]

        assert readings.complete(session, act) == ["a", "b", "a"]
    assert drive.held == [False, False]


def test_only_the_attempt_that_had_all_its_files_leaves_something(sessions: Sessions) -> None:
    attempts: list[int] = []
    with transaction(sessions) as session:
        readings = Readings()

        def act() -> None:
            if not attempts:
                annotate(session, after=DIGEST)
            attempts.append(len(attempts))
            record_call(session, actor="api", action="POST", subject=f"/{attempts[-1]}", request=None)
            if attempts == [0]:
                annotate(session, before=DIGEST)
            readings.of(("file", "a"), lambda: "content")

        readings.complete(session, act)
    with transaction(sessions) as session:
        entries = [(entry.subject, entry.before, entry.after) for entry in stream_entries(session)]
    assert attempts == [0, 1]
    assert entries == [("/1", None, None)]


@pytest.mark.parametrize("problem", [InvalidInput("It is wrong."), FileNotFoundError(2, "No such file")])
def test_what_a_reading_raises_is_raised_where_the_file_is_needed(sessions: Sessions, problem: Exception) -> None:
    def read() -> None:
        raise problem

    readings = Readings()
    with transaction(sessions) as session, pytest.raises(type(problem)) as caught:
        readings.complete(session, lambda: readings.of(("file", "a"), read))
    assert caught.value is problem


def test_a_call_that_needs_other_files_each_time_ends(sessions: Sessions) -> None:
    attempts: list[int] = []
    with transaction(sessions) as session:
        readings = Readings()

        def act() -> None:
            attempts.append(1)
            readings.of(("file", str(len(attempts))), lambda: "content")

        with pytest.raises(Conflict, match="changed each time") as caught:
            readings.complete(session, act)
    assert caught.value.remedy
