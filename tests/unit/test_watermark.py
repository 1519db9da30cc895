"""Watermarks: no digit lost, no row lost, no row twice."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.errors import ConfigError, TerminalError
from copy_core.watermark import (
    Amount,
    Kind,
    NullPolicy,
    Watermark,
    Window,
    is_time,
    next_window,
    parse_amount,
)


def mark(kind: Kind, value: str) -> Watermark:
    return Watermark(kind=kind, value=value)


def number(value: int) -> Watermark:
    return mark("int", str(value))


def day(value: date) -> Watermark:
    return mark("date", value.isoformat())


days = st.dates(date(1, 2, 1))
fractions = st.none() | st.text("0123456789", min_size=1, max_size=9)
zones = st.sampled_from(["", "Z", "+00:00", "-08:00", "+05:30", "+0530"])


@st.composite
def times(draw: st.DrawFn) -> str:
    """ISO times as databases write them."""
    moment = draw(st.datetimes(datetime(2, 1, 1)))  # noqa: DTZ001 - the zone is drawn apart
    seconds = draw(st.booleans())
    fraction = draw(fractions) if seconds else None
    text = moment.isoformat(draw(st.sampled_from(" T")), "seconds" if seconds else "minutes")
    return text + (f".{fraction}" if fraction else "") + draw(zones)


amounts = st.timedeltas(timedelta(seconds=1), timedelta(days=300))


# Order


@given(a=st.integers(), b=st.integers())
def test_whole_numbers_are_ordered_as_numbers(a: int, b: int) -> None:
    assert (number(a).position() < number(b).position()) == (a < b)


@given(a=st.decimals(-(10**38), 10**38, places=9), b=st.decimals(-(10**38), 10**38, places=9))
def test_decimals_are_ordered_by_every_digit(a: Decimal, b: Decimal) -> None:
    positions = mark("decimal", str(a)).position(), mark("decimal", str(b)).position()
    assert (positions[0] < positions[1]) == (a < b)


@given(a=st.integers(0, 2**64 - 1), b=st.integers(0, 2**64 - 1))
def test_row_versions_are_ordered_as_unsigned_numbers(a: int, b: int) -> None:
    positions = [mark("rowversion", f"0x{v:016X}").position() for v in (a, b)]
    assert (positions[0] < positions[1]) == (a < b)


@given(
    a=st.datetimes(timezones=st.just(UTC)),
    b=st.datetimes(timezones=st.just(UTC)),
)
def test_times_are_ordered_to_the_microsecond(a: datetime, b: datetime) -> None:
    positions = [mark("timestamp", moment.isoformat()).position() for moment in (a, b)]
    assert (positions[0] < positions[1]) == (a < b)


def test_the_seventh_digit_counts() -> None:
    early = mark("timestamp", "2024-01-01T00:00:00.1234566")
    late = mark("timestamp", "2024-01-01T00:00:00.1234567")
    assert late.position() - early.position() == Decimal("0.0000001")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("2024-01-01T12:00:00+02:00", "2024-01-01T10:00:00Z"),
        ("2024-01-01 12:00", "2024-01-01T12:00:00.000"),
        ("2024-01-01T00:00:00+05:30", "2023-12-31T18:30:00+0000"),
        ("2024-01-01", "2024-01-01T00:00"),
    ],
)
def test_one_moment_has_one_position(a: str, b: str) -> None:
    assert mark("timestamp", a).position() == mark("timestamp", b).position()


WRONG: list[tuple[Kind, str]] = [
    ("int", "x"),
    ("int", ""),
    ("int", "NaN"),
    ("decimal", "Infinity"),
    ("decimal", "-sNaN"),
    ("rowversion", "0xZZ"),
    ("date", "2024-02-30"),
    ("date", "01/02/2024"),
    ("timestamp", "2024-01-01T25:00"),
    ("timestamp", "yesterday"),
]


@pytest.mark.parametrize(("kind", "value"), WRONG)
def test_what_is_no_value_of_its_kind_is_a_terminal_error(kind: Kind, value: str) -> None:
    amount: Amount = timedelta(hours=1) if kind in ("date", "timestamp") else 1
    for use in (lambda: mark(kind, value).position(), lambda: mark(kind, value).minus(amount)):
        with pytest.raises(TerminalError, match=f"is no {kind} value") as caught:
            use()
        assert caught.value.code == "watermark-value"


@given(kind=st.sampled_from(["int", "decimal", "rowversion", "date", "timestamp"]), text=st.text())
def test_any_text_has_a_position_or_is_a_terminal_error(kind: Kind, text: str) -> None:
    try:
        assert mark(kind, text).position().is_finite()
    except TerminalError as e:
        assert text in e.what  # noqa: PT017 - both ends are right, anything else is not


# Taking off


@given(value=st.integers(-(10**38), 10**38), amount=st.integers(0, 10**38))
def test_numbers_lose_no_digit(value: int, amount: int) -> None:
    for kind in ("int", "decimal"):
        assert mark(kind, str(value)).minus(amount).value == str(value - amount)


@given(
    value=st.integers(0, 2**64 - 1),
    amount=st.integers(0, 2**65),
    prefix=st.sampled_from(["", "0x"]),
)
def test_row_versions_keep_their_shape(value: int, amount: int, prefix: str) -> None:
    lower = mark("rowversion", f"{prefix}{value:016x}").minus(amount)
    assert lower.value == f"{prefix}{max(value - amount, 0):016x}"


@given(text=times(), amount=amounts)
def test_times_keep_their_shape_and_lose_at_least_the_amount(text: str, amount: timedelta) -> None:
    before, after = mark("timestamp", text), mark("timestamp", text).minus(amount)
    assert re.sub(r"\d", "0", after.value) == re.sub(r"\d", "0", text)
    lost = before.position() - after.position()
    seconds = Decimal(amount // timedelta(microseconds=1)) / 10**6
    shown = 1 if re.search(r"[ T]\d\d:\d\d:", text) else 60
    assert seconds <= lost < seconds + shown
    fraction = re.search(r"\.\d+", text)
    assert not fraction or fraction[0] in after.value


@given(value=days, amount=st.timedeltas(timedelta(0), timedelta(days=30)))
def test_days_lose_whole_days_and_never_too_few(value: date, amount: timedelta) -> None:
    lost = value - date.fromisoformat(day(value).minus(amount).value)
    assert amount <= lost < amount + timedelta(days=1)


def test_no_time_lies_before_the_first_year() -> None:
    ages = parse_amount("200000w")
    assert mark("date", "2024-01-01").minus(ages).value == "0001-01-01"
    assert mark("timestamp", "2024-01-01T10:00:00.5Z").minus(ages).value == "0001-01-01T00:00:00.5Z"


@pytest.mark.parametrize(
    ("kind", "value", "amount"),
    [
        ("int", "5", timedelta(minutes=1)),
        ("decimal", "5", timedelta(minutes=1)),
        ("rowversion", "0x05", timedelta(minutes=1)),
        ("date", "2024-01-01", 5),
        ("timestamp", "2024-01-01T00:00", 5),
    ],
)
def test_an_amount_of_the_wrong_sort_is_a_config_error(
    kind: Kind, value: str, amount: Amount
) -> None:
    with pytest.raises(ConfigError, match="measured otherwise") as caught:
        mark(kind, value).minus(amount)
    assert caught.value.fix.startswith("Write a")


# Windows


def copied(window: Window, rows: list[int | None]) -> list[int | None]:
    """The rows that a window reads."""

    def inside(row: int | None) -> bool:
        if row is None:
            return window.nulls
        above = window.low is None or row > window.low.position()
        return above and window.high is not None and row <= window.high.position()

    return [row for row in rows if inside(row)]


def runs(
    loads: list[list[int]],
    nulls: NullPolicy = "skip",
    lookback: int | None = None,
    delay: int | None = None,
) -> list[list[int | None]]:
    """What each of several runs copies, when rows arrive before each of them."""
    table: list[int | None] = []
    low: Watermark | None = None
    found = []
    for n, load in enumerate(loads):
        table += load
        values = [row for row in table if row is not None]
        window = next_window(
            "id",
            low,
            number(max(values)) if values else None,
            first=n == 0,
            nulls=nulls,
            lookback=lookback,
            delay=delay,
        )
        found.append(copied(window, table) if window else [])
        low = window.watermark if window else low
    return found


growing = st.lists(st.lists(st.integers(1, 20), max_size=5), min_size=1, max_size=6).map(
    lambda loads: [[row + 100 * n for row in load] for n, load in enumerate(loads)]
)


@given(loads=growing)
def test_rows_that_arrive_in_order_are_copied_once(loads: list[list[int]]) -> None:
    assert runs(loads) == loads


@given(loads=growing, delay=st.integers(1, 300))
def test_a_delay_copies_no_row_twice_and_none_too_new(loads: list[list[int]], delay: int) -> None:
    found = runs(loads, delay=delay)
    rows = [row for load in found for row in load]
    arrived = [row for load in loads for row in load]
    due = [row for row in arrived if row <= max(arrived) - delay]
    assert sorted(map(str, rows)) == sorted(map(str, due))


@given(loads=st.lists(st.lists(st.integers(1, 50), max_size=5), min_size=2, max_size=6))
def test_a_lookback_copies_rows_that_come_that_late(loads: list[list[int]]) -> None:
    found = runs(loads, lookback=50)
    assert {row for load in found for row in load} == {row for load in loads for row in load}


@given(loads=growing)
def test_the_watermark_never_moves_back(loads: list[list[int]]) -> None:
    low: Watermark | None = None
    for load in reversed(loads):
        newest = number(max(load)) if load else None
        for lookback in (None, 10):
            window = next_window("id", low, newest, first=low is None, lookback=lookback)
            new = window.watermark if window else None
            if new is not None:
                assert low is None or new.position() >= low.position()
                low = new


@pytest.mark.parametrize(
    ("nulls", "first", "expected"),
    [
        ("skip", True, True),
        ("skip", False, False),
        ("include", True, True),
        ("include", False, True),
        ("fail", True, False),
        ("fail", False, False),
    ],
)
def test_rows_without_a_value(nulls: NullPolicy, first: bool, expected: bool) -> None:
    window = next_window("id", None, number(5), first=first, nulls=nulls)
    assert window is not None
    assert window.nulls == expected


def test_a_first_load_without_any_value_copies_the_rows_without_one() -> None:
    window = next_window("id", None, None, first=True)
    assert window == Window(column="id", nulls=True)
    assert window.watermark is None


def test_nothing_new_is_no_window_unless_nulls_are_wanted() -> None:
    assert next_window("id", number(5), number(5), first=False) is None
    assert next_window("id", number(5), None, first=False) is None
    assert next_window("id", number(5), number(3), first=False) is None
    again = next_window("id", number(5), number(5), first=False, nulls="include")
    assert again is not None
    assert copied(again, [4, 5, 6, None]) == [None]
    assert again.watermark == number(5).model_copy(update={"column": "id"})


@pytest.mark.parametrize("kind", ["date", "timestamp"])
def test_the_last_day_stays_open(kind: Kind) -> None:
    window = next_window("d", mark(kind, "2024-01-01"), mark(kind, "2024-01-03"), first=False)
    assert window is not None
    assert window.high == mark(kind, "2024-01-02")
    closed = window.watermark
    assert next_window("d", closed, mark(kind, "2024-01-03"), first=False) is None
    later = next_window("d", closed, mark(kind, "2024-01-04"), first=False)
    assert later is not None
    assert (later.low, later.high) == (closed, mark(kind, "2024-01-03"))


def test_the_watermark_tells_its_column() -> None:
    window = next_window("id", None, number(5), first=True)
    assert window is not None
    assert window.watermark == Watermark(kind="int", value="5")
    assert Window.model_validate_json(window.model_dump_json()) == window


# Amounts


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        (1000, 1000),
        ("1000", 1000),
        (" 0 ", 0),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2H", timedelta(hours=2)),
        ("1d 12h", timedelta(days=1, hours=12)),
        ("1w2d", timedelta(days=9)),
        ("3 d", timedelta(days=3)),
    ],
)
def test_amounts_as_people_write_them(text: str | int, amount: Amount) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "m", "5x", "1.5h", "-5", "-5m", "1d2", "1 2", -5, True, "²", "9" * 12 + "w"],
)
def test_what_is_no_amount_is_a_value_error(text: str | int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic adds the message to its own
        parse_amount(text)


@given(text=st.text("0123456789smhdw .-²x", max_size=12) | st.text())
def test_any_text_is_an_amount_or_a_value_error(text: str) -> None:
    try:
        amount = parse_amount(text)
    except ValueError:
        return
    assert amount >= 0 if isinstance(amount, int) else amount >= timedelta(0)


@given(text=times())
def test_iso_times_are_times(text: str) -> None:
    assert is_time(text)


@pytest.mark.parametrize("text", ["", "12", "2024-13-01", "2024-1-1", "2024-01-01T", "now"])
def test_other_text_is_no_time(text: str) -> None:
    assert not is_time(text)


# Times that are not over


@given(
    second=st.integers(0, 2**32),  # since 1970
    later=st.integers(-1_000_000, 4_000_000),  # microseconds
    hours=st.integers(-12, 14),
    in_utc=st.booleans(),
)
def test_a_second_is_settled_once_it_is_over(
    second: int, later: int, hours: int, *, in_utc: bool
) -> None:
    zone = timezone(timedelta(hours=hours))
    at = datetime.fromtimestamp(second, UTC if in_utc else zone)
    now = at + timedelta(microseconds=later)
    wait = mark("timestamp", f"{at:%Y-%m-%d %H:%M:%S}").unsettled(now.astimezone(zone))
    assert wait == pytest.approx(max(0, 1_500_000 - later) / 1_000_000)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("timestamp", "2026-01-01 12:00:00.001"),
        ("timestamp", "2026-01-01 12:00"),
        ("timestamp", "2026-01-01T11:59:58Z"),
        ("timestamp", "2026-01-01T12:00:00+03:00"),
        ("timestamp", "2026-01-01 12:00:02"),
        ("date", "2026-01-01"),
        ("int", "12"),
        ("rowversion", "0x00"),
    ],
)
def test_nothing_is_waited_for_without_need(kind: Kind, value: str) -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert mark(kind, value).unsettled(now) == 0


def test_a_time_with_a_zone_is_settled_by_it() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert mark("timestamp", "2026-01-01T14:00:00.000+02:00").unsettled(now) == 1.5
