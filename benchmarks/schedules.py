"""Cron fires of twenty years in eight zones against a walk over every minute, beside the library alone; and kills."""

import itertools
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from cronsim import CronSim

from benchmarks.table import Row
from cli.embedded import PostgresServer
from service.db.migrate import upgrade
from service.domain.cron import fires_between, normal_cron
from service.errors import InvalidInput
from tests.schedules import simulated
from tests.schedules.oracle import EXPRESSIONS, ZONES, Walk, random_expression

_DECADES = {2011: 40, 2027: 10}
"""Random expressions in each. In the first, Apia skips a day and clocks shift at midnight; the second is to come."""

_DAYS, _KILLS = 60, 120


def run() -> list[Row]:
    return [_against_a_walk(), _under_kills()]


def _under_kills() -> Row:
    with tempfile.TemporaryDirectory() as folder, PostgresServer(Path(folder)) as postgres:
        upgrade(postgres.url)
        outcome = simulated.run(postgres.url, kills=_KILLS, days=_DAYS, seed=1)
    wrong = sum(len(fires) for fires in outcome.wrong.values())
    name = f"of {outcome.due} fires those not audited exactly once, three schedulers, {outcome.kills} kills"
    return Row(name, 0, wrong, "fires", wrong / outcome.due, "= 0", wrong == 0)


def _against_a_walk() -> Row:
    fires = ours = library = 0
    for (begin, number), zone in itertools.product(_DECADES.items(), ZONES):
        years = [datetime(year, 1, 1, tzinfo=UTC) for year in range(begin, begin + 11)]
        expressions = _expressions(Random(f"{zone} {begin}"), number)
        truth: dict[str, list[datetime]] = {expression: [] for expression in expressions}
        for start, end in itertools.pairwise(years):
            walk = Walk(zone, start, end)
            for expression in expressions:
                truth[expression] += walk.fires(expression)
        for expression in expressions:
            fires += len(truth[expression])
            ours += _differences(truth[expression], _fires(expression, zone, years[0], years[-1]))
            library += _differences(truth[expression], _of_library(expression, zone, years[0], years[-1]))
        print(f"  {zone} from {begin}: {fires} fires, {library} and {ours} differ", file=sys.stderr, flush=True)
    name = f"of {fires} fires those that a walk over every minute has otherwise, library alone and ours"
    return Row(name, library, ours, "fires", ours / fires, "= 0", ours == 0)


def _expressions(source: Random, number: int) -> list[str]:
    return list(dict.fromkeys([*EXPRESSIONS, *(random_expression(source) for _ in range(number))]))


def _fires(expression: str, zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    try:
        return fires_between(normal_cron(expression), zone, start, end)
    except InvalidInput:  # never fires
        return iter(())


def _of_library(expression: str, zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    try:
        normal_cron(expression)
    except InvalidInput:
        return iter(())
    # Two days earlier, so that a start in a fold is no difficulty.
    local = CronSim(expression, (start - timedelta(days=2)).astimezone(ZoneInfo(zone)))
    instants = (fire.astimezone(UTC) for fire in local)
    return itertools.dropwhile(lambda fire: fire <= start, itertools.takewhile(lambda fire: fire <= end, instants))


def _differences(truth: list[datetime], fires: Iterable[datetime]) -> int:
    """Fires that one has and the other not; and a whole list that is out of order or has a fire twice."""
    listed = list(fires)
    wrong = len(set(truth) ^ set(listed))
    return wrong if wrong or listed == truth else len(listed)
