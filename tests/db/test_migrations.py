"""The migrations make exactly the tables of `service.db.tables`, and can be undone and redone."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from alembic import command
from sqlalchemy import text

from service.db.migrate import alembic_config, downgrade, upgrade
from service.db.session import Sessions, transaction
from service.db.work import add_preparation
from service.domain.resources import ResourceKind
from service.domain.work import Preparation
from tests.usecases.factories import resource


def test_migrations_match_the_tables(database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_up_down_up(database_url: str) -> None:
    downgrade(database_url)
    upgrade(database_url)
    command.check(alembic_config(database_url))


def test_what_an_earlier_release_opened_has_no_state(database_url: str, sessions: Sessions) -> None:
    downgrade(database_url, "0013")
    with transaction(sessions) as session:
        for number, status in enumerate(("done", "withdrawn", "ready")):
            model = resource(session, ResourceKind.MODEL, status, str(number), checkpoint="/x")
            add_preparation(session, model.id, Preparation.INSPECT, queue="q", turn=0, total=1)
            result = "{}" if status == "done" else None
            values = {"status": status, "result": result, "id": model.id}
            session.execute(
                text("UPDATE work_items SET status = :status, result = CAST(:result AS jsonb) WHERE resource_id = :id"),
                values,
            )
    upgrade(database_url)
    with transaction(sessions) as session:
        assert [item.status for item in session.execute(text("SELECT status FROM work_items"))] == ["ready"]


def test_deployments_that_migrate_at_once_take_turns(database_url: str) -> None:
    downgrade(database_url)
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        list(pool.map(upgrade, [database_url] * 3))
    command.check(alembic_config(database_url))
