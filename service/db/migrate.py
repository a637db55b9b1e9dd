"""Bring a database to the newest schema."""

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config


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
    """Run the migrations up to `revision`. Several processes may call it at once: they take turns."""
    command.upgrade(alembic_config(database_url), revision)


def downgrade(database_url: str, revision: str = "base") -> None:
    """Undo the migrations down to `revision`."""
    command.downgrade(alembic_config(database_url), revision)
