"""Columns of types that cannot be copied: refused where a job asks for them, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from copy_core.connectors.memory import MemoryDestination, MemorySource, store
from copy_core.connectors.options import LocalOptions, MemoryOptions
from copy_core.connectors.registry import open_source
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import JobFile, resolve
from copy_core.model import Slice
from copy_core.state.tables import TableState
from copy_core.survey import Survey, survey

OPTIONS = MemoryOptions(type="memory", name="copyable")
ROWS = pa.table({"id": [1, 2], "tags": [["a"], []], "at": [10, 20]})


@pytest.fixture(autouse=True)
def rows() -> Iterator[None]:
    store(OPTIONS.name).put("orders", ROWS)
    yield
    store(OPTIONS.name).clear()


def asked(**table: Any) -> Survey:
    """What a job finds that asks for the table so."""
    places = {"name": "j", "source": "from", "destination": "to"}
    job = resolve(JobFile.model_validate({**places, "tables": [{"source": "orders", **table}]}))
    (copy,) = job.tables
    state = TableState(table=copy.source)
    return survey(job, copy, state, MemorySource(OPTIONS), MemoryDestination(OPTIONS))


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"columns": ["id", "tags"]},
        {"columns": ["id"], "write": "upsert", "keys": ["tags"]},
        {"columns": ["id"], "filter": [{"column": "tags", "op": "is not null"}]},
        {"columns": ["id"], "mode": "incremental", "incremental_column": "tags"},
    ],
    ids=["every column", "by name", "as key", "in a filter", "as incremental column"],
)
def test_a_column_that_is_asked_for_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"list<.*> cannot be copied") as refused:
        asked(**table)
    assert (refused.value.code, refused.value.where["column"]) == ("unknown-type", "tags")
    assert "`columns`" in refused.value.fix


def test_a_column_that_is_left_out_is_no_matter() -> None:
    plan = asked(columns=["at", "id"]).plan
    assert plan is not None
    assert plan.whole.columns == ("at", "id")


def test_json_keys_that_are_left_out_may_hold_anything(tmp_path: Path) -> None:
    """One file has scalars, another objects, and the next one objects of another shape."""
    (tmp_path / "o").mkdir()
    for number, value in enumerate(['"x"', '{"a": 1}', '{"b": ["c"]}', "[[1]]"]):
        (tmp_path / f"o/{number}.jsonl").write_text(f'{{"id": {number}, "of": {value}}}\n')
    with open_source(LocalOptions(type="local", root=str(tmp_path), format="jsonl")) as source:
        info = source.describe("o")
        assert (info.schema.names, list(info.uncopyable)) == (["id"], ["of"])
        parts = source.split(info, Slice(object="o", columns=("id",)), 2)
        found = [row["id"] for part in parts for b in source.read(part, 9) for row in b.to_pylist()]
        assert found == [0, 1, 2, 3]


def test_a_bad_value_beside_json_that_is_left_out_gives_its_line(tmp_path: Path) -> None:
    lines = ['{"of": [1], "id": 1}\n'] * 600_000 + ['{"of": [1], "id": "x"}\n']
    (tmp_path / "o.jsonl").write_text("".join(lines))
    with open_source(LocalOptions(type="local", root=str(tmp_path), format="jsonl")) as source:
        info = source.describe("o.jsonl")
        (part,) = source.split(info, Slice(object="o.jsonl", columns=("id",)), 1)
        with pytest.raises(TerminalError) as bad:
            list(source.read(part, 65_536))
    assert bad.value.where["column"] == "id"
    assert bad.value.where["line"] == "600001"
