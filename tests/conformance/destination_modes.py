"""What a destination does that declares a write mode, or another capability."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.base import Destination
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import WriteMode
from copy_core.model import Staged, Target
from tests.conformance.destination_kit import (
    DestinationSuite,
    aim,
    batches,
    check,
    load,
    publish,
    stage,
)
from tests.conformance.rigs import DestinationRig
from tests.conformance.samples import table, typed
from tests.conformance.source_kit import EXAMPLES, fresh


class ParallelStage(DestinationSuite):
    """Staging many parts at the same time."""

    def test_many_threads_stage_parts_of_one_sequence(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        schema = to.prepare(target)

        def one(part: int) -> Staged:
            with rig.open() as own:
                return own.stage(target, part, batches(table(20, start=20 * part), schema, 4))

        with ThreadPoolExecutor(8) as pool:
            staged = list(pool.map(one, range(12)))
        assert publish(to, target, staged).rows == 240
        to.clean(target)
        check(rig, table(240))
        assert rig.staged() == []


class LosesStaged(DestinationSuite):
    """Staged rows that vanish before they are published."""

    def test_a_staged_part_that_vanished_is_missed_and_nothing_becomes_visible(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        load(rig, aim(table(), 1, write), table())
        target = aim(table(), 2, write)
        staged = stage(to, target, table(2, start=10), table(2, start=20))
        rig.lose(staged[1])
        with pytest.raises(TerminalError) as missing:
            publish(to, target, staged)
        assert missing.value.code == "staged-missing"
        check(rig, table())
        last = to.last_commit("job", "source.table", "t")
        assert last is not None
        assert last.sequence == 1
        again = stage(to, target, table(2, start=10), table(2, start=20))
        assert publish(to, target, again).rows == 4
        to.clean(target)
        assert rig.staged() == []


class Requires(DestinationSuite):
    """Columns that are never null."""

    def test_a_null_where_the_table_requires_a_value_changes_nothing(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        strict = table().cast(table().schema.set(1, pa.field("name", pa.string(), nullable=False)))
        load(rig, aim(strict, 1, write), strict)
        rows = table(2, start=5).set_column(1, "name", pa.array(["x", None], pa.string()))
        target = aim(rows, 2, write)
        schema = to.prepare(target)
        with pytest.raises(TerminalError) as refused:
            publish(to, target, [to.stage(target, 0, batches(rows, schema))])
        assert "name" in str(refused.value)
        check(rig, table())
        to.clean(target)
        assert rig.staged() == []

    def test_a_required_column_that_the_rows_lack_is_refused_by_name(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        strict = table().cast(table().schema.set(1, pa.field("name", pa.string(), nullable=False)))
        load(rig, aim(strict, 1, write), strict)
        with pytest.raises(ConfigError) as refused:
            to.prepare(aim(table().select(["id", "at"]), 2, write))
        assert "name" in refused.value.where["column"]


class RefusesTables(DestinationSuite):
    """Names that no table can have there."""

    def test_a_name_that_cannot_be_is_refused_before_anything_is_read(
        self, to: Destination, refused_table: str
    ) -> None:
        with pytest.raises(ConfigError) as refused:
            to.prepare(aim(table(), object=refused_table, write=min(to.capabilities.modes)))
        assert refused_table in str(refused.value)


class RefusesTypes(DestinationSuite):
    """Types of which it cannot keep every value."""

    def test_a_value_that_cannot_be_kept_is_refused_by_its_column(
        self, rig: DestinationRig, refused_kind: str
    ) -> None:
        rows = typed(refused_kind)
        with pytest.raises((ConfigError, TerminalError)) as refused:
            load(rig, aim(rows, write=min(rig.capabilities.modes)), rows)
        assert refused.value.where["column"] == "value"
        assert rig.read("t") is None


class Appends(DestinationSuite):
    """`append` adds rows."""

    @EXAMPLES
    @given(loads=st.lists(st.lists(st.integers(0, 5), max_size=3), max_size=4))
    def test_appends_add_up(self, rig: DestinationRig, loads: list[list[int]]) -> None:
        name, wanted = fresh(), [table(1)]
        load(rig, aim(table(), object=name), table(1))
        for sequence, sizes in enumerate(loads, 2):
            parts = [table(size, start=size) for size in sizes]
            assert load(rig, aim(table(), sequence, object=name), *parts).rows == sum(sizes)
            wanted += parts
        check(rig, *wanted, name=name)

    def test_rows_that_are_alike_are_all_kept(self, rig: DestinationRig) -> None:
        load(rig, aim(table()), table(), table())
        load(rig, aim(table(), 2), table())
        check(rig, table(), table(), table())

    def test_a_killed_load_that_starts_over_doubles_nothing(self, rig: DestinationRig) -> None:
        target = aim(table())
        with rig.open() as killed:
            stage(killed, target, table(3))
        with rig.open() as killed_after_the_commit:
            publish(
                killed_after_the_commit, target, stage(killed_after_the_commit, target, table())
            )
        load(rig, target, table())
        check(rig, table())
        assert rig.staged() == []


class Overwrites(DestinationSuite):
    """`overwrite` replaces all rows."""

    def test_it_replaces_all_rows(self, rig: DestinationRig) -> None:
        load(rig, aim(table(), 1, "overwrite"), table(5), table(5, start=5))
        load(rig, aim(table(), 2, "overwrite"), table(3, start=8))
        check(rig, table(3, start=8))

    def test_nothing_replaces_all_rows_by_none(self, rig: DestinationRig) -> None:
        load(rig, aim(table(), 1, "overwrite"), table())
        load(rig, aim(table(), 2, "overwrite"), table(0))
        check(rig, table(0))

    def test_readers_see_the_old_rows_or_the_new_and_never_neither(
        self, rig: DestinationRig
    ) -> None:
        load(rig, aim(table(), 1, "overwrite"), table(100))
        done = threading.Event()

        def poll() -> list[int]:
            seen: list[int] = []
            while not done.is_set() or not seen:
                found = rig.watch("t")
                assert found is not None
                ids = sorted(found["id"].to_pylist())
                assert ids == list(range(ids[0], ids[0] + 100))
                seen.append(ids[0])
            return seen

        with ThreadPoolExecutor() as pool:
            reader = pool.submit(poll)
            try:
                for sequence in range(2, 8):
                    rows = table(100, start=1000 * sequence)
                    load(rig, aim(rows, sequence, "overwrite"), rows.slice(0, 50), rows.slice(50))
            finally:
                done.set()
            seen = reader.result()
        assert seen == sorted(seen)
        check(rig, table(100, start=7000))


class OverwritesPartitions(DestinationSuite):
    """`overwrite_partitions` replaces the partitions for which rows arrive."""

    def test_it_replaces_the_partitions_that_arrive_and_no_others(
        self, rig: DestinationRig
    ) -> None:
        load(rig, replacing(1), parted([0, 1, None]), parted([1, 2, None], start=10))
        load(rig, replacing(2), parted([1, 1], start=20), parted([None, 3], start=30))
        check(
            rig,
            parted([0]),
            parted([2], start=11),
            parted([1, 1], start=20),
            parted([None, 3], start=30),
        )

    def test_nothing_replaces_nothing(self, rig: DestinationRig) -> None:
        load(rig, replacing(1), parted([0, None]))
        assert load(rig, replacing(2), parted([])).rows == 0
        check(rig, parted([0, None]))

    def test_a_killed_load_that_starts_over_replaces_once(self, rig: DestinationRig) -> None:
        load(rig, replacing(1), parted([0, 1]))
        target = replacing(2)
        with rig.open() as killed:
            stage(killed, target, parted([0, 1], start=10))
        with rig.open() as killed_after_the_commit:
            staged = stage(killed_after_the_commit, target, parted([1], start=20))
            published = publish(killed_after_the_commit, target, staged)
        load(rig, replacing(1, job="other"), parted([1], start=30))
        assert load(rig, target, parted([0], start=40)) == published
        check(rig, parted([0]), parted([1], start=30))
        assert rig.staged() == []

    def test_jobs_that_replace_partitions_at_once_replace_each_its_own(
        self, rig: DestinationRig
    ) -> None:
        load(rig, replacing(1), parted([0, 1, 2, 3]))

        def one(number: int) -> None:
            load(rig, replacing(1, job=f"job{number}"), parted([number] * 5, start=10 * number))

        with ThreadPoolExecutor() as pool:
            list(pool.map(one, range(3)))
        check(rig, parted([3], start=3), *(parted([n] * 5, start=10 * n) for n in range(3)))
        assert rig.staged() == []

    def test_a_table_without_partitions_is_refused(
        self, rig: DestinationRig, to: Destination
    ) -> None:
        target = aim(table(), 1, "overwrite_partitions", partition_by=())
        for _ in range(2):
            with pytest.raises(ConfigError) as refused:
                to.prepare(target)
            assert refused.value.code == "not-partitioned"
            load(rig, aim(table()), table())


def parted(parts: list[int | None], start: int = 0) -> pa.Table:
    """Rows of these partitions."""
    return table(len(parts), start).append_column("part", pa.array(parts, pa.int32()))


def replacing(sequence: int, **more: Any) -> Target:
    return aim(parted([]), sequence, "overwrite_partitions", partition_by=("part",), **more)


class Upserts(DestinationSuite):
    """`upsert` replaces the rows of a key by the newest that arrived."""

    @EXAMPLES
    @given(
        loads=st.lists(
            st.lists(st.lists(st.integers(0, 6), max_size=5), max_size=3), min_size=1, max_size=4
        ),
        order=st.randoms(use_true_random=False),
    )
    def test_upserts_equal_a_dict_that_takes_the_newest(
        self, rig: DestinationRig, loads: list[list[list[int]]], order: Any
    ) -> None:
        name, schema = fresh(), table().schema
        wanted: dict[int, tuple[int, str, int | None]] = {}
        for sequence, parts in enumerate(loads, 1):
            clock: list[int | None] = list(range(sum(map(len, parts))))
            order.shuffle(clock)
            if clock:
                clock[0] = None  # a row without a value is the oldest of its key
            arrived: dict[int, tuple[int, str, int | None]] = {}
            tables = []
            for keys in parts:
                ats = [clock.pop() for _ in keys]
                rows = [(k, f"{sequence}/{at}", at) for k, at in zip(keys, ats, strict=True)]
                for row in rows:
                    arrived[row[0]] = max(
                        arrived.get(row[0], row), row, key=lambda r: -1 if r[2] is None else r[2]
                    )
                tables.append(
                    pa.Table.from_pylist([], schema=schema)
                    if not rows
                    else pa.table(
                        [list(column) for column in zip(*rows, strict=True)], schema=schema
                    )
                )
            target = aim(table(), sequence, "upsert", object=name, order_by="at")
            published = load(rig, target, *tables)
            assert published.rows == len(arrived)
            assert published.superseded == sum(map(len, parts)) - len(arrived)
            wanted |= arrived
        check(rig, pa.Table.from_pylist(
            [dict(zip(schema.names, row, strict=True)) for row in wanted.values()], schema=schema
        ), name=name)  # fmt: skip

    def test_a_row_read_again_replaces_itself(self, rig: DestinationRig) -> None:
        load(rig, aim(table(), 1, "upsert", order_by="at"), table())
        published = load(rig, aim(table(), 2, "upsert", order_by="at"), table())
        assert published.rows == 5
        check(rig, table())

    def test_the_row_that_arrives_wins_over_the_one_that_is_there(
        self, rig: DestinationRig
    ) -> None:
        load(rig, aim(table(), 1, "upsert", order_by="at"), table())
        set_back = table(1).set_column(2, "at", pa.array([-5], pa.int64()))
        load(rig, aim(table(), 2, "upsert", order_by="at"), set_back)
        check(rig, set_back, table(4, start=1))

    def test_nulls_replace_values(self, rig: DestinationRig) -> None:
        load(rig, aim(table(), 1, "upsert"), table())
        blank = table(2).set_column(1, "name", pa.nulls(2, pa.string()))
        load(rig, aim(table(), 2, "upsert"), blank)
        check(rig, blank, table(3, start=2))

    def test_a_table_of_nothing_but_keys(self, rig: DestinationRig) -> None:
        for sequence in (1, 2):
            rows = table(4, start=2 * sequence).select(["id"])
            load(rig, aim(rows, sequence, "upsert"), rows)
        check(rig, table(6, start=2).select(["id"]))

    @pytest.mark.parametrize("order_by", ["", "at"])
    def test_a_key_that_comes_twice_unordered_is_an_error_and_changes_nothing(
        self, rig: DestinationRig, to: Destination, order_by: str
    ) -> None:
        load(rig, aim(table(), 1, "upsert"), table())
        target = aim(table(), 2, "upsert", order_by=order_by)
        other = table(1).set_column(1, "name", pa.array(["another"], pa.string()))
        staged = stage(to, target, table(2), other)
        with pytest.raises(TerminalError) as refused:
            publish(to, target, staged)
        assert refused.value.code == "duplicate-key"
        unchanged(rig, to, target)

    def test_a_tie_below_the_newest_row_of_a_key_is_no_error(self, rig: DestinationRig) -> None:
        tied = table(2).set_column(0, "id", pa.array([0, 0], pa.int64()))
        tied = tied.set_column(2, "at", pa.array([1, 1], pa.int64()))
        newer = table(1).set_column(2, "at", pa.array([2], pa.int64()))
        published = load(rig, aim(table(), 1, "upsert", order_by="at"), tied, newer)
        assert (published.rows, published.superseded) == (1, 2)
        check(rig, newer)

    def test_a_null_in_a_key_is_an_error_and_changes_nothing(
        self, rig: DestinationRig, to: Destination
    ) -> None:
        loose = table().cast(table().schema.set(0, pa.field("id", pa.int64())))
        load(rig, aim(loose, 1, "upsert", order_by="at"), loose)
        target = aim(loose, 2, "upsert", order_by="at")
        keyless = loose.set_column(0, loose.schema.field(0), pa.array([1, 2, None, 4, 5]))
        staged = stage(to, target, keyless)
        with pytest.raises(TerminalError) as refused:
            publish(to, target, staged)
        assert refused.value.code == "null-key"
        unchanged(rig, to, target)

    def test_keys_of_several_columns(self, rig: DestinationRig) -> None:
        keys = ("name", "id")
        rows = pa.table({"id": [1, 1, 2], "name": ["a", "b", "a"], "v": ["p", "q", "r"]})
        load(rig, aim(rows, 1, "upsert", keys=keys), rows)
        newer = pa.table({"id": [1, 2], "name": ["b", "b"], "v": ["new", "new"]})
        load(rig, aim(rows, 2, "upsert", keys=keys), newer)
        check(rig, pa.table(
            {"id": [1, 1, 2, 2], "name": ["a", "b", "a", "b"], "v": ["p", "new", "r", "new"]}
        ))  # fmt: skip

    def test_keys_are_compared_exactly(self, rig: DestinationRig) -> None:
        keys = ["key", "KEY", "key ", "ke\u0301y", "kéy", "", "1", "01"]
        rows = pa.table({"k": keys, "v": list(range(8))})
        load(rig, aim(rows, 1, "upsert", keys=("k",)), rows)
        newer = rows.set_column(1, "v", pa.array(range(10, 18), pa.int64()))
        load(rig, aim(rows, 2, "upsert", keys=("k",)), newer)
        check(rig, newer)

    @pytest.mark.parametrize(
        ("more", "code", "place"),
        [
            ({"keys": ()}, "keys-missing", {"table": "t"}),
            ({"keys": ("id", "nope")}, "column-missing", {"table": "t", "column": "nope"}),
            ({"order_by": "nope"}, "column-missing", {"table": "t", "column": "nope"}),
        ],
        ids=["no keys", "a key", "the order"],
    )
    def test_an_upsert_without_its_columns_is_refused_before_anything_is_read(
        self, to: Destination, more: dict[str, Any], code: str, place: dict[str, str]
    ) -> None:
        with pytest.raises(ConfigError) as refused:
            to.prepare(aim(table(), 1, "upsert", **more))
        assert (refused.value.code, refused.value.where) == (code, place)

    def test_new_keys_and_known_ones_in_a_table_that_another_program_made(
        self, rig: DestinationRig
    ) -> None:
        rig.create("t", table(4))
        changed = table(3, start=2).set_column(1, "name", pa.array(["x", "y", "z"], pa.string()))
        load(rig, aim(table(), 1, "upsert"), changed)
        check(rig, table(2), changed)


def unchanged(rig: DestinationRig, to: Destination, target: Target) -> None:
    """After a refused publish: the first load's rows, its ledger, and nothing to sweep up."""
    check(rig, table())
    last = to.last_commit(target.job, target.table, target.object)
    assert last is not None
    assert last.sequence == 1
    to.clean(target)
    assert rig.staged() == []
