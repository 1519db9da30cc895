"""`bad_rows: skip`: what is no row is left out, told as it is, and everything else is copied."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copy_core.connectors.files.connector import open_source
from copy_core.connectors.files.csv_records import Records
from copy_core.connectors.files.format import Format, Input, Wanted, format_of
from copy_core.connectors.files.rejects import Reject
from copy_core.connectors.files.source import FileSource
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.connectors.options import CsvOptions, LocalOptions
from copy_core.errors import ConfigError, TerminalError
from copy_core.model import Slice
from copy_core.watermark import Watermark
from tests.unit.test_files_formats import given_file

Kind = Literal["csv", "jsonl"]
TYPES = {"id": "int64", "text": "string", "amount": "decimal(6,2)", "day": "date"}
SCHEMA = pa.schema(
    {"id": pa.int64(), "text": pa.string(), "amount": pa.decimal128(6, 2), "day": pa.date32()}
)


def of(kind: Literal["csv", "jsonl", "parquet"], **says: Any) -> Format:
    says = {"types": TYPES, "bad_rows": "skip"} | says
    return format_of(LocalOptions(type="local", root=".", format=kind, **says))


def sorted_out(
    reads: Format, file: Input, schema: pa.Schema = SCHEMA, columns: Sequence[str] = ()
) -> tuple[list[dict[str, Any]], list[Reject]]:
    """The rows of a file, and what is left out."""
    out: list[Reject] = []
    wanted = Wanted(schema, columns or schema.names, 1000, reject=out.append)
    batches = list(reads.batches(file, wanted))
    assert all(0 < b.num_rows <= 1000 for b in batches)
    return [row for b in batches for row in b.to_pylist()], out


def csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


BAD = {
    "csv": ["1", "1,2", "1,2,3,4,5", "x,a,1.50,2026-01-01", '1,"a,1.50,', "1,a,1.505,2026-01-01",
            "1,a,99999.99,2026-01-01", "1,a,1.50,2026-13-01", '"",a,1.50,', '1,"a\nb",1e99,'],
    "jsonl": ["nope", "[1]", '{"id":1', '{"id":"x"}', '{"id":1.5}', '{"amount":1.505}', '"id"',
              '{"day":"2026-13-01"}', '{"id":1,"new":2}', '{"text":5}', "7", '{"id":2} oops'],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_bad_lines_go_and_all_others_stay(kind: Kind, data: st.DataObject) -> None:
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=5)
    # What opens a quote and does not end it would hold what follows together with it.
    whole = [bad for bad in BAD[kind] if kind == "jsonl" or bad.count('"') % 2 == 0]
    draws = data.draw(st.lists(st.sampled_from(whole) | text.map(lambda t: (t,)), max_size=30))
    lines, rows, rejects, number = ["id,text,amount,day\n"] if kind == "csv" else [], [], [], 1
    number += len(lines)
    for n, drawn in enumerate(draws):
        if isinstance(drawn, str):
            line = f"{drawn}\n"
            rejects.append((number, drawn.encode()))
        elif kind == "csv":
            line = f"{n},{csv_cell(drawn[0])},,2026-01-01\n"
        else:
            line = json.dumps({"id": n, "text": drawn[0], "day": "2026-01-01"}) + "\n"
        if not isinstance(drawn, str):
            rows.append((n, drawn[0]))
        lines.append(line)
        number += line.count("\n")
    with tempfile.TemporaryDirectory() as folder:
        file = given_file(Path(folder, f"x.{kind}"), "".join(lines))
        found, out = sorted_out(of(kind), file)
    assert [(row["id"], row["text"]) for row in found] == rows
    assert [(each.line, each.text) for each in out] == rejects
    assert all(each.reason for each in out)


@settings(max_examples=400, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(['"', ",", "\n", "\r", "\r\n", "a", '""', "é", ';"']), max_size=25
    )
)
def test_rows_end_where_arrow_has_them_end(text: list[str]) -> None:
    data = "".join(text).encode()
    records = Records(",")
    rows = records.split(data)
    assert b"".join(rows) == data
    end = records.whole(data)
    assert data[:end] == b"".join(rows)[:end]
    ended = [row for row in records.split(data[:end]) if row.strip(b"\r\n")]
    found: list[str] = []

    def keep(row: arrow_csv.InvalidRow) -> Literal["skip"]:
        found.append(row.text)
        return "skip"

    if ended:
        with arrow_csv.open_csv(
            pa.BufferReader(data[:end] + b"q\n"),
            arrow_csv.ReadOptions(column_names=["a"] * 99, use_threads=False),
            arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep),
        ) as reader:
            assert reader.read_all().num_rows == 0
        # Each row has its text with it, the end aside.
        assert found[:-1] == [row.decode().strip("\r\n") for row in ended]


@pytest.mark.parametrize("ending", ["", "\n"])
def test_what_is_left_out_says_why(tmp_path: Path, ending: str) -> None:
    lines = ["id,text,amount,day", "1,a,1.50,", "2,b", '3,"c\nd",oops,', "four,e,,", "5,f,,"]
    found, out = sorted_out(of("csv"), given_file(tmp_path / "x.csv", "\n".join(lines) + ending))
    assert [row["id"] for row in found] == [1, 5]
    assert [(each.line, each.column) for each in out] == [(3, ""), (4, "amount"), (6, "id")]
    assert out[0].reason == "it has 2 values, and there are 4 columns"
    assert "oops" in out[1].reason
    assert out[1].text == b'3,"c\nd",oops,'
    assert "four" in out[2].reason


def test_what_is_left_out_of_json_says_why(tmp_path: Path) -> None:
    lines = ['{"id":1}', "nope", '{"id":2,"text":null}', "", '{"text":7}', '{"id":3,"new":0}']
    found, out = sorted_out(of("jsonl"), given_file(tmp_path / "x.jsonl", "\n".join(lines)))
    assert [row["id"] for row in found] == [1, 2]
    assert [(each.line, each.column) for each in out] == [(2, ""), (5, "text"), (6, "new")]
    assert ["no JSON" in out[0].reason, "beginning" in out[2].reason] == [True, True]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_one_bad_line_among_many_blocks(kind: Kind, tmp_path: Path) -> None:
    count = 60_000
    if kind == "csv":
        lines = ["id,text,amount,day", *(f'{n},"some longer\ntext",1.50,' for n in range(count))]
        lines.insert(count // 2, "x,y,z,")
    else:
        lines = [json.dumps({"id": n, "text": "some longer text"}) for n in range(count)]
        lines.insert(count // 2, "x")
    file = given_file(tmp_path / f"x.{kind}", "\n".join(lines))
    found, out = sorted_out(of(kind), file)
    assert [row["id"] for row in found] == list(range(count))
    number = count // 2 + 1 if kind == "jsonl" else 2 * (count // 2)
    assert [each.line for each in out] == [number]


def test_a_file_without_a_header_and_of_one_column(tmp_path: Path) -> None:
    reads = of("csv", types={"c0": "int64"}, csv=CsvOptions(header=False))
    schema = pa.schema({"c0": pa.int64()})
    found, out = sorted_out(reads, given_file(tmp_path / "x.csv", "1\n\nx\n2\n"), schema)
    assert [row["c0"] for row in found] == [1, None, 2]
    assert [(each.line, each.text) for each in out] == [(3, b"x")]


@pytest.mark.parametrize("header", [True, False])
def test_the_mark_at_the_beginning_is_no_part_of_a_value(header: bool, tmp_path: Path) -> None:
    reads = of("csv", types={}, csv=CsvOptions(header=header))
    mark, head = "\ufeff", "a,b\n" if header else ""
    schema = pa.schema({("a" if header else "c0"): pa.string(), ("b" if header else "c1"): "int64"})
    # Another one is text, also where a block is taken apart just before it.
    text = f"{mark}{head}x,1\n{mark}y,bad\n{mark}z,2\n"
    found, out = sorted_out(reads, given_file(tmp_path / "x.csv", text), schema)
    assert [list(row.values()) for row in found] == [["x", 1], [f"{mark}z", 2]]
    assert [each.line for each in out] == [2 + header]


def test_bytes_that_are_no_text_are_left_out_too(tmp_path: Path) -> None:
    file = given_file(tmp_path / "x.csv", b"id,text,amount,day\n1,\xff,,\n2,b,,\n")
    found, out = sorted_out(of("csv"), file)
    assert [row["id"] for row in found] == [2]
    assert [(each.text, each.column) for each in out] == [(b"1,\xff,,", "text")]


def test_text_in_another_encoding_is_left_out_as_text(tmp_path: Path) -> None:
    text = "id,text,amount,day\n1,Zürich,,\nx,Köln,,\n"
    reads = of("csv", csv=CsvOptions(encoding="utf-16"))
    found, out = sorted_out(reads, given_file(tmp_path / "x.csv", text.encode("utf-16")))
    assert [row["text"] for row in found] == ["Zürich"]
    assert [each.text.decode() for each in out] == ["x,Köln,,"]


def test_types_are_inferred_past_rows_of_too_many_values(tmp_path: Path) -> None:
    reads, file = of("csv", types={}), given_file(tmp_path / "x.csv", "a,b\n1,2,3\n007\n4,5\n")
    assert reads.unify([("x", reads.schema(file))]) == pa.schema({"a": "int64", "b": "int64"})


def test_of_two_kinds_of_json_values_the_first_is_the_column_s(tmp_path: Path) -> None:
    lines = ["[0]", '{"b":1,"a":"x"}', '{"a":5}', '{"b":2.5,"id":7}', '{"b":"y","odd":1}', '{"a"']
    reads = of("jsonl", types={"id": "int32", "other": "date"})
    file = given_file(tmp_path / "x.jsonl", "\n".join(lines))
    schema = reads.unify([("x", reads.schema(file))])
    assert schema == pa.schema({"b": pa.float64(), "a": pa.string(), "id": pa.int32()})
    found, out = sorted_out(reads, file, schema)
    assert [row["b"] for row in found] == [1.0, 2.5]
    assert [each.line for each in out] == [1, 3, 5, 6]


def test_a_file_with_no_good_line_has_no_columns(tmp_path: Path) -> None:
    reads = of("jsonl")
    assert reads.schema(given_file(tmp_path / "x.jsonl", "a\nb\n")).names == []


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("skips", [True, False])
def test_columns_that_nobody_asked_for_may_hold_anything(
    kind: Kind, skips: bool, tmp_path: Path
) -> None:
    text = "id,text,amount,day\n1,a,bad,\n" if kind == "csv" else '{"id":1,"text":"a"}'
    reads = of(kind, bad_rows="skip" if skips else "fail")
    found, out = sorted_out(reads, given_file(tmp_path / f"x.{kind}", text), columns=["text"])
    assert (found, out) == ([{"text": "a"}], [])


def test_rows_that_are_none_still_fail_where_nobody_said_skip(tmp_path: Path) -> None:
    texts: dict[Kind, str] = {"csv": "id,text,amount,day\n1\n", "jsonl": '{"id":1}\nnope'}
    for kind, text in texts.items():
        with pytest.raises(TerminalError):
            sorted_out(of(kind, bad_rows="fail"), given_file(tmp_path / f"x.{kind}", text))


CSV = "id,at\n1,10\noops,20\n2,30\n3\n"
PART = Slice(object="orders", columns=("id", "at"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "a.csv").write_text(CSV)
    (tmp_path / "orders" / "b.csv").write_text("id,at\n4,40\n")
    return tmp_path


@pytest.fixture
def source(root: Path) -> Any:
    options = LocalOptions(
        type="local", root=str(root), format="csv", bad_rows="skip", types={"id": "int64"}
    )
    with open_source(options) as opened:
        yield opened


def told(root: Path) -> dict[str, list[dict[str, Any]]]:
    """What was written down, by file."""
    return {
        path.relative_to(root).as_posix(): list(map(json.loads, path.read_text().splitlines()))
        for path in sorted((root / "_rejects").rglob("*"))
        if path.is_file()
    }


def ids(source: FileSource, part: Slice = PART) -> list[int]:
    return [row["id"] for batch in source.read(part, 100) for row in batch.to_pylist()]


def test_what_is_left_out_is_counted_and_written_down(
    source: FileSource, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert ids(source) == [1, 2, 4]
    assert source.rejected == 2
    written = told(root)
    assert list(written) == ["_rejects/orders/a.csv.jsonl"]
    first, second = written["_rejects/orders/a.csv.jsonl"]
    assert (first["file"], first["line"], first["column"]) == ("orders/a.csv", 3, "id")
    assert "oops" in first["reason"]
    assert [first["text"], second["text"], second["line"]] == ["oops,20", "3", 5]
    [logged] = [record.getMessage() for record in caplog.records]
    assert "orders/a.csv" in logged
    assert "_rejects/orders/a.csv.jsonl" in logged
    # It is no table, and part of none.
    assert source.objects() == ["orders"]


def test_a_part_that_is_read_again_replaces_what_was_written_down(
    source: FileSource, root: Path
) -> None:
    info = source.describe("orders")
    parts = source.split(info, PART, 2)
    assert [ids(source, part) for part in (*parts, *parts)] == [[1, 2], [4]] * 2
    assert [len(lines) for lines in told(root).values()] == [2]


def test_a_look_at_the_newest_value_writes_nothing_down(source: FileSource, root: Path) -> None:
    newest = source.newest(source.describe("orders"), "at", None)
    assert newest == Watermark(kind="int", value="40")
    assert source.count_nulls(source.describe("orders"), "id") == 0
    assert told(root) == {}
    assert source.rejected == 0


def test_reading_that_breaks_off_writes_nothing_down(source: FileSource, root: Path) -> None:
    rows = source.read(PART, 1)
    assert len(list(islice(rows, 2))) == 2
    rows.close()  # type: ignore[attr-defined]  # it is a generator
    assert told(root) == {}


class Vanishing(LocalStore):
    """The folder's second file goes away as it is opened, once what the first left out is told."""

    def open(self, entry: Entry) -> pa.NativeFile:
        second = Path(self.label, "orders", "b.csv")
        if entry.key == "orders/b.csv" and told(Path(self.label)):
            second.unlink(missing_ok=True)
        return super().open(entry)


def test_a_folder_that_is_looked_at_again_counts_once(root: Path) -> None:
    (root / "orders" / "a.csv").write_text("id,at\noops,10\n")
    (root / "orders" / "c.csv").write_text("id,at\n7,40\n")
    options = LocalOptions(
        type="local", root=str(root), format="csv", bad_rows="skip", types={"id": "int64"}
    )
    source = FileSource(Vanishing(str(root), exists=True), options)
    assert ids(source) == [7]
    assert source.rejected == 1


def test_what_cannot_be_written_down_is_not_left_out(source: FileSource, root: Path) -> None:
    (root / "_rejects").write_text("not a folder")
    with pytest.raises(ConfigError, match="left out") as raised:
        ids(source)
    assert raised.value.code == "rejects-refused"
    assert raised.value.where["file"] == "_rejects/orders/a.csv.jsonl"
