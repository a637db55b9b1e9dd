"""Alembic environment: one connection, an advisory lock so that deployments take turns, and timeouts."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from service.db import (  # noqa: F401 - the metadata is to know their tables
    ablation_tables,
    alert_tables,
    audit_tables,
    check_tables,
    direction_tables,
    picture_tables,
    review_tables,
    schedule_tables,
    search_tables,
    text_tables,
    trail_tables,
)
from service.db.tables import Base

_ADVISORY_LOCK = 0x6D616D6D6F  # "mammo"


def run() -> None:
    """Migrate the configured database inside one transaction."""
    url = context.config.get_main_option("sqlalchemy.url")
    assert url is not None  # noqa: S101 - set by service.db.migrate
    # Without a pool the lock goes with the connection, also when a migration fails.
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        connection.execute(text("SET lock_timeout = '10s'"))
        connection.execute(text("SET statement_timeout = '10min'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=False)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
