"""Parquet, CSV and JSON lines: every value comes back as it went, or is an error with its place."""

from __future__ import annotations

import gzip
import math
import tempfile
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copy_core.connectors.files.format import Format, Input, Wanted, format_of
from copy_core.connectors.options import CsvOptions, LocalOptions
from copy_core.errors import ConfigError, TerminalError
from copy_core.schema import parse_type, type_name

_INTS = {
    f"{sign}int{n}": st.integers(-(2 ** (n - 1)) * (not sign), 2 ** (n - (not sign)) - 1)
    for n in (8, 16, 32, 64)
    for sign in ("", "u")
}
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", '"', '""', "a,b", "line\nbreak", "\r", "\r\n", "\\", "\\N", "NULL", "null", "\x00", " x "]
)
_MIDNIGHT = datetime(2026, 1, 2, tzinfo=UTC)
_NAIVE = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC).replace(tzinfo=None)
_TIMES = st.datetimes()
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **_INTS,
    "bool": st.booleans(),
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "decimal(38,10)": st.decimals(-(10**27), 10**27, places=10),
    "decimal(9,9)": st.decimals(Decimal("-0.99"), Decimal("0.99"), places=9),
    "string": _TEXT,
    "binary": st.binary(max_size=12),
    "date": st.dates(date(1, 1, 1), date(9999, 12, 31)),
    "time": st.times(time(0), time(23, 59, 59, 999_999)),
    "timestamp": _TIMES,
    "timestamp_utc": _TIMES.map(lambda t: t.replace(tzinfo=UTC)),
}
DIALECTS = [
    LocalOptions(type="local", root="."),
    LocalOptions(type="local", root=".", format="jsonl"),
    LocalOptions(type="local", root=".", format="csv"),
    LocalOptions(type="local", root=".", format="csv", csv=CsvOptions(delimiter=";", null="NULL")),
    LocalOptions(type="local", root=".", format="csv", csv=CsvOptions(delimiter="\t", null="\\N")),
    LocalOptions(type="local", root=".", format="csv", csv=CsvOptions(header=False)),
    LocalOptions(type="local", root=".", format="csv", compression="gzip"),
    LocalOptions(type="local", root=".", format="csv", compression="zstd", bad_rows="skip"),
    LocalOptions(type="local", root=".", format="jsonl", compression="zstd"),
    LocalOptions(type="local", root=".", format="jsonl", compression="gzip", bad_rows="skip"),
    LocalOptions(type="local", root=".", compression="gzip"),
]


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    # Not every format takes a NUL in a name.
    name = _TEXT.filter(bool).map(lambda text: text.replace("\x00", "0"))
    names = draw(st.lists(name, min_size=len(kinds), max_size=len(kinds), unique=True))
    rows = draw(st.integers(0, 8))
    columns = [
        pa.array(draw(st.lists(st.none() | VALUES[k], min_size=rows, max_size=rows)), parse_type(k))
        for k in kinds
    ]
    return pa.table(columns, names=names)


def typed(options: LocalOptions, schema: pa.Schema) -> Format:
    types = {field.name: type_name(field.type) for field in schema}
    return format_of(options.model_copy(update={"types": types}))


def put(path: Path, of: Format, rows: pa.Table, batch: int = 3) -> Input:
    with pa.OSFile(str(path), "wb") as sink:
        writer = of.writer(sink, rows.schema)
        for piece in rows.to_batches(batch):
            writer.write(piece)
        writer.close()
    return given_file(path)


def given_file(path: Path, content: bytes | str | None = None) -> Input:
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Input(path.name, lambda: pa.OSFile(str(path)))


def get(of: Format, *files: Input, batch: int = 1000) -> pa.Table:
    schema = of.unify([(f.name, of.schema(f)) for f in files])
    batches = [b for f in files for b in of.batches(f, Wanted(schema, schema.names, batch))]
    assert all(0 < b.num_rows <= batch for b in batches)
    return pa.Table.from_batches(batches, schema)


