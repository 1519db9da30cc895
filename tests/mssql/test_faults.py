"""What goes wrong on a server: the right error that names the place, or a finished copy; never half
of one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pyodbc
import pytest

from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.sql.mssql import pool
from tests.mssql.desk import Desk
from tests.mssql.server import Database, Databases
from tests.planted import planted

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(900)

SECRET = planted("Wr0ng-and-never-shown")
SECRET_VARIABLE = "COPYJOB_TEST_MSSQL_OTHER"


@pytest.fixture
def source(databases: Databases) -> Database:
    made = databases.take("source")
    made.run("CREATE TABLE t (id int PRIMARY KEY, at bigint, name nvarchar(50))")
    made.run("INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'abcdefgh')")
    return made


@pytest.fixture
def target(databases: Databases) -> Database:
    return databases.take("target")


@pytest.fixture
def desk(tmp_path: Path, source: Database, target: Database) -> Desk:
    return Desk(tmp_path, source.options, target.options)


def login(options: MssqlOptions, user: str) -> MssqlOptions:
    """The same place for somebody else, whose password is SECRET."""
    password = f"${{env:{SECRET_VARIABLE}}}"
    return options.model_copy(update={"user": user, "password": password})


@contextmanager
def somebody(database: Database, *rights: str) -> Iterator[MssqlOptions]:
    """A login with these rights in the database, and no other."""
    name = f"copyjob_{secrets.token_hex(4)}"
    database.run(f"CREATE LOGIN {name} WITH PASSWORD = '{SECRET}'")
    try:
        database.run(f"CREATE USER {name} FOR LOGIN {name}")
        for right in rights:
            database.run(f"{right} TO {name}")
        yield login(database.options, name)
    finally:
        pool.sweep(everything=True)
        with suppress(pyodbc.Error):
            database.run(f"DROP USER {name}")
        _drop_login(database, name)


def _drop_login(database: Database, name: str) -> None:
    """A session that has just been closed may be there for a moment, and its login with it."""
    for _ in range(50):
        try:
            database.run(f"DROP LOGIN {name}")
        except pyodbc.Error:
            time.sleep(0.1)
        else:
            return
    database.run(f"DROP LOGIN {name}")


@pytest.fixture(autouse=True)
def other_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)


def test_a_wrong_password(tmp_path: Path, source: Database, target: Database) -> None:
    assert source.options.user is not None
    wrong = login(source.options, source.options.user)
    error = Desk(tmp_path, wrong, target.options).fail()
    assert (error["recovery"], error["code"]) == ("config", "login-failed")
    assert "password" in error["fix"]
    assert SECRET not in str(error)


def test_a_database_that_is_not_there(tmp_path: Path, source: Database, target: Database) -> None:
    gone = source.options.model_copy(update={"database": "copyjob_test_never_made"})
    error = Desk(tmp_path, gone, target.options).fail()
    assert error["recovery"] == "config"
    assert "copyjob_test_never_made" in error["message"]


def test_a_table_that_was_dropped(desk: Desk, source: Database) -> None:
    source.run("CREATE TABLE tt (id int)")
    source.run("DROP TABLE t")
    error = desk.fail()
    assert (error["recovery"], error["code"]) == ("config", "table-missing")
    assert error["where"]["table"] == "t"
    assert "tt" in error["fix"] + error["message"]


def test_a_right_to_read_that_is_missing(
    tmp_path: Path, source: Database, target: Database
) -> None:
    source.run("CREATE TABLE other (id int)")
    with somebody(source, "GRANT SELECT ON other") as reader:
        error = Desk(tmp_path, reader, target.options).fail()
    assert error["recovery"] == "config"
    assert error["code"] in ("table-missing", "not-permitted")
    assert error["where"]["table"] == "t"


def test_a_right_to_write_that_is_missing(
    tmp_path: Path, source: Database, target: Database
) -> None:
    target.run("CREATE TABLE t (id int PRIMARY KEY, at bigint, name nvarchar(50))")
    with somebody(target, "GRANT SELECT ON t") as writer:
        error = Desk(tmp_path, source.options, writer).fail()
    assert (error["recovery"], error["code"]) == ("config", "not-permitted")
    assert error["where"]["table"] == "t"
    assert target.tables() == ["t"]


def test_a_string_that_is_too_long(desk: Desk, target: Database) -> None:
    target.run("CREATE TABLE t (id int PRIMARY KEY, at bigint, name nvarchar(5))")
    error = desk.fail()
    assert (error["recovery"], error["code"]) == ("terminal", "too-long")
    assert error["where"]["table"] == "t"
    assert error["where"]["column"] == "name"
    assert target.rows("SELECT COUNT(*) FROM t") == [(0,)]
    target.run("ALTER TABLE t ALTER COLUMN name nvarchar(50)")
    assert desk.copy().rows_written == 2


def test_text_that_its_column_cannot_hold(desk: Desk, source: Database, target: Database) -> None:
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY, at bigint,"
        " name varchar(50) COLLATE Latin1_General_CI_AS)"
    )
    source.run("INSERT INTO t VALUES (3, 3, N'Zoë 表')")
    error = desk.fail()
    assert error["recovery"] == "terminal"
    assert error["where"]["column"] == "name"
    assert target.rows("SELECT COUNT(*) FROM t") == [(0,)]
    source.run("UPDATE t SET name = N'Zoë' WHERE id = 3")
    desk.copy()
    assert target.rows("SELECT name FROM t WHERE id = 3") == [("Zoë",)]


def test_a_row_that_is_there_already(desk: Desk, target: Database) -> None:
    target.run("CREATE TABLE t (id int PRIMARY KEY, at bigint, name nvarchar(50))")
    target.run("INSERT INTO t VALUES (2, 0, 'here')")
    error = desk.fail()
    assert (error["recovery"], error["code"]) == ("terminal", "constraint")
    assert error["where"]["table"] == "t"
    assert target.rows("SELECT id, name FROM t") == [(2, "here")]


def test_connections_that_break_in_mid_copy(desk: Desk, source: Database, target: Database) -> None:
    source.run(
        "INSERT INTO t SELECT 100 * a.value + b.value + 10, 1, 'x' FROM"
        " (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) AS a (value) CROSS JOIN"
        " (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) AS b (value)"
    )
    asked = "SELECT id, at, name FROM t ORDER BY id"
    stop = Event()
    ours = [(database, database.rows("SELECT @@SPID")[0][0]) for database in (source, target)]

    def strike() -> None:
        while not stop.wait(0.7):
            for database, session in ours:
                _break_connections(database, but=session)

    striker = Thread(target=strike)
    settings = {"mode": "incremental", "incremental_column": "at", "write": "append", "parts": 2}
    for number in range(3):
        source.run("UPDATE t SET at = at WHERE id = 1")
        source.run(f"INSERT INTO t VALUES ({2000 + number}, {2000 + number}, 'new')")
        if not striker.is_alive():
            striker.start()
        summary = desk.run({"source": "t", **settings}, limits={"retries": 1})
        if summary.status == "failed":
            error = summary.error or summary.tables[0].error
            assert error is not None
            assert error["recovery"] == "transient", error
    stop.set()
    striker.join()
    assert desk.run({"source": "t", **settings}).status == "succeeded"
    assert target.rows(asked) == source.rows(asked)


def _break_connections(database: Database, *, but: int) -> None:
    """Ends all sessions in the database but one, as a failover does."""
    asked = "SELECT session_id FROM sys.dm_exec_sessions WHERE database_id = DB_ID(?)"
    with closing(database.server.connection()) as connection:
        for (session,) in connection.execute(asked, database.name).fetchall():
            if session not in (None, but):
                with suppress(pyodbc.Error):  # it has ended by itself
                    connection.execute(f"KILL {session}").close()
