"""What a plan takes from a job and from what the source and destination say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from copy_core import survey as surveying
from copy_core.connectors.base import (
    DestinationCapabilities,
    SourceCapabilities,
    TableInfo,
)
from copy_core.connectors.memory import MemoryDestination, MemorySource, store
from copy_core.connectors.options import MemoryOptions
from copy_core.errors import ConfigError
from copy_core.job import JobFile, TableCopy, resolve
from copy_core.model import Published, Slice
from copy_core.plan import BYTES_PER_PART, ROWS_PER_PART, Plan
from copy_core.rewind import rewind
from copy_core.state import tables
from copy_core.state.base import ABSENT
from copy_core.state.sqlite import SqliteStateStore
from copy_core.state.tables import TableState
from copy_core.watermark import Watermark

OPTIONS = MemoryOptions(type="memory", name="plans")


class Source(MemorySource):
    """A source of queries that says how large its tables are."""

    capabilities = SourceCapabilities(incremental=True, splits=True, queries=True)
    facts: dict[str, Any] = {}
    increment: int | None = None

    def describe(self, name: str, query: str = "") -> TableInfo:
        return replace(super().describe(name), query=query, **self.facts)

    def estimate(self, info: TableInfo, whole: Slice) -> int | None:
        assert info.object == whole.object
        assert whole.window.low is not None
        return self.increment


class SqlDestination(MemoryDestination):
    capabilities = DestinationCapabilities(
        modes=MemoryDestination.capabilities.modes, runs_sql=True
    )


class Loaded(MemoryDestination):
    """A destination that holds the first sequence."""

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        assert (job, table, name) == ("j", "orders", "orders")
        watermark = Watermark(kind="int", value="10")
        return Published(sequence=1, watermark=watermark, rows=1, column="at")


@pytest.fixture(autouse=True)
def orders() -> Iterator[None]:
    columns = {"id": [1, 2], "name": ["a", "b"], "at": [10, 20]}
    store(OPTIONS.name).put("orders", pa.table(columns))
    yield
    store(OPTIONS.name).clear()


def plan(
    source: MemorySource | None = None,
    destination: MemoryDestination | None = None,
    state: TableState | None = None,
    **table: Any,
) -> Plan:
    places = {"name": "j", "source": "from", "destination": "to"}
    job = resolve(JobFile.model_validate({**places, "tables": [{"source": "orders", **table}]}))
    (copy,) = job.tables
    found = surveying.survey(
        job,
        copy,
        state or TableState(table=copy.source),
        source or Source(OPTIONS),
        destination or SqlDestination(OPTIONS),
    )
    assert found.plan is not None
    return found.plan


def sized(**facts: Any) -> Source:
    source = Source(OPTIONS)
    source.facts = facts
    return source


@pytest.mark.parametrize(
    ("rows", "size", "parts"),
    [
        (None, None, 1),
        (0, 0, 1),
        (ROWS_PER_PART, BYTES_PER_PART, 1),
        (ROWS_PER_PART + 1, None, 2),
        (10, 5 * BYTES_PER_PART, 5),
        (7 * ROWS_PER_PART, BYTES_PER_PART, 7),
    ],
)
def test_a_first_load_has_parts_by_rows_or_bytes(
    rows: int | None, size: int | None, parts: int
) -> None:
    assert plan(sized(rows=rows, bytes=size)).parts == parts
    assert plan(sized(rows=rows, bytes=size), parts=3).parts == 3


@pytest.mark.parametrize(
    ("rows", "parts"), [(None, 1), (0, 1), (ROWS_PER_PART, 1), (9 * ROWS_PER_PART, 9)]
)
def test_an_increment_has_parts_by_what_the_source_expects(rows: int | None, parts: int) -> None:
    loaded = TableState(
        table="orders",
        sequence=1,
        loaded=True,
        incremental_column="at",
        destination="orders",
        watermark=Watermark(kind="int", value="10"),
    )
    source = sized(rows=10 * ROWS_PER_PART)
    source.increment = rows
    found = plan(source, Loaded(OPTIONS), loaded, mode="incremental", incremental_column="at")
    assert (found.load_type, found.parts) == ("incremental", parts)


def test_how_long_values_may_be_is_told_under_their_new_name() -> None:
    source = sized(lengths={"name": 40, "id": 8})
    columns = ["at", {"name": "name", "rename": "title"}, {"name": "id", "cast": "string"}]
    assert plan(source, columns=columns).target.lengths == {"title": 40}
    assert plan(source).target.lengths == {"name": 40, "id": 8}


def test_a_query_stands_for_the_table() -> None:
    query = f"SELECT {', '.join(map(str, range(1000)))}"
    found = plan(query=query)
    assert (found.whole.object, found.whole.query) == ("orders", query)


def test_statements_go_with_the_commit() -> None:
    target = plan(pre_copy_sql=["a"], post_copy_sql=["b", "c"]).target
    assert (target.pre_copy_sql, target.post_copy_sql) == (("a",), ("b", "c"))


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ({"query": "SELECT 1"}, "query-not-offered"),
        ({"pre_copy_sql": ["a"]}, "sql-not-offered"),
        ({"post_copy_sql": ["a"]}, "sql-not-offered"),
    ],
)
def test_what_a_connector_does_not_offer_is_refused(table: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan(MemorySource(OPTIONS), MemoryDestination(OPTIONS), **table)
    assert refused.value.code == code


def test_another_query_needs_a_reset() -> None:
    state = TableState(
        table="orders", loaded=True, incremental_column="at", destination="orders", query="SELECT 1"
    )
    with pytest.raises(ConfigError, match="query changed from SELECT 1 to none") as refused:
        plan(state=state, mode="incremental", incremental_column="at")
    assert refused.value.code == "definition-changed"


def test_a_state_of_before_there_were_queries_still_loads() -> None:
    known = TableState(table="orders").model_dump(mode="json")
    del known["query"]
    assert TableState.model_validate(known).query == ""
    copy = resolve(
        JobFile.model_validate(
            {"name": "j", "source": "a", "destination": "b", "tables": [{"source": "t"}]}
        )
    ).tables[0]
    older = copy.model_dump(mode="json", exclude={"query", "pre_copy_sql", "post_copy_sql"})
    assert TableCopy.model_validate(older) == copy


HIDDEN = pa.schema([("_file_path", pa.string()), ("_file_modified", pa.timestamp("us", "UTC"))])
TIMED = {"at": "int", "_file_modified": "timestamp"}


def test_hidden_columns_are_copied_only_where_they_are_named() -> None:
    source = sized(hidden=HIDDEN)
    assert plan(source).whole.columns == ("id", "name", "at")
    named = plan(source, columns=["id", "_file_path"])
    assert named.whole.columns == ("id", "_file_path")
    assert named.target.columns[1] == ("_file_path", "string", "null")
    by_file = plan(source, filter=[{"column": "_file_path", "value": "a.csv"}])
    assert by_file.whole.columns == ("id", "name", "at")


def test_audit_columns_tell_of_a_rows_file() -> None:
    audit = {"file": "file_path", "run": "run_id", "changed": "file_modified"}
    found = plan(sized(hidden=HIDDEN), columns=["id", "_file_path"], audit=audit)
    assert found.whole.columns == ("id", "_file_path", "_file_modified")
    assert [(name, kind) for name, kind, _ in found.target.columns] == [
        ("id", "int64"),
        ("_file_path", "string"),
        ("file", "string"),
        ("changed", "timestamp_utc"),
        ("run", "string"),
    ]


def test_rows_that_are_in_no_files_have_no_file_to_tell_of() -> None:
    with pytest.raises(ConfigError) as caught:
        plan(audit={"file": "file_path"})
    assert caught.value.code == "audit-not-offered"


def test_the_time_of_files_tells_the_newest_row_of_a_key_where_it_is_copied() -> None:
    class Files(Source):
        def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
            assert (info.hidden, column, above) == (HIDDEN, "_file_modified", None)
            return Watermark(kind="timestamp", value="2026-11-23T08:00:00Z")

    source = Files(OPTIONS)
    source.facts = {"hidden": HIDDEN, "watermarks": TIMED}
    table = {"mode": "incremental", "incremental_column": "_file_modified"}
    upsert: dict[str, Any] = {**table, "write": "upsert", "keys": ["id"]}
    assert plan(source, **upsert).target.order_by == ""
    found = plan(source, **upsert, audit={"changed": "file_modified"})
    assert (found.target.order_by, found.nulls) == ("changed", 0)
    assert found.window.column == "_file_modified"


class Folders(MemoryDestination):
    capabilities = DestinationCapabilities(
        modes=MemoryDestination.capabilities.modes, partitions=True
    )


def test_rows_are_sorted_into_folders_by_columns_that_arrive() -> None:
    columns = ["id", {"name": "at", "rename": "day"}]
    there = Folders(OPTIONS)
    found = plan(destination=there, columns=columns, partition_by=["day"])
    assert found.target.partition_by == ("day",)
    for settings in ({"columns": columns, "partition_by": ["at"]}, {"partition_by": ["naem"]}):
        with pytest.raises(ConfigError) as caught:
            plan(destination=there, **settings)
        assert caught.value.code == "column-not-copied"
    with pytest.raises(ConfigError) as caught:
        plan(partition_by=["id"])
    assert caught.value.code == "partitions-not-offered"


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"hierarchy": "flatten"}, "hierarchy"),
        ({"delete_source": True}, "delete_source"),
        ({"include": ["*.csv"]}, "include"),
        ({"exclude": ["*.csv"]}, "exclude"),
    ],
)
def test_what_is_for_files_means_nothing_for_rows_of_a_table(
    settings: dict[str, Any], setting: str
) -> None:
    with pytest.raises(ConfigError, match=f"`{setting}`") as caught:
        plan(**settings)
    assert caught.value.code == "setting-not-offered"


def test_patterns_go_to_a_source_of_files() -> None:
    found = plan(sized(hidden=HIDDEN), include=["*.csv"], exclude=["old/**"])
    assert (found.whole.include, found.whole.exclude) == (("*.csv",), ("old/**",))


def test_a_source_of_rows_needs_a_destination_of_rows() -> None:
    class Whole(MemoryDestination):
        capabilities = DestinationCapabilities(
            modes=MemoryDestination.capabilities.modes, objects=True
        )

    with pytest.raises(ConfigError) as caught:
        plan(destination=Whole(OPTIONS))
    assert caught.value.code == "format-mismatch"


def test_a_watermark_set_by_hand_is_still_that_of_the_query(tmp_path: Path) -> None:
    table: dict[str, Any] = {
        "query": "SELECT 1",
        "mode": "incremental",
        "incremental_column": "at",
    }
    job = resolve(
        JobFile.model_validate(
            {
                "name": "j",
                "source": "from",
                "destination": "to",
                "tables": [{"source": "orders", **table}],
            }
        )
    )
    with SqliteStateStore(tmp_path / "state.db") as states:
        before = TableState(table="orders", sequence=1, loaded=True, query="SELECT 1")
        tables.save(states, "j", before, ABSENT)
        state = rewind(states, job, "orders", "10", Source(OPTIONS))
    found = plan(destination=Loaded(OPTIONS), state=state, **table)
    assert found.window.low == Watermark(kind="int", value="10")