def plain(rows: pa.Table) -> list[dict[str, str]]:
    """The rows so that not-a-number equals itself, and -0.0 does not equal 0.0."""
    return [{k: repr(v) for k, v in row.items()} for row in rows.to_pylist()]


@pytest.fixture
def csv() -> Format:
    return format_of(DIALECTS[2])


@pytest.fixture
def jsonl() -> Format:
    return format_of(DIALECTS[1])


@pytest.fixture
def parquet() -> Format:
    return format_of(DIALECTS[0])


@pytest.mark.parametrize(
    "options", DIALECTS, ids=lambda o: f"{o.format}-{o.csv.delimiter!r}-{o.compression}"
)
@settings(max_examples=80, deadline=None)
@given(rows=tables(), batch=st.integers(1, 5))
def test_what_is_written_comes_back(options: LocalOptions, rows: pa.Table, batch: int) -> None:
    if not options.csv.header:
        rows = rows.rename_columns([f"c{n}" for n in range(rows.num_columns)])
    of = typed(options, rows.schema)
    with tempfile.TemporaryDirectory() as folder:
        file = put(Path(folder, f"x{of.extension}"), of, rows, batch)
        if rows.num_rows or options.format == "parquet":
            found = get(of, file, batch=batch)
            assert found.schema.equals(rows.schema)
            assert plain(found) == plain(rows)


@pytest.mark.parametrize(
    "options",
    [*DIALECTS[:3], *(o for o in DIALECTS if o.bad_rows == "skip")],
    ids=lambda o: f"{o.format}-{o.bad_rows}",
)
def test_rows_larger_than_a_block(options: LocalOptions, tmp_path: Path) -> None:
    big = ["small", "x" * 3_000_000, None, 'quoted "\n' * 2_000_000, "small"] * 2
    rows = pa.table({"id": pa.array(range(10)), "text": big})
    of = format_of(options)
    assert get(of, put(tmp_path / f"x{of.extension}", of, rows)) == rows


@pytest.mark.parametrize(
    "options",
    [*DIALECTS[:3], *(o for o in DIALECTS if o.bad_rows == "skip")],
    ids=lambda o: f"{o.format}-{o.bad_rows}",
)
def test_no_column_at_all_still_counts_the_rows(options: LocalOptions, tmp_path: Path) -> None:
    of = format_of(options)
    rows = pa.table({"id": range(7), "x": [None] * 7}).cast(
        pa.schema({"id": pa.int64(), "x": pa.string()})
    )
    file = put(tmp_path / f"x{of.extension}", of, rows)
    assert sum(b.num_rows for b in of.batches(file, Wanted(rows.schema, [], 2))) == 7


def test_csv_as_it_is_written(csv: Format, tmp_path: Path) -> None:
    rows = pa.table(
        {
            'a "name"': pa.array(["", None, 'say "x",\ny']),
            "n": pa.array([1, None, -3]),
            "d": pa.array([Decimal("1.50"), None, Decimal("-0.01")], pa.decimal128(5, 2)),
            "at": pa.array([_NAIVE] * 2 + [None], pa.timestamp("us")),
            "utc": pa.array([_MIDNIGHT] * 2 + [None], pa.timestamp("us", "UTC")),
            "b": pa.array([True, None, False]),
            "bin": pa.array([b"\xff", b"", None]),
        }
    )
    put(tmp_path / "x.csv", csv, rows)
    assert (tmp_path / "x.csv").read_text() == (
        '"a ""name""","n","d","at","utc","b","bin"\n'
        '"",1,1.50,2026-01-02T03:04:05.000006,2026-01-02T00:00:00.000000Z,true,"/w=="\n'
        ',,,2026-01-02T03:04:05.000006,2026-01-02T00:00:00.000000Z,,""\n'
        '"say ""x"",\ny",-3,-0.01,,,false,\n'
    )


