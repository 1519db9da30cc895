"""A connection to the live server: statements, transactions, rows as Arrow."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pyarrow as pa
import pytest

from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.sql.mssql import login, reader
from copy_core.connectors.sql.mssql.db import Database
from copy_core.connectors.sql.mssql.stream import schema_of, stream, stream_rows
from copy_core.connectors.sql.text import Sql, bind
from copy_core.errors import ConfigError, TerminalError, TransientError
from copy_core.model import Slice
from copy_core.secrets import resolve
from tests.mssql.cutting_proxy import CuttingProxy
from tests.mssql.server import Databases


@pytest.fixture
def options(databases: Databases) -> MssqlOptions:
    """An empty database, secrets resolved."""
    given = databases.take("connection").options
    return given.model_copy(update={"password": resolve(given.password or "")})


@pytest.fixture
def db(options: MssqlOptions) -> Iterator[Database]:
    with closing(Database(options)) as db:
        yield db


def fetched(options: MssqlOptions, sql: Sql, rows: int, size: int) -> Iterator[pa.RecordBatch]:
    """The rows of a query, fetched many at a time."""
    with closing(login.direct(options)) as connection:
        yield from stream(connection, sql, rows, size)


def one_by_one(options: MssqlOptions, sql: Sql, rows: int, size: int) -> Iterator[pa.RecordBatch]:
    """The same rows, fetched one at a time."""
    with closing(login.direct(options)) as connection:
        schema = schema_of(connection, sql)
    with closing(login.odbc(options)) as other:
        yield from stream_rows(other, sql, schema, rows, size)


def numbers(count: int) -> Sql:
    """A query of the numbers 1 to `count` (at most 100,000) and a text."""
    ten = "(VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9))"
    tens = ", ".join(f"{ten} AS d{place}(v)" for place in range(5))
    number = "1 + d0.v + 10*d1.v + 100*d2.v + 1000*d3.v + 10000*d4.v"
    wanted = f"SELECT n, CAST(n AS nvarchar(max)) AS t FROM (SELECT {number} AS n FROM {tens}) AS x"
    return f"{wanted} WHERE n <= " + bind(count)


def test_values_come_back_as_they_were_bound(db: Database) -> None:
    text = "na\u00efve \U0001f600 ]'\";--"
    statement = (
        "SELECT CAST("
        + bind(text)
        + " AS nvarchar(100)), "
        + bind(2**40)
        + ", "
        + bind(0.1)
        + ", "
        + bind(b"\0x")
    )
    assert db.rows(statement) == [(text, 2**40, 0.1, b"\0x")]
    assert db.value("SELECT ?", [None]) is None
    assert db.value("SELECT 1 WHERE 1 = 0") is None


def test_a_batch_is_run_to_its_end(db: Database) -> None:
    sets = db.results("SELECT 1 AS a; SELECT 2 AS a UNION ALL SELECT 3; SELECT 4 AS a WHERE 1 = 0")
    assert sets == [[(1,)], [(2,), (3,)], []]
    assert db.rows("SELECT 1; SELECT 2") == [(2,)]
    db.run("CREATE TABLE t (a int NOT NULL PRIMARY KEY)")
    assert db.run("INSERT INTO t VALUES (1), (2), (3)") == 3
    assert db.run("DELETE FROM t WHERE a > ?", [1]) == 2
    with pytest.raises(TerminalError):  # by the second statement
        db.run("INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)")


def test_a_transaction_is_all_or_nothing(db: Database, options: MssqlOptions) -> None:
    db.run("CREATE TABLE t (a int NOT NULL PRIMARY KEY)")
    with db.transaction():
        db.run("INSERT INTO t VALUES (1)")

    def interrupted() -> None:
        with db.transaction():
            db.run("INSERT INTO t VALUES (2)")
            raise ZeroDivisionError

    def refused() -> None:
        with db.transaction():
            db.run("INSERT INTO t VALUES (3)")
            db.run("INSERT INTO t VALUES (1)")

    with pytest.raises(ZeroDivisionError):
        interrupted()
    with pytest.raises(TerminalError):
        refused()
    with closing(Database(options)) as other:
        assert other.rows("SELECT a FROM t") == [(1,)]
    assert db.run("INSERT INTO t VALUES (4)") == 1
    assert db.value("SELECT @@TRANCOUNT") == 0


def test_an_error_dooms_the_transaction_even_if_it_is_caught(db: Database) -> None:
    db.run("CREATE TABLE t (a int NOT NULL PRIMARY KEY)")
    db.run("INSERT INTO t VALUES (1)")

    def careless() -> None:
        with db.transaction():
            db.run("INSERT INTO t VALUES (2)")
            with suppress(TerminalError):
                db.run("INSERT INTO t VALUES (1)")
            db.run("INSERT INTO t VALUES (3)")

    with pytest.raises(TerminalError):
        careless()
    assert db.rows("SELECT a FROM t") == [(1,)]


def test_a_snapshot_does_not_see_what_others_commit(db: Database, options: MssqlOptions) -> None:
    assert db.server.snapshot
    db.run("CREATE TABLE t (a int)")
    with closing(Database(options)) as other:
        with db.transaction(snapshot=True):
            assert db.value("SELECT COUNT(*) FROM t") == 0
            other.run("INSERT INTO t VALUES (1)")
            assert db.value("SELECT COUNT(*) FROM t") == 0
        assert db.value("SELECT COUNT(*) FROM t") == 1


def test_what_the_server_can_is_asked_before_a_transaction(db: Database) -> None:
    with db.transaction():
        server = db.server
        assert db.value("SELECT @@TRANCOUNT") == 1
    assert server.default_schema
    assert server.collation


def test_rows_arrive_as_arrow(options: MssqlOptions) -> None:
    batches = list(fetched(options, numbers(25_000), 10_000, 1 << 30))
    assert [b.num_rows for b in batches] == [1_000, 10_000, 10_000, 4_000]
    table = pa.Table.from_batches(batches)
    assert sorted(table["n"].to_pylist()) == list(range(1, 25_001))
    assert table["t"].to_pylist() == [str(n) for n in table["n"].to_pylist()]
    assert list(fetched(options, numbers(0), 10_000, 1 << 20)) == []


def test_large_values_come_in_batches_of_a_size(options: MssqlOptions) -> None:
    query = "SELECT n, REPLICATE(t, 1000) AS t FROM (" + numbers(50) + ") AS x"
    batches = list(one_by_one(options, query, 1_000, 20_000))
    assert sum(b.num_rows for b in batches) == 50
    assert all(b.num_rows < 50 for b in batches)
    assert all(b.nbytes >= 20_000 for b in batches[:-1])


@pytest.mark.parametrize("how", [fetched, one_by_one])
def test_a_read_that_is_cut_off_is_worth_another_attempt(
    options: MssqlOptions, how: Callable[..., Iterator[pa.RecordBatch]]
) -> None:
    # More than what lies between server and reader can hold.
    query = "SELECT n, REPLICATE(t, 200) AS t FROM (" + numbers(100_000) + ") AS x"
    with CuttingProxy(options.server) as proxy:
        through = options.model_copy(update={"server": proxy.address})
        batches = how(through, query, 1_000, 20_000)
        next(batches)
        proxy.cut_after(100_000)
        with pytest.raises(TransientError):
            for _ in batches:
                pass


def test_large_values_of_a_query_that_begins_with_another(options: MssqlOptions) -> None:
    query = "WITH q AS (" + numbers(3) + ") SELECT n, t FROM q"
    (batch,) = one_by_one(options, query, 1_000, 20_000)
    assert sorted(batch.column("n").to_pylist()) == [1, 2, 3]


@pytest.mark.parametrize(
    "value",
    [
        "CAST(255 AS tinyint)",
        "CAST(-1 AS smallint)",
        "CAST(9223372036854775807 AS bigint)",
        "CAST(1 AS bit)",
        "CAST('-99999999999999999999999999999999999999' AS decimal(38, 0))",
        "CAST('123.4500' AS decimal(20, 4))",
        "CAST(12.3456 AS money)",
        "CAST(1.5 AS real)",
        "CAST(0.1 AS float)",
        "CAST(N'äx' AS varchar(20))",
        "CAST(N'x😀' AS nvarchar(max))",
        "CAST('' AS varchar(max))",
        "CAST(0x00FF AS varbinary(max))",
        "CAST('0001-01-01' AS date)",
        "CAST('23:59:59.123456' AS time(6))",
        "CAST('9999-12-31T23:59:59.123456' AS datetime2(6))",
        "CAST('2024-01-01T00:00:00.003' AS datetime)",
        "CAST('2024-01-01 00:30:00.123456 +02:00' AS datetimeoffset(6))",
        "CAST('0001-01-01 00:30:00 -02:00' AS datetimeoffset(6))",
        "CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)",
    ],
)
def test_both_drivers_give_the_same_values(options: MssqlOptions, value: str) -> None:
    query = "SELECT " + value + " AS v, CASE WHEN 1 = " + bind(2) + f" THEN {value} END AS n"
    one, other = (
        pa.Table.from_batches(read(options, query, 100, 1 << 20)) for read in (fetched, one_by_one)
    )
    assert one.equals(other)
    assert one.num_rows == 1
    assert one["n"].null_count == 1


def test_a_query_that_fails_half_way_never_ends_quietly(options: MssqlOptions) -> None:
    query = "SELECT 100 / (30000 - n) AS q FROM (" + numbers(60_000) + ") AS x"
    with pytest.raises(TerminalError) as e:
        list(fetched(options, query, 1_000, 1 << 20))
    assert e.value.code == "conversion"


def test_a_read_that_is_left_closes_its_connection(db: Database, options: MssqlOptions) -> None:
    ten = "(VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9))"
    query = f"SELECT @@SPID AS me FROM {', '.join(f'{ten} AS d{n}(v)' for n in range(5))}"
    rows = reader.read(options, Slice(object="q", columns=("me",), query=query), 10)
    me = next(rows)["me"][0].as_py()
    alive = "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE session_id = ?"

    def wait_for(sessions: int) -> None:  # some servers list them a moment later
        deadline = time.monotonic() + 20
        while db.value(alive, [me]) != sessions:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    with closing(rows):
        wait_for(1)
    wait_for(0)


def test_a_closed_connection_is_closed_twice_in_peace(options: MssqlOptions) -> None:
    db = Database(options)
    db.close()
    db.close()
    with pytest.raises(TransientError):  # a step that is tried again opens another
        db.value("SELECT 1")


def test_a_certificate_is_verified_unless_told_otherwise(
    options: MssqlOptions, tmp_path: Path
) -> None:
    server = _by_name(options)
    careful = options.model_copy(
        update={"server": server, "encrypt": "yes", "trust_server_certificate": False}
    )
    for opened in (login.odbc, login.direct):
        with pytest.raises(ConfigError) as e:
            opened(careful)
        assert e.value.code == "certificate"
    # In a process of its own: what one trusts, it trusts to its end.
    authority = tmp_path / "ca.pem"
    authority.write_text(_certificate(server))
    script = (
        "import sys\n"
        "from copy_core.connectors.options import MssqlOptions\n"
        "from copy_core.connectors.sql.mssql import login\n"
        "options = MssqlOptions.model_construct(**__import__('json').loads(sys.stdin.read()))\n"
        "login.odbc(options).close(); login.direct(options).close(); print('in')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=careful.model_copy(update={"ca_file": str(authority)}).model_dump_json(),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    # The certificate may be for another name than the one that leads here: then only that is wrong.
    assert done.stdout == "in\n" or "host name" in done.stderr, done.stderr


def _by_name(options: MssqlOptions) -> str:
    host, comma, port = options.server.partition(",")
    return f"{'localhost' if host == '127.0.0.1' else host}{comma}{port}"


def _certificate(server: str) -> str:
    """The certificate that a server shows, which TDS wraps into its own packets."""
    host, _, port = server.partition(",")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing)
    # PRELOGIN: the version, and that we want to encrypt.
    options = bytes([0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 255])
    with socket.create_connection((host, int(port or 1433)), timeout=10) as wire:
        file = wire.makefile("rb")

        def send(body: bytes) -> None:
            wire.sendall(bytes([18, 1]) + (len(body) + 8).to_bytes(2, "big") + bytes(4) + body)

        def receive() -> bytes:
            header = file.read(8)
            return file.read(int.from_bytes(header[2:4], "big") - 8)

        send(options + bytes([18, 0, 0, 0, 0, 0]) + bytes([1]))
        receive()
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                send(outgoing.read())
                incoming.write(receive())
    shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    return ssl.DER_cert_to_PEM_cert(shown)
