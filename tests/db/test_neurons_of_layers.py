"""What the database does for a page of neurons over all layers of a large dissection."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Select, event, text
from sqlalchemy.orm import Session

from service.db.neurons import Sort
from service.db.neurons_of_layers import NeuronQuery, section_query
from service.db.session import Sessions, transaction
from service.domain.neurons import LayerDissection, NeuronFilter
from service.domain.pages import Position
from tests.usecases.factories import dissected_job, neuron

LAYERS, UNITS, LIMIT = 50, 2_000, 51


@pytest.fixture
def large(sessions: Sessions, owner_sessions: Sessions) -> UUID:
    """A job with 100,000 neurons in 50 layers, of which every tenth has neither score nor z."""
    with transaction(sessions) as session:
        layers = [LayerDissection(f"blocks.{number}", (neuron(0, 1.0),)) for number in range(LAYERS)]
        job_id = dissected_job(session, layers)
        session.execute(
            text(
                """
                INSERT INTO neurons (layer_id, unit, dead, concept, score, z, activation, concepts, images)
                SELECT id, unit, unit % 10 = 0, 'spiculated mass', figure, figure, '{}', '[]', '[]'
                FROM layers, generate_series(1, :units - 1) AS unit,
                LATERAL (SELECT CASE WHEN unit % 10 > 0 THEN (unit * 7919 + position) % 99991 END AS figure) AS figures
                """
            ),
            {"units": UNITS},
        )
    with owner_sessions.kw["bind"].connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE neurons, layers"))
    return job_id


SECTIONS: list[tuple[Sort, bool, Position | None]] = [
    ("-score", True, None),
    ("-score", True, (40_000.0, 20, 1_000)),
    ("-score", False, None),
    ("-score", False, (None, 20, 1_000)),
    ("-z", True, None),
    ("-z", True, (40_000.0, 20, 1_000)),
    ("unit", True, None),
    ("unit", True, (20, 1_000)),
]


def test_a_page_touches_few_of_a_hundred_thousand_neurons(sessions: Sessions, large: UUID) -> None:
    for sort, has_figure, after in SECTIONS:
        query = NeuronQuery(large, None, NeuronFilter(), sort)
        with transaction(sessions) as session:
            plan = explained(session, section_query(query, has_figure=has_figure, limit=LIMIT, after=after))

        scans = [node for node in nodes(plan) if node.get("Relation Name") == "neurons"]
        assert scans
        assert not any(node["Node Type"] == "Seq Scan" for node in scans), (sort, has_figure, after)
        assert sum(map(rows_touched, scans)) <= 2 * LAYERS * LIMIT + UNITS, (sort, has_figure, after)


def rows_touched(node: dict[str, Any]) -> float:
    touched: float = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return touched


def explained(session: Session, statement: Select[*tuple[Any, ...]]) -> dict[str, Any]:
    def explain(_connection: object, _cursor: object, sql: str, parameters: object, *_: object) -> tuple[str, object]:
        return f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", explain, retval=True)
    plan = connection.execute(statement).cursor.fetchone()
    assert plan is not None
    event.remove(connection, "before_cursor_execute", explain)
    assert plan is not None
    whole: dict[str, Any] = plan[0][0]["Plan"]
    return whole


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)