def test_json_lines_as_they_are_written(jsonl: Format, tmp_path: Path) -> None:
    rows = pa.table(
        {
            'a "name"': pa.array(['say "x"\n\x01 ü', None]),
            "f": pa.array([math.nan, -math.inf]),
            "d": pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)),
            "utc": pa.array([_MIDNIGHT, None], pa.timestamp("us", "UTC")),
        }
    )
    put(tmp_path / "x.jsonl", jsonl, rows)
    assert (tmp_path / "x.jsonl").read_text() == (
        '{"a \\"name\\"":"say \\"x\\"\\n\\u0001 ü","f":NaN,"d":1.50,'
        '"utc":"2026-01-02T00:00:00.000000Z"}\n'
        '{"a \\"name\\"":null,"f":-Infinity,"d":null,"utc":null}\n'
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-5"], "int64"),
        (["1", "1.5"], "float64"),
        (["00123", "7"], "string"),
        (["0x10"], "string"),
        (["1.5", "9007199254740993"], "string"),
        (["12345678901234567890"], "string"),
        (["0", "0.5", "-0.25"], "float64"),
        (["true", "false"], "bool"),
        (["2026-01-02"], "date"),
        (["2026-01-02", "2026-01-02 03:04"], "timestamp"),
        (["2026-01-02T03:04:05Z"], "timestamp_utc"),
        (["12:34:56"], "time"),
        (["NA", "1"], "string"),
        (["", ""], "string"),
    ],
)
def test_csv_types_are_inferred_without_losing_a_digit(
    csv: Format, tmp_path: Path, values: list[str], kind: str
) -> None:
    text = "id,value\n" + "".join(f"1,{v}\n" for v in values)
    assert get(csv, given_file(tmp_path / "x.csv", text)).schema.field("value").type == parse_type(
        kind
    )


def test_csv_types_are_inferred_over_all_files(csv: Format, tmp_path: Path) -> None:
    one = given_file(tmp_path / "1.csv", "a,b,c,d\n1,2026-01-02,1,\n")
    two = given_file(tmp_path / "2.csv", "a,b,c,e\n1.5,2026-01-01 10:00:00,x,5\n")
    found = get(csv, one, two)
    assert [type_name(t) for t in found.schema.types] == [
        "float64", "timestamp", "string", "string", "int64",
    ]  # fmt: skip
    first = {"a": 1.0, "b": _MIDNIGHT.replace(tzinfo=None), "c": "1", "d": None, "e": None}
    assert found.to_pylist()[0] == first


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_value_far_into_a_csv_that_does_not_fit_is_told_with_its_place(
    csv: Format, tmp_path: Path, ending: str
) -> None:
    text = "id,amount\n" + "".join(f"{n},{n}\n" for n in range(900_000)) + "900000,oops\n"
    data = gzip.compress(text.encode(), 1) if ending.endswith("gz") else text.encode()
    file = given_file(tmp_path / f"orders{ending}", data)
    with pytest.raises(TerminalError, match="oops") as raised:
        get(csv, file)
    assert raised.value.code == "bad-value"
    place = {"column": "amount", "file": f"orders{ending}", "line": "900002"}
    assert raised.value.where == place


def test_a_csv_row_of_too_few_values_is_an_error(csv: Format, tmp_path: Path) -> None:
    file = given_file(tmp_path / "x.csv", "a,b\n1,2\n3\n")
    with pytest.raises(TerminalError) as raised:
        get(csv, file)
    assert raised.value.where["file"] == "x.csv"


@pytest.mark.parametrize(
    ("last", "column", "what"),
    [
        ('{"a": 1.5, "b": "x"}', "a", "1.5"),
        ('{"a": "x", "b": "x"}', "a", "string"),
        ('{"a": 1, "b": 5}', "b", "number"),
        ('{"a": 1, "new": 5}', "new", "beginning"),
        ('{"a": 1, "b": "x"', "", "JSON"),
        ("[1]", "", "object"),
        ('{"a": 1, "b": "x", "at": "2026-13-01"}', "at", "2026-13-01"),
    ],
)
def test_a_json_line_far_into_a_file_that_does_not_fit_is_told_with_its_place(
    tmp_path: Path, last: str, column: str, what: str
) -> None:
    of = format_of(LocalOptions(type="local", root=".", format="jsonl", types={"at": "date"}))
    lines = [f'{{"a": {n}, "b": "some longer text", "at": null}}' for n in range(250_000)]
    file = given_file(tmp_path / "x.jsonl", "\n".join([*lines[:9], "", *lines[9:], last]))
    with pytest.raises(TerminalError, match=what) as raised:
        get(of, file)
    assert raised.value.what.count("does not fit") == 1
    assert raised.value.where.get("column", "") == column
    assert raised.value.where["line"] == "250002"
    assert raised.value.where["file"] == "x.jsonl"


