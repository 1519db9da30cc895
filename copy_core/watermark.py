"""Watermarks: how far a table has been copied, and which rows come next. Pure.

A watermark value is the source's own text for it, never a float or a Python datetime, so no
digit is lost between reading it and comparing with it. Python only orders values and takes
durations off them.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Literal

from pydantic import BaseModel, ConfigDict

from copy_core.errors import ConfigError, TerminalError

Kind = Literal["int", "decimal", "date", "timestamp", "rowversion"]
"""What a watermark column holds. `timestamp` also covers ISO time kept as text; a `rowversion`
is hexadecimal text."""

NullPolicy = Literal["skip", "include", "fail"]

_TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:(?P<sep>[ T])(?P<clock>\d\d:\d\d(?P<seconds>:\d\d)?)(?P<fraction>\.\d+)?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
_SETTLED_S = Decimal("1.5")  # clocks may differ a little, and a commit comes after its time
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"(\d+)\s*([smhdw])", re.IGNORECASE)


class Watermark(BaseModel):
    """A value of an incremental column.

    Attributes:
        kind: what the column holds.
        value: the source's text for the value (ISO 8601 for times, hexadecimal for rowversion).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    value: str

    def position(self) -> Decimal:
        """Where the value stands in the order of its kind; times in seconds since year 1 (UTC).

        Raises:
            TerminalError: the text is no value of its kind.
        """
        try:
            if self.kind == "rowversion":
                return Decimal(int(self.value, 16))
            if self.kind in ("int", "decimal"):
                return _number(self.value)
            return _seconds(self.value)
        except (ValueError, ArithmeticError) as e:
            raise self._wrong() from e

    def minus(self, amount: Amount) -> Watermark:
        """The value `amount` earlier (or smaller), in the same text format.

        Raises:
            ConfigError: a duration for a number, or a number for a time.
            TerminalError: the text is no value of its kind.
        """
        try:
            if self.kind in ("int", "decimal", "rowversion"):
                if isinstance(amount, timedelta):
                    raise _mismatch(self.kind, "a plain number, such as 1000")
                smaller = _smaller if self.kind != "rowversion" else _smaller_version
                return self._with(smaller(self.value, amount))
            if not isinstance(amount, timedelta):
                raise _mismatch(self.kind, "a duration, such as 15m or 2h")
            return self._with(_earlier(self.value, amount))
        except (ValueError, ArithmeticError) as e:
            raise self._wrong() from e

    def unsettled(self, now: datetime) -> float:
        """For how many seconds more rows with this very value may come: a time in whole seconds is
        not over before the next second has begun. 0 for what is over, finer than that, or no time.

        Args:
            now: the time, with the zone that values without a zone are in, unless they are in UTC.
        """
        match = _TIME.fullmatch(self.value.strip()) if self.kind == "timestamp" else None
        if match is None or not match["seconds"] or Decimal(match["fraction"] or 0):
            return 0.0
        clocks = [now.astimezone(UTC)] if match["zone"] else [now.astimezone(UTC), now]
        ages = [_seconds(f"{clock:%Y-%m-%d %H:%M:%S.%f}") - self.position() for clock in clocks]
        return max((float(_SETTLED_S - age) for age in ages if -1 <= age < _SETTLED_S), default=0.0)

    def _with(self, value: str) -> Watermark:
        return self.model_copy(update={"value": value})

    def _wrong(self) -> TerminalError:
        return TerminalError(
            f"'{self.value}' is no {self.kind} value",
            fix="Choose an incremental column whose values all have one type and format",
            code="watermark-value",
        )


Amount = int | timedelta
"""A lookback or delay: a number for numeric columns, a duration for times."""


class Window(BaseModel):
    """The rows that one sequence copies.

    Attributes:
        column: the incremental column; None means every row of the table.
        low: exclusive lower bound of what is read; None means from the beginning.
        high: inclusive upper bound, fixed before reading; None means no row with a value.
        nulls: whether rows without a value are read too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str | None = None
    low: Watermark | None = None
    high: Watermark | None = None
    nulls: bool = False

    @property
    def watermark(self) -> Watermark | None:
        """What the table's watermark becomes once the window is published."""
        return self.high


EVERYTHING = Window()


