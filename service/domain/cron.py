"""Cron expressions in a time zone: when they fire, and what daylight saving makes of them.

The library reads an expression and lists the wall-clock times that match. What a time zone makes of them is ours:

* Fixed-time (neither minute nor hour begins with `*`): a time that occurs twice fires at its first occurrence; a time
  that is skipped fires at the first instant after the gap; what falls on one instant fires once.
* Following real time (minute or hour begins with `*`): fires whenever the clock on the wall shows a time that matches,
  so twice in a fold, and not at all in a gap.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from itertools import takewhile
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from service.errors import InvalidInput

LONGEST = 200
"""Characters of an expression."""

_FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, L for the last day or LW for the last working day"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of the week", "0 to 7 or SUN to SAT, with #2 for the second or L for the last of the month"),
)
_SOME_TIME = datetime(2000, 1, 1)
_SECOND = timedelta(seconds=1)


def normal_cron(expression: str) -> str:
    """The expression with single spaces. Raises InvalidInput for one that cannot be read or never fires."""
    fields = expression.split()

    if len(expression) > LONGEST:
        raise InvalidInput(
            f"A cron expression has at most {LONGEST} characters.",
            field="cron",
            value=expression,
            remedy="Make several schedules of it.",
        )
    if len(fields) != len(_FIELDS):
        raise InvalidInput(
            f"A cron expression has {len(_FIELDS)} fields, this one {len(fields)}.",
            field="cron",
            value=expression,
            remedy="Write minute, hour, day of the month, month and day of the week, as in `30 2 * * MON`.",
        )
    for position, text in enumerate(fields):
        _check_field(position, text)

    normal = " ".join(fields)
    if not _ever_fires(normal):
        raise InvalidInput(
            "No date matches day of the month, month and day of the week together.",
            field="cron",
            value=normal,
            remedy="Correct one of the three.",
        )

    return normal


def check_zone(zone: str) -> None:
    """Raises InvalidInput for anything but the name of an IANA time zone; the remedy lists near matches."""
    if zone in _zones():
        return

    near = _near_zones(zone)
    remedy = f"Did you mean {', '.join(near)}?" if near else "Use a name of the IANA database, as in Europe/Berlin."
    raise InvalidInput(f"There is no time zone '{zone[:64]}'.", field="zone", value=zone, remedy=remedy)


def fires_after(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Every fire later than that instant, in order, in UTC; none or no more where 50 years pass without any."""
    zone_info = ZoneInfo(zone)
    walls = CronSim(cron, _earliest_wall(after, zone_info))
    instants = _at_every(walls, zone_info) if _follows_real_time(cron) else _at_first(walls, zone_info)

    latest = after
    for instant in instants:
        if instant > latest:
            yield instant
            latest = instant


def fires_between(cron: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every fire later than `after` and not later than `until`, in order, in UTC."""
    return takewhile(lambda instant: instant <= until, fires_after(cron, zone, after))


def _check_field(position: int, text: str) -> None:
    alone = ["*"] * len(_FIELDS)
    alone[position] = text
    try:
        CronSim(" ".join(alone), _SOME_TIME)
    except CronSimError as error:
        name, allowed = _FIELDS[position]
        raise InvalidInput(
            f"The {name}, field {position + 1} of the cron expression, cannot be '{text}'.",
            field="cron",
            value=text,
            remedy=f"Use {allowed}; * for every, and lists, ranges and steps such as 1,5 1-5 */2.",
        ) from error


def _ever_fires(cron: str) -> bool:
    try:
        return next(CronSim(cron, _SOME_TIME), None) is not None
    except CronSimError:  # a day that none of the months has
        return False


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _near_zones(zone: str) -> list[str]:
    """Zones of almost that name, or with a city of almost that name."""
    searched = zone.casefold().replace(" ", "_")

    zone_of_name: dict[str, str] = {}
    for known_zone in sorted(_zones()):
        zone_of_name[known_zone.casefold()] = known_zone
    for known_zone in sorted(_zones()):
        zone_of_name.setdefault(known_zone.rpartition("/")[2].casefold(), known_zone)

    near = get_close_matches(searched, zone_of_name, n=3, cutoff=0.7)
    return list(dict.fromkeys(zone_of_name[name] for name in near))


def _follows_real_time(cron: str) -> bool:
    minute, hour, *_ = cron.split()
    return minute.startswith("*") or hour.startswith("*")


def _readings(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants that a time on the wall may mean: the same one twice, but for folds (earlier, later) and gaps.

    In a gap they come the other way round, the later one first, on both sides of the gap's end.
    """
    earlier, later = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return earlier, later


def _earliest_wall(after: datetime, zone: ZoneInfo) -> datetime:
    """The earliest time that clocks in the zone will show after that instant; in a fold they are still to go back."""
    local = after.astimezone(zone)
    wall = local.replace(tzinfo=None, fold=0)
    first, second = _readings(wall, zone)
    return wall - (second - first) if first < second and local.fold == 0 else wall


def _at_first(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    for wall in walls:
        first, second = _readings(wall, zone)
        yield first if first <= second else _end_of_gap(second, first, zone)


def _at_every(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    again: deque[datetime] = deque()
    for wall in walls:
        first, second = _readings(wall, zone)
        if first > second:
            continue
        while again and again[0] < first:
            yield again.popleft()
        yield first
        if second > first:
            again.append(second)
    yield from again


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The instant in (before, after] at which the zone's clocks go forward."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
