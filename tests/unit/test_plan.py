"""What a plan takes from a job and from what the source and destination say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
