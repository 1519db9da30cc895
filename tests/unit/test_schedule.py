"""When schedules fall due, by every clock there is."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from copy_core.errors import ConfigError
from copy_core.job import Schedule
from copy_core.service.schedule import Cron, due, first, upcoming

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def utc(*texts: str) -> list[datetime]:
    return [at(text) for text in texts]


def next_in(zone: str, cron: str, after: str, count: int) -> list[str]:
    """The next moments in UTC; each agrees with what `due` says at it and right before it."""
    schedule, start = Schedule(cron=cron, timezone=zone), at(after, zone)
    found = upcoming(schedule, start, count)
    before = None
    for moment in found:
        assert due(schedule, start, moment - SECOND) == before
        assert due(schedule, start, moment) == moment
        before = moment
    return [f"{moment:%m-%d %H:%M}" for moment in found]


# Expressions


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/20 * * * *", ["2026-11-22T10:20", "2026-11-22T10:40", "2026-11-22T11:00"]),
        ("30 5 * * MON-FRI", ["2026-11-23T05:30", "2026-11-24T05:30", "2026-11-25T05:30"]),
        ("0 0 1 jan,jul *", ["2027-01-01", "2027-07-01", "2028-01-01"]),
        ("0 0 L * *", ["2026-11-30", "2026-12-31", "2027-01-31"]),
        ("0 0 * * MON#1", ["2026-12-07", "2027-01-04", "2027-02-01"]),
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29"]),
        ("30 */10 10 * * *", ["2026-11-22T10:10:30", "2026-11-22T10:20:30", "2026-11-22T10:30:30"]),
        ("*/20 59 23 * * 0", ["2026-11-22T23:59", "2026-11-22T23:59:20", "2026-11-22T23:59:40"]),
    ],
)
def test_what_comes_next(cron: str, expected: list[str]) -> None:
    after = at("2026-11-22T10:00:30")  # a Sunday
    assert upcoming(Schedule(cron=cron), after, 3) == utc(*expected)


def test_in_cron_a_day_of_the_month_or_a_weekday_is_enough() -> None:
    found = upcoming(Schedule(cron="0 0 13 * FRI"), at("2026-11-10"), 3)
    assert found == utc("2026-11-13", "2026-11-20", "2026-11-27")
    found = upcoming(Schedule(cron="0 0 13 * FRI"), at("2026-12-12"), 2)
    assert found == utc("2026-12-13", "2026-12-18")


def test_in_ncrontab_both_must_hold() -> None:
    found = upcoming(Schedule(cron="0 0 0 13 * FRI"), at("2026-11-01"), 2)
    assert found == utc("2026-11-13", "2027-08-13")


@pytest.mark.parametrize(
    ("cron", "what"),
    [
        ("* * * *", "a cron expression of 4 fields"),
        ("*", "a cron expression of 1 field"),
        ("* * * * * * *", "a cron expression of 7 fields"),
        ("61 * * * *", "no cron expression: bad minute"),
        ("* * * * MOON", "no cron expression: bad day-of-week"),
        ("R * * * *", "no cron expression: bad minute"),
        ("*/0 * * * *", "no cron expression: bad minute"),
        ("* * 32 * *", "no cron expression: bad day-of-month"),
        ("0 0 30 2 *", "no moment is described by this cron expression"),
        ("0 0 31 4,6 *", "no moment is described by this cron expression"),
    ],
)
def test_what_is_no_expression(cron: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Cron(cron)
    assert caught.value.what == what


@given(st.text("0123456789*/,-#LWlwRH?@ MONJANfri ", max_size=30))
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    try:
        Cron(text)
    except ConfigError as e:
        assert e.code == "schedule"  # noqa: PT017 - both ends are right, anything else is not


# Windows


def test_missed_moments_are_one() -> None:
    schedule = Schedule(cron="0 * * * *")
    assert due(schedule, at("2026-11-20T03:10"), at("2026-11-22T10:05:07")) == at(
        "2026-11-22T10:00"
    )


def test_a_window_has_its_end_and_not_its_beginning() -> None:
    schedule = Schedule(cron="0 * * * *")
    on = at("2026-11-22T10:00")
    assert due(schedule, on - MINUTE, on) == on
    assert due(schedule, on, on + MINUTE) is None
    assert due(schedule, on - MINUTE, on - SECOND / 2) is None
    assert due(schedule, on - SECOND / 2, on + SECOND / 2) == on
    assert due(schedule, on, on) is None
    assert due(schedule, on, on - 2 * timedelta(hours=1)) is None


def test_a_schedule_holds_from_its_start_to_its_end() -> None:
    schedule = Schedule(
        cron="0 6 * * *", timezone="Europe/Berlin", start="2026-06-02", end="2026-06-04"
    )
    expected = utc("2026-06-02T04:00", "2026-06-03T04:00", "2026-06-04T04:00")
    assert upcoming(schedule, at("2020-01-01"), 9) == expected
    assert due(schedule, at("2020-01-01"), at("2030-01-01")) == expected[-1]
    assert due(schedule, at("2026-06-01"), at("2026-06-02T03:59")) is None
    assert first(schedule) == expected[0]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-06-02T06:00", "2026-06-02T06:00"),
        ("2026-06-02T06:00:00+02:00", "2026-06-02T04:00Z"),
        ("2026-06-02", "2026-06-02"),
        ("2026-06-01T06:00:00.5", "2026-06-02T06:00:00.5"),
    ],
)
def test_bounds_are_included_and_may_have_an_offset(start: str, end: str) -> None:
    schedule = Schedule(cron="0 6 * * *", timezone="Europe/Berlin", start=start, end=end)
    assert upcoming(schedule, at("2020-01-01"), 9) == utc("2026-06-02T04:00")


def test_a_schedule_may_start_when_the_calendar_ends() -> None:
    assert first(Schedule(cron="0 0 29 2 *", start="9999-12-01")) is None


_times = (
    st.none() | st.datetimes().map(str) | st.dates().map(str) | st.text("0123-:TZ+", min_size=1)
)


@given(_times, _times, st.sampled_from(["0 0 29 2 *", "*/7 * * * *", "59 59 23 31 12 *"]))
def test_any_bounds_hold_or_are_refused(start: str | None, end: str | None, cron: str) -> None:
    schedule = Schedule(cron=cron, timezone="Pacific/Kiritimati", start=start, end=end)
    try:
        moment = first(schedule)
    except ConfigError as e:
        assert e.code == "schedule"  # noqa: PT017 - both ends are right, anything else is not
    else:
        assert moment is None or due(schedule, moment - SECOND, moment) == moment


def test_a_weekday_may_wait_for_its_leap_day() -> None:
    schedule = Schedule(cron="0 0 0 29 2 MON", timezone="Asia/Tokyo")
    assert upcoming(schedule, at("2026-01-01"), 1) == [at("2044-02-29", "Asia/Tokyo")]


# Daylight saving: Berlin on 29 March 2026 from 02:00 to 03:00 (01:00 in UTC), and on 25 October
# from 03:00 back to 02:00 (01:00 in UTC).


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # The time that is jumped over comes due right after the jump, once.
        ("30 2 * * *", ["03-29 01:00", "03-30 00:30", "03-31 00:30"]),
        ("0 30 2 * * *", ["03-29 01:00", "03-30 00:30", "03-31 00:30"]),
        ("5,35 2 * * *", ["03-29 01:00", "03-30 00:05", "03-30 00:35"]),
        ("0 2,3 * * *", ["03-29 01:00", "03-30 00:00", "03-30 01:00"]),
        ("0 */2 * * *", ["03-28 23:00", "03-29 01:00", "03-29 02:00"]),
        ("*/30 2 * * *", ["03-29 01:00", "03-30 00:00", "03-30 00:30"]),
        # What comes each hour goes on by real time.
        ("30 * * * *", ["03-28 22:30", "03-28 23:30", "03-29 00:30", "03-29 01:30"]),
        ("30 0-23 * * *", ["03-28 22:30", "03-28 23:30", "03-29 00:30", "03-29 01:30"]),
    ],
)
def test_the_clock_goes_forward_in_berlin(cron: str, expected: list[str]) -> None:
    assert next_in("Europe/Berlin", cron, "2026-03-28T23:00", len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # The time that is read twice comes due the first time.
        ("30 2 * * *", ["10-25 00:30", "10-26 01:30", "10-27 01:30"]),
        ("0 30 2 * * *", ["10-25 00:30", "10-26 01:30", "10-27 01:30"]),
        ("0 */2 * * *", ["10-24 22:00", "10-25 00:00", "10-25 03:00"]),
        ("0 3 * * *", ["10-25 02:00", "10-26 02:00"]),
        # What comes each hour, or every n minutes, goes on by real time.
        ("30 * * * *", ["10-24 21:30", "10-24 22:30", "10-24 23:30", "10-25 00:30", "10-25 01:30"]),
        (
            "*/30 1-2 * * *",
            [
                *("10-24 23:00", "10-24 23:30", "10-25 00:00", "10-25 00:30", "10-25 01:00"),
                *("10-25 01:30", "10-26 00:00"),
            ],
        ),
    ],
)
def test_the_clock_goes_back_in_berlin(cron: str, expected: list[str]) -> None:
    assert next_in("Europe/Berlin", cron, "2026-10-24T23:00", len(expected)) == expected


@pytest.mark.parametrize(
    ("zone", "cron", "after", "expected"),
    [
        # New York: forward on 8 March at 07:00 in UTC, back on 1 November at 06:00.
        ("America/New_York", "15 2 * * *", "2026-03-07T12:00", ["03-08 07:00", "03-09 06:15"]),
        ("America/New_York", "15 1 * * *", "2026-10-31T12:00", ["11-01 05:15", "11-02 06:15"]),
        ("America/New_York", "15 * * * *", "2026-11-01T00:30", ["11-01 05:15", "11-01 06:15"]),
        # Sydney: back on 5 April at 16:00 of the day before in UTC, forward on 4 October.
        ("Australia/Sydney", "30 2 * * *", "2026-04-04T12:00", ["04-04 15:30", "04-05 16:30"]),
        ("Australia/Sydney", "30 2 * * *", "2026-10-03T12:00", ["10-03 16:00", "10-04 15:30"]),
        # Lord Howe Island changes by half an hour.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00", ["10-03 15:30", "10-04 15:15"]),
        # Santiago jumps over midnight.
        ("America/Santiago", "0 0 * * SUN", "2026-09-05T12:00", ["09-06 04:00", "09-13 03:00"]),
        # Samoa jumped over a whole day to get to the other side of the date line.
        (
            "Pacific/Apia",
            "0 9 * * *",
            "2011-12-29T00:00",
            ["12-29 19:00", "12-30 10:00", "12-30 19:00"],
        ),
    ],
)
def test_other_zones(zone: str, cron: str, after: str, expected: list[str]) -> None:
    assert next_in(zone, cron, after, len(expected)) == expected


# Against every minute there is


ZONES = st.sampled_from(
    [
        "UTC",
        "Asia/Kolkata",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Sydney",
        "Australia/Lord_Howe",
        "America/Santiago",
        "Africa/Casablanca",
        "Pacific/Apia",
    ]
)
_minutes = st.sampled_from(["*", "*/7", "*/30", "0", "30", "59", "0,30", "10-20/5"])
_hours = st.sampled_from(["*", "*/2", "0-23", "0", "1", "2", "3", "1-3", "23", "0-5/2"])
_days = st.sampled_from(["*", "*/2", "1", "29", "31", "1-7", "L"])
_weekdays = st.sampled_from(["*", "0", "7", "MON", "1-5", "SUN,WED"])
CRONS = st.builds("{} {} {} * {}".format, _minutes, _hours, _days, _weekdays)
# Around changes of the clock, and anywhere.
CHANGES = [
    datetime.fromisoformat(f"{day}T12:00Z")
    for day in [
        "2026-03-08",
        "2026-03-29",
        "2026-04-04",
        "2026-09-05",
        "2026-10-03",
        "2026-10-25",
        "2026-11-01",
        "2026-02-15",
        "2026-03-22",
        "2011-12-30",
    ]
]
HOUR = timedelta(hours=1)
INSTANTS = st.builds(
    lambda day, hours: day + hours * HOUR,
    st.sampled_from(CHANGES),
    st.integers(-30, 30),
) | st.builds(lambda hours: CHANGES[-1] + hours * HOUR, st.integers(0, 200_000))


def field(text: str, low: int, high: int) -> set[int]:
    """What a field of numbers, ranges and steps means."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        a, _, b = span.partition("-")
        bounds = (low, high) if a == "*" else (int(a), int(b or a))
        found |= set(range(bounds[0], bounds[1] + 1, int(step or 1)))
    return found


