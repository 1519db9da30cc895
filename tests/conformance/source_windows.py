"""What a source does that reads above a watermark, and one that cuts a window into parts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from copy_core.connectors.base import Source
from copy_core.errors import TerminalError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import EVERYTHING, Watermark, Window, next_window
from tests.conformance.rigs import SourceRig
from tests.conformance.samples import STEPS, rows_of, table, typed
from tests.conformance.source_kit import EXAMPLES, SourceSuite, fresh, newest, read, whole


def number(value: int) -> Watermark:
    return Watermark(kind="int", value=str(value))


class IncrementalSource(SourceSuite):
    """Reading what lies above a watermark."""

    def test_the_newest_value_of_each_kind_bounds_a_window_exactly(
        self, rig: SourceRig, source: Source, step: str
    ) -> None:
        values = STEPS[step]
        name = rig.create("t", typed(step, values[:1]))
        marks = [newest(source, name, "value")]
        for number, value in enumerate(values[1:], 100):
            schema = typed(step).schema
            rig.insert(name, pa.table([[number], [value]], schema=schema))
            marks.append(newest(source, name, "value"))
        assert [m.position() for m in marks] == sorted({m.position() for m in marks})
        for value, (low, high) in zip(values[1:], pairwise(marks), strict=True):
            window = Window(column="value", low=low, high=high)
            found = read(source, whole(source, name, window=window))
            assert found.cast(typed(step).schema)["value"].to_pylist() == [value]

    def test_the_watermark_kinds_it_offers_are_those_of_the_columns(
        self, rig: SourceRig, source: Source, step: str
    ) -> None:
        info = source.describe(rig.create("t", typed(step, STEPS[step])))
        kinds = {"int64": "int", "date": "date"}
        wanted = "decimal" if step.startswith("decimal") else kinds.get(step, "timestamp")
        assert info.watermarks["value"] == wanted

    def test_no_row_has_a_value(self, rig: SourceRig, source: Source, step: str) -> None:
        info = source.describe(rig.create("t", typed(step, [])))
        assert source.newest(info, "value", None) is None

    def test_nothing_above_the_watermark(self, rig: SourceRig, source: Source, step: str) -> None:
        name = rig.create("t", typed(step, STEPS[step]))
        high = newest(source, name, "value")
        again = source.newest(source.describe(name), "value", high)
        assert again is None or again.position() == high.position()

    def test_the_lower_bound_is_exclusive_and_the_upper_inclusive(
        self, rig: SourceRig, source: Source
    ) -> None:
        name = rig.create("t", table(10))
        window = Window(column="at", low=number(30), high=number(60))
        part = whole(source, name, ["id"], window=window)
        assert sorted(read(source, part)["id"].to_pylist()) == [4, 5, 6]
        assert "30" in source.predicate(part)
        assert "60" in source.predicate(part)

    def test_a_window_and_filters_and_chosen_columns_hold_together(
        self, rig: SourceRig, source: Source
    ) -> None:
        name = rig.create("t", table(10))
        window = Window(column="at", low=number(30), high=number(60))
        even = [Condition(column="id", op="in", value=[0, 2, 4, 6, 8])]
        part = whole(source, name, ["name"], window=window, filter=even)
        assert sorted(read(source, part)["name"].to_pylist()) == ["row 4", "row 6"]

    def test_rows_of_one_instant_are_neither_lost_nor_read_again(
        self, rig: SourceRig, source: Source
    ) -> None:
        tied = table(9).set_column(2, "at", pa.array([1, 1, 1, 2, 2, 2, 3, 3, 3], pa.int64()))
        name = rig.create("t", tied)
        windows = [
            Window(column="at", high=number(2)),
            Window(column="at", low=number(2), high=number(3)),
        ]
        found = [read(source, whole(source, name, window=window)) for window in windows]
        assert [t.num_rows for t in found] == [6, 3]
        assert rows_of(*found) == rows_of(tied)

    def test_the_newest_row_is_not_read_again_for_ever(
        self, rig: SourceRig, source: Source
    ) -> None:
        name = rig.create("t", table())
        high = newest(source, name, "at")
        for _ in range(3):
            found = source.newest(source.describe(name), "at", high)
            assert next_window("at", high, found, first=False) is None

    @pytest.mark.parametrize("high", [30, None])
    def test_rows_without_a_value_are_read_only_when_the_window_says_so(
        self, rig: SourceRig, source: Source, high: int | None
    ) -> None:
        rows = table(5).set_column(2, "at", pa.array([None, 10, 20, 30, None], pa.int64()))
        name = rig.create("t", rows)
        valued = [1, 2, 3] if high else []
        for nulls, ids in ((False, valued), (True, sorted([0, *valued, 4]))):
            window = Window(column="at", high=number(high) if high else None, nulls=nulls)
            part = whole(source, name, ["id"], window=window)
            assert sorted(read(source, part)["id"].to_pylist()) == ids

    def test_it_counts_rows_without_a_value(self, rig: SourceRig, source: Source) -> None:
        rows = table(5).set_column(2, "at", pa.array([None, 10, 20, 30, None], pa.int64()))
        info = source.describe(rig.create("t", rows))
        assert source.count_nulls(info, "at") == 2
        assert source.count_nulls(info, "name") == 0

    def test_rows_that_arrive_after_the_window_was_fixed_wait_for_the_next(
        self, rig: SourceRig, source: Source
    ) -> None:
        name = rig.create("t", table(5))
        info = source.describe(name)
        first = next_window("at", None, source.newest(info, "at", None), first=True)
        rig.insert(name, table(3, start=5))
        assert first is not None
        before = read(source, whole(source, name, window=first))
        info = source.describe(name)
        second = next_window("at", first.high, source.newest(info, "at", first.high), first=False)
        assert second is not None
        after = read(source, whole(source, name, window=second))
        assert rows_of(before) == rows_of(table(5))
        assert rows_of(after) == rows_of(table(3, start=5))

    def test_a_row_committed_late_is_caught_by_a_lookback(
        self, rig: SourceRig, source: Source
    ) -> None:
        name = rig.create("t", table(10))
        low = newest(source, name, "at")
        late = table(1, start=99).set_column(2, "at", pa.array([85], pa.int64()))
        rig.insert(name, late)
        info = source.describe(name)
        window = next_window(
            "at", low, source.newest(info, "at", low) or low, first=False, lookback=15
        )
        assert window is not None
        found = read(source, whole(source, name, ["id"], window=window))
        assert sorted(found["id"].to_pylist()) == [8, 9, 99]

    def test_an_odd_incremental_column(
        self, rig: SourceRig, source: Source, odd_column: str
    ) -> None:
        name = rig.create("t", table().rename_columns(["id", "name", odd_column]))
        high = newest(source, name, odd_column)
        window = Window(column=odd_column, low=number(10), high=high)
        assert read(source, whole(source, name, ["id"], window=window))["id"].to_pylist() == [
            2, 3, 4,
        ]  # fmt: skip

    @EXAMPLES
    @given(data=st.data())
    def test_a_chain_of_windows_gives_each_change_at_least_once_and_no_row_twice_unchanged(
        self, rig: SourceRig, source: Source, data: st.DataObject
    ) -> None:
        name = rig.create(fresh(), table(0))
        now: dict[int, tuple[str, int | None]] = {}
        seen: list[tuple[int, str, int | None]] = []
        written: list[tuple[int, str, int | None]] = []
        low, first, clock = None, True, 0
        for _ in range(data.draw(st.integers(1, 4), "windows")):
            clock += 1  # a value once captured as the upper bound does not come again
            changes = st.lists(
                st.sampled_from("iiut"), min_size=int(first and not rig.shows_empty), max_size=6
            )
            for kind in data.draw(changes, "changes"):
                clock += int(kind == "t")
                number_ = len(now) if kind != "u" or not now else data.draw(st.sampled_from([*now]))
                now[number_] = (f"version {clock}.{len(written)}", clock)
                written.append((number_, *now[number_]))
                rig.replace(name, pa.table([[v] for v in written[-1]], schema=table().schema))
            found = source.newest(source.describe(name), "at", low)
            window = next_window("at", low, found, first=first)
            if window is not None:
                part = whole(source, name, window=window)
                seen += [tuple(row.values()) for row in read(source, part).to_pylist()]
                low, first = window.high or low, False
        assert set(seen) >= {(number_, *value) for number_, value in now.items()}
        assert len(seen) == len(set(seen))
        assert set(seen) <= set(written)


class EmptyIncremental(IncrementalSource):
    """Columns that have no row yet."""

    def test_an_empty_table_has_no_newest_value(
        self, rig: SourceRig, source: Source, step: str
    ) -> None:
        info = source.describe(rig.create("t", typed(step, []).slice(0, 0)))
        assert source.newest(info, "value", None) is None


class DatedSource(IncrementalSource):
    """Days as watermarks."""

    def test_rows_of_today_that_still_arrive_are_not_missed(
        self, rig: SourceRig, source: Source
    ) -> None:
        days = [date(2026, 1, day) for day in (1, 2, 3)]
        name = rig.create("t", typed("date", days[:2]).slice(0, 2))
        schema, seen, low = typed("date").schema, [], None
        for new_id, day in ((10, days[1]), (11, days[2]), (12, date(2026, 1, 9))):
            window = next_window("value", low, newest(source, name, "value"), first=low is None)
            if window and window.high:
                seen += read(source, whole(source, name, ["id"], window=window))["id"].to_pylist()
                low = window.high
            rig.insert(name, pa.table([[new_id], [day]], schema=schema))
        window = next_window("value", low, newest(source, name, "value"), first=False)
        assert window is not None
        seen += read(source, whole(source, name, ["id"], window=window))["id"].to_pylist()
        assert sorted(seen) == [0, 1, 10, 11]


class TextTimedSource(IncrementalSource):
    """Time kept as text as watermarks."""

    def test_text_that_is_no_time_cannot_be_an_incremental_column(
        self, rig: SourceRig, source: Source
    ) -> None:
        for name, values in (("a", ["2026-01-01", "9 May"]), ("b", ["alpha", "beta"])):
            info = source.describe(rig.create(name, typed("string", values)))
            if "value" in info.watermarks:  # it need not look at every row to offer a column
                with pytest.raises(TerminalError) as refused:
                    source.newest(info, "value", None)
                assert "value" in str(refused.value)


class SplittingSource(SourceSuite):
    """Reading one window in several parts."""

    @EXAMPLES
    @given(
        values=st.tuples(
            st.lists(st.none() | st.integers(0, 9) | st.integers(-(2**63), 2**63 - 1)),
            st.lists(st.none() | st.integers(0, 9), max_size=5),
        ),
        parts=st.integers(1, 9),
        bounds=st.none() | st.tuples(st.integers(-5, 5), st.integers(0, 12), st.booleans()),
    )
    def test_parts_hold_each_row_of_the_window_once_also_when_rows_are_added(
        self,
        rig: SourceRig,
        source: Source,
        values: tuple[list[int | None], list[int | None]],
        parts: int,
        bounds: tuple[int, int, bool] | None,
    ) -> None:
        schema, (here, later) = table().schema, values
        assume(here or rig.shows_empty)

        def rows(start: int, ats: list[int | None]) -> pa.Table:
            ids = range(start, start + len(ats))
            return pa.table([list(ids), [f"row {i}" for i in ids], ats], schema=schema)

        name = rig.create(fresh(), rows(0, here), keys=["id"])
        window = EVERYTHING
        if bounds:
            low, high, nulls = number(bounds[0]), number(bounds[1]), bounds[2]
            window = Window(column="at", low=low, high=high, nulls=nulls)
        all_of_it = whole(source, name, window=window)
        slices = source.split(source.describe(name), all_of_it, parts)
        assert len(slices) <= parts
        before = rows_of(read(source, all_of_it))
        rig.insert(name, rows(len(here), later))
        found = rows_of(read(source, *slices)) if slices else rows_of()
        # What is added later is in it or not, but never twice.
        assert before <= found <= rows_of(read(source, all_of_it))

    def test_parts_may_be_read_at_the_same_time(self, rig: SourceRig, source: Source) -> None:
        name = rig.create("t", table(1000), keys=["id"])
        slices = source.split(source.describe(name), whole(source, name), 4)
        assert len(slices) > 1

        def one(part: Slice) -> pa.Table:
            with rig.open() as own:
                return read(own, part)

        with ThreadPoolExecutor() as pool:
            found = list(pool.map(one, slices))
        assert rows_of(*found) == rows_of(table(1000))
        assert max(t.num_rows for t in found) <= 600

    def test_the_predicates_of_parts_differ(self, rig: SourceRig, source: Source) -> None:
        name = rig.create("t", table(1000), keys=["id"])
        slices = source.split(source.describe(name), whole(source, name), 4)
        assert len({source.predicate(part) for part in slices}) == len(slices)

    def test_a_filter_holds_in_every_part(self, rig: SourceRig, source: Source) -> None:
        name = rig.create("t", table(100), keys=["id"])
        late = [Condition(column="at", op=">=", value=500)]
        slices = source.split(source.describe(name), whole(source, name, filter=late), 3)
        assert rows_of(read(source, *slices)) == rows_of(table(50, start=50))
