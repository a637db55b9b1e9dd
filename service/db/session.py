"""Sessions: one per request or task, committed once at the edge, under a role that cannot change the trail."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
from psycopg import errors as sqlstates
from psycopg.conninfo import make_conninfo, timeout_from_conninfo
from pydantic import SecretStr
from sqlalchemy import URL, ExceptionContext, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import ArgumentError, InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker

from service.errors import InvalidInput, Unavailable

Sessions = sessionmaker[Session]

APP_ROLE = "mammodissect_app"
"""The role of migration 0006: all rights on rows, none on the tables; no audit to delete, and of the trail only to read
and to append."""

_CONNECTING = {
    "connect_timeout": 5,
    # A database that vanishes without a word is noticed within half a minute, and not after a quarter of an hour.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    # A process that is stopped in the middle of a transaction must not hold its locks for ever.
    "options": "-c idle_in_transaction_session_timeout=60s",
}


def open_sessions(
    database_url: SecretStr, *, pool_size: int = 5, overflow: int | None = None, as_login: bool = False
) -> Sessions:
    """A session factory over a connection pool. Connects on first use, so make it after any fork.

    overflow: connections beyond the pool's size, opened when needed and closed again; twice its size if left out.
    as_login: with the rights of the URL's own login instead of the service's role, for what looks after tables.
    Raises InvalidInput where the setting is missing or no such URL; its sessions raise Unavailable where they cannot
    take the role.
    """
    if not database_url.get_secret_value():
        raise InvalidInput("DATABASE_URL is not set.", field="database_url", remedy="Set it in the environment.")

    engine = create_engine(
        parse_database_url(database_url.get_secret_value()),
        pool_pre_ping=True,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=2 * pool_size if overflow is None else overflow,
        connect_args=_CONNECTING,
    )

    event.listen(engine, "handle_error", _tell_no_values)
    if not as_login:
        event.listen(engine, "connect", _take_role)
    return sessionmaker(engine, expire_on_commit=False)


def parse_database_url(database_url: str, *, field: str = "database_url") -> URL:
    """The URL in its parts. Raises InvalidInput, without the URL, for one that psycopg cannot connect to Postgres with.

    field: the setting that it comes from.
    """
    try:
        url = make_url(database_url)
        driver = url.drivername
    except (ArgumentError, ValueError):  # their text may hold the URL, and the URL a password
        driver = None
    if driver != "postgresql+psycopg":
        raise InvalidInput(
            f"{field.upper()} is not a Postgres URL that this service can use.",
            field=field,
            remedy="Write it like postgresql+psycopg://user:password@host/database, with %-escapes in the password.",
        )

    _, parameters = url.get_dialect()().create_connect_args(url)
    try:
        make_conninfo(**parameters)
        timeout_from_conninfo(dict(parameters))
    except psycopg.ProgrammingError:
        raise InvalidInput(
            f"{field.upper()} has a parameter after ? that Postgres does not know, or with an impossible value.",
            field=field,
            remedy="Use connection parameters of libpq there, like ?sslmode=require.",
        ) from None
    return url


def _take_role(connection: psycopg.Connection, _: object) -> None:
    connection.autocommit = True  # the end of a transaction must not undo it
    try:
        connection.execute(f"SET ROLE {APP_ROLE}")
    except (sqlstates.InvalidParameterValue, sqlstates.InsufficientPrivilege) as error:
        connection.close()
        if isinstance(error, sqlstates.InvalidParameterValue):
            detail = f"The database has no role {APP_ROLE}."
            remedy = "Run `mammodissect migrate`."
        else:
            detail = f"The login is not allowed to use the role {APP_ROLE}."
            remedy = f"Ask an administrator to run `GRANT {APP_ROLE} TO` the login."
        raise Unavailable(detail, field="database_url", remedy=remedy) from error

    connection.autocommit = False


def _tell_no_values(context: ExceptionContext) -> None:
    """Errors reach logs, and Postgres repeats below their first line the row that it refused, secrets and all."""
    error = context.original_exception
    if not isinstance(error, psycopg.Error) or error.diag.message_primary is None:
        return

    error.args = (error.diag.message_primary,)
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.args = (f"({type(error).__qualname__}) {error}",)
    if isinstance(error, sqlstates.ReadOnlySqlTransaction):
        context.is_disconnect = True  # of a server that has become a standby, no connection is of use


@contextmanager
def transaction(sessions: Sessions) -> Iterator[Session]:
    """One transaction: committed at the end of the block, rolled back when it raises.

    The block may roll it back itself, and begin again.

    Raises Unavailable where the database cannot be reached, has become read-only, or was kept waiting for too long.
    """
    try:
        with sessions() as session:
            try:
                yield session
            except BaseException:
                session.rollback()
                raise
            session.commit()
    except (OperationalError, InterfaceError) as error:
        raise Unavailable("The database cannot be reached.", remedy="Try again in a moment.") from error
    except InternalError as error:
        if isinstance(error.orig, sqlstates.ReadOnlySqlTransaction):
            raise Unavailable(
                "The database does not accept writes at the moment.", remedy="Try again in a moment."
            ) from error
        if isinstance(error.orig, sqlstates.IdleInTransactionSessionTimeout):
            raise Unavailable("The database aborted the transaction.", remedy="Try again in a moment.") from error
        raise


def expect_pause(session: Session) -> None:
    """Let the transaction, from here to its end, be silent for 15 minutes where others are broken off after one.

    For what is computed or read from files between two statements. A transaction that does so should hold nothing that
    others wait for.
    """
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '15min'"))


def database_clock(session: Session) -> datetime:
    """What time it is in UTC, by the clock that all processes share."""
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def on_commit(session: Session, action: Callable[[], object]) -> None:
    """Call `action` right after the session's transaction has been committed; never if it is rolled back.

    Inside a savepoint it waits for the end of the whole transaction, and is dropped if either is rolled back.
    """
    savepoint = session.get_nested_transaction()
    pending = [action]

    def committed(_: Session) -> None:
        if pending and not session.in_nested_transaction():
            pending.pop()()

    def rolled_back(_: Session, ended: SessionTransaction) -> None:
        if ended is savepoint or ended.parent is None:
            pending.clear()

    event.listen(session, "after_commit", committed)
    event.listen(session, "after_soft_rollback", rolled_back)
