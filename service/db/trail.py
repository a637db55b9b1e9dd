"""Append to the trail and read it. What is recorded is written when the transaction commits, or never."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from sqlalchemy import event, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session, SessionTransaction

from service.domain.trail import GENESIS, TrailEntry, TrailHead, TrailRecord
from service.errors import Conflict

_PENDING = "trail"
_AT_ONCE = 1000

_APPEND = text(
    "INSERT INTO trail (actor, action, subject, request, before, after) "
    "VALUES (:actor, :action, :subject, :request, :before, :after)"
)
_MOMENT = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
_ENTRIES = text(
    f"SELECT seq, {_MOMENT.format('at')}, actor, action, subject, request, before, after, previous_hash, hash "  # noqa: S608
    "FROM trail ORDER BY seq"
)
_HEAD = text(
    f"SELECT last.seq, last.hash, {_MOMENT.format('clock_timestamp()')} "  # noqa: S608
    "FROM (VALUES (1)) AS one LEFT JOIN (SELECT seq, hash FROM trail ORDER BY seq DESC LIMIT 1) AS last ON true"
)


def add_record(session: Session, record: TrailRecord) -> None:
    """Append an entry when the session's transaction commits; inside a savepoint at once, so that it can be undone.

    Writers take turns from their append to their commit. Whoever appends last of all holds every other lock it needs,
    so that nobody it waits for waits for it.
    """
    if session.in_nested_transaction():
        session.execute(_APPEND, asdict(record))
        return
    if _PENDING not in session.info:
        session.info[_PENDING] = []
        event.listen(session, "before_commit", _append_pending)
        event.listen(session, "after_soft_rollback", _forget_pending)
    if not session.in_transaction():
        session.begin()  # or a rollback would have nothing to undo and would not be heard
    session.info[_PENDING].append(record)


def complete_records(session: Session, request: str | None) -> bool:
    """Give the request's digest to what was recorded without one; False where nothing was recorded."""
    pending: list[TrailRecord] = session.info.get(_PENDING, [])
    pending[:] = [record if record.request else replace(record, request=request) for record in pending]
    return bool(pending)


def stream_entries(session: Session) -> Generator[TrailEntry]:
    """All entries by seq, fetched as they are asked for; nothing is taken on trust from the table's constraints.

    Raises Conflict where there is no such table.
    """
    with _readable(), session.execute(_ENTRIES, execution_options={"yield_per": _AT_ONCE}) as rows:
        for row in rows:
            yield TrailEntry(*row)


def find_head(session: Session) -> TrailHead:
    """The trail's end now, by the database's clock. Raises Conflict where there is no such table."""
    with _readable():
        seq, last_hash, at = session.execute(_HEAD).one()
    return TrailHead(seq or 0, last_hash or GENESIS, seq or 0, at)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except ProgrammingError as error:
        raise Conflict(
            "The database has no trail, or its trail has an unexpected form.",
            field="database_url",
            remedy="Run `mammodissect migrate`. If you have already run it, somebody has dropped or altered the table.",
        ) from error


def _append_pending(session: Session) -> None:
    if session.in_nested_transaction():
        return
    pending: list[TrailRecord] = session.info[_PENDING]
    while pending:
        session.execute(_APPEND, asdict(pending[0]))
        del pending[0]


def _forget_pending(session: Session, rolled_back: SessionTransaction) -> None:
    if rolled_back.parent is None:
        session.info[_PENDING].clear()
