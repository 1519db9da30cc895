"""Reading folders of files as tables: which files, when, and which rows of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copy_core.connectors.base import TableInfo
from copy_core.connectors.files.folder import File
from copy_core.connectors.files.pins import pins_of_parts
from copy_core.connectors.files.source import FileSource
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.connectors.options import LocalOptions
from copy_core.errors import ConfigError, TerminalError, TransientError
from copy_core.model import Slice
from copy_core.state.encoding import dump
from copy_core.watermark import Kind, Watermark, Window

LATE = "2026-01-02T03:04:05.1234567Z"


def options(root: Path, **more: Any) -> LocalOptions:
    return LocalOptions(type="local", root=str(root), **more)


def source(root: Path, **more: Any) -> FileSource:
    return FileSource(LocalStore(str(root), exists=True), options(root, **more))


def put(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def planned(of: FileSource, name: str, parts: int = 1, **more: Any) -> list[Slice]:
    """The parts of a table, after a trip through JSON as states make it."""
    info = of.describe(name)
    whole = Slice(object=name, columns=tuple(info.schema.names), **more)
    parts_ = of.split(info, whole, parts)
    return [Slice.model_validate_json(part.model_dump_json()) for part in parts_]


def ids(of: FileSource, *parts: Slice) -> list[int]:
    return sorted(i for p in parts for b in of.read(p, 100) for i in b.column("id").to_pylist())


def test_a_folder_a_file_and_patterns_are_tables(tmp_path: Path) -> None:
    for n, name in enumerate(["o/2024-a", "o/2024-b", "o/2025", "o/deep/x", "o/[odd]", "top"]):
        put(tmp_path / f"{name}.parquet", id=[n])
    found = {
        name: ids(source(tmp_path), *planned(source(tmp_path), name))
        for name in (
            "o", "o/", "o/2024-a.parquet", "o/2024*", "o/2024-[ab].parquet", "o/**/*.parquet",
            "*/deep", "**/x.parquet", "o/[odd].parquet", "top.parquet", ".", "*.parquet",
        )
        if name != "*/deep"
    }  # fmt: skip
    assert found == {
        "o": [0, 1, 2, 3, 4],
        "o/": [0, 1, 2, 3, 4],
        "o/2024-a.parquet": [0],
        "o/2024*": [0, 1],
        "o/2024-[ab].parquet": [0, 1],
        "o/**/*.parquet": [0, 1, 2, 3, 4],
        "**/x.parquet": [3],
        "o/[odd].parquet": [4],
        "top.parquet": [5],
        ".": [0, 1, 2, 3, 4, 5],
        "*.parquet": [5],
    }
    assert source(tmp_path).objects() == ["o", "o/deep", "top.parquet"]


def test_hidden_files_and_files_of_other_formats_do_not_count(tmp_path: Path) -> None:
    put(tmp_path / "o/1.parquet", id=[1])
    for name in ("_temporary/2.parquet", "_3.parquet", ".4.parquet", ".git/5.parquet"):
        put(tmp_path / "o" / name, id=[9])
    (tmp_path / "o/_SUCCESS").touch()
    (tmp_path / "o/readme.md").write_text("not a table")
    assert ids(source(tmp_path), *planned(source(tmp_path), "o")) == [1]
    assert ids(source(tmp_path), *planned(source(tmp_path), "o/*.parquet")) == [1]


@pytest.mark.parametrize("name", ["../o", "o/../../o", "/etc", "o/..", "a\0b"])
def test_no_name_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    put(tmp_path / "o/1.parquet", id=[1])
    (tmp_path / "root/o").mkdir(parents=True)
    with pytest.raises(ConfigError) as raised:
        source(tmp_path / "root").describe(name)
    assert raised.value.code == "path-outside"


@pytest.mark.parametrize("name", ["_o", "o/.hidden/x.parquet"])
def test_hidden_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        source(tmp_path).describe(name)
    assert raised.value.code == "path-hidden"


@pytest.mark.parametrize("name", ["o", "o/*.parquet", "o/link.parquet", "away"])
def test_no_link_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    put(tmp_path / "secret/1.parquet", id=[1])
    root = tmp_path / "root"
    (root / "o").mkdir(parents=True)
    (root / "o/link.parquet").symlink_to(tmp_path / "secret/1.parquet")
    (root / "away").symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigError) as raised:
        source(root).describe(name)
    assert raised.value.code == "path-outside"


def test_links_below_the_root_are_read_and_links_to_folders_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "o/1.parquet", id=[1])
    (tmp_path / "p").mkdir()
    (tmp_path / "p/link.parquet").symlink_to(tmp_path / "o/1.parquet")
    assert ids(source(tmp_path), *planned(source(tmp_path), "p")) == [1]
    (tmp_path / "p/loop").symlink_to(tmp_path)
    with pytest.raises(ConfigError) as raised:
        source(tmp_path).describe("p")
    assert raised.value.code == "path-link"
    (tmp_path / "p/loop").unlink()
    (tmp_path / "p/dead.parquet").symlink_to(tmp_path / "o/2.parquet")
    with pytest.raises(ConfigError) as raised:
        source(tmp_path).describe("p")
    assert raised.value.code == "path-link"


@pytest.mark.parametrize("name", ["ordres", "empty", "orders/*.csv", "orders/gone.parquet"])
def test_what_is_missing_is_told_with_near_misses(tmp_path: Path, name: str) -> None:
    put(tmp_path / "orders/1.parquet", id=[1])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as raised:
        source(tmp_path).describe(name)
    assert raised.value.code == "table-missing"
    assert "orders" in str(raised.value)


def test_a_root_that_is_missing_is_told(tmp_path: Path) -> None:
    of = source(tmp_path / "nowhere")
    for look in (of.objects, lambda: of.describe("orders")):
        with pytest.raises(ConfigError, match="nowhere") as raised:
            look()
        assert raised.value.code == "root-missing"


def test_rows_come_from_the_footers(tmp_path: Path) -> None:
    for n in range(3):
        put(tmp_path / f"o/{n}.parquet", id=list(range(n)))
    info = source(tmp_path).describe("o")
    assert info.rows == 3
    assert info.bytes == sum(path.stat().st_size for path in (tmp_path / "o").iterdir())


def test_files_that_come_after_planning_do_not_enter_the_window(tmp_path: Path) -> None:
    put(tmp_path / "o/1.parquet", id=[1])
    put(tmp_path / "o/2.parquet", id=[2])
    parts = planned(source(tmp_path), "o", 5)
    put(tmp_path / "o/3.parquet", id=[3], other=["x"])
    assert len(parts) == 2
    assert ids(source(tmp_path), *parts) == [1, 2]


@pytest.mark.parametrize("change", ["rewritten", "touched", "gone"])
def test_a_file_that_changed_after_planning_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "o/1.parquet"
    put(path, id=[1])
    (part,) = planned(source(tmp_path), "o")
    if change == "rewritten":
        put(path, id=[1, 2])
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    with pytest.raises(TerminalError) as raised:
        list(source(tmp_path).read(part, 10))
    assert raised.value.code == "source-changed"
    assert raised.value.where == {"file": "o/1.parquet", "table": "o"}


class Replacing(LocalStore):
    """So many times, the last of the folder's files gives way to a new one when it is opened."""

    def __init__(self, root: Path, times: int) -> None:
        super().__init__(str(root), exists=True)
        self._folder = root / "o"
        self._names = iter([f"{n:03}.parquet" for n in range(900, 900 + times)])

    def open(self, entry: Entry) -> pa.NativeFile:
        last = max(self._folder.iterdir())
        if entry.key == f"o/{last.name}" and (name := next(self._names, None)):
            last.unlink()
            put(self._folder / name, id=[7])
        return super().open(entry)


