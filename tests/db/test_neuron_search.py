"""The nearest neurons are those that numpy names, whether all are compared or an index is asked."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, event, text

from service.db import neuron_search
from service.db.directions import LayerDirections, add_directions
from service.db.neuron_search import Found, find_nearest, find_scope
from service.db.session import Sessions, transaction
from service.domain.pages import Position
from service.domain.search import HitFilter, NeuronHit, NeuronPlace, ScopeFilter
from tests.usecases.factories import neuron, succeeded_job

WIDTH, UNITS = 24, 60
Place = tuple[UUID, int]


@pytest.fixture
def vectors(sessions: Sessions) -> dict[Place, NDArray[np.float32]]:
    """Three jobs of one layer each in the space `a`, two of them alike, and one in the space `b`."""
    stored: dict[Place, NDArray[np.float32]] = {}
    with transaction(sessions) as session:
        for number, (dissector, seed) in enumerate((("a", 0), ("a", 1), ("a", 1), ("b", 2))):
            job = succeeded_job(session, [neuron(unit, 1.0) for unit in range(UNITS)], model=f"model-{number}")
            random = np.random.default_rng(seed).normal(size=(UNITS, WIDTH))
            directions = (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float16)
            lengths = np.ones(UNITS, np.float32)
            lengths[5] = 0
            add_directions(session, job, LayerDirections("blocks.0", directions, lengths), dissector=dissector)
            if dissector == "a":
                stored |= {(job, unit): directions[unit].astype(np.float32) for unit in range(UNITS) if unit != 5}
    return stored


@pytest.fixture(params=["all compared", "by the index"])
def exact(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "by the index":
        monkeypatch.setattr(neuron_search, "MOST_COMPARED", 10)
    return bool(request.param == "all compared")


@pytest.fixture
def asked() -> Iterator[list[tuple[str, Any]]]:
    """Statements and parameters that the database gets from here on."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    yield statements
    event.remove(Engine, "before_cursor_execute", note)


def search(
    sessions: Sessions,
    vector: NDArray[np.float32],
    *,
    limit: int,
    after: Position | None = None,
    but: NeuronPlace | None = None,
) -> Found:
    with transaction(sessions) as session:
        scope = find_scope(session, "a", ScopeFilter())
        assert (scope.neurons, scope.jobs) == (3 * (UNITS - 1), 3)
        return find_nearest(session, scope, vector, HitFilter(), but=but, limit=limit, after=after)


def cosines(vectors: dict[Place, NDArray[np.float32]], vector: NDArray[np.float32]) -> dict[Place, float]:
    length = np.linalg.norm(vector)
    return {place: float(own @ vector / np.linalg.norm(own) / length) for place, own in vectors.items()}


def test_pages_hold_the_nearest_without_gaps(
    sessions: Sessions, vectors: dict[Place, NDArray[np.float32]], exact: bool
) -> None:
    wanted = np.random.default_rng(9).normal(size=WIDTH).astype(np.float32)
    expected = cosines(vectors, wanted)

    listed: list[NeuronHit] = []
    position: Position | None = None
    while True:
        found = search(sessions, wanted, limit=7, after=position)
        assert found.exact is exact
        listed += found.page.items
        position = found.page.next_position
        if position is None:
            break

    places = [(hit.job_id, hit.unit) for hit in listed]
    assert len(set(places)) == len(places)
    assert set(places) == set(expected)
    assert [hit.cosine for hit in listed] == pytest.approx([expected[place] for place in places], abs=2e-3)
    assert [hit.cosine for hit in listed] == sorted((hit.cosine for hit in listed), reverse=True)


def test_a_neuron_is_not_its_own_neighbour_but_its_twin_is(
    sessions: Sessions, vectors: dict[Place, NDArray[np.float32]], exact: bool
) -> None:
    twins = sorted({job for job, _ in vectors}, key=str)[1:]
    own = NeuronPlace(twins[0], "blocks.0", 3)
    found = search(sessions, vectors[twins[0], 3], limit=2, but=own)
    first = found.page.items[0]
    assert (first.job_id, first.unit) == (twins[1], 3)
    assert first.cosine == pytest.approx(1, abs=1e-3)


def test_the_index_is_used_where_not_all_are_compared(
    sessions: Sessions,
    vectors: dict[Place, NDArray[np.float32]],
    asked: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neuron_search, "MOST_COMPARED", 10)
    with transaction(sessions) as session:
        scope = find_scope(session, "a", ScopeFilter())
        wanted = next(iter(vectors.values()))
        find_nearest(session, scope, wanted, HitFilter(min_z=1.0), but=None, limit=5, after=None)
        statement, parameters = asked[-1]
        cursor = session.connection().connection.cursor()
        cursor.execute(f"EXPLAIN {statement}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.close()
    assert "ix_neuron_directions_128" in plan, plan


def test_the_service_may_not_change_the_index(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        owner = text(
            "SELECT pg_get_userbyid(relowner) = current_user FROM pg_class WHERE relname = 'neuron_directions'"
        )
        assert session.scalar(owner) is False
