"""What every source does, whatever it reads from: tables from end to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

from copy_core.connectors.base import Source
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.schema import parse_type
from copy_core.watermark import Watermark
from tests.conformance.rigs import SourceRig, described
from tests.conformance.samples import rows_of, table, typed

# One place serves all examples: each makes a table of its own name.
EXAMPLES = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
    ],
)
_numbers = count()

# A type, a filter's value as job files write it, and which of the type's sample values it means.
TYPED_FILTERS: list[tuple[str, Any, int]] = [
    ("bool", True, 0),
    ("float64", 0.1, 1),
    ("decimal(18,4)", "1.5", 2),
    ("decimal(18,4)", 1.5, 2),
    ("date", "1970-01-01", 2),
    ("timestamp", "1969-12-31T23:59:59.999999", 2),
    ("timestamp_utc", "1969-12-31T23:59:59.999999Z", 2),
]


def fresh() -> str:
    return f"example_{next(_numbers)}"


def whole(source: Source, name: str, columns: Sequence[str] = (), **more: Any) -> Slice:
    """All rows of the table as it is now, as a plan asks for them."""
    info = source.describe(name)
    chosen = tuple(columns or info.schema.names)
    return Slice(object=name, columns=chosen, snapshot=info.snapshot, **more)


def read(source: Source, *parts: Slice, batch_rows: int = 1000) -> pa.Table:
    """The rows of the parts, one after the other, after a trip through JSON as runs make it."""
    batches = []
    for part in parts:
        sent = Slice.model_validate_json(part.model_dump_json())
        batches += list(source.read(sent, batch_rows))
    if batches:
        return pa.Table.from_batches(batches)
    schema = source.describe(parts[0].object).schema
    return pa.schema([schema.field(name) for name in parts[0].columns]).empty_table()


def newest(source: Source, name: str, column: str, above: Watermark | None = None) -> Watermark:
    found = source.newest(source.describe(name), column, above)
    assert found is not None
    return found


class SourceSuite:
    """Reading a table from end to end."""

    rig_class: ClassVar[type[SourceRig]]

    @pytest.fixture
    def rig(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SourceRig]:
        rig = self.rig_class(tmp_path, request)
        yield rig
        rig.close()

    @pytest.fixture
    def source(self, rig: SourceRig) -> Iterator[Source]:
        with rig.open() as source:
            yield source

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        choices = {
            "kind": list(self.rig_class.types),
            "step": list(self.rig_class.steps),
            "odd_table": self.rig_class.odd_tables,
            "odd_column": self.rig_class.odd_columns,
            "typed_filter": [f for f in TYPED_FILTERS if f[0] in self.rig_class.types],
        }
        for name, values in choices.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values)

    def test_it_declares_what_it_can(self, rig: SourceRig, source: Source) -> None:
        assert source.capabilities == rig.capabilities

    def test_it_lists_its_tables_sorted(self, rig: SourceRig, source: Source) -> None:
        made = [rig.create(name, table()) for name in ("b", "a", "C")]
        assert source.objects() == sorted(made)

    def test_a_place_without_tables_lists_none(self, source: Source) -> None:
        assert source.objects() == []

    def test_a_missing_table_is_told_with_near_misses(self, rig: SourceRig, source: Source) -> None:
        name = rig.create("customers", table())
        with pytest.raises(ConfigError) as missing:
            source.describe(name.replace("customers", "custmers"))
        assert missing.value.code == "table-missing"
        assert name in str(missing.value)

    def test_a_table_that_went_away_is_no_empty_table(self, rig: SourceRig, source: Source) -> None:
        rig.create("here", table())
        with pytest.raises((ConfigError, TerminalError)):
            list(source.read(Slice(object="gone", columns=("id",)), 10))

    def test_it_describes_columns_in_order_with_keys_and_nullability(
        self, rig: SourceRig, source: Source
    ) -> None:
        rows = table(7)
        info = source.describe(rig.create("t", rows, keys=["id"]))
        found = [(field.name, str(field.type)) for field in info.schema]
        assert found == [(n, str(parse_type(t))) for n, t in described(rig, rows.schema)]
        assert info.keys == (("id",) if rig.knows_keys else ())
        assert [field.nullable for field in info.schema] == [not rig.knows_required, True, True]
        assert info.rows in (None, 7)

    def test_it_knows_a_key_of_several_columns_in_their_order(
        self, rig: SourceRig, source: Source
    ) -> None:
        rows = table().select(["id", "name", "at"])
        schema = pa.schema([field.with_nullable(nullable=False) for field in rows.schema])
        name = rig.create("t", rows.cast(schema), keys=["at", "id"])
        assert source.describe(name).keys == (("at", "id") if rig.knows_keys else ())

    def test_every_value_of_every_type_comes_as_it_is(
        self, rig: SourceRig, source: Source, kind: str
    ) -> None:
        rows = typed(kind)
        name = rig.create("t", rows)
        described = source.describe(name).schema
        found = read(source, whole(source, name))
        assert described.field("value").type == parse_type(rig.types[kind])
        assert [f.type for f in found.schema] == [f.type for f in described]
        assert rows_of(found.cast(rows.schema)) == rows_of(rows)

    def test_odd_table_names(self, rig: SourceRig, source: Source, odd_table: str) -> None:
        name = rig.create(odd_table, table())
        assert source.objects() == [name]
        assert rows_of(read(source, whole(source, name))) == rows_of(table())

    def test_odd_column_names(self, rig: SourceRig, source: Source, odd_column: str) -> None:
        rows = table().rename_columns(["id", odd_column, "at"])
        name = rig.create("t", rows)
        part = whole(source, name, filter=[Condition(column=odd_column, op="!=", value="row 1")])
        assert source.describe(name).schema.names == ["id", odd_column, "at"]
        assert sorted(read(source, part)[odd_column].to_pylist()) == [
            "row 0", "row 2", "row 3", "row 4",
        ]  # fmt: skip

    def test_columns_come_as_chosen_and_in_that_order(self, rig: SourceRig, source: Source) -> None:
        part = whole(source, rig.create("t", table()), ["at", "id"])
        found = read(source, part)
        assert found.column_names == ["at", "id"]
        assert rows_of(found) == rows_of(table().select(["at", "id"]))

    @pytest.mark.parametrize("batch_rows", [1, 7, 50, 1000])
    def test_a_batch_holds_at_most_what_was_asked_for(
        self, rig: SourceRig, source: Source, batch_rows: int
    ) -> None:
        rows = table(50)
        part = whole(source, rig.create("t", rows))
        batches = list(source.read(part, batch_rows))
        assert max(batch.num_rows for batch in batches) <= batch_rows
        assert rows_of(pa.Table.from_batches(batches)) == rows_of(rows)

    @pytest.mark.parametrize(
        ("op", "value", "ids"),
        [
            ("=", 20, [2]),
            ("!=", 20, [0, 1, 3, 4]),
            ("<", 20, [0, 1]),
            ("<=", 20, [0, 1, 2]),
            (">", 20, [3, 4]),
            (">=", 20, [2, 3, 4]),
            ("in", [0, 40, 99], [0, 4]),
            ("in", [], []),
            ("is null", None, [5]),
            ("is not null", None, [0, 1, 2, 3, 4]),
        ],
    )
    def test_filters(
        self, rig: SourceRig, source: Source, op: Any, value: Any, ids: list[int]
    ) -> None:
        rows = table(6)
        rows = rows.set_column(2, "at", pa.array([0, 10, 20, 30, 40, None], pa.int64()))
        name = rig.create("t", rows)
        part = whole(source, name, ["id"], filter=[Condition(column="at", op=op, value=value)])
        assert sorted(read(source, part)["id"].to_pylist()) == ids
        assert source.predicate(part)

    def test_filters_are_joined_by_and(self, rig: SourceRig, source: Source) -> None:
        name = rig.create("t", table(6))
        both = [Condition(column="at", op=">", value=10), Condition(column="id", op="<", value=4)]
        part = whole(source, name, ["id"], filter=both)
        assert sorted(read(source, part)["id"].to_pylist()) == [2, 3]

    @pytest.mark.parametrize("text", ["it's", 'a "b"', "100%", "back\\slash", "x' OR '1'='1", ""])
    def test_a_filter_value_is_never_code(self, rig: SourceRig, source: Source, text: str) -> None:
        rows = table(3).set_column(1, "name", pa.array(["other", text, None], pa.string()))
        name = rig.create("t", rows)
        part = whole(source, name, ["id"], filter=[Condition(column="name", value=text)])
        assert read(source, part)["id"].to_pylist() == [1]

    def test_a_filter_value_is_compared_as_its_column_is_typed(
        self, rig: SourceRig, source: Source, typed_filter: tuple[str, Any, int]
    ) -> None:
        kind, value, row = typed_filter
        name = rig.create("t", typed(kind))
        part = whole(source, name, filter=[Condition(column="value", value=value)])
        assert read(source, part)["id"].to_pylist() == [row]

    def test_everything_needs_no_predicate(self, rig: SourceRig, source: Source) -> None:
        assert source.predicate(whole(source, rig.create("t", table()))) == ""

    def test_a_reader_that_stops_half_way_leaves_the_source_usable(
        self, rig: SourceRig, source: Source
    ) -> None:
        part = whole(source, rig.create("t", table(20)))
        batches = source.read(part, 3)
        next(batches)
        del batches
        assert read(source, part).num_rows == 20

    def test_two_threads_read_the_same_table(self, rig: SourceRig) -> None:
        name = rig.create("t", table(500))

        def one() -> pa.Table:
            with rig.open() as source:
                return read(source, whole(source, name), batch_rows=50)

        with ThreadPoolExecutor() as pool:
            for found in [pool.submit(one) for _ in range(4)]:
                assert rows_of(found.result()) == rows_of(table(500))

    def test_it_closes_twice(self, rig: SourceRig) -> None:
        with rig.open() as source:
            source.objects()
        source.close()

    def test_one_part_is_the_whole_window(self, rig: SourceRig, source: Source) -> None:
        part = whole(source, rig.create("t", table()))
        slices = source.split(source.describe(part.object), part, 1)
        assert len(slices) == 1
        assert rows_of(read(source, *slices)) == rows_of(table())


class EmptyTables(SourceSuite):
    """Tables that have columns and no row."""

    def test_an_empty_table(self, rig: SourceRig, source: Source) -> None:
        name = rig.create("t", table(0))
        assert source.describe(name).schema.names == ["id", "name", "at"]
        assert read(source, whole(source, name)).num_rows == 0

    def test_an_empty_table_splits_into_parts_without_rows(
        self, rig: SourceRig, source: Source
    ) -> None:
        name = rig.create("t", table(0), keys=["id"])
        slices = source.split(source.describe(name), whole(source, name), 4)
        assert sum(batch.num_rows for part in slices for batch in source.read(part, 10)) == 0


class NoEmptyTables(SourceSuite):
    """Tables whose columns are in their rows alone."""

    def test_a_table_without_rows_is_refused_by_name(self, rig: SourceRig, source: Source) -> None:
        name = rig.create("t", table(0))
        with pytest.raises(ConfigError) as refused:
            source.describe(name)
        assert refused.value.code == "table-empty"
        assert refused.value.where["table"] == name
        rig.insert(name, table())
        assert rows_of(read(source, whole(source, name))) == rows_of(table())


class CorruptibleSource(SourceSuite):
    """Data that is broken."""

    def test_broken_data_is_an_error_that_names_the_table(
        self, rig: SourceRig, source: Source
    ) -> None:
        name = rig.create("t", table(100))
        part = whole(source, name)
        rig.corrupt(name)
        with rig.open() as fresh_source, pytest.raises(TerminalError) as broken:
            list(fresh_source.read(part, 10))
        assert name in str(broken.value)


class UncopyableColumns(SourceSuite):
    """A column of a type that cannot be copied, beside others."""

    @pytest.fixture
    def name(self, rig: SourceRig) -> str:
        return rig.create("t", self.rows(rig, 6))

    @staticmethod
    def rows(rig: SourceRig, count: int) -> pa.Table:
        odd = pa.array([[n, n] for n in range(count)], rig.uncopyable)
        return table(count).add_column(1, "odd", odd)

    def test_it_is_described_apart_and_with_a_reason(self, source: Source, name: str) -> None:
        info = source.describe(name)
        assert info.schema.names == ["id", "name", "at"]
        assert list(info.uncopyable) == ["odd"]
        assert "type" in info.uncopyable["odd"]
        assert "odd" not in info.watermarks

    def test_the_others_are_read_all_the_same(
        self, rig: SourceRig, source: Source, name: str
    ) -> None:
        rig.insert(name, self.rows(rig, 9).slice(6))
        some = [Condition(column="at", op=">=", value=20)]
        assert rows_of(read(source, whole(source, name))) == rows_of(table(9))
        part = whole(source, name, ["name"], filter=some)
        parts = source.split(source.describe(name), part, 3)
        assert rows_of(read(source, *parts)) == rows_of(table(9).select(["name"]).slice(2))
        assert source.count_nulls(source.describe(name), "at") == 0
        assert newest(source, name, "at").value == "80"
