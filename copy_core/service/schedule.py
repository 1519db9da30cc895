"""When a schedule falls due: cron by the wall clock of a zone, on the line of real time. Pure.

A zone's clock is a row of spans with a fixed offset from UTC. Within a span cron is plain
arithmetic; what a change of the clock means is decided where two spans meet:

* The clock jumps over a time: what would have come due there does so once, at the first moment
  after the jump.
* The clock reads a time twice: what comes due there does so the first time only.
* A schedule of every hour is not held to the clock's reading: it goes on by real time over both.
  One of every n minutes (`*/n`, in some hours of the day) goes on through an hour that is
  repeated.

`cronsim` reads and matches the expressions: by the rules of Debian's cron, where a day must meet
day-of-month or weekday if both are restricted. In six-field NCRONTAB it must meet both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from copy_core.errors import ConfigError
from copy_core.job import Schedule

_SECOND, _TICK = timedelta(seconds=1), timedelta.resolution
# Longer than any jump of a clock; and no zone changes its clock twice within the stride.
_DAY, _STRIDE = timedelta(days=1), timedelta(days=7)
_FIELDS = "Write five fields (minute hour day month weekday), or six with seconds first"


def due(schedule: Schedule, after: datetime, upto: datetime) -> datetime | None:
    """The latest moment in (after, upto] at which a schedule falls due; earlier ones are missed.

    Args:
        schedule: the schedule.
        after: up to when it was looked at; an aware datetime.
        upto: now.

    Returns:
        The moment, in UTC and whole seconds; None when there is none.

    Raises:
        ConfigError: the schedule cannot be read.
    """
    cron, bounds = Cron(schedule.cron), bounds_of(schedule)
    upto = min(upto.astimezone(UTC), bounds.end).replace(microsecond=0)
    after = max(after.astimezone(UTC), bounds.start - _SECOND)
    if upto <= after:
        return None
    for span in reversed(list(_spans(ZoneInfo(schedule.timezone), after, upto))):
        lowest = span.lowest(cron)
        wall = cron.at_or_before(span.wall(min(upto, span.end - _SECOND)))
        if wall is not None and wall >= lowest:
            moment = span.moment(wall)
            return moment if moment > after else None
    return None


def upcoming(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The next moments at which a schedule falls due.

    Args:
        schedule: the schedule.
        after: from when on, itself not included; an aware datetime.
        count: how many at most.

    Returns:
        The moments in UTC, ascending; fewer than `count` when the schedule ends.

    Raises:
        ConfigError: the schedule cannot be read.
    """
    return list(islice(_moments(schedule, after), count))


def first(schedule: Schedule) -> datetime | None:
    """The very first moment at which a schedule falls due; None when it never does.

    Raises:
        ConfigError: the schedule cannot be read.
    """
    return next(_moments(schedule, datetime.min.replace(tzinfo=UTC)), None)


class Bounds(NamedTuple):
    """From when to when a schedule is in force, both included; in UTC."""

    start: datetime
    end: datetime


def bounds_of(schedule: Schedule) -> Bounds:
    """From when to when a schedule is in force. A date as the end includes that whole day.

    Raises:
        ConfigError: `start` or `end` is no date or time.
    """
    zone = ZoneInfo(schedule.timezone)
    # Three days from the ends of the calendar, so that no zone and no step leaves it.
    start = datetime.min.replace(tzinfo=UTC) + 3 * _DAY
    end = datetime.max.replace(tzinfo=UTC) - 3 * _DAY
    if schedule.start:
        begin = min(moment_of(schedule.start, zone), end)
        # Schedules know whole seconds.
        start = max(start, (begin + _SECOND - _TICK).replace(microsecond=0))
    if schedule.end:
        end = min(end, moment_of(schedule.end, zone, whole_day=True))
    return Bounds(start, end)


def moment_of(text: str, zone: tzinfo = UTC, *, whole_day: bool = False) -> datetime:
    """A date or a time as a moment, in UTC.

    Args:
        text: ISO 8601.
        zone: where it is read, unless it says its own offset.
        whole_day: whether a date means the end of that day rather than its beginning.

    Raises:
        ConfigError: it is no date or time.
    """
    try:
        if len(text) == len("2026-01-31"):
            day = date.fromisoformat(text)
            until = time(23, 59, 59, 999999) if whole_day else time()
            return datetime.combine(day, until, zone).astimezone(UTC)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise ConfigError(
            f"'{text}' is no date and no time",
            fix="Write it as 2026-01-31, or as 2026-01-31T06:00",
            code="schedule",
        ) from e


