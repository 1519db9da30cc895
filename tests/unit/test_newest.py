"""Up to where a window on the time of files may reach."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.files.newest import instant, nanoseconds, newest, within
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import TerminalError
from copy_core.watermark import EVERYTHING, Watermark, Window

SECOND = 10**9
NOW = 1_700_000_000 * SECOND


class Coarse(LocalStore):
    """A store whose clock ticks in seconds, and which has uploads under way.

    Attributes:
        began: when this machine's clock showed what the store's clock did at the beginning.
        begun: when the oldest upload was begun.
    """

    tick_ns = SECOND

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.began = time.monotonic_ns()
        self.begun: int | None = None
        self.asked = 0

    def now(self) -> int:
        self.asked += 1
        passed = time.monotonic_ns() - self.began
        return (NOW + passed) // SECOND * SECOND

    def unfinished(self, prefix: str = "") -> int | None:
        assert prefix == "in/"
        return self.begun


@pytest.fixture
def store(tmp_path: Path) -> Coarse:
    return Coarse(tmp_path)


def found(store: Coarse, *seconds: int, above: int | None = None) -> int | None:
    """The end of a window, in seconds from now, nothing but whole ones expected."""
    entries = [Entry(f"in/{s}", 1, NOW + s * SECOND, "e") for s in seconds]
    low = (
        None if above is None else Watermark(kind="timestamp", value=instant(NOW + above * SECOND))
    )
    end = newest(store, "in/", entries, low)
    return None if end is None else nanoseconds(end) - NOW


def test_it_is_the_newest_time_of_a_listing(store: Coarse) -> None:
    assert found(store, -9, -3, -5) == -3 * SECOND


def test_an_empty_folder_has_none(store: Coarse) -> None:
    assert found(store) is None
    assert store.asked == 0


def test_nothing_above_the_watermark_costs_a_listing_and_no_more(store: Coarse) -> None:
    assert found(store, -9, 0, above=0) is None
    assert store.asked == 0


def test_an_instant_that_is_not_over_is_waited_for(store: Coarse) -> None:
    assert found(store, -9, 0) == 0
    assert store.now() >= NOW + SECOND


def test_a_time_to_come_does_not_take_the_window_with_it(store: Coarse) -> None:
    end = found(store, -9, 3600)
    assert end is not None
    assert -SECOND <= end <= store.now() - NOW


def test_it_stays_below_an_upload_that_is_under_way(store: Coarse) -> None:
    store.begun = NOW - 5 * SECOND
    assert found(store, -9, -3) == -5 * SECOND - 1
    assert found(store, -9, -6) == -6 * SECOND
    assert found(store, -5) == -5 * SECOND - 1


def test_an_upload_that_nobody_will_end_is_an_error(store: Coarse) -> None:
    store.begun = NOW - 8 * 86_400 * SECOND
    with pytest.raises(TerminalError) as caught:
        found(store, -9)
    assert caught.value.code == "upload-unfinished"


@given(st.integers(-(10**18), 10**19))
def test_no_digit_of_a_time_is_lost(modified: int) -> None:
    watermark = Watermark(kind="timestamp", value=instant(modified))
    assert nanoseconds(watermark) == modified


def test_a_window_is_open_below_and_closed_above() -> None:
    low, high = (Watermark(kind="timestamp", value=instant(n)) for n in (10, 20))
    window = Window(column="_file_modified", low=low, high=high)
    assert [n for n in range(30) if within(window)(n)] == list(range(11, 21))
    first = Window(column="_file_modified", high=high)
    assert [n for n in range(30) if within(first)(n)] == list(range(21))
    nothing = Window(column="_file_modified", nulls=True)
    assert not within(nothing)(1)
    assert within(EVERYTHING)(1)
    assert within(Window(column="at", low=high, high=high))(1)