@pytest.mark.parametrize("order", [1, -1], ids=["integers first", "fractions first"])
def test_integers_in_one_file_and_fractions_in_another_are_floats(
    csv: Format, jsonl: Format, tmp_path: Path, order: int
) -> None:
    for of, line in ((csv, "n\n{}\n"), (jsonl, '{{"n": {}}}\n')):
        files = [
            given_file(tmp_path / f"{n}{of.extension}", line.format(value))
            for n, value in enumerate(["900719925474099", "1.5"])
        ]
        found = get(of, *files[::order])["n"]
        assert found.type == pa.float64()
        assert found.to_pylist()[::order] == [900719925474099.0, 1.5]


@pytest.mark.parametrize("order", [1, -1], ids=["integers first", "fractions first"])
def test_no_digit_of_an_integer_is_lost_to_fractions_in_another_file(
    csv: Format, jsonl: Format, tmp_path: Path, order: int
) -> None:
    """As in one file: CSV has the text, JSON lines an error that tells what to do."""
    long = "9007199254740993"
    files = [
        given_file(tmp_path / "1.csv", f"n\n{long}\n"),
        given_file(tmp_path / "2.csv", "n\n1.5\n"),
    ]
    assert get(csv, *files[::order])["n"].to_pylist()[::order] == [long, "1.5"]
    assert get(csv, files[0])["n"].to_pylist() == [int(long)]
    files = [
        given_file(tmp_path / "1.jsonl", f'{{"n": {long}}}'),
        given_file(tmp_path / "2.jsonl", '{"n": 1.5}'),
    ]
    with pytest.raises(TerminalError, match="all digits") as raised:
        get(jsonl, *files[::order])
    assert raised.value.where == {"column": "n", "file": "1.jsonl"}
    assert get(jsonl, files[0])["n"].to_pylist() == [int(long)]
    told = format_of(DIALECTS[1].model_copy(update={"types": {"n": "decimal(20,1)"}}))
    assert get(told, *files)["n"].to_pylist() == [Decimal(long), Decimal("1.5")]


@pytest.mark.parametrize("digits", ["9007199254740993", "-9223372036854775809", "1" * 400])
def test_a_json_integer_that_a_float_would_change_wants_a_type(
    jsonl: Format, tmp_path: Path, digits: str
) -> None:
    lines = f'{{"a": "1234567890123456", "n": 1.5}}\n{{"n": {digits}}}\n'
    file = given_file(tmp_path / "x.jsonl", lines)
    with pytest.raises(TerminalError, match=digits[:20]) as raised:
        get(jsonl, file)
    assert raised.value.where == {"column": "n", "line": "2", "file": "x.jsonl"}
    told = format_of(
        LocalOptions(type="local", root=".", format="jsonl", types={"n": "decimal(38,1)"})
    )
    if len(digits) < 37:
        assert get(told, file)["n"].to_pylist() == [Decimal("1.5"), Decimal(digits)]


def test_a_json_integer_that_some_float_is_written_as_is_a_float(
    jsonl: Format, tmp_path: Path
) -> None:
    values = [9007199254740992, 12345678901234567000, 10**300, -(10**15)]
    lines = "".join(f'{{"n":\n {n}\n}}\n{{"n": {n}}}\n' for n in [1.5, *values])
    found = get(jsonl, given_file(tmp_path / "x.jsonl", lines))
    assert found["n"].to_pylist() == [float(n) for n in [1.5, *values] for _ in range(2)]


