"""When cron expressions fire, found the slow way: walk every minute of UTC, look at the clock on the wall, match.

Shares nothing with `service.domain.cron` but the zone files, and knows nothing of the library there.
"""

from datetime import UTC, datetime
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

ZONES = (
    "Australia/Lord_Howe",  # shifts by half an hour
    "Asia/Kolkata",  # half an hour off, no shifts
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # shifted at midnight, until 2019
    "Africa/Casablanca",  # shifts around Ramadan
    "Pacific/Apia",  # had no 30 December 2011
    "Asia/Tehran",  # half an hour off, shifted at midnight, until 2022
)

EXPRESSIONS = (
    "*/15 * * * *",
    "0 * * * *",
    "7 */5 * * *",
    "*/20 2 * * *",
    "* 0-3 * * SUN",
    "30 2 * * *",
    "0 0 * * *",
    "15,45 0-3,23 * * *",
    "59 23 * * *",
    "0,30 1-3 * * 0,6",
    "5/10 2 * * 7",
    "0 3 1 * *",
    "0 0 L * *",
    "30 1 LW * *",
    "0 2 13 * FRI",
    "0 2 */2 * MON",
    "10 0 * 3,4,10,11 SUN#2",
    "20 2 * * 0L",
    "30 0 29 2 *",
    "0 12 31 12 *",
)

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_WARM_UP = 3 * 24 * 60


class Shown:
    """What a calendar clock shows at minutes of wall time, counted since 1970."""

    def __init__(self, wall: Numbers) -> None:
        days = wall // 1440
        first = int(days.min())
        calendar = np.arange(first, int(days.max()) + 1).astype("datetime64[D]")
        months = calendar.astype("datetime64[M]")
        last_working = np.busday_offset((months + 1).astype("datetime64[D]"), -1, roll="forward")
        here = days - first
        self.minute, self.hour = wall % 60, wall // 60 % 24
        self.month = (months.astype(int) % 12 + 1)[here]
        self.day = ((calendar - months.astype("datetime64[D]")).astype(int) + 1)[here]
        self.weekday = (days + 4) % 7
        self.last_day = ((calendar + 1).astype("datetime64[M]") != months)[here]
        self.last_week = ((calendar + 7).astype("datetime64[M]") != months)[here]
        self.last_working_day = (calendar == last_working)[here]

    def matches(self, expression: str) -> Flags:
        """Does the expression match?"""
        minute, hour, day, month, weekday = expression.upper().split()
        right_day, right_weekday = self._day(day), self._weekday(weekday)
        both = day[0] == "*" or weekday[0] == "*"
        found: Flags = (
            _among(minute, self.minute, 0, 59)
            & _among(hour, self.hour, 0, 23)
            & _among(month, self.month, 1, 12, _MONTHS, 1)
            & (right_day & right_weekday if both else right_day | right_weekday)
        )
        return found

    def _day(self, text: str) -> Flags:
        found = np.zeros(len(self.day), bool)
        for term in text.split(","):
            if term == "L":
                found |= self.last_day
            elif term == "LW":
                found |= self.last_working_day
            else:
                found |= _among(term, self.day, 1, 31)
        return found

    def _weekday(self, text: str) -> Flags:
        found = np.zeros(len(self.weekday), bool)
        for term in text.split(","):
            if term.endswith("L"):
                found |= (self.weekday == int(term[:-1]) % 7) & self.last_week
                continue
            name, _, nth = term.partition("#")
            # Sunday is 7 as well.
            right = _among(name, self.weekday, 0, 7, _DAYS) | _among(name, self.weekday + 7, 0, 7, _DAYS)
            found |= right & ((self.day + 6) // 7 == int(nth)) if nth else right
        return found


def _among(text: str, shown: Numbers, low: int, high: int, names: tuple[str, ...] = (), first: int = 0) -> Flags:
    wanted = np.zeros(64, bool)
    for term in text.split(","):
        span, _, step = term.partition("/")
        begin, _, end = (str(low), "", str(high)) if span == "*" else span.partition("-")
        numbers = [names.index(part) + first if part in names else int(part) for part in (begin, end) if part]
        last = numbers[-1] if len(numbers) > 1 or not step else high
        wanted[numbers[0] : last + 1 : int(step or 1)] = True
    found: Flags = wanted[shown]
    return found


class Walk:
    """Every minute of UTC later than `start` and not later than `end`, and the clock on the wall in the zone at it."""

    def __init__(self, zone: str, start: datetime, end: datetime) -> None:
        place = ZoneInfo(zone)
        first, last = (int(time.timestamp()) // 60 for time in (start, end))
        # Some minutes more at the beginning, only to know what went before.
        self._utc = np.arange(first + 1 - _WARM_UP, last + 1)
        self._wall = np.array([_wall(minute, place) for minute in self._utc.tolist()])
        self._shown = Shown(self._wall)
        self._latest = np.concatenate(([self._wall[0] - 1], np.maximum.accumulate(self._wall)[:-1]))
        """The latest time that the clock has shown before."""
        self._gaps = np.flatnonzero(self._wall > self._latest + 1)

    def fires(self, expression: str) -> list[datetime]:
        """When the expression fires, by the rule of docs/schedules.md."""
        minute, hour, *_ = expression.split()
        here = self._shown.matches(expression)
        if minute[0] != "*" and hour[0] != "*":
            here &= self._wall > self._latest
            for gap in self._gaps:
                skipped = Shown(np.arange(self._latest[gap] + 1, self._wall[gap]))
                here[gap] |= bool(skipped.matches(expression).any())
        found = self._utc[_WARM_UP:][here[_WARM_UP:]]
        return [datetime.fromtimestamp(minute * 60, UTC) for minute in found.tolist()]


def _wall(minute: int, place: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(minute * 60, place).utcoffset()
    assert offset is not None
    return minute + int(offset.total_seconds()) // 60


def random_expression(source: Random) -> str:
    """An expression that fires at most some thousand times a year, mostly near the hours at which clocks shift."""
    minute = source.choice(
        ("0", "30", "*/10", "*/25", "3,33", "40-59/5", "17", "0-10", "45/5", str(source.randrange(60)))
    )
    hour = source.choice(
        ("0", "1", "2", "3", "23", "0-3", "22-23,0", "*/3", "1/2", "*/7", "0,12", str(source.randrange(24)))
    )
    day = source.choice(("*", "*", "*", "1", "*/2", "L", "LW", "25-31", "1-7", str(source.randint(1, 31))))
    month = source.choice(("*", "*", "*", "3,4", "OCT-NOV", "2", "*/3", "9/2", str(source.randint(1, 12))))
    weekday = source.choice(
        ("*", "*", "*", "SUN", "7", "0", "6-7", "MON-FRI", "SUN#1", "0L", "5L", "SUN#2,SUN#4", str(source.randrange(8)))
    )
    return f"{minute} {hour} {day} {month} {weekday}"