def matches(cron: str, wall: datetime) -> bool:
    """Whether a clock on the wall is at a moment that five fields describe."""
    minutes, hours, days, _, weekdays = cron.split()
    for name, number in (("MON", "1"), ("SUN", "0"), ("WED", "3")):
        weekdays = weekdays.replace(name, number)
    last = (wall + timedelta(days=1)).month != wall.month
    day = last if days == "L" else wall.day in field(days, 1, 31)
    weekday = bool({wall.isoweekday(), wall.isoweekday() % 7} & field(weekdays, 0, 7))
    starred = days.startswith("*") or weekdays.startswith("*")
    return (
        wall.minute in field(minutes, 0, 59)
        and wall.hour in field(hours, 0, 23)
        and ((day and weekday) if starred else (day or weekday))
    )


def scanned(cron: str, zone: ZoneInfo, after: datetime, upto: datetime) -> list[datetime]:
    """Every moment in (after, upto], by looking at the clock each minute as people would."""
    hourly = len(field(cron.split()[1], 0, 23)) == 24
    repeated = hourly or cron.startswith("*")
    found = []
    moment = after.replace(second=0, microsecond=0) + MINUTE
    while moment <= upto:
        local = moment.astimezone(zone)
        wall, before = local.replace(tzinfo=None), (moment - MINUTE).astimezone(zone)
        on = matches(cron, wall) and (repeated or local.fold == 0)
        missed = before.replace(tzinfo=None) + MINUTE
        while not hourly and missed < wall:
            on = on or matches(cron, missed)
            missed += MINUTE
        if on:
            found.append(moment)
        moment += MINUTE
    return found