@pytest.mark.parametrize("look", ["describe", "newest", "count_nulls", "read"])
def test_files_that_are_replaced_while_they_are_looked_at_are_listed_again(
    tmp_path: Path, look: str
) -> None:
    put(tmp_path / "o/1.parquet", id=[5])
    info = source(tmp_path).describe("o")
    looks: dict[str, Callable[[FileSource], Any]] = {
        "describe": lambda of: of.describe("o").rows,
        "newest": lambda of: of.newest(info, "id", None),
        "count_nulls": lambda of: of.count_nulls(info, "id"),
        "read": lambda of: ids(of, Slice(object="o", columns=("id",))),
    }
    found = looks[look](FileSource(Replacing(tmp_path, 3), options(tmp_path)))
    wanted = {"describe": 1, "newest": Watermark(kind="int", value="7"), "count_nulls": 0}
    assert found == wanted.get(look, [7])
    with pytest.raises(TransientError) as raised:
        looks[look](FileSource(Replacing(tmp_path, 99), options(tmp_path)))
    assert raised.value.code == "file-moved"
    assert raised.value.where["table"] == "o"
    assert raised.value.where["file"].startswith("o/9")


@pytest.mark.parametrize("change", ["rewritten", "gone"])
def test_files_that_nobody_planned_and_that_change_after_the_first_row_are_read_anew_later(
    tmp_path: Path, change: str
) -> None:
    for name in ("1", "2"):
        put(tmp_path / f"o/{name}.parquet", id=[1])
    batches = source(tmp_path).read(Slice(object="o", columns=("id",)), 10)
    assert next(batches).num_rows == 1
    (tmp_path / "o/2.parquet").unlink()
    if change == "rewritten":
        put(tmp_path / "o/2.parquet", id=[1, 2, 3])
    with pytest.raises(TransientError) as raised:
        list(batches)
    assert raised.value.where == {"file": "o/2.parquet", "table": "o"}


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "o/1.csv"
    path.parent.mkdir()
    path.write_text("id\n" + "1\n" * 1000)
    of = source(tmp_path, format="csv")
    (part,) = planned(of, "o")
    batches = of.read(part, 10)
    next(batches)
    with path.open("a") as file:
        file.write("2\n")
    with pytest.raises(TerminalError) as raised:
        list(batches)
    assert raised.value.code == "source-changed"