class Cron:
    """A cron expression, matched against what a clock on the wall reads: naive datetimes.

    Args:
        text: five fields, or six with seconds first.

    Raises:
        ConfigError: it cannot be read, or describes no moment at all.
    """

    def __init__(self, text: str) -> None:
        self._fields = text.upper().split()
        if (n := len(self._fields)) not in (5, 6):
            raise _wrong(f"a cron expression of {n} field{'s' if n != 1 else ''}")
        try:
            sim = self._sim(datetime.now(UTC))
        except CronSimError as e:
            if self._day_that_never_comes(str(e)):
                what = "no moment is described by this cron expression"
                raise _wrong(what, "Give it days that exist") from e
            raise _wrong(f"no cron expression: {str(e).lower()}") from e
        self._minutely = self._fields[-5].startswith("*")
        self.hourly = sim.hours == set(range(24))
        """Whether it means every hour of a day."""

    @property
    def goes_on(self) -> bool:
        """Whether it comes due in both of two hours that the clock reads alike."""
        return self.hourly or self._minutely

    def at_or_before(self, wall: datetime) -> datetime | None:
        """The latest match up to a time; None when there is none within fifty years."""
        return self._next(wall.replace(microsecond=0) + _SECOND, reverse=True)

    def at_or_after(self, wall: datetime) -> datetime | None:
        """The earliest match from a time in whole seconds on; None when there is none."""
        return self._next(wall - _SECOND)

    def _next(self, wall: datetime, reverse: bool = False) -> datetime | None:
        try:
            return next(self._sim(wall, reverse), None)
        except OverflowError:  # it ran to an end of the calendar
            return None

    def _sim(self, wall: datetime, reverse: bool = False) -> CronSim:
        sim = CronSim(" ".join(self._fields), wall, reverse)
        if len(self._fields) == 6:
            sim.day_and = True
        return sim

    def _day_that_never_comes(self, error: str) -> bool:
        """Whether the day is right in itself, but in none of the months."""
        try:
            CronSim(" ".join([*self._fields[:-2], "*", "*"]), datetime.now(UTC))
        except CronSimError:
            return False
        return "day-of-month" in error


class _Span(NamedTuple):
    """A time during which a zone's offset does not change.

    Attributes:
        start: its first moment, in UTC.
        end: the first moment after it.
        before: the offset from UTC before it.
        offset: the offset during it.
    """

    start: datetime
    end: datetime
    before: timedelta
    offset: timedelta

    def wall(self, moment: datetime) -> datetime:
        """What the clock reads."""
        return (moment + self.offset).replace(tzinfo=None)

    def moment(self, wall: datetime) -> datetime:
        """When the clock reads it; for a time that was jumped over, the first moment after."""
        return max(wall.replace(tzinfo=UTC) - self.offset, self.start)

    def lowest(self, cron: Cron) -> datetime:
        """The lowest reading of the clock that counts as within the span: times that were jumped
        over do, and times that are read for the second time do not.
        """
        as_read = cron.hourly if self.offset > self.before else cron.goes_on
        return (self.start + (self.offset if as_read else self.before)).replace(tzinfo=None)


def _spans(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[_Span]:
    """The spans that hold the moments from `start` to `end`. The first begins a day early, so that
    a time that is repeated at `start` is known for one.
    """
    edge, at = start - _DAY, start - _DAY
    before = offset = _offset(zone, at)
    while at < end:
        ahead = min(at + _STRIDE, end)
        if (then := _offset(zone, ahead)) != offset:
            change = _change(zone, at, ahead)
            yield _Span(edge, change, before, offset)
            edge, before, offset = change, offset, then
        at = ahead
    yield _Span(edge, end + _SECOND, before, offset)


def _change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first moment of the offset that a zone has at `high`, but not at `low`."""
    low, new = low.replace(microsecond=0), _offset(zone, high)
    while high - low > _SECOND:
        middle = low + (high - low) // (2 * _SECOND) * _SECOND
        if _offset(zone, middle) == new:
            high = middle
        else:
            low = middle
    return low + _SECOND


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _moments(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    cron, bounds, zone = Cron(schedule.cron), bounds_of(schedule), ZoneInfo(schedule.timezone)
    after = max(after.astimezone(UTC).replace(microsecond=0), bounds.start - _SECOND)
    while after < bounds.end and (found := _following(cron, zone, after)):
        if found > bounds.end:
            return
        yield (after := found)


def _following(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first moment after another."""
    while True:
        # Clocks are looked at no further ahead than where the moment must be, if they don't change.
        now = _Span(after, after, _offset(zone, after), _offset(zone, after))
        found = cron.at_or_after(now.wall(after + _SECOND))
        if found is None:
            return None
        ahead = now.moment(found) + _DAY
        for span in _spans(zone, after, ahead):
            lowest = span.lowest(cron)
            if span.start <= after:
                lowest = max(lowest, span.wall(after + _SECOND))
            found = cron.at_or_after(lowest)
            if found is not None and after < (moment := span.moment(found)) < span.end:
                return moment
        after = ahead


def _wrong(what: str, fix: str = _FIELDS) -> ConfigError:
    return ConfigError(what, fix=fix, code="schedule")