@settings(max_examples=400, deadline=None)
@given(CRONS, ZONES, INSTANTS, st.integers(0, 40 * 60))
def test_due_is_the_last_of_what_a_look_at_each_minute_finds(
    cron: str, zone: str, after: datetime, minutes: int
) -> None:
    upto = after + minutes * MINUTE
    schedule = Schedule(cron=cron, timezone=zone)
    found = scanned(cron, ZoneInfo(zone), after, upto)
    assert due(schedule, after, upto) == (found[-1] if found else None)
    assert upcoming(schedule, after, len(found)) == found


@settings(max_examples=100, deadline=None)
@given(CRONS, ZONES, INSTANTS, st.lists(st.integers(1, 200), max_size=30))
def test_however_time_is_cut_nothing_is_doubled_or_lost(
    cron: str, zone: str, start: datetime, ticks: list[int]
) -> None:
    schedule = Schedule(cron=cron, timezone=zone)
    found: list[datetime] = []
    last = start
    for minutes in ticks:
        now = last + minutes * MINUTE
        moment = due(schedule, last, now)
        if moment is not None:
            assert last < moment <= now
            assert upcoming(schedule, moment, 1)[0] > now
            found.append(moment)
        else:
            assert not [m for m in upcoming(schedule, last, 1) if m <= now]
        last = now
    assert found == sorted(set(found))


@settings(max_examples=50, deadline=None)
@given(CRONS, ZONES, INSTANTS)
def test_what_is_upcoming_ascends_and_is_due(cron: str, zone: str, after: datetime) -> None:
    schedule = Schedule(cron=cron, timezone=zone)
    moments = upcoming(schedule, after, 5)
    assume(moments)
    assert moments == sorted(set(moments))
    for moment in moments:
        assert due(schedule, moment - SECOND, moment) == moment