def test_json_text_stays_text_and_a_missing_key_is_null(jsonl: Format, tmp_path: Path) -> None:
    one = given_file(tmp_path / "1.jsonl", '{"a": "2026-01-01", "n": 1}\n{"n": null}\n')
    two = given_file(tmp_path / "2.jsonl", '{"n": 2.5, "more": true}')
    assert get(jsonl, one, two).to_pylist() == [
        {"a": "2026-01-01", "n": 1.0, "more": None},
        {"a": None, "n": None, "more": None},
        {"a": None, "n": 2.5, "more": True},
    ]


def test_json_files_of_different_types_are_refused_by_name(jsonl: Format, tmp_path: Path) -> None:
    one = given_file(tmp_path / "1.jsonl", '{"a": "x"}\n')
    two = given_file(tmp_path / "2.jsonl", '{"a": 1}\n')
    with pytest.raises(TerminalError) as raised:
        get(jsonl, one, two)
    assert raised.value.where == {"file": "2.jsonl", "column": "a"}


TOO_LARGE = ["50023584009879124083291.6319", "1e38", f"{2**128 + 1}", f"{2**256 + 1}"]
# Too far below the last place for the tables of Arrow's reader of JSON, which may make 0 of them.
TOO_FINE = ["1e-192", "5.0E-237", f"0.{'0' * 90}1"]


@pytest.mark.parametrize(
    ("options", "value"),
    [*product(DIALECTS[1:3], TOO_LARGE), *product(DIALECTS[2:3], TOO_FINE)],
    ids=lambda o: o if isinstance(o, str) else o.format,
)
def test_text_that_wraps_around_in_the_bits_of_a_decimal_is_refused_with_its_place(
    options: LocalOptions, tmp_path: Path, value: str
) -> None:
    of = format_of(options.model_copy(update={"types": {"dü": "decimal(37,22)"}}))
    line, head = '{{"dü": {1}, "text": "{0}"}}\n', ""
    if options.format == "csv":
        line, head = "{0},{1}\n", "text,dü\n"
    text = head + line.format("x" * 1000, "1.5") * 2000
    good = given_file(tmp_path / f"1{of.extension}", text)
    assert get(of, good)["dü"].to_pylist()[-1] == Decimal("1.5")
    file = given_file(tmp_path / f"2{of.extension}", text + line.format("e-99", value) * 2)
    with pytest.raises(TerminalError, match="does not fit") as raised:
        get(of, file)
    assert raised.value.code == "bad-value"
    place = {"column": "dü", "file": file.name, "line": str(2001 + bool(head))}
    assert raised.value.where == place


def test_a_parquet_decimal_that_wraps_around_in_another_scale_is_refused(
    parquet: Format, tmp_path: Path
) -> None:
    rows = pa.table({"d": pa.array([Decimal(10**37 - 1)], pa.decimal128(37, 0))})
    pq.write_table(rows, tmp_path / "x.parquet")
    wanted = Wanted(pa.schema([("d", pa.decimal128(38, 15))]), ["d"], 10)
    with pytest.raises(TerminalError) as raised:
        list(parquet.batches(given_file(tmp_path / "x.parquet"), wanted))
    assert raised.value.where == {"column": "d", "file": "x.parquet"}


@pytest.mark.parametrize("options", DIALECTS[1:3], ids=lambda o: o.format)
def test_decimals_as_people_and_arrow_write_them(options: LocalOptions, tmp_path: Path) -> None:
    of = format_of(options.model_copy(update={"types": {"d": "decimal(38,10)"}}))
    texts = ["-1", "0E-10", "1e-5", "2.5E+3", "0.50000000000000", "9" * 28 + ".25", "0e-300"]
    line = "{}" if options.format == "csv" else '{{"d": {}}}'
    texts += [" +1.5 ", "007\t"] if options.format == "csv" else []
    lines = "".join(line.format(text) + "\n" for text in texts)
    head = "d\n" if options.format == "csv" else ""
    found = get(of, given_file(tmp_path / f"x{of.extension}", head + lines))["d"].to_pylist()
    assert found == [Decimal(text.strip()) for text in texts]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst", ".bz2"])
