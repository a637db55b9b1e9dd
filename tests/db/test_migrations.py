"""The migrations make exactly the tables of `service.db.tables`, and can be undone and redone."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from alembic import command

from service.db.migrate import alembic_config, downgrade, upgrade


def test_migrations_match_the_tables(database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_up_down_up(database_url: str) -> None:
    downgrade(database_url)
    upgrade(database_url)
    command.check(alembic_config(database_url))


def test_deployments_that_migrate_at_once_take_turns(database_url: str) -> None:
    downgrade(database_url)
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        list(pool.map(upgrade, [database_url] * 3))
    command.check(alembic_config(database_url))