def next_window(
    column: str,
    low: Watermark | None,
    newest: Watermark | None,
    *,
    first: bool,
    nulls: NullPolicy = "skip",
    lookback: Amount | None = None,
    delay: Amount | None = None,
) -> Window | None:
    """The window that follows what has been copied, or None when there is nothing to copy.

    Args:
        column: the incremental column.
        low: the watermark so far; None before any row with a value was copied.
        newest: the largest value at the source now; None when no row has one.
        first: whether nothing was loaded yet; the first load also takes the rows without a value.
        nulls: what later loads do with rows without a value.
        lookback: how much below `low` is read again, for rows that were committed late.
        delay: how much below `newest` the window ends, for the same reason.
    """
    with_nulls = nulls == "include" or (first and nulls == "skip")
    high = _upper(newest, delay) if newest else None
    if high is None or (low is not None and high.position() < low.position()):
        # Nothing lies above the watermark: deletions at the source may even move it back.
        high = low if lookback else None
    if high is not None and low is not None and not lookback and high.position() == low.position():
        high = None
    if high is None:
        if not (first or nulls == "include"):
            return None
        return Window(column=column, low=low, high=low, nulls=with_nulls)
    start = low.minus(lookback) if low is not None and lookback else low
    return Window(column=column, low=start, high=high, nulls=with_nulls)


def _upper(newest: Watermark, delay: Amount | None) -> Watermark:
    """Where a window may end: a day, also one kept as text, stays open until a later appears."""
    upper = newest.minus(delay) if delay else newest
    whole_day = newest.kind == "date" or (newest.kind == "timestamp" and ":" not in newest.value)
    return upper.minus(timedelta(days=1)) if whole_day else upper


def parse_amount(text: str | int) -> Amount:
    """A lookback or delay as people write it: `1000`, `15m`, `2h`, `1d 12h`.

    Raises:
        ValueError: it is neither a number nor a duration.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        if text < 0:
            raise ValueError("must not be negative")
        return text
    bare = str(text).strip()
    if bare.isdecimal():
        return int(bare)
    if not bare or _SPAN.sub("", bare).strip():
        raise ValueError("write a number or a duration such as 15m, 2h or 1d 12h")
    try:
        return timedelta(seconds=sum(int(n) * _UNITS[u.lower()] for n, u in _SPAN.findall(bare)))
    except OverflowError:
        raise ValueError("is longer than all of history") from None


def is_time(text: str) -> bool:
    """Whether `text` is an ISO 8601 day or time."""
    try:
        _seconds(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(f"'{text}' has no place in the order of numbers")
    return number


def _smaller(text: str, amount: int) -> str:
    # Exact: the usual 28 digits are fewer than decimal(38,0) has.
    with localcontext(prec=400):
        return format(_number(text) - amount, "f")


def _smaller_version(text: str, amount: int) -> str:
    prefix = text[:2] if text[:2].lower() == "0x" else ""
    return f"{prefix}{max(int(text, 16) - amount, 0):0{len(text) - len(prefix)}x}"


def _seconds(text: str) -> Decimal:
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is not ISO 8601")
    whole = datetime.fromisoformat(f"{match['day']}T{match['clock'] or '00:00'}")
    seconds = Decimal(whole.toordinal() * 86400 + whole.hour * 3600)
    seconds += whole.minute * 60 + whole.second + Decimal(match["fraction"] or 0)
    zone = match["zone"]
    if zone and zone != "Z":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        seconds += minutes * 60 if zone[0] == "-" else -minutes * 60
    return seconds


def _earlier(text: str, amount: timedelta) -> str:
    """An ISO time less `amount`, in the same shape; clamped to year 1."""
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is not ISO 8601")
    if match["clock"] is None:
        day = date.fromisoformat(match["day"])
        days = min(-(-amount // timedelta(days=1)), day.toordinal() - 1)
        return (day - timedelta(days=days)).isoformat() + (match["zone"] or "")
    whole = datetime.fromisoformat(f"{match['day']}T{match['clock']}")
    try:
        whole -= timedelta(seconds=-(-amount // timedelta(seconds=1)))
    except OverflowError:
        whole = whole.min
    clock = whole.isoformat(sep=match["sep"], timespec="seconds" if match["seconds"] else "minutes")
    return clock + (match["fraction"] or "") + (match["zone"] or "")


def _mismatch(kind: Kind, wanted: str) -> ConfigError:
    return ConfigError(
        f"lookback and delay of an incremental column of type {kind} are measured otherwise",
        fix=f"Write {wanted}",
        code="watermark-amount",
    )
