"""Every type that the server has, read with its extremes; values are written as SQL literals."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from copy_core.connectors.base import TableInfo
from copy_core.connectors.registry import open_source
from copy_core.errors import TerminalError
from copy_core.model import Slice
from copy_core.schema import type_name
from tests.mssql.server import Database, Databases

LONG = 100_000


class Column(NamedTuple):
    """A column of one type: what declares it, the canonical type it is read as, and values as SQL
    writes them and as they come out.
    """

    declared: str
    kind: str
    values: Sequence[tuple[str, Any]]


when = datetime.fromisoformat


COLUMNS: list[Column] = [
    Column("bit", "bool", [("1", True), ("0", False)]),
    Column("tinyint", "uint8", [("0", 0), ("255", 255)]),
    Column("smallint", "int16", [("-32768", -(2**15)), ("32767", 2**15 - 1)]),
    Column("int", "int32", [("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)]),
    Column(
        "bigint",
        "int64",
        [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1)],
    ),
    Column(
        "decimal(38,0)",
        "decimal(38,0)",
        [("9" * 38, Decimal("9" * 38)), ("-" + "9" * 38, Decimal("-" + "9" * 38))],
    ),
    Column(
        "numeric(38,38)",
        "decimal(38,38)",
        [
            ("0." + "9" * 38, Decimal("0." + "9" * 38)),
            ("-0." + "0" * 37 + "1", -(Decimal(10) ** -38)),
        ],
    ),
    Column("decimal(18,4)", "decimal(18,4)", [("-0.5", Decimal("-0.5000")), ("0", Decimal(0))]),
    Column(
        "money",
        "decimal(19,4)",
        [
            ("-922337203685477.5808", Decimal("-922337203685477.5808")),
            ("922337203685477.5807", Decimal("922337203685477.5807")),
            ("-0.0001", Decimal("-0.0001")),
        ],
    ),
    Column(
        "smallmoney",
        "decimal(10,4)",
        [("-214748.3648", Decimal("-214748.3648")), ("214748.3647", Decimal("214748.3647"))],
    ),
    Column(
        "real",
        "float32",
        [("-3.4028234663852886e38", -3.4028234663852886e38), ("1.5", 1.5)],
    ),
    Column(
        "float",
        "float64",
        [
            ("1.7976931348623157e308", 1.7976931348623157e308),
            ("-2.2250738585072014e-308", -2.2250738585072014e-308),
            ("0.1", 0.1),
            ("9007199254740993e0", 2.0**53),
        ],
    ),
    Column("float(24)", "float32", [("0.5", 0.5)]),
    Column("char(4)", "string", [("''", "    "), ("'ab'", "ab  "), ("'abcd'", "abcd")]),
    Column("nchar(4)", "string", [("N'表'", "表   "), ("N'😀ab'", "😀ab")]),
    Column("varchar(20)", "string", [("''", ""), ("' '", " "), ("'caf\u00e9 '", "caf\u00e9 ")]),
    Column(
        "varchar(max)",
        "string",
        [("''", ""), (f"REPLICATE(CAST('ab' AS varchar(max)), {LONG})", "ab" * LONG)],
    ),
    Column(
        "nvarchar(20)", "string", [("N''", ""), ("N'Zoë 表 😀'", "Zoë 表 😀"), ("N'it''s'", "it's")]
    ),
    Column(
        "nvarchar(max)",
        "string",
        [("N''", ""), (f"REPLICATE(CAST(N'表😀' AS nvarchar(max)), {LONG})", "表😀" * LONG)],
    ),
    Column("text", "string", [("''", ""), ("'plain'", "plain")]),
    Column("ntext", "string", [("N''", ""), ("N'表😀'", "表😀")]),
    Column("xml", "string", [("N'<a b=\"1\">表</a>'", '<a b="1">表</a>')]),
    Column(
        "uniqueidentifier",
        "string",
        [("'6f9619ff-8b86-d011-b42d-00c04fc964ff'", "6F9619FF-8B86-D011-B42D-00C04FC964FF")],
    ),
    Column("binary(4)", "binary", [("0x", b"\0" * 4), ("0x00FF", b"\0\xff\0\0")]),
    Column("varbinary(20)", "binary", [("0x", b""), ("0x00FF00", b"\0\xff\0")]),
    Column(
        "varbinary(max)",
        "binary",
        [
            ("0x", b""),
            (f"CAST(REPLICATE(CAST('a' AS varchar(max)), {LONG}) AS varbinary(max))", b"a" * LONG),
        ],
    ),
    Column("image", "binary", [("0x", b""), ("0x00FF", b"\0\xff")]),
    Column("date", "date", [("'00010101'", date(1, 1, 1)), ("'99991231'", date(9999, 12, 31))]),
    Column("time(0)", "time", [("'00:00:00'", time(0)), ("'23:59:59'", time(23, 59, 59))]),
    Column("time(6)", "time", [("'23:59:59.999999'", time(23, 59, 59, 999_999))]),
    Column(
        "datetime",
        "timestamp",
        [
            ("'1753-01-01T00:00:00'", when("1753-01-01T00:00:00")),
            ("'2024-02-29T12:00:00.003'", when("2024-02-29T12:00:00.003000")),
            ("'9999-12-31T23:59:59.997'", when("9999-12-31T23:59:59.997000")),
        ],
    ),
    Column(
        "smalldatetime",
        "timestamp",
        [
            ("'1900-01-01T00:00:00'", when("1900-01-01T00:00:00")),
            ("'2079-06-06T23:59:00'", when("2079-06-06T23:59:00")),
        ],
    ),
    Column("datetime2(0)", "timestamp", [("'2024-02-29T12:00:00'", when("2024-02-29T12:00:00"))]),
    Column(
        "datetime2(6)",
        "timestamp",
        [
            ("'0001-01-01T00:00:00'", when("0001-01-01T00:00:00")),
            ("'1969-12-31T23:59:59.999999'", when("1969-12-31T23:59:59.999999")),
            ("'9999-12-31T23:59:59.999999'", when("9999-12-31T23:59:59.999999")),
        ],
    ),
    Column("datetime2(7)", "timestamp", [("'9999-12-31'", when("9999-12-31T00:00:00"))]),
    Column(
        "datetimeoffset(6)",
        "timestamp_utc",
        [
            ("'0001-01-01T00:00:00+00:00'", when("0001-01-01T00:00:00+00:00")),
            ("'9999-12-31T23:59:59.999999+00:00'", when("9999-12-31T23:59:59.999999+00:00")),
            ("'2024-01-01T00:00:00-05:30'", when("2024-01-01T05:30:00+00:00")),
            ("'2024-01-01T00:00:00.000001+14:00'", when("2023-12-31T10:00:00.000001+00:00")),
        ],
    ),
    Column(
        "sql_variant",
        "string",
        [
            ("CAST(5 AS int)", "5"),
            ("CAST(N'表😀' AS nvarchar(10))", "表😀"),
            ("CAST('1753-01-01T00:00:00.003' AS datetime)", "1753-01-01T00:00:00.003"),
            ("CAST('9999-12-31' AS date)", "9999-12-31"),
            ("CAST(12.50 AS decimal(10,4))", "12.5000"),
            ("CAST(1234.5678 AS money)", "1234.5678"),
            (
                "CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)",
                "6F9619FF-8B86-D011-B42D-00C04FC964FF",
            ),
        ],
    ),
]
DECLARED = [column.declared for column in COLUMNS]
LARGE = {"varchar(max)", "nvarchar(max)", "text", "ntext", "xml", "varbinary(max)", "image"}
LARGE |= {"sql_variant"}  # is read as nvarchar(max)
ROWS = max(len(column.values) for column in COLUMNS) + 1


class Read(NamedTuple):
    """A table as its source describes it, and what was read of it, rows by `id`: everything, and
    only columns without large values, which the driver fetches in another way.
    """

    info: TableInfo
    whole: pa.Table
    bound: pa.Table


@pytest.fixture(scope="module")
def read(databases: Databases) -> Read:
    database = databases.take("types")
    columns = ", ".join(f"c{n} {c.declared} NULL" for n, c in enumerate(COLUMNS))
    database.run(f"CREATE TABLE every (id int NOT NULL PRIMARY KEY, {columns})")
    for row in range(ROWS):
        values = [c.values[row][0] if row < len(c.values) else "NULL" for c in COLUMNS]
        database.run(f"INSERT INTO every VALUES ({row}, {', '.join(values)})")
    with open_source(database.options) as source:
        info = source.describe("every")
        narrow = [n for n, c in enumerate(COLUMNS) if c.declared not in LARGE]
        chosen = tuple(info.schema.names), ("id", *(f"c{n}" for n in narrow))
        whole, bound = (
            pa.Table.from_batches(source.read(Slice(object="every", columns=names), 3))
            for names in chosen
        )
    return Read(info, whole.sort_by("id"), bound.sort_by("id"))


@pytest.mark.parametrize("declared", DECLARED)
def test_a_type_is_described_and_read_with_its_extremes(read: Read, declared: str) -> None:
    place = DECLARED.index(declared)
    column = COLUMNS[place]
    expected = [value for _, value in column.values]
    expected += [None] * (ROWS - len(expected))
    assert type_name(read.info.schema.field(f"c{place}").type) == column.kind
    for rows in (read.whole, read.bound):
        if f"c{place}" in rows.column_names:
            assert rows.column(f"c{place}").to_pylist() == expected


def test_batches_have_exactly_the_types_that_the_source_described(read: Read) -> None:
    assert read.whole.schema == read.info.schema


def test_a_length_is_told_where_the_type_has_one(read: Read) -> None:
    told = {DECLARED[int(name[1:])]: length for name, length in read.info.lengths.items()}
    assert told == {
        "char(4)": 4,
        "nchar(4)": 4,
        "varchar(20)": 20,
        "nvarchar(20)": 20,
        "uniqueidentifier": 36,
        "binary(4)": 4,
        "varbinary(20)": 20,
    }


def write(database: Database, declared: str, value: str) -> None:
    """Makes a table of its own for a value that is written as SQL."""
    database.run(f"CREATE TABLE one (value {declared})")
    database.run(f"INSERT INTO one VALUES ({value})")


def one(database: Database, **options: Any) -> Any:
    """That value, as the source reads it."""
    with open_source(database.options.model_copy(update=options)) as source:
        [batch] = source.read(Slice(object="one", columns=("value",)), 10)
    return batch.column(0)[0].as_py()


def kept(database: Database, until: str) -> str:
    """The digits of the second that the server has kept of it; some servers have only six."""
    [(text,)] = database.rows("SELECT CONVERT(nvarchar(40), value, 121) FROM one")
    assert text.startswith(until)
    return str(text).removeprefix(until)[:7].strip().rstrip("0")


FINE = [
    ("time(7)", "'12:30:00.1234567'", "12:30:00."),
    ("datetime2(7)", "'2024-02-29T12:30:00.1234567'", "2024-02-29 12:30:00."),
    ("datetimeoffset(7)", "'2024-02-29T12:30:00.1234567+00:00'", "2024-02-29 12:30:00."),
]


@pytest.mark.parametrize(("declared", "value", "until"), FINE)
def test_a_seventh_digit_is_never_lost_unsaid(
    databases: Databases, declared: str, value: str, until: str
) -> None:
    database = databases.take("types")
    write(database, declared, value)
    digits = kept(database, until)
    if len(digits) == 7:
        with pytest.raises(TerminalError) as fine:
            one(database)
        assert (fine.value.code, fine.value.where["column"]) == ("fine-time", "value")
    else:  # the server has rounded it
        assert one(database).microsecond == int(digits)


@pytest.mark.parametrize(("declared", "value", "until"), FINE)
def test_a_seventh_digit_is_dropped_or_kept_as_text_where_that_is_asked(
    databases: Databases, declared: str, value: str, until: str
) -> None:
    database = databases.take("types")
    write(database, declared, value)
    digits = kept(database, until)
    assert one(database, seventh_digit="drop").microsecond == int(digits[:6])
    text = one(database, seventh_digit="text")
    assert isinstance(text, str) == (len(digits) == 7)
    assert str(text).replace("T", " ").startswith(until + digits)


def test_an_embedded_nul_is_read_as_another_driver_reads_it(databases: Databases) -> None:
    database = databases.take("types")
    write(database, "nvarchar(10)", "N'a' + NCHAR(0) + N'b'")
    assert [(one(database),)] == database.rows("SELECT value FROM one")


def test_a_rowversion_is_eight_bytes_that_grow(databases: Databases) -> None:
    database = databases.take("types")
    database.run("CREATE TABLE versions (id int NOT NULL, version rowversion)")
    for number in range(3):
        database.run("INSERT INTO versions (id) VALUES (?)", number)
    with open_source(database.options) as source:
        info = source.describe("versions")
        [batch] = source.read(Slice(object="versions", columns=("id", "version")), 10)
    assert type_name(info.schema.field("version").type) == "binary"
    assert (info.watermarks["version"], info.lengths["version"]) == ("rowversion", 8)
    versions = batch.sort_by("id").column("version").to_pylist()
    assert all(len(version) == 8 for version in versions)
    assert versions == sorted(set(versions))


# Types that not every server has, a value of each, and how it is read.
RARE: dict[str, tuple[str, str, Any]] = {
    "hierarchyid": ("'/1/2.5/'", "string", "/1/2.5/"),
    "geometry": (
        "geometry::STGeomFromText('POINT (1 2 3 4)', 0)",
        "binary",
        struct.pack("<BI4d", 1, 3001, 1, 2, 3, 4),
    ),
    "geography": (
        "geography::STGeomFromText('POINT (1 2)', 4326)",
        "binary",
        struct.pack("<BI2d", 1, 1, 1, 2),
    ),
    "json": ("'{\"a\":1}'", "string", '{"a":1}'),
    "sysname": ("N'plain'", "string", "plain"),
}


def test_types_that_not_every_server_has(databases: Databases) -> None:
    database = databases.take("types")
    known = {name for (name,) in database.rows("SELECT name FROM sys.types")} & RARE.keys()
    assert "sysname" in known
    columns = ", ".join(f"{name}_ {name} NULL" for name in sorted(known))
    values = ", ".join(RARE[name][0] for name in sorted(known))
    database.run(f"CREATE TABLE rare ({columns})")
    database.run(f"INSERT INTO rare VALUES ({values})")
    with open_source(database.options) as source:
        info = source.describe("rare")
        assert not info.uncopyable
        [batch] = source.read(Slice(object="rare", columns=tuple(info.schema.names)), 10)
    for name in known:
        _, kind, expected = RARE[name]
        assert type_name(info.schema.field(f"{name}_").type) == kind
        assert batch.column(f"{name}_").to_pylist() == [expected]


def test_many_rows_come_in_batches_without_a_loss(databases: Databases) -> None:
    database = databases.take("types")
    database.run("CREATE TABLE many (id int NOT NULL, value nvarchar(40))")
    numbers = random.Random(4).sample(range(10**6), 900)
    rows = ", ".join(f"({n}, N'row {n} 😀')" for n in numbers)
    database.run(f"INSERT INTO many VALUES {rows}")
    with open_source(database.options) as source:
        part = Slice(object="many", columns=("id", "value"))
        batches = list(source.read(part, 100))
    assert [batch.num_rows for batch in batches] == [100] * 9
    found = pa.Table.from_batches(batches).to_pylist()
    assert {row["id"]: row["value"] for row in found} == {n: f"row {n} 😀" for n in numbers}