def test_packed_text_is_unpacked(csv: Format, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.csv{ending}"
    packing = {"": None, ".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}[ending]
    with pa.output_stream(str(path), compression=packing) as sink:
        sink.write(b"a\n1\n")
    assert csv.owns(path.name)
    assert get(csv, given_file(path)).to_pylist() == [{"a": 1}]


def test_a_csv_in_another_encoding_is_an_error(csv: Format, tmp_path: Path) -> None:
    file = given_file(tmp_path / "x.csv", "a\nZürich\n".encode("latin-1") * 10)
    with pytest.raises(TerminalError, match="UTF-8") as raised:
        get(csv, file)
    assert "encoding" in raised.value.fix
    assert raised.value.where == {"column": "a", "line": "2", "file": "x.csv"}


def test_parquet_files_of_older_and_wider_schemas_are_one_table(
    parquet: Format, tmp_path: Path
) -> None:
    old = pa.table({"id": pa.array([1], pa.int32()), "gone": ["x"], "none": pa.nulls(1)})
    new = pa.table(
        {
            "none": pa.array([5]),
            "id": pa.array([2**40]),
            "kind": pa.array(["k"]).dictionary_encode(),
            "at": pa.array([0], pa.timestamp("ns")),
        }
    )
    files = []
    for name, rows in (("1.parquet", old), ("2.parquet", new)):
        pq.write_table(rows, tmp_path / name)
        files.append(given_file(tmp_path / name))
    found = get(parquet, *files)
    assert [type_name(t) for t in found.schema.types] == [
        "int64", "string", "int64", "string", "timestamp",
    ]  # fmt: skip
    assert found["id"].to_pylist() == [1, 2**40]
    assert found["none"].to_pylist() == [None, 5]
    assert found["kind"].to_pylist() == [None, "k"]


def test_parquet_types_that_do_not_go_together_are_refused(parquet: Format, tmp_path: Path) -> None:
    files = []
    for name, value in (("1.parquet", 1), ("2.parquet", "x")):
        pq.write_table(pa.table({"a": [value]}), tmp_path / name)
        files.append(given_file(tmp_path / name))
    with pytest.raises(TerminalError) as raised:
        get(parquet, *files)
    assert raised.value.where == {"file": "2.parquet", "column": "a"}


def test_a_time_that_needs_nanoseconds_is_an_error_not_a_cut(
    parquet: Format, tmp_path: Path
) -> None:
    rows = pa.table({"at": pa.array([1_000, 1_001], pa.timestamp("ns"))})
    pq.write_table(rows, tmp_path / "x.parquet")
    with pytest.raises(TerminalError) as raised:
        get(parquet, given_file(tmp_path / "x.parquet"))
    assert raised.value.where == {"column": "at", "file": "x.parquet"}


@pytest.mark.parametrize("keep", [0, 3, 50, -1, -9])
def test_a_truncated_parquet_file_is_told_by_name(
    parquet: Format, tmp_path: Path, keep: int
) -> None:
    pq.write_table(pa.table({"a": range(1000)}), tmp_path / "whole.parquet")
    data = (tmp_path / "whole.parquet").read_bytes()[:keep]
    with pytest.raises(TerminalError) as raised:
        get(parquet, given_file(tmp_path / "cut.parquet", data))
    assert (raised.value.code, raised.value.where["file"]) == ("bad-file", "cut.parquet")


def test_a_parquet_page_that_is_garbage_is_told_by_name(parquet: Format, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [f"text {n}" for n in range(9999)]}), tmp_path / "whole.parquet")
    data = bytearray((tmp_path / "whole.parquet").read_bytes())
    data[20:20_000] = bytes(255 for _ in range(20, 20_000))
    with pytest.raises(TerminalError) as raised:
        get(parquet, given_file(tmp_path / "bad.parquet", bytes(data)))
    assert raised.value.where["file"] == "bad.parquet"


def test_two_columns_of_one_name_are_refused(csv: Format, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        get(csv, given_file(tmp_path / "x.csv", "a,b,a\n1,2,3\n"))
    assert raised.value.where == {"file": "x.csv", "column": "a"}
