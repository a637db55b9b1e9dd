"""The migrations make exactly the tables of `service.db.tables`, and can be undone and redone."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from alembic import command
from pydantic import SecretStr
from sqlalchemy import text

from service.db.directions import read_directions
from service.db.migrate import alembic_config, downgrade, upgrade
from service.db.session import Sessions, open_sessions, transaction
from service.db.work import add_preparation
from service.domain.resources import ResourceKind
from service.domain.work import Preparation
from service.errors import Conflict
from tests.usecases.factories import neuron, resource, succeeded_job


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


def test_directions_in_one_piece_become_rows_and_go_back(database_url: str, sessions: Sessions) -> None:
    random = np.random.default_rng(0)
    stored = random.normal(size=(3, 20)).astype(np.float16)
    stored[1] = 0
    lengths = np.array([1.5, 0, 2], np.float32)
    with transaction(sessions) as session:
        job = succeeded_job(session, [neuron(0, 1.0), neuron(1, None), neuron(2, 1.0)])
    downgrade(database_url, "0022")
    with transaction(sessions) as session:
        insert = (
            "INSERT INTO layer_directions (layer_id, width, directions, lengths) SELECT id, 20, :rows, :n FROM layers"
        )
        session.execute(text(insert), {"rows": stored.tobytes(), "n": lengths.tobytes()})

    upgrade(database_url)
    with transaction(sessions) as session:
        (layer,) = read_directions(session, job)
        np.testing.assert_array_equal(layer.directions, stored)
        np.testing.assert_array_equal(layer.lengths, lengths)
        noted = session.execute(text("SELECT dissector, width, neurons FROM layer_directions")).one()
        assert tuple(noted) == ("0", 20, 2)

    downgrade(database_url, "0022")
    with transaction(sessions) as session:
        rows, numbers = session.execute(text("SELECT directions, lengths FROM layer_directions")).one()
        assert (rows, numbers) == (stored.tobytes(), lengths.tobytes())


def test_a_server_without_pgvector_is_refused_with_what_to_install(empty_database_url: str) -> None:
    owner = open_sessions(SecretStr(empty_database_url), as_login=True, pool_size=1)
    with transaction(owner) as session:
        # A table of that name, which is looked at before the catalogue's own.
        session.execute(text("CREATE TABLE pg_available_extensions (name text)"))
        database = session.scalar(text("SELECT current_database()"))
        session.execute(text(f"ALTER DATABASE {database} SET search_path = public, pg_catalog"))
    owner.kw["bind"].dispose()

    with pytest.raises(Conflict, match="has no pgvector") as refused:
        upgrade(empty_database_url)
    assert "postgresql-18-pgvector" in str(refused.value.remedy)


def test_deployments_that_migrate_at_once_take_turns(database_url: str) -> None:
    downgrade(database_url)
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        list(pool.map(upgrade, [database_url] * 3))
    command.check(alembic_config(database_url))