def test_a_part_never_lists_more_files_than_a_row_of_a_state_holds(tmp_path: Path) -> None:
    put(tmp_path / "o/00000.parquet", id=[1])
    for n in range(1, 9000):
        os.link(tmp_path / "o/00000.parquet", tmp_path / f"o/{n:05}.parquet")
    of = source(tmp_path)
    info = TableInfo(object="o", schema=pa.schema([("id", pa.int64())]))
    for asked, sizes in ((1, [3000] * 3), (2, [2250] * 4), (3, [3000] * 3)):
        parts = of.split(info, Slice(object="o", columns=("id",)), asked)
        files = [file for part in parts if part.range for file in part.range["files"]]
        assert [len(part.range["files"]) for part in parts if part.range] == sizes
        assert [file[0] for file in files] == [f"o/{n:05}.parquet" for n in range(9000)]
        assert all(dump(part.to_json(), "partition", "key") for part in parts)


@pytest.mark.parametrize("letter", ["x", "ü", '"'])
def test_long_names_make_short_parts(letter: str) -> None:
    name = "/".join([letter * (250 // len(letter.encode()))] * 4)
    files = [File(f"{name}/{n}", 1, 10**18, '"0x8DE2A1B3C4D5E6F"') for n in range(2000)]
    parts = pins_of_parts(files, 1)
    assert [File(*pin) for part in parts for pin in part] == files
    assert all(dump({"range": {"files": part}}, "partition", "key") for part in parts)
    assert pins_of_parts([], 3) == [[]]


def test_parts_are_files_of_about_the_same_size(tmp_path: Path) -> None:
    for n, rows in enumerate([1, 50_000, 1, 1, 50_000, 1, 50_000, 50_000]):
        put(tmp_path / f"o/{n}.parquet", id=list(range(rows)))
    parts = planned(source(tmp_path), "o", 4)
    sizes = [sum(size for _, size, *_ in part.range["files"]) for part in parts if part.range]
    assert len(parts) == 4
    assert max(sizes) < 1.2 * min(sizes)
    assert len(ids(source(tmp_path), *parts)) == 200_004
    assert "file in (o/0.parquet" in source(tmp_path).predicate(parts[0])


@pytest.mark.parametrize(
    ("column", "kind", "value"),
    [
        (pa.array([5, None, 7], pa.uint16()), "int", "7"),
        (pa.array([date(2026, 1, 2), None, date(2025, 1, 1)]), "date", "2026-01-02"),
        (
            pa.array(["2026-01-02 03:04:05.000006", None, None]).cast(pa.timestamp("ns")),
            "timestamp",
            "2026-01-02 03:04:05.000006",
        ),
        (
            pa.array([1_767_312_000_000, None, None], pa.timestamp("ms", "Europe/Berlin")),
            "timestamp",
            "2026-01-02 00:00:00.000000Z",
        ),
        (pa.array([LATE, None, None]), "timestamp", LATE),
    ],
    ids=str,
)  # fmt: skip
def test_the_newest_value_over_all_files(
    tmp_path: Path, column: pa.Array, kind: Kind, value: str
) -> None:
    put(tmp_path / "o/1.parquet", id=[1, 2, 3], at=column)
    put(tmp_path / "o/2.parquet", id=[4], at=pa.nulls(1, column.type))
    put(tmp_path / "o/3.parquet", id=[5])
    of = source(tmp_path)
    info = of.describe("o")
    found = of.newest(info, "at", None)
    assert found == Watermark(kind=kind, value=value)
    assert of.count_nulls(info, "at") == 2 + column.null_count - (column.null_count == 0)
    assert of.newest(info, "at", found) in (None, found)
    (part,) = planned(of, "o", window=Window(column="at", high=found))
    assert len(ids(of, part)) == 3 - column.null_count


@pytest.mark.parametrize(
    "values",
    [
        ["2026-01-01", "soon"],
        ["2026-01-01", "2026-01-01T00:00:00"],
        ["2026-01-01 10:00:00+01:00", "2026-01-01 10:00:00+02:00"],
        ["2026-01-01 10:00:00.5", "2026-01-01 10:00:00.55"],
        ["2026-01-01 10:00:00", "2026-01-01T10:00:00"],
        ["2026-13-01"],
        [""],
    ],
    ids=str,
)
def test_text_whose_order_is_not_the_order_of_time_is_refused(
    tmp_path: Path, values: list[str]
) -> None:
    for n, value in enumerate(values):
        put(tmp_path / f"o/{n}.parquet", id=[n], at=[value])
    of = source(tmp_path)
    with pytest.raises(TerminalError) as raised:
        of.newest(of.describe("o"), "at", None)
    assert raised.value.code == "watermark-value"
    assert raised.value.where["column"] == "at"


def test_a_window_leaves_row_groups_unread_that_cannot_match(tmp_path: Path) -> None:
    path = tmp_path / "o/1.parquet"
    path.parent.mkdir()
    rows = pa.table({"id": range(10_000), "text": [f"text {n}" for n in range(10_000)]})
    pq.write_table(rows, path, row_group_size=1000, compression="none", use_dictionary=False)
    # Everything but the footer and the row group in question is garbage: to read it would fail.
    group = pq.read_metadata(path).row_group(5)
    start = group.column(0).data_page_offset
    end = group.column(1).data_page_offset + group.column(1).total_compressed_size
    footer = path.stat().st_size - int.from_bytes(path.read_bytes()[-8:-4], "little") - 8
    data = bytearray(path.read_bytes())
    data[4:start] = b"\xff" * (start - 4)
    data[end:footer] = b"\xff" * (footer - end)
    path.write_bytes(data)
    (part,) = planned(
        source(tmp_path),
        "o",
        window=Window(
            column="id",
            low=Watermark(kind="int", value="5499"),
            high=Watermark(kind="int", value="5599"),
        ),
    )
    assert ids(source(tmp_path), part) == list(range(5500, 5600))


def test_the_types_that_were_planned_hold_for_files_of_text(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o/1.csv").write_text("id,v\n1,1\n")
    (tmp_path / "o/2.csv").write_text("id,v\n2,1.5\n")
    of = source(tmp_path, format="csv")
    first, second = planned(of, "o", 2)
    assert [b.schema.field("v").type for p in (first, second) for b in of.read(p, 9)] == [
        pa.float64(), pa.float64(),
    ]  # fmt: skip
    assert json.loads(first.model_dump_json())["range"]["schema"][1] == ["v", "float64", "null"]


def test_text_files_without_a_row_have_no_columns_to_tell(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o/1.jsonl").touch()
    with pytest.raises(ConfigError) as raised:
        source(tmp_path, format="jsonl").describe("o")
    assert raised.value.code == "table-empty"
