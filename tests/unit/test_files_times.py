"""The path and the time of a file as columns, and copies by the time of files."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_core.connectors.files.newest import instant
from copy_core.connectors.files.source import FileSource
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import ConfigError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Watermark, Window, next_window
from tests.unit.file_tables import FORMATS, Opened, lay, rows, source

PATH, MODIFIED = "_file_path", "_file_modified"


@pytest.mark.parametrize("options", FORMATS, ids=str)
@pytest.mark.parametrize("planned", [True, False])
def test_the_path_and_the_time_are_columns_where_they_are_named(
    tmp_path: Path, options: dict[str, Any], planned: bool
) -> None:
    ending = options["format"]
    lay(tmp_path, f"t/a b/ü.{ending}", 1, 2, **options)
    lay(tmp_path, f"t/2.{ending}", 3, **options)
    store = LocalStore(str(tmp_path))
    times = {entry.key: entry.modified // 1000 for entry in store.list()}
    of = source(store, **options)
    info = of.describe("t")
    (column,) = info.schema.names
    assert info.hidden is not None
    assert info.hidden.names == [PATH, MODIFIED]
    part = Slice(object="t", columns=(MODIFIED, column, PATH))
    parts = of.split(info, part, 1) if planned else [part]
    (found,) = {b.schema for p in parts for b in of.read(p, 10)}
    assert [str(kind) for kind in found.types] == ["timestamp[us, tz=UTC]", "int64", "string"]
    utc = pa.timestamp("us", "UTC")
    assert rows(of, *parts) == [
        {MODIFIED: pa.scalar(times[key], utc).as_py(), column: i, PATH: key}
        for i, key in [(3, f"t/2.{ending}"), (1, f"t/a b/ü.{ending}"), (2, f"t/a b/ü.{ending}")]
    ]
    only = Slice(object="t", columns=(PATH,))
    assert [row[PATH] for row in rows(of, only)].count(f"t/2.{ending}") == 1
    assert [of.count_nulls(info, name) for name in (PATH, MODIFIED)] == [0, 0]


def test_files_that_a_condition_on_them_leaves_out_are_not_opened(tmp_path: Path) -> None:
    for n in range(4):
        lay(tmp_path, f"t/{n}.parquet", n)
    store = Opened(tmp_path)
    of = source(store)
    info = of.describe("t")
    store.opened.clear()
    some = Condition(column=PATH, op="in", value=["t/1.parquet", "t/3.parquet"])
    more = Condition(column="id", op="<", value=3)
    (part,) = of.split(info, Slice(object="t", columns=("id",), filter=(some, more)), 1)
    assert rows(of, part) == [{"id": 1}]
    assert set(store.opened) == {"t/1.parquet", "t/3.parquet"}
    assert of.predicate(part) == (
        "file in (t/1.parquet, t/3.parquet)"
        " and _file_path in ['t/1.parquet', 't/3.parquet'] and id < 3"
    )
    # Who plans nothing finds the same rows.
    assert rows(of, part.model_copy(update={"range": None})) == [{"id": 1}]


def test_patterns_choose_files_by_their_paths_below_the_table(tmp_path: Path) -> None:
    for n, name in enumerate(["1", "2", "deep/1", "deep/er/2"]):
        lay(tmp_path, f"t/{name}.parquet", n)
    of = source(LocalStore(str(tmp_path)))
    for name, include, exclude, ids in [
        ("t", ("*",), (), [0, 1]),
        ("t", ("**/1.parquet",), (), [0, 2]),
        ("t", ("deep/**", "2*"), ("**/er/*",), [1, 2]),
        ("t", (), ("*",), [2, 3]),
        ("t/deep", ("*",), (), [2]),
        ("t/*/*", ("deep/1*",), (), [2]),
        ("t/2.parquet", ("2.*",), (), [1]),
        ("t/2.parquet", (), ("2.*",), []),
    ]:
        part = Slice(object=name, columns=("id",), include=include, exclude=exclude)
        planned = of.split(of.describe(name), part, 9)
        assert [row["id"] for row in rows(of, *planned)] == ids
        assert [row["id"] for row in rows(of, part)] == ids
        assert ("file like" in of.predicate(part)) is bool(include)


def test_a_column_of_the_files_that_has_such_a_name_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    pq.write_table(pa.table({PATH: ["mine"], MODIFIED: [7]}), tmp_path / "t/1.parquet")
    of = source(LocalStore(str(tmp_path)))
    info = of.describe("t")
    assert info.hidden is not None
    assert info.hidden.names == []
    assert rows(of, Slice(object="t", columns=(PATH, MODIFIED))) == [{PATH: "mine", MODIFIED: 7}]
    assert of.newest(info, MODIFIED, None) == Watermark(kind="int", value="7")


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    lay(tmp_path, "t/1.parquet", 1)
    of = source(LocalStore(str(tmp_path)))
    with pytest.raises(ConfigError) as raised:
        rows(of, Slice(object="t", columns=("id", "_file_name")))
    assert raised.value.code == "column-missing"


def copied(of: FileSource, low: Watermark | None) -> tuple[list[int], Watermark | None]:
    """One incremental copy: the ids, in the order of their files, and the new watermark."""
    info = of.describe("t")
    window = next_window(MODIFIED, low, of.newest(info, MODIFIED, low), first=low is None)
    if window is None:
        return [], low
    parts = of.split(info, Slice(object="t", columns=("id",), window=window), 2)
    return [row["id"] for row in rows(of, *parts)], window.high


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.sampled_from(["new", "again", "moved in", "copy"]), max_size=12))
def test_every_version_of_a_file_is_copied_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    root = tmp_path_factory.mktemp("root")
    of = source(Opened(root))
    lay(root, "t/0.parquet", 0)
    ids, low = copied(of, None)
    here = {"0": 0}
    for number, step in enumerate(steps, 1):
        if step == "copy":
            more, low = copied(of, low)
            ids += more
            assert set(ids) >= set(here.values())
            continue
        name = str(number) if step != "again" else str(max(map(int, here)))
        if step == "moved in":
            path = lay(root, "aside.parquet", number)
            os.utime(path, (1, 1))
            path.rename(root / f"t/{name}.parquet")
        else:
            lay(root, f"t/{name}.parquet", number)
        here[name] = number
    for _ in range(2):
        more, low = copied(of, low)
        ids += more
    assert set(ids) >= set(here.values())
    assert len(ids) == len(set(ids))


def test_a_file_of_the_last_instant_is_copied_once_whenever_it_comes(tmp_path: Path) -> None:
    """The clock of an object store ticks in seconds."""
    of = source(Opened(tmp_path, 10**9))
    lay(tmp_path, "t/1.parquet", 1)
    info = of.describe("t")
    high = of.newest(info, MODIFIED, None)
    window = Window(column=MODIFIED, high=high)
    moment, clock = time.time_ns(), tmp_path / "clock"
    clock.touch()
    # That of a file system may be behind by some milliseconds, which that of a store is not.
    while clock.stat().st_mtime_ns < moment:
        clock.touch()
    lay(tmp_path, "t/2.parquet", 2)
    (part,) = of.split(info, Slice(object="t", columns=("id",), window=window), 1)
    assert rows(of, part) == [{"id": 1}]
    assert copied(of, high)[0] == [2]


def test_a_time_has_all_digits_that_the_store_has(tmp_path: Path) -> None:
    lay(tmp_path, "t/1.parquet", 1)
    store = LocalStore(str(tmp_path))
    of = source(store)
    info = of.describe("t")
    (entry,) = store.list()
    high = of.newest(info, MODIFIED, None)
    assert high == Watermark(kind="timestamp", value=instant(entry.modified))
    whole = Slice(object="t", columns=("id",), window=Window(column=MODIFIED, high=high))
    assert [rows(of, part) for part in (*of.split(info, whole, 1), whole)] == [[{"id": 1}]] * 2
    below = Watermark(kind="timestamp", value=instant(entry.modified - 1))
    for window, found in [
        (Window(column=MODIFIED, high=below), []),
        (Window(column=MODIFIED, low=below, high=high), [{"id": 1}]),
        (Window(column=MODIFIED, low=high, high=high), []),
        (Window(column=MODIFIED), []),
    ]:
        part = whole.model_copy(update={"window": window})
        assert rows(of, part) == found
        assert rows(of, *of.split(info, part, 4)) == found


def test_a_window_opens_only_files_that_lie_in_it(tmp_path: Path) -> None:
    store = Opened(tmp_path)
    of = source(store)
    lay(tmp_path, "t/1.parquet", 1)
    ids, low = copied(of, None)
    lay(tmp_path, "t/2.parquet", 2)
    info = of.describe("t")
    window = Window(column=MODIFIED, low=low, high=of.newest(info, MODIFIED, low))
    store.opened.clear()
    whole = Slice(object="t", columns=("id",), window=window)
    assert of.estimate(info, whole) == 1
    parts = of.split(info, whole, 9)
    assert (ids, rows(of, *parts)) == ([1], [{"id": 2}])
    assert set(store.opened) == {"t/2.parquet"}
    assert [of.count_files(part) for part in parts] == [1]
    by_id = Window(column="id", high=Watermark(kind="int", value="1"))
    assert of.estimate(info, whole.model_copy(update={"window": by_id})) is None
