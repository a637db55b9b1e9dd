"""When expressions fire, against the oracle and in its gaps and folds; and what is refused."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.cron import check_zone, fires_after, fires_between, normal_cron
from service.errors import InvalidInput
from tests.schedules.oracle import EXPRESSIONS, ZONES, Walk, random_expression

MONTHS = (datetime(2011, 9, 15, tzinfo=UTC), datetime(2012, 5, 10, tzinfo=UTC))
"""In them every one of the zones that ever shifts does so, and Apia leaves out a day."""


@pytest.mark.parametrize("zone", ZONES)
def test_fires_are_those_of_the_oracle(zone: str) -> None:
    walk, source = Walk(zone, *MONTHS), Random(zone)
    for expression in (*EXPRESSIONS, *(random_expression(source) for _ in range(5))):
        assert found(expression, zone) == walk.fires(expression), expression


def found(expression: str, zone: str) -> list[datetime]:
    try:
        return list(fires_between(normal_cron(expression), zone, *MONTHS))
    except InvalidInput:
        return []


def local(cron: str, zone: str, after: str, number: int) -> list[str]:
    """The next fires as clocks in the zone show them, after a time in UTC."""
    fires = fires_after(cron, zone, datetime.fromisoformat(after).replace(tzinfo=UTC))
    return [fire.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") for fire in islice(fires, number)]


def test_what_a_gap_skips_fires_once_at_its_end_unless_it_follows_real_time() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2026-03-28T22:00", 2) == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]
    assert local("0,15,30 2-3 * * *", "Europe/Berlin", "2026-03-28T22:00", 3) == [
        "2026-03-29T03:00+02:00",
        "2026-03-29T03:15+02:00",
        "2026-03-29T03:30+02:00",
    ]
    assert local("*/30 2 * * *", "Europe/Berlin", "2026-03-28T22:00", 1) == ["2026-03-30T02:00+02:00"]
    assert local("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:10", 2) == [
        "2026-03-29T01:30+01:00",
        "2026-03-29T03:00+02:00",
    ]
    assert local("0 12 * * *", "Pacific/Apia", "2011-12-29T22:30", 2) == [
        "2011-12-31T00:00+14:00",
        "2011-12-31T12:00+14:00",
    ]


def test_what_a_fold_repeats_fires_at_first_unless_it_follows_real_time() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2026-10-24T22:00", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]
    assert local("*/30 2 * * *", "Europe/Berlin", "2026-10-24T22:00", 5) == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:30+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T02:30+01:00",
        "2026-10-26T02:00+01:00",
    ]


@given(
    st.sampled_from(ZONES),
    st.sampled_from(EXPRESSIONS),
    st.datetimes(datetime(2010, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=10)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=10)),
)
def test_looking_twice_finds_what_looking_once_does(
    zone: str, cron: str, start: datetime, one: timedelta, other: timedelta
) -> None:
    middle, end = start + one, start + one + other
    whole = list(fires_between(cron, zone, start, end))
    assert whole == [*fires_between(cron, zone, start, middle), *fires_between(cron, zone, middle, end)]
    assert all(start < fire <= end for fire in whole)
    assert whole == sorted(set(whole))


@pytest.mark.parametrize(
    ("cron", "value", "says"),
    [
        ("61 2 * * *", "61", "minute, field 1"),
        ("0 24 * * *", "24", "hour, field 2"),
        ("0 2 32 * *", "32", "day of the month, field 3"),
        ("0 2 0 * *", "0", "day of the month, field 3"),
        ("0 2 * 13 *", "13", "month, field 4"),
        ("0 2 * * MOON", "MOON", "day of the week, field 5"),
        ("*/0 2 * * *", "*/0", "minute, field 1"),
        ("0 2,, * * *", "2,,", "hour, field 2"),
        ("0 2 * *", "0 2 * *", "5 fields, this one 4"),
        ("0 0 2 * * *", "0 0 2 * * *", "5 fields, this one 6"),
        ("@daily", "@daily", "5 fields, this one 1"),
        ("0 2 30 2 *", "0 2 30 2 *", "No date matches"),
        ("0 2 */31 2 1L", "0 2 */31 2 1L", "No date matches"),
        (f"{'1,' * 200}1 2 * * *", None, "at most 200 characters"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(cron: str, value: str | None, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        normal_cron(cron)
    assert caught.value.field == "cron"
    assert value is None or caught.value.value == value
    assert caught.value.remedy


@given(st.text(st.sampled_from("0123456789*/,-#LWSUNMOJA@ \t٣²"), max_size=40) | st.text(max_size=20))
def test_any_text_is_an_expression_or_invalid_input(text: str) -> None:
    try:
        normal = normal_cron(text)
    except InvalidInput:
        return
    assert normal_cron(normal) == normal
    assert next(fires_after(normal, "Europe/Berlin", datetime(2026, 1, 1, tzinfo=UTC)))


def test_spaces_do_not_matter() -> None:
    assert normal_cron("  30\t2 *  * mon ") == "30 2 * * mon"


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("Mars/Olympus_Mons", "Use a name of the IANA database"),
        ("../../etc/passwd", "Use a name of the IANA database"),
        ("", "Use a name of the IANA database"),
    ],
)
def test_an_unknown_zone_is_answered_with_near_ones(zone: str, near: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_zone(zone)
    assert caught.value.field == "zone"
    assert near in str(caught.value.remedy)
