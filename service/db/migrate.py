"""Bring a database to the newest schema."""

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.exc import OperationalError, ProgrammingError

from service.db.session import parse_database_url
from service.errors import Conflict, Unavailable


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for the scripts in `migrations/`, without an ini file."""
    spec = find_spec("migrations")
    if spec is None or spec.origin is None:  # pragma: no cover - the distribution always holds it
        raise ModuleNotFoundError("migrations")
    config = Config()
    config.set_main_option("script_location", str(Path(spec.origin).parent))
    # A URL may hold percent signs (socket folders do), which configparser would interpolate.
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Run the migrations up to `revision`. Several processes may call it at once: they take turns.

    Raises InvalidInput for what is no URL of Postgres, Unavailable where the database cannot be reached or migrated,
    Conflict where the login may not change its tables.
    """
    parse_database_url(database_url)
    try:
        command.upgrade(alembic_config(database_url), revision)
    except OperationalError as error:  # its text may hold the URL, and the URL a password
        raise Unavailable("The database cannot be reached or migrated.", remedy="Check DATABASE_URL.") from error
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise Conflict(
            "The database login is not allowed to change the tables.",
            field="database_url",
            remedy="Use the login that owns the database.",
        ) from error


def downgrade(database_url: str, revision: str = "base") -> None:
    """Undo the migrations down to `revision`."""
    command.downgrade(alembic_config(database_url), revision)
